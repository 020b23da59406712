package expr

import (
	"math"

	"github.com/confluo/confluo/packet"
)

// Implied returns sorted, disjoint ranges of values of a such that every
// header that matches e has a, with a value inside one of them: a superset of
// the truth, for choosing an index or leaving out whole segments. No range at
// all with ok set means that nothing can match. ok is false when e says nothing
// about a, or may match a header without it.
func (e *Expr) Implied(a packet.Attr) (ranges []packet.Range, ok bool) {
	if e.root == nil {
		return nil, false
	}
	return e.root.implied(a, false)
}

// implied is Implied for n, or for !n if not is set.
func (n *node) implied(a packet.Attr, not bool) ([]packet.Range, bool) {
	switch n.op {
	case opPred:
		return n.pred.implied(a, not)
	case opNot:
		return n.kids[0].implied(a, !not)
	case opCapture:
		return nil, false
	}
	var all []packet.Range
	if (n.op == opAnd) != not { // every kid holds: the strictest counts
		any := false
		for _, k := range n.kids {
			rs, ok := k.implied(a, not)
			switch {
			case !ok:
			case !any:
				all, any = rs, true
			default:
				all = intersect(all, rs)
			}
		}
		return all, any
	}
	for _, k := range n.kids { // one of the kids holds: all must say something
		rs, ok := k.implied(a, not)
		if !ok {
			return nil, false
		}
		all = append(all, rs...)
	}
	return normalize(all), true
}

func (p *pred) implied(a packet.Attr, not bool) ([]packet.Range, bool) {
	if p.attr != a {
		return nil, false
	}
	if not {
		// A header without the attribute matches too, unless all have it.
		if p.mask != 0 || a.Present() != 0 {
			return nil, false
		}
		return complement(p.ranges, maxValue(a)), true
	}
	out := make([]packet.Range, 0, len(p.ranges))
	for _, r := range p.ranges {
		if p.mask != 0 {
			// v&mask in [min,max]: v is at least min, and at most max with all
			// the bits set that the mask leaves out.
			free := maxValue(a).Lo &^ p.mask
			if r.Max.Lo > math.MaxUint64-free || r.Max.Lo+free > maxValue(a).Lo {
				r.Max = maxValue(a)
			} else {
				r.Max.Lo += free
			}
		}
		out = append(out, r)
	}
	return normalize(out), true
}
