package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A QueryResult is how fast questions about headers in memory are answered, by
// one core. The Speed of the whole is that of the first question, which reads
// one column.
type QueryResult struct {
	Speed
	Setup
	Questions []QuestionResult `json:"questions"`
}

// A QuestionResult is how fast one question was answered: the median of the
// runs.
type QuestionResult struct {
	Name        string        `json:"name"`
	Where       string        `json:"where,omitempty"`
	Aggregate   string        `json:"aggregate,omitempty"`
	Took        time.Duration `json:"took_ns"`
	HeadersPerS float64       `json:"headers_per_s"` // headers held, not only those that were read
	NsPerHeader float64       `json:"ns_per_header"`
	RatioToCopy float64       `json:"ratio_to_copy"`
	Matched     uint64        `json:"matched"`
	Scanned     uint64        `json:"scanned"`
	Plan        string        `json:"plan"` // its first line
}

// A question is asked over all headers held.
type question struct {
	name  string
	query diagnoser.Query
	agg   *expr.Aggregate
	rows  bool
}

// rareEvery is how many headers come to one of rarePort.
const rareEvery = 1 << 20

// Query measures how fast questions are answered over Options.Headers headers,
// all held in memory, while nothing comes in. Dst_port is indexed if
// Options.Indexes names nothing.
func Query(ctx context.Context, o Options) (res *QueryResult, err error) {
	o, err = o.withDefaults(4_000_000)
	if err != nil {
		return nil, err
	}
	if len(o.Indexes) == 0 {
		o.Indexes = []packet.Attr{packet.DstPort}
	}
	if o.Filters == 0 {
		o.Filters = 1 // the one that is asked for
	}
	if err := hold(&o); err != nil {
		return nil, err
	}
	r, err := newRig(o)
	if err != nil {
		return nil, err
	}
	d := diagnoser.New(r.log, diagnoser.Options{})
	defer func() {
		d.Close()
		err = errors.Join(err, r.close())
	}()
	res = &QueryResult{Setup: r.setup}
	r.gen.rare = rareEvery
	if _, err := r.run(ctx, o.Headers); err != nil {
		return nil, err
	}
	if r.log.First() != 0 {
		return nil, fmt.Errorf("bench: retention took %d of %d headers", r.log.First(), o.Headers)
	}
	if err := r.sorted(ctx); err != nil {
		return nil, err
	}
	questions, err := r.questions()
	if err != nil {
		return nil, err
	}
	var copies []float64
	took := make([][]float64, len(questions))
	res.Questions = make([]QuestionResult, len(questions))
	for run := range o.Repeat {
		n, err := r.copier.rate()
		if err != nil {
			return nil, err
		}
		copies = append(copies, n)
		for i := range questions {
			t, err := questions[i].ask(ctx, d, run == 0, &res.Questions[i])
			if err != nil {
				return nil, fmt.Errorf("bench: %s: %w", questions[i].name, err)
			}
			took[i] = append(took[i], t.Seconds())
		}
	}
	for i := range res.Questions {
		q, t := &res.Questions[i], median(took[i])
		q.Took = time.Duration(t * 1e9)
		q.HeadersPerS, q.NsPerHeader = float64(o.Headers)/t, t*1e9/float64(o.Headers)
		q.RatioToCopy = q.HeadersPerS / median(copies)
	}
	if res.BytesPerHeader, err = r.bytesPerHeader(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	res.set(res.Questions[0].HeadersPerS, median(copies))
	return res, nil
}

// hold sets the memory that holds all headers.
func hold(o *Options) error {
	l := o.log(new(packet.PortTable))
	l.SegmentHeaders = 1 << 18
	l.Segments = 4
	n, err := l.BytesPerHeader()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	// Some segments are kept free, and large memory has larger ones.
	o.Memory = int64(n * (float64(o.Headers)*1.25 + 4<<20))
	return nil
}

// sorted waits until the indexes have all whole blocks.
func (r *rig) sorted(ctx context.Context) error {
	const block = 1 << 16
	for deadline := time.Now().Add(time.Minute); r.indexBehind() >= block; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("bench: an index is %d headers behind", r.indexBehind())
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// questions returns what is asked; the first reads one column of every header.
func (r *rig) questions() ([]question, error) {
	texts := []struct {
		name, where, agg, filter string
		limit                    int
		rows                     bool
	}{
		{name: "count, one predicate", where: r.maker.predicate(packet.PktLen, 0.1)},
		{name: "count, three predicates", where: r.maker.predicate(packet.SrcIP, 0.25) + " && tcp && " + r.maker.predicate(packet.PktLen, 0.4)},
		{name: "count, not stored", where: "tcp_window > 60000"},
		{name: "count, rare value", where: fmt.Sprint("dst_port == ", rarePort)},
		{name: "count, installed filter", filter: filterName(0)},
		{name: "first row, rare value", where: fmt.Sprint("dst_port == ", rarePort), limit: 1, rows: true},
		{name: "rows of one in a hundred, in time order", where: r.maker.predicate(packet.SrcIP, 0.01), rows: true},
		{name: "sum", agg: "SUM(pkt_len)"},
		{name: "sum by address", agg: "SUM(pkt_len) BY dst_ip"},
		{name: "top values", agg: "TOPK(dst_port, 10)"},
		{name: "top pairs", agg: "TOPK(src_ip, 10) BY proto"},
		{name: "distinct", agg: "DISTINCT(src_ip)"},
	}
	var out []question
	for _, t := range texts {
		q := question{name: t.name, rows: t.rows, query: diagnoser.Query{Filter: t.filter, Limit: t.limit,
			Need: packet.SetOf(packet.Ts, packet.SrcIP, packet.DstIP, packet.SrcPort, packet.DstPort, packet.Proto, packet.PktLen, packet.LayerBits)}}
		var err error
		if t.where != "" {
			if q.query.Where, err = expr.Parse(t.where, nil); err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
		}
		if t.agg != "" {
			if q.agg, err = expr.ParseAggregate(t.agg); err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
		}
		out = append(out, q)
	}
	return out, nil
}

// ask asks q once and returns how long it took. Every answer must be that of the
// first run.
func (q *question) ask(ctx context.Context, d *diagnoser.Diagnoser, first bool, res *QuestionResult) (time.Duration, error) {
	var f *diagnoser.Footer
	var err error
	var rows uint64
	began := time.Now()
	switch {
	case q.rows:
		f, err = d.Query(ctx, q.query, func(r *diagnoser.Rows) error {
			rows += uint64(r.N)
			return nil
		})
	case q.agg != nil:
		_, f, err = d.Aggregate(ctx, q.query, q.agg, fold.Options{})
	default:
		_, f, err = d.Count(ctx, q.query)
	}
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if q.rows && rows != f.Returned {
		return 0, fmt.Errorf("%d rows, %d according to the footer", rows, f.Returned)
	}
	if first {
		plan, _, _ := strings.Cut(f.Plan, "\n")
		*res = QuestionResult{Name: q.name, Matched: f.Matched, Scanned: f.Scanned, Plan: plan}
		if q.query.Where != nil {
			res.Where = q.query.Where.String()
		}
		if q.agg != nil {
			res.Aggregate = q.agg.String()
		}
	} else if f.Matched != res.Matched {
		return 0, fmt.Errorf("%d headers matched, %d at first", f.Matched, res.Matched)
	}
	return took, nil
}
