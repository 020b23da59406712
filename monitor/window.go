package monitor

import (
	"math"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
)

// A window is the aggregate over the last n buckets of a series, and the
// triggers that compare it.
type window struct {
	s *series
	n int64

	end     int64 // it holds buckets end-n..end-1
	valid   bool  // false: it must be merged from its buckets
	used    int   // of its buckets, those with headers
	part    fold.Partial
	state   *fold.State // nil for scalar aggregates
	changed bool        // since its triggers compared it

	triggers    []compare
	evaluations uint64
	tracking    int // groups that its triggers keep

	// Values that no trigger can fire for, nor those between: the loosest of the
	// thresholds, so that few groups need be looked at.
	above, below float64
	others       bool // some trigger is neither above nor below

	wants func(fold.Number) bool // mayFire, bound once
	rows  fold.Result
	all   fold.Result
	found []candidate
}

// A compare is what the loop over a window's triggers needs to know of one.
type compare struct {
	threshold float64
	t         *trigger
	op        expr.Op
	firing    bool // of a scalar aggregate
}

func newWindow(s *series, n int64) *window {
	w := &window{s: s, n: n, end: s.end}
	if !s.src.scalar {
		w.state = s.src.newState()
	}
	w.wants = w.mayFire
	return w
}

// setTriggers takes over a changed list of triggers. The window counts as
// changed, so that new ones are evaluated at its next end.
func (w *window) setTriggers(ts []compare) {
	w.triggers, w.changed = ts, true
	w.above, w.below, w.others = math.Inf(1), math.Inf(-1), false
	for _, c := range ts {
		switch c.op {
		case expr.Gt, expr.Ge:
			w.above = min(w.above, c.threshold)
		case expr.Lt, expr.Le:
			w.below = max(w.below, c.threshold)
		default:
			w.others = true
		}
	}
}

func (w *window) mayFire(n fold.Number) bool {
	v, ok := n.Float()
	return ok && (w.others || v >= w.above || v <= w.below)
}

// slide makes the window end at end, which is the next one or any that the
// series has the buckets for.
func (w *window) slide(end int64) {
	if !w.valid || end != w.end+1 {
		w.end = end
		w.merge()
		return
	}
	in, out := w.s.at(end-1), w.s.at(end-1-w.n)
	w.end = end
	if !in.used && !out.used {
		return
	}
	w.changed = true
	if !w.subtract(out) {
		w.merge()
		return
	}
	w.add(in)
}

func (w *window) add(b *bucket) {
	if !b.used {
		return
	}
	w.used++
	if w.state != nil {
		w.state.Merge(b.state)
	} else {
		w.part.Merge(b.part)
	}
}

// subtract takes b out and reports whether it could. What leaves MIN or MAX
// matters only if it has the extreme.
func (w *window) subtract(b *bucket) bool {
	if !b.used {
		return true
	}
	w.used--
	if w.state != nil {
		return w.state.Subtract(b.state)
	}
	agg := w.s.src.spec
	switch {
	case w.used == 0:
		w.part = fold.Partial{}
		return true
	case agg.Func == expr.Min && b.part.Min > w.part.Min, agg.Func == expr.Max && b.part.Max < w.part.Max:
		w.part.Headers -= b.part.Headers
		return true
	}
	return w.part.Subtract(agg, b.part)
}

// merge makes the window anew from its buckets.
func (w *window) merge() {
	w.used, w.part = 0, fold.Partial{}
	if w.state != nil {
		w.state.Reset()
	}
	for i := w.end - w.n; i < w.end; i++ {
		w.add(w.s.at(i))
	}
	w.valid, w.changed = true, true
}

// offsets returns bounds of the offsets of the window's headers.
func (w *window) offsets() (lo, hi uint64) {
	lo = math.MaxUint64
	for i := w.end - w.n; i < w.end; i++ {
		if b := w.s.at(i); b.used {
			lo, hi = min(lo, b.lo), max(hi, b.hi)
		}
	}
	return lo, hi
}

// scalar returns the value of a scalar aggregate; false if there is none.
func (w *window) scalar() (float64, bool) {
	p := &w.part
	switch w.s.src.spec.Func {
	case expr.Count:
		return float64(p.Headers), true
	case expr.Sum:
		return float64(p.Sum), true
	}
	if p.Headers == 0 {
		return 0, false
	}
	switch w.s.src.spec.Func {
	case expr.Avg:
		return float64(p.Sum) / float64(p.Headers), true
	case expr.Min:
		return float64(p.Min), true
	}
	return float64(p.Max), true
}

// begin makes the window start with its series.
func (w *window) begin() {
	w.end = w.s.end
	for _, c := range w.triggers {
		c.t.since = w.end
	}
}
