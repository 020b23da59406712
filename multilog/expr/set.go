package expr

import (
	"github.com/confluo/confluo/packet"
)

// A Set is a program for many expressions together. It is immutable and may be
// used from any goroutine, each with its own [Scratch].
//
// A test that occurs in several expressions is made once. Where many tests
// compare one attribute with different values, each row's value is looked up
// once in a hash table instead, and an expression that cannot match without
// one of those values is not touched when no row of the chunk has it.
type Set struct {
	nodes  []progNode
	tables []*valueTable
	roots  []int32   // by expression: its node
	driven [][]int32 // by node: the expressions to evaluate when the node is marked
	always []int32   // the expressions to evaluate for every chunk
	hashed int       // nodes that tables mark

	attrs packet.AttrSet
	slice bool
}

// A progOp is what a node of a program does.
type progOp uint8

const (
	progNone    progOp = iota // no row
	progAll                   // every row
	progHashed                // the rows that a table marked
	progLeaf                  // a comparison
	progCapture               // a capture filter
	progNot
	progAnd
	progOr
)

// A progNode is one distinct part of the expressions of a Set. Its kids come
// before it.
type progNode struct {
	op      progOp
	kids    []int32 // of progAnd the hashed ones first, then by cost
	hashed  int     // how many of kids are progHashed
	leaf    *leaf   // of progHashed too, which do not evaluate it
	capture *captureFilter
}

// Len returns the number of expressions.
func (s *Set) Len() int { return len(s.roots) }

// Attrs returns the attributes that the expressions read.
func (s *Set) Attrs() packet.AttrSet { return s.attrs }

// NeedsSlice reports whether any of the expressions reads the frames
// themselves (Columns.Data).
func (s *Set) NeedsSlice() bool { return s.slice }

// A Scratch is the working memory of one goroutine for one Set.
type Scratch struct {
	now    uint64   // number of the evaluation under way, from 1
	nodes  []result // by node
	marked []int32  // the hashed nodes that are true for some row
	tmp    packet.Bitmap
}

// A result is what a node evaluated to.
type result struct {
	of   uint64 // the evaluation that rows are the result of
	rows packet.Bitmap
}

// NewScratch returns working memory for Eval.
func (s *Set) NewScratch() *Scratch {
	return &Scratch{
		nodes:  make([]result, len(s.nodes)),
		marked: make([]int32, 0, s.hashed),
	}
}

// mark notes that hashed nodes are true for row i.
func (sc *Scratch) mark(nodes []int32, i int) {
	for _, id := range nodes {
		r := &sc.nodes[id]
		if r.of != sc.now {
			*r = result{of: sc.now}
			sc.marked = append(sc.marked, id)
		}
		r.rows[i>>6&3] |= 1 << (i & 63)
	}
}

// Eval evaluates every expression over rows 0..c.N-1, at most
// packet.ChunkSize: out[e] selects the rows that match expression e, with zero
// bits behind the last row. out must be Len long or longer; sc must come from
// this Set. The columns of [Set.Attrs] must be there, and Data if
// [Set.NeedsSlice]. Eval allocates nothing, except for the first frame of a
// link type that the packet parser does not read, for which a capture filter is
// then compiled.
func (s *Set) Eval(c *packet.Columns, sc *Scratch, out []packet.Bitmap) {
	out = out[:len(s.roots)]
	clear(out)
	if c.N == 0 {
		return
	}
	sc.marked = sc.marked[:0]
	sc.now++
	for _, t := range s.tables {
		t.lookUp(c, sc)
	}
	for _, id := range sc.marked {
		for _, e := range s.driven[id] {
			if root := s.roots[e]; s.possible(root, sc) {
				out[e] = *s.eval(root, c, sc)
			}
		}
	}
	for _, e := range s.always {
		out[e] = *s.eval(s.roots[e], c, sc)
	}
}

// possible reports false if id is an and of which a hashed part is true for no
// row.
func (s *Set) possible(id int32, sc *Scratch) bool {
	n := &s.nodes[id]
	if n.op == progAnd {
		for _, k := range n.kids[:n.hashed] {
			if sc.nodes[k].of != sc.now {
				return false
			}
		}
	}
	return true
}

// eval returns the rows for which node id is true.
func (s *Set) eval(id int32, c *packet.Columns, sc *Scratch) *packet.Bitmap {
	r := &sc.nodes[id]
	v := &r.rows
	if r.of == sc.now {
		return v
	}
	r.of = sc.now
	n := &s.nodes[id]
	switch n.op {
	case progNone, progHashed: // an unmarked hashed node is true for no row
		*v = packet.Bitmap{}
	case progAll:
		*v = packet.Bitmap{}
		v.SetRange(0, c.N)
	case progLeaf:
		n.leaf.eval(c, v, &sc.tmp)
	case progCapture:
		n.capture.eval(c, v)
	case progNot:
		*v = *s.eval(n.kids[0], c, sc)
		for i := range v {
			v[i] = ^v[i] & lowBits(c.N-i*64)
		}
	case progAnd:
		if !s.possible(id, sc) {
			*v = packet.Bitmap{}
			break
		}
		*v = *s.eval(n.kids[0], c, sc)
		for _, k := range n.kids[1:] {
			if v.Empty() {
				break
			}
			v.And(s.eval(k, c, sc))
		}
	case progOr:
		*v = *s.eval(n.kids[0], c, sc)
		for _, k := range n.kids[1:] {
			v.Or(s.eval(k, c, sc))
		}
	}
	return v
}
