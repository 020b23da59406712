package agent

import (
	"log/slog"
	"maps"
	"slices"
)

// The causes of drops between source and log. Those of the sources have names
// of their own: nic_imissed, kernel_ring, ...
const (
	DropSprayFull  = "spray_full"  // no ring had room for the batch
	DropMemoryFull = "memory_full" // the log had no memory for the batch: a reader or a hold keeps retention from making room
)

// A Ledger accounts for every header:
//
//	Received = Stored + InFlight + the sum of Dropped
type Ledger struct {
	Received uint64            // delivered by sources, and lost before they could
	Stored   uint64            // published in the log, also those that retention has since let go
	InFlight uint64            // between source and log
	Dropped  map[string]uint64 // by cause
	Evicted  uint64            // stored, and since let go by retention
}

// TotalDropped returns the sum over all causes.
func (l Ledger) TotalDropped() uint64 {
	var n uint64
	for _, d := range l.Dropped {
		n += d
	}
	return n
}

// LogValue implements slog.LogValuer.
func (l Ledger) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.Uint64("received", l.Received), slog.Uint64("stored", l.Stored),
		slog.Uint64("in_flight", l.InFlight), slog.Uint64("dropped", l.TotalDropped()),
	}
	for _, cause := range slices.Sorted(maps.Keys(l.Dropped)) {
		if n := l.Dropped[cause]; n > 0 {
			attrs = append(attrs, slog.Uint64(cause, n))
		}
	}
	return slog.GroupValue(append(attrs, slog.Uint64("evicted", l.Evicted))...)
}

// Ledger takes the ledger.
//
// Counters are read against the direction in which headers travel: what is
// stored first, then what spray dropped, then what sources delivered. A header
// is counted at each of these places at most once, and at an earlier place
// first, so what was delivered and is neither stored nor dropped in these
// readings was on its way, and there are no more of it than the rings and the
// capture goroutines hold.
func (a *Agent) Ledger() Ledger {
	l := Ledger{Dropped: map[string]uint64{}}
	switch a.state.Load() {
	case stateNew, stateStarting:
		return l
	}
	if a.mlog == nil {
		return l // it never got so far
	}
	l.Stored = a.mlog.ReadTail()
	l.Evicted = a.mlog.First()
	for _, q := range a.pipe.queues {
		c := q.spray.Counts()
		l.Dropped[DropSprayFull] += c.RingFull.Load()
		l.Dropped[DropMemoryFull] += c.MemoryFull.Load()
	}
	done := l.Stored + l.TotalDropped()
	for _, s := range a.sources {
		st := s.Stats()
		l.Received += st.Received
		for _, d := range st.Drops {
			l.Dropped[d.Cause] += d.N
		}
	}
	l.InFlight = l.Received - done
	l.Received = l.Stored + l.InFlight + l.TotalDropped()
	return l
}
