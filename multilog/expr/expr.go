package expr

import (
	"strings"

	"github.com/confluo/confluo/packet"
)

// An Expr is a parsed filter: a yes/no question about one header. It is
// immutable and may be used from any goroutine.
type Expr struct {
	root *node // nil: everything matches
	text string
}

// A nodeOp is what a node of an expression tree does.
type nodeOp uint8

const (
	opPred nodeOp = iota
	opAnd
	opOr
	opNot
	opCapture // a capture filter; only ever the root
)

// A node is one part of an expression tree. text is set where the node was
// written as one comparison: on every predicate, and on the and/or of two that
// a pair (port, addr, mac) stands for.
type node struct {
	op      nodeOp
	kids    []*node
	pred    pred
	capture *captureFilter
	text    string
	depth   int // levels of and, or, not below and with this one
}

// A pred is true for a header that has attr, and whose value, under the mask
// if there is one, lies in ranges. Every comparison comes down to one.
type pred struct {
	attr   packet.Attr
	mask   uint64 // 0: none
	ranges []packet.Range
	// needPresence is set when a header without the attribute, which stores a
	// zero, would match by its stored value alone.
	needPresence bool
}

func newPred(a packet.Attr, mask uint64, ranges []packet.Range) pred {
	return pred{a, mask, ranges, a.Present() != 0 && contains(ranges, zero)}
}

// attrs returns the attributes that p reads.
func (p *pred) attrs() packet.AttrSet {
	s := packet.SetOf(p.attr)
	if p.needPresence {
		s |= packet.SetOf(packet.LayerBits)
	}
	return s
}

func (p *pred) match(c *packet.Columns, i int) bool {
	if p.needPresence && !c.Has(p.attr, i) {
		return false
	}
	v := c.Value(p.attr, i)
	if p.mask != 0 {
		v.Lo &= p.mask
	}
	return contains(p.ranges, v)
}

// String returns the canonical text of e, empty if e matches everything.
// Parsing it gives an equal expression.
func (e *Expr) String() string { return e.text }

// All reports whether e is the empty expression, which matches everything.
func (e *Expr) All() bool { return e.root == nil }

// Attrs returns the attributes that e reads; [packet.LayerBits] is among them
// where the presence of an attribute is tested.
func (e *Expr) Attrs() packet.AttrSet {
	if e.root == nil {
		return 0
	}
	return e.root.attrs()
}

// NeedsSlice reports whether e reads the frames themselves (Columns.Data): a
// capture filter does.
func (e *Expr) NeedsSlice() bool { return e.root != nil && e.root.op == opCapture }

// Match reports whether row i of c matches. It looks at one row at a time and
// is what Set.Eval is tested against; use a [Set] for many rows. The columns
// of [Expr.Attrs] must be there, and Data if [Expr.NeedsSlice].
func (e *Expr) Match(c *packet.Columns, i int) bool { return e.root == nil || e.root.match(c, i) }

func (n *node) attrs() packet.AttrSet {
	switch n.op {
	case opPred:
		return n.pred.attrs()
	case opCapture:
		return packet.SetOf(packet.InPort, packet.PktLen, packet.CapLen)
	}
	var s packet.AttrSet
	for _, k := range n.kids {
		s |= k.attrs()
	}
	return s
}

func (n *node) match(c *packet.Columns, i int) bool {
	switch n.op {
	case opPred:
		return n.pred.match(c, i)
	case opCapture:
		return n.capture.match(c, i)
	case opNot:
		return !n.kids[0].match(c, i)
	case opAnd:
		for _, k := range n.kids {
			if !k.match(c, i) {
				return false
			}
		}
		return true
	default: // opOr
		for _, k := range n.kids {
			if k.match(c, i) {
				return true
			}
		}
		return false
	}
}

// join makes the and/or of kids; and and or are associative, so a tree of one
// operator becomes one node.
func join(op nodeOp, kids []*node) *node {
	n := &node{op: op}
	for _, k := range kids {
		if k.op == op && k.text == "" {
			n.kids = append(n.kids, k.kids...)
		} else {
			n.kids = append(n.kids, k)
		}
	}
	for _, k := range n.kids {
		n.depth = max(n.depth, k.depth+1)
	}
	return n
}

func negate(k *node) *node {
	if k.op == opNot {
		return k.kids[0]
	}
	return &node{op: opNot, kids: []*node{k}, depth: k.depth + 1}
}

func (n *node) write(b *strings.Builder) {
	if n.text != "" {
		b.WriteString(n.text)
		return
	}
	if n.op == opNot {
		k := n.kids[0]
		b.WriteByte('!')
		if k.text != "" && !strings.Contains(k.text, " ") {
			b.WriteString(k.text)
			return
		}
		b.WriteByte('(')
		k.write(b)
		b.WriteByte(')')
		return
	}
	sep := " || "
	if n.op == opAnd {
		sep = " && "
	}
	for i, k := range n.kids {
		if i > 0 {
			b.WriteString(sep)
		}
		if n.op == opAnd && k.op == opOr && k.text == "" {
			b.WriteByte('(')
			k.write(b)
			b.WriteByte(')')
		} else {
			k.write(b)
		}
	}
}
