package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/confluo/confluo/packet"
)

// Limits of aggregates.
const (
	MaxTopK = 10000 // k of TOPK
	MaxBy   = 8     // attributes after BY
)

// funcNames are the names of the functions; case does not matter when reading.
var funcNames = []string{
	Count: "COUNT", Sum: "SUM", Min: "MIN", Max: "MAX", Avg: "AVG", Distinct: "DISTINCT", Quantile: "QUANTILE", TopK: "TOPK",
}

// String returns the name of the function as in an aggregate.
func (f Func) String() string {
	if int(f) >= len(funcNames) {
		return "FUNC?"
	}
	return funcNames[f]
}

// ParseAggregate reads an aggregate: COUNT(), SUM(attr), MIN(attr), MAX(attr),
// AVG(attr), DISTINCT(attr), QUANTILE(attr, 0.99) or TOPK(attr, 10), and then,
// if wanted, BY attr, attr, ... The error, if any, is an *[Error].
func ParseAggregate(src string) (*Aggregate, error) {
	if len(src) > MaxSource {
		return nil, &Error{src, 1, src, fmt.Sprintf("at most %d bytes, not %d", MaxSource, len(src))}
	}
	p := newParser(src)
	agg, err := p.aggregate()
	if err == nil && p.tok.kind != tokEnd {
		err = p.errorf(p.tok, "BY or the end")
	}
	if err != nil {
		return nil, err
	}
	return agg, nil
}

// aggregate reads an aggregate, from the function to the last group.
func (p *parser) aggregate() (*Aggregate, *Error) {
	agg := &Aggregate{}
	t := p.advance()
	i := slices.IndexFunc(funcNames, func(n string) bool { return t.word(n) })
	if i < 0 {
		return nil, p.errorf(t, "one of %s", strings.Join(funcNames, ", "))
	}
	agg.Func = Func(i)
	if err := p.expect("(", "( after "+agg.Func.String()); err != nil {
		return nil, err
	}
	if agg.Func == Count {
		if err := p.expect(")", ") (COUNT takes no attribute)"); err != nil {
			return nil, err
		}
	} else if err := p.argument(agg); err != nil {
		return nil, err
	}
	if p.tok.word("by") {
		p.advance()
		for {
			at := p.tok
			a, err := p.attribute()
			if err != nil {
				return nil, err
			}
			if slices.Contains(agg.By, a) {
				return nil, p.errorf(at, "an attribute that is not yet in the list")
			}
			if agg.By = append(agg.By, a); len(agg.By) > MaxBy {
				return nil, p.errorf(at, "at most %d attributes after BY", MaxBy)
			}
			if !p.accept(",") {
				return agg, nil
			}
		}
	}
	return agg, nil
}

// argument reads what stands in the brackets, and the closing one.
func (p *parser) argument(agg *Aggregate) *Error {
	at := p.tok
	a, err := p.attribute()
	if err != nil {
		return err
	}
	agg.Arg = a
	switch agg.Func {
	case Sum, Avg, Quantile:
		if a.Info().Kind != packet.KindUint {
			return p.errorf(at, "a numeric attribute such as pkt_len for %s", agg.Func)
		}
	case Min, Max:
		if k := a.Info().Kind; k != packet.KindUint && k != packet.KindTime {
			return p.errorf(at, "a numeric attribute such as pkt_len, or ts, for %s", agg.Func)
		}
	}
	switch agg.Func {
	case Quantile:
		if err := p.expect(",", ", and a quantile such as 0.99"); err != nil {
			return err
		}
		t := p.advance()
		q, ok := parseFloat(t.text)
		if t.kind != tokWord || !ok || q > 1 {
			return p.errorf(t, "a quantile within 0..1 such as 0.99")
		}
		agg.Param = q
	case TopK:
		if err := p.expect(",", ", and how many values such as 10"); err != nil {
			return err
		}
		t := p.advance()
		k, ok := parseWhole(t.text, countUnits)
		if t.kind != tokWord || !ok || k < 1 || k > MaxTopK {
			return p.errorf(t, "a number of values within 1..%d", MaxTopK)
		}
		agg.Param = float64(k)
	}
	return p.expect(")", ")")
}

// attribute reads the name of an attribute.
func (p *parser) attribute() (packet.Attr, *Error) {
	t := p.advance()
	a, ok := packet.AttrByName(t.text)
	if t.kind != tokWord || !ok {
		hint := ""
		if t.kind == tokWord {
			hint = didYouMean(t.text)
		}
		return 0, p.errorf(t, "an attribute%s", hint)
	}
	return a, nil
}

// String returns the canonical text of a; parsing it gives an equal Aggregate.
func (a *Aggregate) String() string {
	var b strings.Builder
	b.WriteString(a.Func.String() + "(")
	if a.Func != Count {
		b.WriteString(a.Arg.String())
	}
	if a.Func == Quantile || a.Func == TopK {
		b.WriteString(", " + formatFloat(a.Param))
	}
	b.WriteString(")")
	for i, by := range a.By {
		if i == 0 {
			b.WriteString(" BY ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(by.String())
	}
	return b.String()
}

// Attrs returns the attributes that a reads: its argument and its groups, and
// [packet.LayerBits] where a header may lack one of them.
func (a *Aggregate) Attrs() packet.AttrSet {
	s := packet.SetOf(a.By...)
	if a.Func != Count {
		s |= packet.SetOf(a.Arg)
	}
	for _, attr := range s.Attrs() {
		if attr.Present() != 0 {
			s |= packet.SetOf(packet.LayerBits)
		}
	}
	return s
}

// formatFloat writes f as parseFloat reads it: without an exponent.
func formatFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
