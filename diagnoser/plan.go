package diagnoser

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A plan is a query made concrete on the log as it was at one moment, and what
// became of it.
type plan struct {
	d     *Diagnoser
	q     *Query
	asked time.Time // when

	// The question. Headers start..end-1 with from <= ts < to.
	start, end uint64
	from, to   int64
	timed      bool // from or to were given
	until      time.Time

	// The way to the answer: of the headers low..high-1, those with tsFrom <= ts <
	// tsTo that filter and index lead to and where accepts.
	low, high    uint64
	tsFrom, tsTo int64
	filter       *multilog.Filter
	exact        bool // filter is the expression itself, found by the planner
	index        []multilog.IndexUse
	where        *expr.Expr
	estimate     estimate

	// What the answer covers.
	held       uint64 // first offset that was still held
	tmin, tmax int64  // capture times considered; tmin > tmax: none
	gone       uint64 // headers of the range that were gone before the answer began
	evicted    uint64 // those that went while it was worked out

	matched, scanned, returned uint64
	limited                    bool
}

// A mode says how a plan will be carried out.
type mode uint8

const (
	once  mode = iota // at once, over what is there
	grows             // as the log grows, front to back
)

// plan works out how to answer q. It reads the read tail once.
func (d *Diagnoser) plan(q *Query, m mode) (*plan, error) {
	p, err := d.question(q, m)
	if err != nil {
		return nil, err
	}
	p.where = q.Where
	if p.where != nil && p.where.All() {
		p.where = nil
	}
	if err := p.chooseFilter(); err != nil {
		return nil, err
	}
	if m == grows {
		p.held, p.low, p.high = p.start, p.start, p.end
		p.tmin, p.tmax = math.MaxInt64, math.MinInt64
		return p, nil
	}
	possible := p.narrowTime()
	p.bound(possible)
	p.chooseIndexes()
	p.countGone()
	return p, nil
}

// planInstalled works out how to read installed aggregate a.
func (d *Diagnoser) planInstalled(q *Query, a *multilog.Aggregate) (*plan, error) {
	p, err := d.question(q, once)
	if err != nil {
		return nil, err
	}
	p.filter = a.Filter()
	p.since(a.From())
	p.bound(true)
	p.countGone()
	if p.timed { // whole buckets beyond the headers that there are need no look
		p.tsFrom, p.tsTo = max(p.tsFrom, p.tmin), min(p.tsTo, satInc(p.tmax))
	} else {
		p.tsFrom, p.tsTo = 0, 0
	}
	p.estimate.aggregate = a.Name()
	return p, nil
}

// question checks the bounds of q and fixes them on the log as it is now.
func (d *Diagnoser) question(q *Query, m mode) (*plan, error) {
	switch {
	case q.Limit < 0:
		return nil, fmt.Errorf("diagnoser: %w query: limit %d is negative", ErrInvalid, q.Limit)
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From):
		return nil, fmt.Errorf("diagnoser: %w query: the end %s lies before the beginning %s", ErrInvalid, text(q.To), text(q.From))
	case q.ToOffset != 0 && q.ToOffset < q.FromOffset:
		return nil, fmt.Errorf("diagnoser: %w query: the end offset %d lies before the first %d", ErrInvalid, q.ToOffset, q.FromOffset)
	case q.Order > ByOffset:
		return nil, fmt.Errorf("diagnoser: %w query: order %d does not exist", ErrInvalid, q.Order)
	}
	p := &plan{d: d, q: q, asked: time.Now(), from: math.MinInt64, to: math.MaxInt64}
	// An open beginning means the oldest header held when the question, or its
	// snapshot, was made.
	first := d.log.First()
	if p.end = d.log.ReadTail(); m == grows {
		p.end = math.MaxUint64
	}
	p.until = p.asked
	if q.Snapshot != "" {
		s, err := d.snapshot(q.Snapshot)
		if err != nil {
			return nil, err
		}
		first, p.end, p.until = s.FirstOffset, s.EndOffset, s.Taken
	}
	p.start = q.FromOffset
	if q.FromOffset == 0 && q.From.IsZero() {
		p.start = first
	}
	if q.ToOffset != 0 {
		p.end = min(p.end, q.ToOffset)
	}
	if !q.From.IsZero() {
		p.from, p.timed = nanoseconds(q.From), true
	}
	if !q.To.IsZero() {
		p.to, p.timed, p.until = nanoseconds(q.To), true, q.To
	}
	p.tsFrom, p.tsTo = p.from, p.to
	p.since(0)
	return p, nil
}

// since leaves out the headers before offset off.
func (p *plan) since(off uint64) { p.start = min(max(p.start, off), p.end) }

// chooseFilter takes the filter that was named, or one that is the expression.
func (p *plan) chooseFilter() error {
	if name := p.q.Filter; name != "" {
		f := p.d.log.Filter(name)
		if f == nil {
			return fmt.Errorf("diagnoser: filter %q: %w", name, multilog.ErrNotFound)
		}
		p.filter = f
		p.since(f.From())
		if p.where != nil && p.where.String() == f.Expr().String() {
			p.where = nil
		}
		return nil
	}
	if p.where == nil {
		return nil
	}
	for _, f := range p.d.log.Filters() {
		if f.From() <= p.start && f.Expr().String() == p.where.String() {
			p.filter, p.exact, p.where = f, true, nil
			return nil
		}
	}
	return nil
}

// narrowTime takes over what the expression says about capture times, and
// reports false when it rules out all of them.
func (p *plan) narrowTime() (possible bool) {
	if p.where != nil {
		rs, ok := p.where.Implied(packet.Ts)
		switch {
		case !ok:
		case len(rs) == 0:
			return false
		case rs[len(rs)-1].Max.Lo <= math.MaxInt64: // no times before 1970, which order differently
			p.tsFrom = max(p.tsFrom, int64(rs[0].Min.Lo))
			p.tsTo = min(p.tsTo, satInc(int64(rs[len(rs)-1].Max.Lo)))
		}
	}
	return p.tsFrom < p.tsTo
}

// bound finds, from the bounds of the chunks' capture times, the headers to
// look at and the times that the answer covers.
func (p *plan) bound(possible bool) {
	log := p.d.log
	p.tmin, p.tmax = math.MaxInt64, math.MinInt64
	p.low, p.high = p.start, p.end
	// With conditions on time, only what can satisfy them.
	narrow := p.timed || p.tsFrom != math.MinInt64 || p.tsTo != math.MaxInt64
	if narrow {
		p.low, p.high = p.end, p.start
	}
	p.held = max(p.start, min(log.First(), p.end))
	log.EachChunk(p.start, p.end, func(base uint64, lo, hi int64) {
		if hi < p.from || lo >= p.to {
			return
		}
		first, end := max(base, p.start), min(base+packet.ChunkSize, p.end)
		if end-first < packet.ChunkSize { // the bounds also speak of headers outside
			var ok bool
			if lo, hi, ok = p.d.times(first, end, p.from, p.to); !ok {
				return
			}
		}
		p.tmin, p.tmax = min(p.tmin, max(lo, p.from)), max(p.tmax, min(hi, p.to))
		if narrow && hi >= p.tsFrom && lo < p.tsTo {
			p.low, p.high = min(p.low, first), max(p.high, end)
		}
	})
	if p.low >= p.high || !possible {
		p.low, p.high = p.end, p.end
	}
}

// countGone counts the headers of the range that are gone and that no scan will
// come across.
func (p *plan) countGone() {
	if p.timed {
		p.gone = p.d.log.EvictedWithin(p.start, p.low, p.from, p.to)
	} else if p.low > p.start {
		p.gone = p.held - p.start
	}
}

// cutAt makes end the end of what was considered: the limit was reached there.
func (p *plan) cutAt(end uint64) {
	p.end = end
	if lo, hi, ok := p.d.log.TimeBounds(p.start, end); ok {
		p.tmin, p.tmax = max(p.tmin, lo), min(p.tmax, hi)
	}
}

// times returns the first and last capture time of the headers first..end-1 of
// one chunk that lie in from..to-1, and reports whether there are any.
func (d *Diagnoser) times(first, end uint64, from, to int64) (lo, hi int64, ok bool) {
	lo, hi = math.MaxInt64, math.MinInt64
	s, err := d.log.Scan(multilog.ScanOptions{From: first, To: end, TsFrom: from, TsTo: to})
	if err != nil {
		return lo, hi, false
	}
	defer s.Close()
	for s.Next() {
		ts := s.Columns().Ts
		s.Match().Each(func(i int) { lo, hi = min(lo, ts[i]), max(hi, ts[i]) })
	}
	return lo, hi, lo <= hi
}

// oldest returns the first offset to look at that was held.
func (p *plan) oldest() uint64 { return min(max(p.low, p.held), p.high) }

// within returns how many of the headers evicted since bound, of low..high-1,
// may lie in the time range that was asked for.
func (p *plan) within(evicted uint64) uint64 {
	if evicted > 0 && p.timed {
		return min(evicted, p.d.log.EvictedWithin(p.low, p.high, p.from, p.to))
	}
	return evicted
}

// scan starts a scan over part of what the plan covers. When the filter or an
// index that the planner found is removed meanwhile, the headers themselves
// are read.
func (p *plan) scan(ctx context.Context, low, high uint64, tsFrom, tsTo int64) (*multilog.Scan, error) {
	for {
		need := p.q.Need
		if p.q.Slice {
			need |= packet.SetOf(packet.CapLen)
		}
		s, err := p.d.log.Scan(multilog.ScanOptions{
			From: low, To: high, TsFrom: tsFrom, TsTo: tsTo,
			Where: p.where, Filter: p.filter, Index: p.index, Need: need, Done: ctx.Done(),
		})
		switch {
		case err == nil:
			return s, nil
		case !errors.Is(err, multilog.ErrNotFound):
			return nil, fmt.Errorf("diagnoser: %w", err)
		case len(p.index) > 0:
			p.index = nil
		case p.exact:
			p.filter, p.exact, p.where = nil, false, p.q.Where
		default:
			return nil, fmt.Errorf("diagnoser: %w", err)
		}
	}
}

// nanoseconds returns t in ns since 1970, or the nearest that there is.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// satInc returns v+1, or v if that is the largest value.
func satInc(v int64) int64 {
	if v == math.MaxInt64 {
		return v
	}
	return v + 1
}
