package multilog

import "math"

// rememberedSegments is how many evicted segments keep time bounds of their
// own; those before them share one pair.
const rememberedSegments = 4096

// evictions remembers of what times the evicted headers were. Guarded by
// Log.mu.
type evictions struct {
	segments uint64       // logical segments 0..segments-1 are evicted
	recent   []timeBounds // of logical segment n at n mod rememberedSegments
	before   timeBounds   // of those before the last rememberedSegments
}

type timeBounds struct{ lo, hi int64 }

// remember notes that logical segment n, in g, is about to go. Retention only.
func (l *Log) remember(n uint64, g *segment) {
	b := timeBounds{math.MaxInt64, math.MinInt64}
	for i := range g.tsMin {
		b.lo, b.hi = min(b.lo, g.tsMin[i].Load()), max(b.hi, g.tsMax[i].Load())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.evictions
	if n < rememberedSegments {
		e.recent = append(e.recent, b)
	} else {
		old := &e.recent[n%rememberedSegments]
		if n == rememberedSegments {
			e.before = *old
		} else {
			e.before = timeBounds{min(e.before.lo, old.lo), max(e.before.hi, old.hi)}
		}
		*old = b
	}
	e.segments = n + 1
}

// EvictedWithin returns how many of the headers from..to-1 are evicted and may
// have had a capture time tsFrom <= ts < tsTo. Times are known by segment, and
// only roughly for those that went long ago, so it may count headers of other
// times, and misses none.
func (l *Log) EvictedWithin(from, to uint64, tsFrom, tsTo int64) (headers uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.evictions
	within := func(b timeBounds, first, end uint64) {
		if first, end = max(first, from), min(end, to); first < end && b.hi >= tsFrom && b.lo < tsTo {
			headers += end - first
		}
	}
	n := max(from>>l.shift, e.segments-min(e.segments, rememberedSegments))
	within(e.before, 0, n<<l.shift)
	for ; n < e.segments && n<<l.shift < to; n++ {
		within(e.recent[n%rememberedSegments], n<<l.shift, (n+1)<<l.shift)
	}
	return headers
}
