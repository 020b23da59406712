package expr

import (
	"sort"

	"github.com/confluo/confluo/packet"
)

// A leaf is one distinct test in a Set: (attr & mask) in ranges. Whether the
// header has the attribute at all is another leaf's test.
type leaf struct {
	attr   packet.Attr
	mask   uint64 // all ones if there is none
	ranges []packet.Range

	// One of:
	boxes []box         // compared one after the other
	table *[1024]uint64 // for 8 and 16 bits: bit v%64 of word v/64 is the answer for v
	// neither: binary search in ranges
}

// A box is what one kernel call compares with: values whose high word is
// within hi.lo..hi.lo+hi.span and whose low word is within the same of lo. Of
// attributes up to 64 bits only lo counts.
type box struct{ hi, lo span }

type span struct{ lo, span uint64 }

// A leaf with more boxes than these takes a table or binary search instead.
const (
	maxBoxesNarrow = 4 // 8 and 16 bits
	maxBoxesWide   = 8
)

func newLeaf(a packet.Attr, mask uint64, ranges []packet.Range) *leaf {
	l := &leaf{attr: a, mask: mask, ranges: ranges}
	var boxes []box
	for _, r := range ranges {
		boxes = append(boxes, boxesOf(r)...)
	}
	switch w := a.Info().Width; {
	case w <= packet.W16 && len(boxes) > maxBoxesNarrow:
		l.table = new([1024]uint64)
		for v := range uint64(1) << w {
			if contains(ranges, packet.Value{Lo: v & mask}) {
				l.table[v>>6] |= 1 << (v & 63)
			}
		}
	case w > packet.W16 && len(boxes) > maxBoxesWide:
	default:
		l.boxes = boxes
	}
	return l
}

// boxesOf splits a range of 128-bit values into boxes: the part under its
// first high word, the full high words between, the part under the last.
func boxesOf(r packet.Range) []box {
	full := span{0, ^uint64(0)}
	first, last := r.Min.Hi, r.Max.Hi
	if first == last {
		return []box{{span{first, 0}, span{r.Min.Lo, r.Max.Lo - r.Min.Lo}}}
	}
	var out []box
	if r.Min.Lo != 0 {
		out = append(out, box{span{first, 0}, span{r.Min.Lo, ^r.Min.Lo}})
		first++
	}
	var tail []box
	if r.Max.Lo != ^uint64(0) {
		tail = []box{{span{last, 0}, span{0, r.Max.Lo}}}
		last--
	}
	if first <= last {
		out = append(out, box{span{first, last - first}, full})
	}
	return append(out, tail...)
}

// maxExpand is the longest range that a hash table holds value by value.
const maxExpand = 16

// values returns every value that the leaf is true for, if they are few enough
// in each range for a hash table.
func (l *leaf) values() ([]packet.Value, bool) {
	if l.mask != maxValue(l.attr).Lo {
		return nil, false
	}
	var out []packet.Value
	for _, r := range l.ranges {
		if r.Min.Hi != r.Max.Hi || r.Max.Lo-r.Min.Lo >= maxExpand {
			return nil, false
		}
		for v := r.Min; ; v.Lo++ {
			out = append(out, v)
			if v == r.Max {
				break
			}
		}
	}
	return out, true
}

// comparisons returns how many comparisons the leaf is worth, in units of one
// equality: for choosing between it and a hash table.
func (l *leaf) comparisons() int {
	if l.table != nil {
		return maxBoxesNarrow + 1
	}
	return len(l.ranges)
}

// cost is a rough figure for the order in which and tries its parts: the
// cheapest first, as the others may never be needed.
func (l *leaf) cost() int {
	switch w := int(l.attr.Info().Width); {
	case l.table != nil:
		return 256
	case l.boxes != nil:
		return w * len(l.boxes)
	default:
		return 8 * w
	}
}

// eval writes the rows for which the leaf is true to out; tmp is overwritten.
func (l *leaf) eval(c *packet.Columns, out, tmp *packet.Bitmap) {
	switch {
	case l.table != nil:
		l.evalTable(c, out)
	case l.boxes != nil:
		l.evalBox(&l.boxes[0], c, out)
		for i := 1; i < len(l.boxes); i++ {
			l.evalBox(&l.boxes[i], c, tmp)
			out.Or(tmp)
		}
	default:
		l.evalSearch(c, out)
	}
}

func (l *leaf) evalBox(b *box, c *packet.Columns, out *packet.Bitmap) {
	eq := b.lo.span == 0
	switch l.attr.Info().Width {
	case packet.W8:
		col := c.U8(l.attr)[:c.N]
		if eq {
			kernel.eq8(col, uint8(l.mask), uint8(b.lo.lo), out)
		} else {
			kernel.in8(col, uint8(l.mask), uint8(b.lo.lo), uint8(b.lo.span), out)
		}
	case packet.W16:
		col := c.U16(l.attr)[:c.N]
		if eq {
			kernel.eq16(col, uint16(l.mask), uint16(b.lo.lo), out)
		} else {
			kernel.in16(col, uint16(l.mask), uint16(b.lo.lo), uint16(b.lo.span), out)
		}
	case packet.W32:
		col := column32(c, l.attr)
		if eq {
			kernel.eq32(col, uint32(l.mask), uint32(b.lo.lo), out)
		} else {
			kernel.in32(col, uint32(l.mask), uint32(b.lo.lo), uint32(b.lo.span), out)
		}
	case packet.W64:
		col := column64(c, l.attr)
		if eq {
			kernel.eq64(col, l.mask, b.lo.lo, out)
		} else {
			kernel.in64(col, l.mask, b.lo.lo, b.lo.span, out)
		}
	default:
		hi, lo := c.U128(l.attr)
		if eq && b.hi.span == 0 {
			kernel.eq128(hi[:c.N], lo[:c.N], b.hi.lo, b.lo.lo, out)
		} else {
			kernel.in128(hi[:c.N], lo[:c.N], b.hi.lo, b.hi.span, b.lo.lo, b.lo.span, out)
		}
	}
}

func (l *leaf) evalTable(c *packet.Columns, out *packet.Bitmap) {
	if l.attr.Info().Width == packet.W8 {
		lookUpBits(c.U8(l.attr)[:c.N], l.table, out)
	} else {
		lookUpBits(c.U16(l.attr)[:c.N], l.table, out)
	}
}

func lookUpBits[T uint8 | uint16](col []T, table *[1024]uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	for i, v := range col {
		out[i>>6&3] |= table[v>>6] >> (v & 63) & 1 << (i & 63)
	}
}

func (l *leaf) evalSearch(c *packet.Columns, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	for i := range c.N {
		v := c.Value(l.attr, i)
		v.Lo &= l.mask
		// The first range that ends at v or later is the only one to hold it.
		at := sort.Search(len(l.ranges), func(j int) bool { return !l.ranges[j].Max.Less(v) })
		if at < len(l.ranges) && !v.Less(l.ranges[at].Min) {
			out.Set(i)
		}
	}
}
