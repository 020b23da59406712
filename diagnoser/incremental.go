package diagnoser

import (
	"context"
	"fmt"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// An Incremental answers one question over headers as they come, in steps: how
// a capture file larger than memory is read. What it was given is in the answer
// for good, so retention may take the headers below Pos:
//
//	hold := log.Hold(0)
//	inc, err := d.StartCount(q)
//	for reading {
//		err = inc.Advance(ctx, log.ReadTail())
//		hold.Advance(inc.Pos())
//	}
//	footer, err := inc.Finish()
//
// It knows nothing of what will come, so it uses no index, and rows come in the
// order of offsets.
//
// Not safe for concurrent use. Finish or Close it when done.
type Incremental struct {
	p    *plan
	scan *multilog.Scan
	pos  uint64
	err  error // of a step; sticky

	out   *output     // of a query
	state *fold.State // of an aggregate
}

// StartQuery begins a query, whose Order must be ByOffset. Rows go to emit
// during Advance and Finish.
func (d *Diagnoser) StartQuery(q Query, emit func(*Rows) error) (*Incremental, error) {
	if q.Order != ByOffset {
		return nil, fmt.Errorf("diagnoser: %w query: rows come in the order of offsets where headers are read as they come", ErrInvalid)
	}
	i, err := d.start(q)
	if err != nil {
		return nil, err
	}
	i.out = newOutput(i.p, emit)
	return i, nil
}

// StartCount begins to count what q selects.
func (d *Diagnoser) StartCount(q Query) (*Incremental, error) {
	q.Limit, q.Need, q.Slice = 0, 0, false
	return d.start(q)
}

// StartAggregate begins to fold what q selects.
func (d *Diagnoser) StartAggregate(q Query, a *expr.Aggregate, o fold.Options) (*Incremental, error) {
	state, err := fold.New(a, o)
	if err != nil {
		return nil, fmt.Errorf("diagnoser: %w aggregate: %w", ErrInvalid, err)
	}
	q.Limit, q.Need, q.Slice = 0, a.Attrs(), false
	i, err := d.start(q)
	if err != nil {
		return nil, err
	}
	i.state = state
	return i, nil
}

func (d *Diagnoser) start(q Query) (*Incremental, error) {
	p, err := d.plan(&q, grows)
	if err != nil {
		return nil, err
	}
	s, err := p.scan(context.Background(), p.start, 0, p.tsFrom, p.tsTo)
	if err != nil {
		return nil, err
	}
	return &Incremental{p: p, scan: s, pos: p.start}, nil
}

// Advance goes on to offset to, at most globalReadTail. An error ends the
// question for good.
func (i *Incremental) Advance(ctx context.Context, to uint64) error {
	to = min(to, i.p.end, i.p.d.log.ReadTail())
	if i.err != nil || to <= i.pos || i.Done() {
		return i.err
	}
	i.err = i.advance(ctx, to)
	return i.err
}

func (i *Incremental) advance(ctx context.Context, to uint64) error {
	if err := i.scan.Extend(to, ctx.Done()); err != nil {
		return fmt.Errorf("diagnoser: %w", err)
	}
	i.considerTimes(to)
	switch {
	case i.out != nil:
		err := i.out.drain(i.scan, to)
		if err == nil && i.out.due() {
			err = i.out.flush()
		}
		if err != nil {
			return err
		}
	case i.state != nil:
		for i.scan.Next() {
			i.p.matched += uint64(i.scan.Match().Count())
			i.state.Add(i.scan.Columns(), i.scan.Match())
		}
	default:
		i.p.matched += i.scan.Count()
	}
	if err := cancelled(ctx); err != nil {
		return err
	}
	if i.pos = to; i.Done() {
		i.pos = min(i.pos, i.p.end)
	}
	return nil
}

// considerTimes takes the capture times up to offset to into what the answer
// covers.
func (i *Incremental) considerTimes(to uint64) {
	p := i.p
	p.d.log.EachChunk(i.pos, to, func(base uint64, lo, hi int64) {
		first, end := max(base, i.pos), min(base+packet.ChunkSize, to)
		if end-first < packet.ChunkSize {
			lo, hi, _ = p.d.times(first, end, p.from, p.to)
		}
		if hi >= p.from && lo < p.to && lo <= hi {
			p.tmin, p.tmax = min(p.tmin, max(lo, p.from)), max(p.tmax, min(hi, p.to))
		}
	})
}

// Pos returns the offset below which no header is needed any more.
func (i *Incremental) Pos() uint64 { return i.pos }

// Done reports whether more headers can change nothing: the limit or the end of
// the range is reached.
func (i *Incremental) Done() bool {
	return i.pos >= i.p.end || i.out != nil && i.out.full()
}

// Count returns how many headers were selected so far.
func (i *Incremental) Count() uint64 { return i.p.matched }

// Result returns the aggregate over the headers so far.
func (i *Incremental) Result() *fold.Result { return i.state.Result() }

// Finish gives out the last rows, ends the question and says what the answer
// covered.
func (i *Incremental) Finish() (*Footer, error) {
	defer i.Close()
	if i.err != nil {
		return nil, i.err
	}
	p := i.p
	if i.out != nil {
		if err := i.out.flush(); err != nil {
			return nil, err
		}
	}
	p.end = min(p.end, i.pos)
	p.high = p.end
	p.scanned, p.evicted = i.scan.Scanned(), p.within(i.scan.Evicted())
	if i.state != nil {
		p.returned = uint64(len(i.state.Result().Rows))
	}
	return p.d.footer(p), nil
}

// Close ends the question without an answer. It may be called more than once.
func (i *Incremental) Close() {
	i.scan.Close()
	if i.err == nil {
		i.err = fmt.Errorf("diagnoser: %w", ErrClosed)
	}
}
