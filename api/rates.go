package api

import (
	"context"
	"sync"
	"time"
)

// rates turns counts into rates: it keeps two samples of the status, and the
// older of them is what a new status is compared with.
type rates struct {
	mu         sync.Mutex
	older, old *Status
}

// run takes samples until ctx is done.
func (r *rates) run(ctx context.Context, h Host, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s := h.Status()
		r.mu.Lock()
		r.older, r.old = r.old, s
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// fill sets the rates of s, a fresh status.
func (r *rates) fill(s *Status) {
	r.mu.Lock()
	before := r.older
	if before == nil {
		before = r.old
	}
	r.mu.Unlock()
	if before == nil {
		return
	}
	seconds := s.Time.Sub(before.Time).Seconds()
	if seconds <= 0 {
		return
	}
	rate := func(now, then uint64) float64 {
		if now < then { // the stage was made anew in between
			return 0
		}
		return float64(now-then) / seconds
	}
	s.Spray.HeadersPerSecond = rate(s.Spray.WriteTail, before.Spray.WriteTail)
	for i := range s.Sources {
		for _, b := range before.Sources {
			if b.Name == s.Sources[i].Name {
				s.Sources[i].HeadersPerSecond = rate(s.Sources[i].Received, b.Received)
				s.Sources[i].BytesPerSecond = rate(s.Sources[i].Bytes, b.Bytes)
			}
		}
	}
	for i := range s.Writers {
		for _, b := range before.Writers {
			if b.Name == s.Writers[i].Name {
				s.Writers[i].HeadersPerSecond = rate(s.Writers[i].Headers, b.Headers)
			}
		}
	}
}
