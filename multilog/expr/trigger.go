package expr

import (
	"fmt"
	"time"

	"github.com/confluo/confluo/packet"
)

// DefaultEvery is how often a trigger is evaluated that does not say.
const DefaultEvery = time.Millisecond

// maxThreshold bounds thresholds, so that each is written back without an
// exponent in few digits.
const maxThreshold = 1 << 64

var opNames = []string{Gt: ">", Ge: ">=", Lt: "<", Le: "<=", Eq: "==", Ne: "!="}

// String returns the operator as in a trigger.
func (o Op) String() string {
	if int(o) >= len(opNames) {
		return "op?"
	}
	return opNames[o]
}

// Compare reports whether "v o threshold" holds.
func (o Op) Compare(v, threshold float64) bool {
	switch o {
	case Gt:
		return v > threshold
	case Ge:
		return v >= threshold
	case Lt:
		return v < threshold
	case Le:
		return v <= threshold
	case Eq:
		return v == threshold
	default:
		return v != threshold
	}
}

// ParseTrigger reads a trigger: an aggregate, one of > >= < <= == !=, a
// threshold, "over" and the window, and, if wanted, "every" and the distance
// of evaluations, which is [DefaultEvery] otherwise, or the window if that is
// shorter. The threshold is a number, with a unit of bytes if the aggregate's
// value is one. The error, if any, is an *[Error].
func ParseTrigger(src string) (*Trigger, error) {
	if len(src) > MaxSource {
		return nil, &Error{src, 1, src, fmt.Sprintf("at most %d bytes, not %d", MaxSource, len(src))}
	}
	p := newParser(src)
	tr, err := p.trigger()
	if err != nil {
		return nil, err
	}
	return tr, nil
}

func (p *parser) trigger() (*Trigger, *Error) {
	first := p.tok
	agg, err := p.aggregate()
	if err != nil {
		return nil, err
	}
	if agg.Arg.Info().Kind == packet.KindTime && (agg.Func == Min || agg.Func == Max) {
		return nil, p.errorf(first, "an aggregate of a number: a trigger does not compare times")
	}
	tr := &Trigger{Agg: *agg}
	t := p.advance()
	found := false
	for i, name := range opNames {
		if t.is(name) {
			tr.Op, found = Op(i), true
		}
	}
	if !found {
		return nil, p.errorf(t, ">, >=, <, <=, == or != after the aggregate")
	}
	if tr.Threshold, err = p.threshold(agg); err != nil {
		return nil, err
	}
	if !p.tok.word("over") {
		return nil, p.errorf(p.tok, "over and the length of the window, such as over 100ms")
	}
	p.advance()
	if tr.Window, err = p.duration("a window such as 100ms, longer than 0"); err != nil {
		return nil, err
	}
	tr.Every = min(DefaultEvery, tr.Window)
	if p.tok.word("every") {
		p.advance()
		at := p.tok
		if tr.Every, err = p.duration("a time between evaluations such as 1ms, longer than 0"); err != nil {
			return nil, err
		}
		if tr.Every > tr.Window {
			return nil, p.errorf(at, "at most the window, %s, or headers between two windows count in none", formatDuration(tr.Window))
		}
	}
	if p.tok.kind != tokEnd {
		return nil, p.errorf(p.tok, "every or the end")
	}
	return tr, nil
}

// threshold reads the number that agg is compared with.
func (p *parser) threshold(agg *Aggregate) (float64, *Error) {
	units, want := [][]unit{countUnits}, wantNumber
	switch agg.Func {
	case Sum, Min, Max, Avg, Quantile:
		if units = unitsOf(agg.Arg.Info()); len(units) > 1 {
			want = wantBytes
		}
	}
	t := p.advance()
	f, ok := parseFloat(t.text, units...)
	if t.kind != tokWord || !ok || f > maxThreshold {
		return 0, p.errorf(t, "%s", want)
	}
	return f, nil
}

// duration reads a duration longer than zero; want says what for.
func (p *parser) duration(want string) (time.Duration, *Error) {
	t := p.advance()
	d, err := ParseDuration(t.text)
	if t.kind != tokWord || err != nil || d == 0 {
		return 0, p.errorf(t, "%s (ns, us, ms, s, m, h, d)", want)
	}
	return d, nil
}

// String returns the canonical text of t; parsing it gives an equal Trigger.
func (t *Trigger) String() string {
	return fmt.Sprintf("%s %s %s over %s every %s",
		&t.Agg, t.Op, formatFloat(t.Threshold), formatDuration(t.Window), formatDuration(t.Every))
}
