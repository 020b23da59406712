package monitor

import (
	"math"

	"github.com/confluo/confluo/multilog/fold"
)

// A bucket is what a source's headers of one stretch of time amount to.
type bucket struct {
	used   bool
	part   fold.Partial // scalar aggregates
	state  *fold.State  // the others; nil until needed
	lo, hi uint64       // its headers have offsets within lo..hi-1
}

// A series is a source's headers in time buckets, and the windows over them.
// Bucket i holds the capture times i*every <= ts < (i+1)*every; the window of n
// buckets that ends at e holds buckets e-n..e-1.
//
// Every bucket that a window to be evaluated may need is held: from base on,
// those of about now in ring, those of later times in ahead, which is empty
// unless capture time runs faster than the clock.
type series struct {
	src   *source
	every int64  // width of a bucket and distance of window ends, ns
	from  uint64 // every header from this offset on is in the windows, and none before
	keep  int64  // buckets held before end: the longest window and late
	late  int64  // window ends within the lateness

	started bool
	end     int64 // last end that was evaluated
	base    int64 // first bucket held, end-keep+1
	ring    []bucket
	ahead   map[int64]*bucket
	held    int // buckets with headers

	// Buckets before end that gained headers since they were evaluated.
	dirtyLo, dirtyHi int64

	windows []*window

	tooLate   uint64 // headers too old for every window
	reordered uint64 // headers that came after a window of theirs was evaluated, and count
	skipped   uint64 // ends that were not evaluated
}

func newSeries(src *source, every, n, lateness int64, from uint64) *series {
	late := max(1, (lateness+every-1)/every)
	s := &series{src: src, every: every, from: from, keep: n + late, late: late, ahead: map[int64]*bucket{}}
	size := int64(1)
	for size < s.keep+late+1 {
		size *= 2
	}
	s.ring = make([]bucket, size)
	s.clean()
	return s
}

// covers reports whether a window of n buckets finds all it needs.
func (s *series) covers(n int64) bool { return n+s.late <= s.keep }

// start makes end the last end that counts as evaluated.
func (s *series) start(end int64) {
	s.started, s.end, s.base = true, end, end-s.keep+1
}

func (s *series) clean() { s.dirtyLo, s.dirtyHi = math.MaxInt64, math.MinInt64 }

// take returns bucket i for headers to be added to, or nil if it is too old.
func (s *series) take(i int64, headers uint64) *bucket {
	switch {
	case i < s.base:
		s.tooLate += headers
		return nil
	case i < s.end:
		s.reordered += headers
		s.dirtyLo, s.dirtyHi = min(s.dirtyLo, i), max(s.dirtyHi, i)
	}
	b := s.at(i)
	if !b.used {
		b.used, b.lo = true, s.src.lo
		s.held++
	}
	b.hi = s.src.hi
	return b
}

// at returns bucket i, which is not before base.
func (s *series) at(i int64) *bucket {
	if i-s.base < int64(len(s.ring)) {
		return &s.ring[i&int64(len(s.ring)-1)]
	}
	b := s.ahead[i]
	if b == nil {
		b = new(bucket)
		s.ahead[i] = b
	}
	return b
}

// moveTo lets go of the buckets that the windows ending after end do not need.
func (s *series) moveTo(end int64) {
	s.end = end
	old, size := s.base, int64(len(s.ring))
	s.base = end - s.keep + 1
	if s.held == 0 {
		return
	}
	for i := old; i < min(s.base, old+size); i++ {
		s.drop(&s.ring[i&(size-1)])
	}
	if len(s.ahead) == 0 {
		return
	}
	first, last := max(old+size, s.base), s.base+size // buckets that the ring now has room for
	if last-first < int64(len(s.ahead)) && first == old+size {
		for i := first; i < last; i++ {
			if b := s.ahead[i]; b != nil {
				s.ring[i&(size-1)] = *b
				delete(s.ahead, i)
			}
		}
		return
	}
	for i, b := range s.ahead {
		switch {
		case i < s.base:
			s.drop(b)
		case i < last:
			s.ring[i&(size-1)] = *b
		default:
			continue
		}
		delete(s.ahead, i)
	}
}

func (s *series) drop(b *bucket) {
	if b.used {
		s.held--
		s.src.release(b)
	}
}

// nextUsed returns the first bucket from end on, and before limit, that has
// headers, or limit.
func (s *series) nextUsed(limit int64) int64 {
	if s.held == 0 {
		return limit
	}
	size := int64(len(s.ring))
	for i := s.end; i < min(limit, s.base+size); i++ {
		if s.ring[i&(size-1)].used {
			return i
		}
	}
	for i := range s.ahead {
		limit = min(limit, i)
	}
	return limit
}

// advance evaluates every window end up to target that was not evaluated, at
// most maxBehind of them and the last.
func (s *series) advance(target int64, ev *evaluation, maxBehind int) {
	if s.dirtyLo <= s.dirtyHi {
		s.again(ev)
		s.clean()
	}
	for done := 0; s.end < target; done++ {
		if s.settled() {
			// Until the next bucket with headers, windows are as empty as now.
			if next := s.nextUsed(target); next > s.end {
				for _, w := range s.windows {
					w.evaluations += uint64(next - s.end)
					w.end = next
				}
				s.moveTo(next)
				continue
			}
		}
		if done == maxBehind && target-s.end > 1 {
			s.skipped += uint64(target - 1 - s.end)
			for _, w := range s.windows {
				w.valid = false
			}
			s.moveTo(target - 1)
		}
		for _, w := range s.windows {
			w.slide(s.end + 1)
			w.evaluations++
			ev.evaluate(w, false)
		}
		s.moveTo(s.end + 1)
	}
}

// settled reports whether all windows are empty and were evaluated as such.
func (s *series) settled() bool {
	for _, w := range s.windows {
		if w.used > 0 || w.changed || !w.valid {
			return false
		}
	}
	return true
}

// again evaluates windows that gained headers after they were evaluated: those
// that ended within the lateness.
func (s *series) again(ev *evaluation) {
	first := max(s.dirtyLo+1, s.end-s.late+1)
	for _, w := range s.windows {
		if s.dirtyHi < first-w.n {
			continue
		}
		w.valid = false
		for e := first; e <= s.end; e++ {
			w.slide(e)
			w.evaluations++
			ev.evaluate(w, e < s.end)
		}
		w.changed = true // for triggers installed since end was evaluated first
	}
}
