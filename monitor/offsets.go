package monitor

import (
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
)

// A span is the first and the last header of a group in a window.
type span struct {
	first, last       uint64
	hasFirst, hasLast bool
	lastInThisStretch bool
}

// locate puts the offsets of the first and the last header of their groups in
// w into the alerts raised: from the front up to where every group was seen,
// and from the back in stretches until each was.
func (ev *evaluation) locate(w *window) {
	clear(ev.spans)
	for _, r := range ev.raised {
		if r.alert.State == Firing && ev.spans[r.key] == nil {
			ev.spans[r.key] = &span{}
		}
	}
	lo, hi := w.offsets()
	if len(ev.spans) == 0 || lo >= hi {
		return
	}
	missing := len(ev.spans)
	ev.scan(w, lo, hi, func(off uint64, s *span) bool {
		if !s.hasFirst {
			s.hasFirst, s.first = true, off
			missing--
		}
		return missing > 0
	})
	const stretch = 1 << 16
	missing = len(ev.spans) - missing // those that are there at all
	for to := hi; to > lo && missing > 0; {
		from := lo
		if to-lo > stretch {
			from = to - stretch
		}
		ev.scan(w, from, to, func(off uint64, s *span) bool {
			if !s.hasLast {
				s.lastInThisStretch, s.last = true, off
			}
			return true
		})
		for _, s := range ev.spans {
			if s.lastInThisStretch {
				s.hasLast, s.lastInThisStretch = true, false
				missing--
			}
		}
		to = from
	}
	for _, r := range ev.raised {
		if s := ev.spans[r.key]; r.alert.State == Firing && s.hasFirst && s.hasLast {
			r.alert.FirstOffset, r.alert.LastOffset, r.alert.HasOffsets = s.first, s.last, true
		}
	}
}

// scan calls found for the headers from..to-1 that w holds and that belong to
// one of the groups looked for, in order, until it returns false.
func (ev *evaluation) scan(w *window, from, to uint64, found func(uint64, *span) bool) {
	src := w.s.src
	attrs := groupAttrs(src.spec)
	needed := attrs
	if src.spec.Func != expr.Count {
		needed = append(needed[:len(needed):len(needed)], src.spec.Arg)
	}
	scan, err := ev.log.Scan(multilog.ScanOptions{
		From: from, To: to, TsFrom: (w.end - w.n) * w.s.every, TsTo: w.end * w.s.every,
		Filter: src.agg.Filter(), Need: src.spec.Attrs(),
	})
	if err != nil {
		return // the filter was removed meanwhile
	}
	defer scan.Close()
	more := true
	for more && scan.Next() {
		c := scan.Columns()
		scan.Match().Each(func(i int) {
			if !more {
				return
			}
			var key groupKey
			for _, a := range needed {
				if !c.Has(a, i) {
					return
				}
			}
			for k, a := range attrs {
				key[k] = c.Value(a, i)
			}
			if s := ev.spans[key]; s != nil {
				more = found(scan.Base()+uint64(i), s)
			}
		})
	}
}
