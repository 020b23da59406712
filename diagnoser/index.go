package diagnoser

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// sampleChunks is how many chunks, spread over the range, the planner looks at
// to see how selective an index is. An index is worth its look-ups when it
// leaves chunks unread, which depends on how the values lie in the log and not
// only on how many there are; so that is what is measured.
const sampleChunks = 16

// An estimate is what the planner expects.
type estimate struct {
	aggregate  string // the installed aggregate that is read, or empty
	sampled    uint64 // headers looked at; 0: none
	candidates uint64 // of them, those that filter and indexes lead to
}

// A choice is an index that the expression says something about.
type choice struct {
	use  multilog.IndexUse
	bits sample
}

// A sample selects, in each sampled chunk, the headers that something leads to.
type sample [sampleChunks]packet.Bitmap

// count returns the headers and chunks that s selects.
func (s *sample) count() (headers uint64, chunks int) {
	for i := range s {
		if n := s[i].Count(); n > 0 {
			headers, chunks = headers+uint64(n), chunks+1
		}
	}
	return headers, chunks
}

func (s *sample) and(o *sample) {
	for i := range s {
		s[i].And(&o[i])
	}
}

// chooseIndexes decides which indexes to look the candidates up in.
func (p *plan) chooseIndexes() {
	if p.where == nil || p.oldest() >= p.high {
		return
	}
	var choices []*choice
	for _, x := range p.d.log.Indexes() {
		rs, ok := p.where.Implied(x.Attr())
		switch {
		case !ok || p.sorted(x) == 0 && len(rs) > 0:
		case len(rs) == 0: // nothing can match
			p.low, p.high = p.end, p.end
			return
		default:
			choices = append(choices, &choice{use: multilog.IndexUse{Index: x, Ranges: rs}})
		}
	}
	if len(choices) == 0 || p.high-p.oldest() < 2*sampleChunks*packet.ChunkSize {
		return
	}
	now, sampled := p.sample(choices)
	for len(choices) > 0 {
		// The one that leaves the fewest chunks, then headers, then values.
		best := slices.MinFunc(choices, func(a, b *choice) int {
			x, y := now, now
			x.and(&a.bits)
			y.and(&b.bits)
			xh, xc := x.count()
			yh, yc := y.count()
			return cmp.Or(cmp.Compare(xc, yc), cmp.Compare(xh, yh),
				cmp.Compare(width(a.use.Ranges), width(b.use.Ranges)), cmp.Compare(a.use.Index.Attr(), b.use.Index.Attr()))
		})
		next := now
		next.and(&best.bits)
		_, before := now.count()
		if _, after := next.count(); before == 0 || after*4 > before*3 {
			break
		}
		now = next
		p.index = append(p.index, best.use)
		choices = slices.DeleteFunc(choices, func(c *choice) bool { return c == best })
	}
	if len(p.index) > 0 {
		p.estimate.sampled = sampled
		p.estimate.candidates, _ = now.count()
	}
}

// sorted returns how many headers of the range the index has sorted; the others
// are scanned.
func (p *plan) sorted(x *multilog.Index) uint64 {
	low, high := max(p.oldest(), x.From()), min(p.high, x.Sorted())
	return max(low, high) - low
}

// width returns the logarithm of how many values lie in ranges.
func width(ranges []packet.Range) (n int) {
	for _, r := range ranges {
		if hi := r.Max.Hi - r.Min.Hi; hi != 0 {
			n = max(n, 64+bits.Len64(hi))
		} else {
			n = max(n, bits.Len64(r.Max.Lo-r.Min.Lo))
		}
	}
	return n + bits.Len(uint(len(ranges)))
}

// sample looks at chunks spread over the range and fills in which of their
// headers each choice leads to. It returns those that the plan leads to without
// an index, and how many it looked at.
func (p *plan) sample(choices []*choice) (now sample, sampled uint64) {
	var need packet.AttrSet
	for _, c := range choices {
		need |= packet.SetOf(c.use.Index.Attr())
	}
	if p.filter != nil {
		need |= p.filter.Expr().Attrs()
	}
	low := p.oldest()
	for i := range now {
		at := (low + (p.high-low)/sampleChunks*uint64(i)) &^ (packet.ChunkSize - 1)
		s, err := p.d.log.Scan(multilog.ScanOptions{From: at, To: at + packet.ChunkSize, Need: need})
		if err != nil {
			continue
		}
		if !s.Next() { // evicted meanwhile
			s.Close()
			continue
		}
		cols := s.Columns()
		sampled += uint64(cols.N)
		for row := range cols.N {
			if p.filter == nil || p.filter.Expr().Match(cols, row) {
				now[i].Set(row)
			}
			for _, c := range choices {
				if within(c.use.Ranges, cols.Value(c.use.Index.Attr(), row)) {
					c.bits[i].Set(row)
				}
			}
		}
		s.Close()
	}
	return now, sampled
}

func within(ranges []packet.Range, v packet.Value) bool {
	return slices.ContainsFunc(ranges, func(r packet.Range) bool { return !v.Less(r.Min) && !r.Max.Less(v) })
}
