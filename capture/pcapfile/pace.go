package pcapfile

import "math"

// A pace says when a frame is due and what time it bears. Frames without a
// recorded time (0) are always due and stay without.
type pace struct {
	first, last int64 // earliest and latest recorded time of this loop, ns
	timed       bool  // first and last are valid
	shift       int64 // ns by which this loop is later than the recording

	started bool
	start   int64 // when the first frame was delivered
	origin  int64 // its recorded time
}

// note takes the recorded time of a frame into account.
func (p *pace) note(ts int64) {
	if ts == 0 {
		return
	}
	if !p.timed {
		p.first, p.last, p.timed = ts, ts, true
	}
	p.first, p.last = min(p.first, ts), max(p.last, ts)
}

// again begins another loop, a microsecond after the last one ended.
func (p *pace) again() {
	if p.timed {
		p.shift += p.last - p.first + 1000
	}
	p.timed = false
}

// stamp returns the time that a frame bears if recorded times are kept.
func (p *pace) stamp(ts int64) int64 {
	if ts == 0 || ts > math.MaxInt64-p.shift {
		return ts
	}
	return ts + p.shift
}

// due returns after how many ns of the clock from now on a frame is due, 0 if
// it is. The first frame asked about is due at once.
func (p *pace) due(ts, now int64, speed float64) int64 {
	if ts == 0 {
		return 0
	}
	if !p.started {
		p.started, p.start, p.origin = true, now, ts
	}
	// In floating point, since times far apart would overflow.
	at := (float64(ts) - float64(p.origin) + float64(p.shift)) / speed
	left := at - float64(now-p.start)
	if left <= 0 {
		return 0
	}
	return int64(min(left, math.MaxInt64/2))
}
