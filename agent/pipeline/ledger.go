package pipeline

import "github.com/confluo/confluo/capture"

// A Ledger says what became of every frame that the sources saw:
//
//	Received = Stored + InFlight + the sum of Dropped
//
// at every moment, and with InFlight zero when nothing is under way. Received
// is counted by the sources, the other terms by the stages after them, so the
// equation does not hold by construction once InFlight is zero.
type Ledger struct {
	Received uint64 // frames that the sources delivered or lost
	Stored   uint64 // headers below globalReadTail, evicted ones included
	InFlight uint64 // delivered by a source and not published yet
	Evicted  uint64 // of Stored: given up by retention since
	Sources  []SourceLedger
}

// A SourceLedger is the part of one source.
type SourceLedger struct {
	Name  string
	Stats capture.Stats // Drops holds the source's own causes
	// Headers that spray dropped: no ring had room, or memory had none.
	RingFull, MemoryFull uint64
}

// Causes of drops after capture, beside those that a source reports.
const (
	CauseRingFull   = "spray_ring_full"
	CauseMemoryFull = "spray_memory_full"
)

// Drops returns every cause of the source with its count.
func (s *SourceLedger) Drops() []capture.Drop {
	return append(s.Stats.Drops[:len(s.Stats.Drops):len(s.Stats.Drops)],
		capture.Drop{Cause: CauseRingFull, N: s.RingFull},
		capture.Drop{Cause: CauseMemoryFull, N: s.MemoryFull})
}

// Dropped returns the headers lost for any cause.
func (l *Ledger) Dropped() uint64 {
	var n uint64
	for i := range l.Sources {
		for _, d := range l.Sources[i].Drops() {
			n += d.N
		}
	}
	return n
}

// Ledger reads the counters. The later a stage, the earlier it is read, so that
// a frame that moves on meanwhile counts as in flight, never twice.
func (p *Pipeline) Ledger() Ledger {
	l := Ledger{Sources: make([]SourceLedger, len(p.sources))}
	l.Evicted = p.log.First()
	l.Stored = p.log.ReadTail()
	after := l.Stored // frames accounted for by the stages after capture
	for i := range p.sources {
		s := &l.Sources[i]
		s.Name = p.sources[i].Name()
		for _, sp := range p.sources[i].sprayers {
			s.RingFull += sp.Counts().RingFull.Load()
			s.MemoryFull += sp.Counts().MemoryFull.Load()
		}
		after += s.RingFull + s.MemoryFull
	}
	var delivered uint64
	for i := range p.sources {
		st := p.sources[i].Stats()
		l.Sources[i].Stats = st
		delivered += st.Received
		l.Received += st.Received
		for _, d := range st.Drops {
			l.Received += d.N
		}
	}
	l.InFlight = delivered - after
	return l
}

// Rings returns how full each ring is, by writer, then queue.
func (p *Pipeline) Rings() (fill []int, slots int) {
	for _, in := range p.inputs {
		for _, x := range in {
			fill = append(fill, x.Ring.Len())
		}
	}
	return fill, p.opt.RingBatches
}

// Writers returns the headers and batches that each writer has written.
func (p *Pipeline) Writers() (headers, batches []uint64) {
	for _, w := range p.writers {
		h, b := w.Counts()
		headers, batches = append(headers, h), append(batches, b)
	}
	return headers, batches
}
