package multilog

import (
	"time"
)

// retain evicts the oldest segment whenever free segments run short.
func (l *Log) retain() {
	defer l.background.Done()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.wakeRetention:
		case <-retry.C:
		}
		for l.short() {
			if !l.evict() {
				// Something is still in the way. It will pass without telling
				// us (readers unpin without a wake-up), so look again soon.
				retry.Reset(200 * time.Microsecond)
				break
			}
		}
	}
}

// short reports whether fewer segments are free than should be ahead of the
// writers.
func (l *Log) short() bool {
	current := l.writeTail.Load() >> l.shift
	return current+uint64(l.opt.ahead()) >= l.oldest.Load()+uint64(len(l.segs))
}

// evict gives up the oldest segment if nothing is in its way.
func (l *Log) evict() bool {
	n := l.oldest.Load()
	end := (n + 1) << l.shift
	if l.readTail.Load() < end || l.held(end) {
		return false
	}
	g := &l.segs[n%uint64(len(l.segs))]
	if g.logical.Load() != noSegment {
		l.remember(n, g)
		// From here on nobody can pin it; those who have it finish first.
		g.logical.Store(noSegment)
	}
	if g.refs.Load() != 0 {
		return false
	}
	g.reset()
	g.logical.Store(n + uint64(len(l.segs)))
	l.oldest.Store(n + 1)
	l.limit.Store((n + 1 + uint64(len(l.segs))) << l.shift)
	return true
}

// A Hold keeps headers from a given offset on in memory until it is moved or
// released: how an archiver or a streaming reader makes sure that it has seen a
// header before retention takes it. While a Hold is in the way, a full log
// refuses claims.
type Hold struct {
	log *Log
	off uint64
}

// Hold keeps everything from offset off on that is still held.
func (l *Log) Hold(off uint64) *Hold {
	h := &Hold{log: l, off: off}
	l.mu.Lock()
	l.holds[h] = struct{}{}
	l.mu.Unlock()
	return h
}

// Advance lets retention take the headers below off. It never moves back.
func (h *Hold) Advance(off uint64) {
	h.log.mu.Lock()
	h.off = max(h.off, off)
	h.log.mu.Unlock()
	h.log.wake(h.log.wakeRetention)
}

// Release ends the hold.
func (h *Hold) Release() {
	h.log.mu.Lock()
	delete(h.log.holds, h)
	h.log.mu.Unlock()
	h.log.wake(h.log.wakeRetention)
}

// held reports whether some hold needs headers below end.
func (l *Log) held(end uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h := range l.holds {
		if h.off < end {
			return true
		}
	}
	return false
}
