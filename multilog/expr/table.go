package expr

import (
	"math/bits"
	"slices"

	"github.com/confluo/confluo/packet"
)

// A valueTable answers many equality tests on one attribute with one look-up a
// row: it maps a value to the nodes that are true for it. Open addressing with
// linear probing, at most half full, Fibonacci hashing (Knuth, The Art of
// Computer Programming, volume 3, section 6.4).
type valueTable struct {
	attr  packet.Attr
	slots []valueSlot // a power of two of them
	shift uint8       // of the hash, down to an index
	nodes []int32
}

// A valueSlot holds one value; its nodes are nodes[first:first+n]. A slot with
// n zero is empty.
type valueSlot struct {
	lo, hi   uint64
	first, n uint32
}

func newValueTable(a packet.Attr, nodesOf map[packet.Value][]int32) *valueTable {
	log := max(bits.Len(uint(2*len(nodesOf)-1)), 4)
	t := &valueTable{attr: a, slots: make([]valueSlot, 1<<log), shift: uint8(64 - log)}
	values := make([]packet.Value, 0, len(nodesOf))
	for v := range nodesOf {
		values = append(values, v)
	}
	slices.SortFunc(values, compare) // the same table for the same filters
	for _, v := range values {
		nodes := nodesOf[v]
		i := t.find(v.Lo, v.Hi)
		t.slots[i] = valueSlot{v.Lo, v.Hi, uint32(len(t.nodes)), uint32(len(nodes))}
		t.nodes = append(t.nodes, nodes...)
	}
	return t
}

// find returns the slot of a value, or the empty one where it would go.
func (t *valueTable) find(lo, hi uint64) int {
	h := (lo ^ hi*0xff51afd7ed558ccd) * 0x9e3779b97f4a7c15 >> t.shift
	for {
		s := &t.slots[h]
		if s.n == 0 || s.lo == lo && s.hi == hi {
			return int(h)
		}
		h = (h + 1) & uint64(len(t.slots)-1)
	}
}

// lookUp marks in sc, for every row, the nodes that are true for its value.
func (t *valueTable) lookUp(c *packet.Columns, sc *Scratch) {
	switch t.attr.Info().Width {
	case packet.W8:
		lookUpColumn(t, c.U8(t.attr)[:c.N], sc)
	case packet.W16:
		lookUpColumn(t, c.U16(t.attr)[:c.N], sc)
	case packet.W32:
		lookUpColumn(t, column32(c, t.attr), sc)
	case packet.W64:
		lookUpColumn(t, column64(c, t.attr), sc)
	default:
		hi, lo := c.U128(t.attr)
		lookUpPairs(t, hi[:c.N], lo[:c.N], sc)
	}
}

func lookUpColumn[T unsigned](t *valueTable, col []T, sc *Scratch) {
	for i, v := range col {
		if s := &t.slots[t.find(uint64(v), 0)]; s.n != 0 {
			sc.mark(t.nodes[s.first:s.first+s.n], i)
		}
	}
}

func lookUpPairs(t *valueTable, hi, lo []uint64, sc *Scratch) {
	hi = hi[:len(lo)]
	for i, v := range lo {
		if s := &t.slots[t.find(v, hi[i])]; s.n != 0 {
			sc.mark(t.nodes[s.first:s.first+s.n], i)
		}
	}
}
