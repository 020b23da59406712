package agent

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/api"
)

// Ledger takes the ledger: what became of every header that the sources saw.
// It is zero before the agent runs; after Stop it is what Stop returned.
func (a *Agent) Ledger() api.Ledger {
	if a.state.Load() < stateRunning {
		return api.Ledger{}
	}
	p := a.pipe.Ledger()
	return apiLedger(&p)
}

func apiLedger(p *pipeline.Ledger) api.Ledger {
	l := api.Ledger{
		Received: p.Received, Stored: p.Stored, InFlight: p.InFlight, Evicted: p.Evicted,
		Dropped: map[string]uint64{},
	}
	for i := range p.Sources {
		for _, d := range p.Sources[i].Drops() {
			l.Dropped[d.Cause] += d.N
		}
	}
	return l
}

// ledgerValue writes a ledger for the log, causes that lost something only.
func ledgerValue(l api.Ledger) slog.Value {
	var dropped uint64
	for _, n := range l.Dropped {
		dropped += n
	}
	attrs := []slog.Attr{
		slog.Uint64("received", l.Received), slog.Uint64("stored", l.Stored),
		slog.Uint64("in_flight", l.InFlight), slog.Uint64("dropped", dropped),
	}
	for _, cause := range slices.Sorted(maps.Keys(l.Dropped)) {
		if n := l.Dropped[cause]; n > 0 {
			attrs = append(attrs, slog.Uint64(cause, n))
		}
	}
	return slog.GroupValue(append(attrs, slog.Uint64("evicted", l.Evicted))...)
}
