package agent

import (
	"sync"
	"time"

	"github.com/confluo/confluo/api"
)

// Drops are remembered in intervals, so that a query can say what its range of
// time lost. Long lists lose precision, not drops: neighbours are merged.
const (
	dropInterval = 100 * time.Millisecond
	maxIntervals = 1024 // a cause
)

// A dropHistory remembers when headers were dropped, by cause. The zero
// dropHistory is empty and ready. Its methods may be called from any goroutine.
type dropHistory struct {
	mu     sync.Mutex
	causes map[string]*causeHistory
}

type causeHistory struct {
	total     uint64 // dropped so far
	intervals []dropped
}

// dropped are n headers that were lost after from and until to.
type dropped struct {
	from, to time.Time
	n        uint64
}

// run compares ledgers until quit is closed.
func (h *dropHistory) run(quit <-chan struct{}, ledger func() api.Ledger) {
	tick := time.NewTicker(dropInterval)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		now := time.Now()
		h.see(last, now, ledger().Dropped)
		last = now
	}
}

// see takes in what was dropped in all until to, the ledger before having been
// taken at from.
func (h *dropHistory) see(from, to time.Time, totals map[string]uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.causes == nil {
		h.causes = make(map[string]*causeHistory)
	}
	for cause, total := range totals {
		c := h.causes[cause]
		if c == nil {
			c = &causeHistory{}
			h.causes[cause] = c
		}
		if total <= c.total {
			continue
		}
		if len(c.intervals) == maxIntervals {
			c.merge()
		}
		c.intervals = append(c.intervals, dropped{from, to, total - c.total})
		c.total = total
	}
}

// merge makes room by joining every interval with its neighbour.
func (c *causeHistory) merge() {
	half := c.intervals[:0]
	for i := 0; i+1 < len(c.intervals); i += 2 {
		a, b := c.intervals[i], c.intervals[i+1]
		half = append(half, dropped{a.from, b.to, a.n + b.n})
	}
	c.intervals = half
}

// between returns what was dropped, by cause, in intervals that have a moment
// in common with from <= t < to. A zero time is no bound.
func (h *dropHistory) between(from, to time.Time) map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]uint64)
	for cause, c := range h.causes {
		for _, d := range c.intervals {
			if (to.IsZero() || d.from.Before(to)) && (from.IsZero() || d.to.After(from)) {
				out[cause] += d.n
			}
		}
	}
	return out
}
