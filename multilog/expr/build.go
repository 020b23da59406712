package expr

import (
	"cmp"
	"encoding/binary"
	"reflect"
	"slices"

	"github.com/confluo/confluo/packet"
)

// NewSet compiles expressions into one program. The order is that of the
// results of [Set.Eval].
func NewSet(es []*Expr) *Set {
	b := &builder{byKey: map[string]int32{}, captures: map[captureKey]int32{}}
	s := &Set{}
	for _, e := range es {
		s.roots = append(s.roots, b.expr(e))
		s.attrs |= e.Attrs()
		s.slice = s.slice || e.NeedsSlice()
	}
	s.tables = b.hash()
	b.order()
	s.nodes = b.nodes
	for _, n := range s.nodes {
		if n.op == progHashed {
			s.hashed++
		}
	}
	s.drive()
	return s
}

// A builder makes the nodes of a program, each distinct one once.
type builder struct {
	nodes    []progNode
	byKey    map[string]int32
	captures map[captureKey]int32
}

// add returns the node with that key, making it if need be.
func (b *builder) add(key string, n progNode) int32 {
	if id, ok := b.byKey[key]; ok {
		return id
	}
	id := int32(len(b.nodes))
	b.nodes = append(b.nodes, n)
	b.byKey[key] = id
	return id
}

func (b *builder) constant(op progOp) int32 { return b.add(string([]byte{byte(op)}), progNode{op: op}) }

func (b *builder) expr(e *Expr) int32 {
	if e.root == nil {
		return b.constant(progAll)
	}
	return b.node(e.root)
}

func (b *builder) node(n *node) int32 {
	switch n.op {
	case opPred:
		return b.pred(&n.pred)
	case opCapture:
		return b.capture(n.capture)
	case opNot:
		return b.not(b.node(n.kids[0]))
	}
	kids := make([]int32, len(n.kids))
	for i, k := range n.kids {
		kids[i] = b.node(k)
	}
	if n.op == opAnd {
		return b.join(progAnd, progAll, progNone, kids)
	}
	return b.join(progOr, progNone, progAll, kids)
}

// join makes the and/or of kids: neutral kids do not count, an absorbing one
// decides.
func (b *builder) join(op, neutral, absorbing progOp, kids []int32) int32 {
	slices.Sort(kids)
	kids = slices.Compact(kids)
	kids = slices.DeleteFunc(kids, func(id int32) bool { return b.nodes[id].op == neutral })
	if i := slices.IndexFunc(kids, func(id int32) bool { return b.nodes[id].op == absorbing }); i >= 0 {
		return kids[i]
	}
	switch len(kids) {
	case 0:
		return b.constant(neutral)
	case 1:
		return kids[0]
	}
	return b.add(joinKey(op, kids), progNode{op: op, kids: kids})
}

func joinKey(op progOp, kids []int32) string {
	key := []byte{byte(op)}
	for _, k := range kids {
		key = binary.LittleEndian.AppendUint32(key, uint32(k))
	}
	return string(key)
}

func (b *builder) not(id int32) int32 {
	switch n := b.nodes[id]; n.op {
	case progNot:
		return n.kids[0]
	case progAll:
		return b.constant(progNone)
	case progNone:
		return b.constant(progAll)
	}
	return b.add(joinKey(progNot, []int32{id}), progNode{op: progNot, kids: []int32{id}})
}

// pred lowers a comparison: to the test of its values, or to the negation of
// the test of the others if they are fewer, and to the test that the header
// has the attribute where a stored zero does not already say no.
func (b *builder) pred(p *pred) int32 {
	last := maxValue(p.attr)
	mask := last.Lo
	ranges := p.ranges
	if p.mask != 0 {
		mask, last.Lo = p.mask, p.mask
		if p.mask&(p.mask-1) == 0 { // under a single bit there are two values
			ranges = twoValues(ranges, p.mask)
		}
	}
	others := complement(ranges, last)
	if p.mask != 0 && p.mask&(p.mask-1) == 0 {
		others = twoValues(others, p.mask)
	}
	var id int32
	switch {
	case len(ranges) == 0:
		return b.constant(progNone)
	case len(others) == 0:
		id = b.constant(progAll)
	case effort(others) < effort(ranges):
		id = b.not(b.leaf(p.attr, mask, others))
	default:
		id = b.leaf(p.attr, mask, ranges)
	}
	if p.needPresence {
		id = b.join(progAnd, progAll, progNone, []int32{id, b.presence(p.attr)})
	}
	return id
}

// presence returns the node that tells which headers have a.
func (b *builder) presence(a packet.Attr) int32 {
	bits := uint64(a.Present())
	if bits&(bits-1) == 0 {
		set := packet.Value{Lo: bits}
		return b.leaf(packet.LayerBits, bits, []packet.Range{{Min: set, Max: set}})
	}
	return b.not(b.leaf(packet.LayerBits, bits, []packet.Range{{}}))
}

// twoValues returns what of ranges can occur under the mask bit: 0 and bit.
func twoValues(ranges []packet.Range, bit uint64) []packet.Range {
	var out []packet.Range
	for _, v := range []packet.Value{{}, {Lo: bit}} {
		if contains(ranges, v) {
			out = append(out, packet.Range{Min: v, Max: v})
		}
	}
	return out
}

// effort tells how many comparisons ranges cost, a range twice a value.
func effort(ranges []packet.Range) int {
	n := 0
	for _, r := range ranges {
		n++
		if r.Min != r.Max {
			n++
		}
	}
	return n
}

func (b *builder) leaf(a packet.Attr, mask uint64, ranges []packet.Range) int32 {
	key := []byte{byte(progLeaf), byte(a)}
	key = binary.LittleEndian.AppendUint64(key, mask)
	for _, r := range ranges {
		for _, w := range []uint64{r.Min.Hi, r.Min.Lo, r.Max.Hi, r.Max.Lo} {
			key = binary.LittleEndian.AppendUint64(key, w)
		}
	}
	if id, ok := b.byKey[string(key)]; ok {
		return id
	}
	return b.add(string(key), progNode{op: progLeaf, leaf: newLeaf(a, mask, ranges)})
}

// A captureKey tells capture filters apart: equal text over equal link types
// is one filter.
type captureKey struct {
	text   string
	links  any            // nil or comparable
	filter *captureFilter // set where links cannot be compared
}

func (b *builder) capture(f *captureFilter) int32 {
	key := captureKey{text: f.text}
	switch {
	case f.links == nil:
	case reflect.TypeOf(f.links).Comparable():
		key.links = f.links
	default:
		key.filter = f
	}
	id, ok := b.captures[key]
	if !ok {
		id = int32(len(b.nodes))
		b.nodes = append(b.nodes, progNode{op: progCapture, capture: f})
		b.captures[key] = id
	}
	return id
}

// hash turns the leaves of every attribute that is compared with many values
// into hashed nodes, and returns the tables that mark them.
func (b *builder) hash() []*valueTable {
	var tables []*valueTable
	for a := range packet.Attr(packet.NumAttrs) {
		comparisons := 0
		nodesOf := map[packet.Value][]int32{}
		var ids []int32
		for i, n := range b.nodes {
			if n.op != progLeaf || n.leaf.attr != a {
				continue
			}
			values, ok := n.leaf.values()
			if !ok {
				continue
			}
			ids = append(ids, int32(i))
			comparisons += n.leaf.comparisons()
			for _, v := range values {
				nodesOf[v] = append(nodesOf[v], int32(i))
			}
		}
		if comparisons <= kernel.manyValues[a.Info().Width] {
			continue
		}
		for _, id := range ids {
			b.nodes[id].op = progHashed
		}
		tables = append(tables, newValueTable(a, nodesOf))
	}
	return tables
}

// order sorts the kids of each and/or: hashed ones, which cost nothing any
// more, then the cheaper ones.
func (b *builder) order() {
	costs := make([]int, len(b.nodes))
	for i := range b.nodes { // kids come before their parents
		n := &b.nodes[i]
		switch n.op {
		case progLeaf:
			costs[i] = n.leaf.cost()
		case progCapture:
			costs[i] = 1 << 16
		}
		slices.SortStableFunc(n.kids, func(x, y int32) int {
			if hx, hy := b.nodes[x].op == progHashed, b.nodes[y].op == progHashed; hx != hy {
				if hx {
					return -1
				}
				return 1
			}
			return cmp.Compare(costs[x], costs[y])
		})
		for _, k := range n.kids {
			costs[i] += costs[k]
			if b.nodes[k].op == progHashed {
				n.hashed++
			}
		}
	}
}

// maxDrivers is the most hashed nodes that one expression may hang on.
const maxDrivers = 64

// drive finds, for each expression, hashed nodes of which at least one must be
// true for some row or the expression is true for none: its drivers.
func (s *Set) drive() {
	uses := make([]int, len(s.nodes)) // how many nodes and expressions a node is part of
	for _, n := range s.nodes {
		for _, k := range n.kids {
			uses[k]++
		}
	}
	for _, id := range s.roots {
		uses[id]++
	}
	s.driven = make([][]int32, len(s.nodes))
	for e, id := range s.roots {
		drivers := s.drivers(id, uses)
		if drivers == nil {
			s.always = append(s.always, int32(e))
		}
		for _, d := range drivers {
			s.driven[d] = append(s.driven[d], int32(e))
		}
	}
}

// drivers returns the drivers of a node, nil if there are none.
func (s *Set) drivers(id int32, uses []int) []int32 {
	n := &s.nodes[id]
	var best []int32
	switch n.op {
	case progHashed:
		best = []int32{id}
	case progAnd: // any part will do: the one that should be true least often
		least := 0
		for _, k := range n.kids {
			d := s.drivers(k, uses)
			often := 0
			for _, id := range d {
				// Of two values that as many expressions share, that of the
				// wider attribute is the rarer one.
				often += uses[id]*256 - int(s.nodes[id].leaf.attr.Info().Width)
			}
			if d != nil && (best == nil || often < least) {
				best, least = d, often
			}
		}
	case progOr: // every part must have its own
		for _, k := range n.kids {
			d := s.drivers(k, uses)
			if d == nil || len(best)+len(d) > maxDrivers {
				return nil
			}
			best = append(best, d...)
		}
		slices.Sort(best)
		best = slices.Compact(best)
	}
	return best
}
