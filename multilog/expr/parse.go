package expr

import (
	"fmt"
	"strings"

	"github.com/confluo/confluo/packet"
)

// Names is the port table of the agent, as far as expressions need it. If it
// also has a method
//
//	PortLink(i uint16) packet.LinkType
//
// capture filters (bpf:) are compiled for the link type of each frame's port;
// otherwise, and for a number that is not in the table, which PortLink answers
// with LinkEthernet, every frame is taken for Ethernet. PortLink is called
// while rows are evaluated, from any goroutine, and must not allocate.
type Names interface {
	// PortByName returns the number of the port of that name.
	PortByName(name string) (uint16, bool)
}

// Limits of what Parse accepts, against hostile input: whatever is accepted
// has a canonical form that is accepted too.
const (
	MaxSource     = 64 << 10 // bytes of an expression, and of its canonical form
	MaxPredicates = 4096     // comparisons in an expression (port == 80 counts as two)
	MaxDepth      = 100      // levels of and, or, not inside each other
	maxBrackets   = 256      // open brackets and ! at one place in the text
)

// Parse reads an expression. The empty one matches everything. What begins
// with "bpf:" is, as a whole, a capture filter as tcpdump takes it. The
// error, if any, is an *[Error]. names may be nil.
func Parse(src string, names Names) (*Expr, error) {
	if len(src) > MaxSource {
		return nil, &Error{src, 1, src, fmt.Sprintf("at most %d bytes, not %d", MaxSource, len(src))}
	}
	p := newParser(src)
	p.names = names
	if rest, ok := strings.CutPrefix(strings.TrimSpace(src), capturePrefix); ok {
		return parseCapture(src, strings.TrimSpace(rest), names)
	}
	if p.tok.kind == tokEnd {
		return &Expr{}, nil
	}
	root, err := p.or(0)
	if err == nil && p.tok.kind != tokEnd {
		err = p.errorf(p.tok, "&&, || or the end")
	}
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	root.write(&b)
	if b.Len() > MaxSource {
		return nil, &Error{src, 1, src, fmt.Sprintf("at most %d bytes in canonical form, not %d", MaxSource, b.Len())}
	}
	return &Expr{root, b.String()}, nil
}

// A parser reads expressions by recursive descent, one token ahead.
type parser struct {
	lex   lexer
	tok   token
	names Names
	preds int
}

func newParser(src string) *parser {
	p := &parser{lex: lexer{src: src}}
	p.advance()
	return p
}

// advance steps to the next token and returns the one it leaves.
func (p *parser) advance() token {
	t := p.tok
	p.tok = p.lex.next()
	return t
}

// accept steps over the operator or bracket s, if it is next.
func (p *parser) accept(s string) bool {
	if p.tok.is(s) {
		p.advance()
		return true
	}
	return false
}

// expect steps over s, which must be next; hint says what else could be.
func (p *parser) expect(s, hint string) *Error {
	if !p.accept(s) {
		return p.errorf(p.tok, "%s", hint)
	}
	return nil
}

// errorf returns an error about t.
func (p *parser) errorf(t token, format string, args ...any) *Error {
	e := &Error{p.lex.src, column(p.lex.src, t.pos), t.text, fmt.Sprintf(format, args...)}
	switch {
	case t.kind == tokBad && t.text[0] == '"':
		e.Expected = `a closing "`
	case t.kind == tokString && t.text == "":
		e.Found = `""`
	case t.kind == tokWord && strings.HasPrefix(t.text, capturePrefix):
		e.Expected = "no bpf: here: a capture filter is the whole expression or none of it"
	}
	return e
}

// or reads: and { ("||" | "or") and }.
func (p *parser) or(depth int) (*node, *Error) {
	return p.chain(opOr, "||", "or", func() (*node, *Error) { return p.and(depth) })
}

// and reads: primary { ("&&" | "and") primary }.
func (p *parser) and(depth int) (*node, *Error) {
	return p.chain(opAnd, "&&", "and", func() (*node, *Error) { return p.primary(depth) })
}

func (p *parser) chain(op nodeOp, punct, word string, operand func() (*node, *Error)) (*node, *Error) {
	n, err := operand()
	var kids []*node
	for err == nil && (p.tok.is(punct) || p.tok.word(word)) {
		p.advance()
		if kids == nil {
			kids = []*node{n}
		}
		n, err = operand()
		kids = append(kids, n)
	}
	if err != nil || kids == nil {
		return n, err
	}
	return join(op, kids), nil
}

// primary reads: ("!" | "not") primary | "(" or ")" | comparison | name.
func (p *parser) primary(depth int) (*node, *Error) {
	t := p.tok
	if depth > maxBrackets {
		return nil, p.errorf(t, "at most %d brackets and ! inside each other", maxBrackets)
	}
	var n *node
	var err *Error
	switch {
	case t.is("!"), t.word("not"):
		p.advance()
		if n, err = p.primary(depth + 1); err == nil {
			n = negate(n)
		}
	case t.is("("):
		p.advance()
		if n, err = p.or(depth + 1); err == nil {
			err = p.expect(")", "&&, || or )")
		}
	case t.kind == tokWord:
		n, err = p.comparison()
	default:
		err = p.errorf(t, "an attribute such as dst_port, a name such as tcp, ! or (")
	}
	if err == nil && n.depth > MaxDepth {
		err = p.errorf(t, "at most %d levels of and, or, not", MaxDepth)
	}
	return n, err
}

// A subject is what stands to the left of an operator: an attribute, or a pair
// of which either may match.
type subject struct {
	name  string
	attrs []packet.Attr
}

var pairs = map[string]subject{
	"addr": {"addr", []packet.Attr{packet.SrcIP, packet.DstIP}},
	"host": {"addr", []packet.Attr{packet.SrcIP, packet.DstIP}},
	"port": {"port", []packet.Attr{packet.SrcPort, packet.DstPort}},
	"mac":  {"mac", []packet.Attr{packet.SrcMAC, packet.DstMAC}},
}

func subjectOf(name string) (subject, bool) {
	if s, ok := pairs[name]; ok {
		return s, true
	}
	a, ok := packet.AttrByName(name)
	return subject{name, []packet.Attr{a}}, ok
}

// bools maps each name that stands alone to its bit; preferred holds the first
// name of each bit.
var bools, preferred = func() (map[string]packet.BoolName, map[packet.BoolName]string) {
	m, first := map[string]packet.BoolName{}, map[packet.BoolName]string{}
	for _, b := range packet.BoolNames() {
		m[b.Name] = b
		if key := (packet.BoolName{Attr: b.Attr, Mask: b.Mask}); first[key] == "" {
			first[key] = b.Name
		}
	}
	return m, first
}()

const wantOperator = "==, !=, <, <=, >, >=, in or a mask (& 0x12 ==)"

// comparison reads: subject [ "&" mask ] operator operand | name.
func (p *parser) comparison() (*node, *Error) {
	t := p.advance()
	subj, isSubject := subjectOf(t.text)
	b, isBool := bools[t.text]
	_, compares := operatorOf(p.tok)
	compares = compares || p.tok.is("&")
	switch {
	case isSubject && (compares || !isBool):
		return p.compare(subj)
	case isBool && !compares:
		if err := p.count(t, 1); err != nil {
			return nil, err
		}
		pr := newPred(b.Attr, b.Mask, []packet.Range{{Min: packet.Value{Lo: 1}, Max: packet.Value{Lo: b.Mask}}})
		return &node{pred: pr, text: preferred[packet.BoolName{Attr: b.Attr, Mask: b.Mask}]}, nil
	case isBool:
		hint := ""
		if t.text == "ip" || t.text == "ip6" {
			hint = "; addresses are addr, src_ip and dst_ip"
		}
		return nil, p.errorf(p.tok, "&&, || or the end: %s stands alone (! negates it%s)", t.text, hint)
	}
	return nil, p.errorf(t, "an attribute or a name%s", didYouMean(t.text))
}

// count adds n predicates, the last of which is at t.
func (p *parser) count(t token, n int) *Error {
	if p.preds += n; p.preds > MaxPredicates {
		return p.errorf(t, "at most %d comparisons", MaxPredicates)
	}
	return nil
}

// operators maps the text of an operator to its canonical form.
func operatorOf(t token) (string, bool) {
	if t.kind == tokPunct {
		switch t.text {
		case "==", "!=", "<", "<=", ">", ">=":
			return t.text, true
		}
	}
	return "in", t.word("in")
}

func (p *parser) compare(subj subject) (*node, *Error) {
	a := subj.attrs[0] // both of a pair are of one kind
	left := subj.name
	var mask uint64
	if t := p.tok; p.accept("&") {
		var err *Error
		if mask, err = p.mask(a, t); err != nil {
			return nil, err
		}
		left += " & " + formatMask(a, mask)
	}
	op, ok := operatorOf(p.tok)
	if !ok {
		if mask != 0 {
			return nil, p.errorf(p.tok, "==, !=, <, <=, >, >= or in after the mask")
		}
		return nil, p.errorf(p.tok, "%s", wantOperator)
	}
	opTok := p.advance()
	items, err := p.operands(a, mask, op)
	if err == nil {
		err = p.count(opTok, len(subj.attrs))
	}
	if err != nil {
		return nil, err
	}
	ranges, text := apply(a, mask, op, items)
	text = left + text
	if len(subj.attrs) == 1 {
		return &node{pred: newPred(a, mask, ranges), text: text}, nil
	}
	// A pair: one of the two matches. With != neither is the value, which is
	// what !(port == 80) says of packets that have ports.
	n := &node{op: opOr, text: text, depth: 1}
	if op == "!=" {
		n.op = opAnd
	}
	for _, a := range subj.attrs {
		pr := newPred(a, mask, ranges)
		n.kids = append(n.kids, &node{pred: pr, text: a.String()})
	}
	return n, nil
}

// mask reads the mask after the & at t.
func (p *parser) mask(a packet.Attr, t token) (uint64, *Error) {
	switch a.Info().Kind {
	case packet.KindUint, packet.KindMAC:
	case packet.KindIP:
		return 0, p.errorf(t, "==, !=, <, <=, >, >= or in (addresses take no mask: write a prefix such as 10.0.0.0/8)")
	default:
		return 0, p.errorf(t, "==, !=, <, <=, >, >= or in (%s takes no mask)", a)
	}
	at := p.advance()
	v, err := p.value(a, at)
	if err == nil && v.Lo == 0 {
		err = p.errorf(at, "a mask with at least one bit set")
	}
	return v.Lo, err
}

// operands reads what stands to the right of an operator.
func (p *parser) operands(a packet.Attr, mask uint64, op string) ([]operand, *Error) {
	set := op == "==" || op == "!=" || op == "in"
	if t := p.tok; p.accept("{") {
		if !set {
			return nil, p.errorf(t, "a single value after %s (sets go with ==, != and in)", op)
		}
		var items []operand
		for {
			it, err := p.operand(a, mask, "")
			if err != nil {
				return nil, err
			}
			items = append(items, it)
			if p.accept("}") {
				return items, nil
			}
			if err := p.expect(",", ", or }"); err != nil {
				return nil, err
			}
		}
	}
	only := ""
	if !set {
		only = op
	}
	it, err := p.operand(a, mask, only)
	return []operand{it}, err
}

// operand reads a value, a range or a prefix; only the first if single, an
// operator that takes nothing else, is not empty.
func (p *parser) operand(a packet.Attr, mask uint64, single string) (operand, *Error) {
	t := p.advance()
	if t.kind == tokWord && strings.Contains(t.text, "/") {
		if single != "" {
			return operand{}, p.errorf(t, "a single value after %s (prefixes go with ==, != and in)", single)
		}
		return p.prefix(a, t)
	}
	lo, err := p.value(a, t)
	if err != nil {
		return operand{}, err
	}
	hi, dots := lo, p.tok
	if p.accept("..") {
		if single != "" {
			return operand{}, p.errorf(dots, "a single value after %s (ranges go with ==, != and in)", single)
		}
		end := p.advance()
		if hi, err = p.value(a, end); err != nil {
			return operand{}, err
		}
		if hi.Less(lo) {
			return operand{}, p.errorf(end, "the upper end of the range, at least %s", formatOrdered(a, lo))
		}
		if a.Info().Kind == packet.KindIP && lo.Addr().Is4() != hi.Addr().Is4() {
			return operand{}, p.errorf(end, "an address of the same family as the lower end of the range")
		}
	}
	if mask != 0 && lo == hi && lo.Lo&^mask != 0 {
		return operand{}, p.errorf(t, "a value with no bits outside of the mask %s", formatMask(a, mask))
	}
	switch {
	case mask != 0 && lo == hi:
		return operand{packet.Range{Min: lo, Max: hi}, formatMask(a, lo.Lo)}, nil
	case mask != 0:
		return operand{packet.Range{Min: lo, Max: hi}, formatMask(a, lo.Lo) + ".." + formatMask(a, hi.Lo)}, nil
	case single != "" && lo == hi:
		return operand{packet.Range{Min: lo, Max: hi}, formatOrdered(a, lo)}, nil
	}
	return rangeOperand(a, lo, hi), nil
}
