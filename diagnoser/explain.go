package diagnoser

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/confluo/confluo/packet"
)

// text says in plain words how the plan answers its query.
func (p *plan) text() string {
	var b strings.Builder
	low := p.oldest()
	n := p.high - low
	switch {
	case p.estimate.aggregate != "":
		fmt.Fprintf(&b, "installed aggregate %q", p.estimate.aggregate)
		p.filterText(&b, " on ")
	case p.end == math.MaxUint64:
		b.WriteString("scan of the headers as they come")
		p.filterText(&b, ", through ")
	case n == 0:
		b.WriteString("nothing to look at")
	case len(p.index) > 0:
		b.WriteString("index on ")
		for i, u := range p.index {
			if i > 0 {
				b.WriteString(" and on ")
			}
			fmt.Fprintf(&b, "%s (%s", u.Index.Attr(), rangesText(u.Ranges))
			if sorted := p.sorted(u.Index); sorted < n {
				fmt.Fprintf(&b, ", %d sorted", sorted)
			}
			b.WriteByte(')')
		}
		p.filterText(&b, ", and ")
		b.WriteString(": ")
		p.estimateText(&b)
	case p.filter != nil:
		p.filterText(&b, "")
	default:
		fmt.Fprintf(&b, "scan of %s", count(n, "header"))
	}
	if p.where != nil {
		fmt.Fprintf(&b, "\ncheck %s", p.where)
		if s := p.where.Attrs() &^ p.d.log.Options().Columns; s != 0 {
			fmt.Fprintf(&b, "\nread %s from the slices, not being stored as columns", names(s))
		}
	}
	if p.end == math.MaxUint64 {
		fmt.Fprintf(&b, "\noffsets from %d on", p.start)
	} else {
		fmt.Fprintf(&b, "\noffsets %d..%d", p.held, p.end)
		if n > 0 {
			if low > p.held || p.high < p.end {
				fmt.Fprintf(&b, ", by capture time only %d..%d", low, p.high)
			}
			per := uint64(p.d.log.Options().SegmentHeaders)
			fmt.Fprintf(&b, ", in %s", count((p.high-1)/per-low/per+1, "segment"))
		}
	}
	if !p.q.From.IsZero() {
		fmt.Fprintf(&b, "\ncaptured from %s on", text(p.q.From))
	}
	if !p.q.To.IsZero() {
		fmt.Fprintf(&b, "\ncaptured before %s", text(p.q.To))
	}
	return b.String()
}

func (p *plan) filterText(b *strings.Builder, lead string) {
	if p.filter == nil || p.filter.Name() == "" {
		return
	}
	fmt.Fprintf(b, "%sfilter %q", lead, p.filter.Name())
	switch {
	case p.exact:
		b.WriteString(", which is the expression")
	case p.start == p.filter.From() && p.start > 0:
		fmt.Fprintf(b, " (installed at offset %d)", p.start)
	}
}

// estimateText says how many headers the indexes lead to.
func (p *plan) estimateText(b *strings.Builder) {
	n, e := p.high-p.oldest(), p.estimate
	if e.sampled == 0 {
		fmt.Fprintf(b, "some of %s", count(n, "header"))
		return
	}
	if e.candidates == 0 {
		fmt.Fprintf(b, "fewer than %d of %s", n/e.sampled+1, count(n, "header"))
		return
	}
	fmt.Fprintf(b, "about %d of %s", uint64(float64(n)*float64(e.candidates)/float64(e.sampled)), count(n, "header"))
}

func rangesText(rs []packet.Range) string {
	for _, r := range rs {
		if r.Min != r.Max {
			return count(uint64(len(rs)), "range")
		}
	}
	return count(uint64(len(rs)), "value")
}

func names(s packet.AttrSet) string {
	var out []string
	for _, a := range s.Attrs() {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// count writes a number with its noun.
func count(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// footer says what the answer of a finished plan covered.
func (d *Diagnoser) footer(p *plan) *Footer {
	f := &Footer{
		FirstOffset: p.held, EndOffset: p.end,
		Matched: p.matched, Scanned: p.scanned, Returned: p.returned, Limited: p.limited,
		Plan: p.text(),
	}
	if p.tmin <= p.tmax {
		f.FromTime, f.ToTime = time.Unix(0, p.tmin).UTC(), time.Unix(0, p.tmax).UTC()
	}
	from := p.q.From
	if from.IsZero() {
		from = f.FromTime
	}
	until := p.until
	if p.q.ToOffset != 0 && p.end == p.q.ToOffset && p.q.To.IsZero() {
		until = f.ToTime
	}
	if d.opt.Drops != nil {
		for cause, n := range d.opt.Drops(from, until) {
			f.lost(cause, n)
		}
	}
	f.lost(Retention, p.gone+p.evicted)
	f.Took = time.Since(p.asked)
	return f
}

func (f *Footer) lost(cause string, n uint64) {
	if n == 0 {
		return
	}
	if f.Dropped == nil {
		f.Dropped = make(map[string]uint64)
	}
	f.Dropped[cause] += n
}
