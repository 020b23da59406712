package monitor

import "time"

const (
	// liveSkew is how far the newest capture time may be from the clock for
	// traffic to count as live.
	liveSkew = 5 * time.Second
	// recordedPause is how long recorded traffic may pause before time goes on
	// without it: a reader of files stalls more easily than a network does.
	recordedPause = time.Second
)

// An eventClock tells the capture time of the present moment: the newest that
// was seen plus what has passed since. It never goes back.
type eventClock struct {
	known    bool
	first    int64 // a lower bound of the capture times that came first, ns
	newest   int64
	seen     time.Time // when newest was seen
	recorded bool      // newest is not of about now
	last     int64     // what now returned last
}

// observe takes in that headers of capture times lo to hi were seen.
func (c *eventClock) observe(lo, hi int64, now time.Time) {
	if !c.known {
		c.known, c.first, c.newest, c.last = true, lo, hi, hi
	} else if hi <= c.newest {
		return
	}
	c.newest, c.seen = hi, now
	skew := now.Sub(time.Unix(0, hi))
	c.recorded = skew > liveSkew || skew < -liveSkew
}

// now returns the present capture time. The clock must be known.
func (c *eventClock) now(now time.Time) int64 {
	idle := now.Sub(c.seen)
	if c.recorded {
		idle -= recordedPause
	}
	c.last = max(c.last, c.newest+int64(max(0, idle)))
	return c.last
}

// floorDiv returns a/b rounded down; b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
