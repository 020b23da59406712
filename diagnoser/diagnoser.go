package diagnoser

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// Errors that a caller may want to tell apart. Filters and aggregates that do
// not exist are multilog.ErrNotFound.
var (
	ErrInvalid    = errors.New("invalid")
	ErrNoSnapshot = errors.New("no such snapshot")
	ErrExists     = errors.New("exists already")
	ErrTooMany    = errors.New("too many")
	ErrClosed     = errors.New("closed")
)

// Retention is the cause in Footer.Dropped of headers that memory no longer
// holds.
const Retention = "retention"

// Options are the settings of a Diagnoser. The zero value of each has a
// default.
type Options struct {
	// Drops returns the headers that were lost before they reached the log in a
	// range of time, by cause. Nil: none are known. The map is not changed.
	Drops func(from, to time.Time) map[string]uint64

	// SortBytes is the memory that one query may use to put rows in the order of
	// their capture times (default 32 MiB). It is used only as far as headers
	// came out of order; where it is too little, the log is read more than once.
	SortBytes int

	MaxSnapshots int           // snapshots at a time (default 64)
	MaxTTL       time.Duration // longest time-out of a snapshot (default 24 h)
	// HoldSnapshots keeps the headers of a snapshot in memory until it is
	// released or its time-out ends. A log that fills up meanwhile drops what
	// comes in, so it is off unless asked for: then retention goes on, and
	// answers say what it took.
	HoldSnapshots bool
}

func (o Options) withDefaults() Options {
	if o.SortBytes == 0 {
		o.SortBytes = 32 << 20
	}
	if o.MaxSnapshots == 0 {
		o.MaxSnapshots = 64
	}
	if o.MaxTTL == 0 {
		o.MaxTTL = 24 * time.Hour
	}
	return o
}

// A Diagnoser answers questions about one log. Its methods may be called from
// any goroutine.
type Diagnoser struct {
	log *multilog.Log
	opt Options

	mu        sync.Mutex
	snapshots map[string]*snapshot
	closed    bool
}

// New makes a diagnoser over log, which must outlive it. Close it when done.
func New(log *multilog.Log, o Options) *Diagnoser {
	return &Diagnoser{log: log, opt: o.withDefaults(), snapshots: make(map[string]*snapshot)}
}

// Query gives emit the headers that q asks for, in blocks, the first as soon as
// it has a row. Nothing of the log is held while emit runs, so it may take its
// time. An error that emit returns ends the query and is returned.
//
// Order ByTime is exact however far headers came out of order: rows wait until
// the bounds of the capture times of everything still to be read say that none
// can come before them. When more rows wait than Options.SortBytes has room
// for, the later half is left for another pass over the part of the log that
// they lie in.
func (d *Diagnoser) Query(ctx context.Context, q Query, emit func(*Rows) error) (*Footer, error) {
	p, err := d.plan(&q, once)
	if err != nil {
		return nil, err
	}
	out := newOutput(p, emit)
	if q.Order == ByTime {
		err = d.inTimeOrder(ctx, p, out)
	} else {
		err = d.inOffsetOrder(ctx, p, out)
	}
	if err != nil {
		return nil, err
	}
	return d.footer(p), nil
}

// inOffsetOrder gives out the rows as the scan finds them.
func (d *Diagnoser) inOffsetOrder(ctx context.Context, p *plan, out *output) error {
	s, err := p.scan(ctx, p.low, p.high, p.tsFrom, p.tsTo)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := out.drain(s, p.high); err != nil {
		return err
	}
	if err := cancelled(ctx); err != nil {
		return err
	}
	p.scanned, p.evicted = s.Scanned(), p.within(s.Evicted())
	return out.flush()
}

// Count returns how many headers q selects. Limit, Need and Order of q mean
// nothing here. Over an installed filter without other conditions it reads the
// filter's log and no header.
func (d *Diagnoser) Count(ctx context.Context, q Query) (uint64, *Footer, error) {
	q.Limit, q.Need, q.Slice = 0, 0, false
	p, err := d.plan(&q, once)
	if err != nil {
		return 0, nil, err
	}
	s, err := p.scan(ctx, p.low, p.high, p.tsFrom, p.tsTo)
	if err != nil {
		return 0, nil, err
	}
	defer s.Close()
	n := s.Count()
	if err := cancelled(ctx); err != nil {
		return 0, nil, err
	}
	p.matched, p.scanned, p.evicted = n, s.Scanned(), p.within(s.Evicted())
	return n, d.footer(p), nil
}

// Aggregate folds the headers that q selects. Limit and Order of q mean nothing
// here. Footer.Matched counts the headers selected, also those that lack an
// attribute of a and add nothing to the result.
func (d *Diagnoser) Aggregate(ctx context.Context, q Query, a *expr.Aggregate, o fold.Options) (*fold.Result, *Footer, error) {
	if err := fold.Check(a); err != nil {
		return nil, nil, fmt.Errorf("diagnoser: %w aggregate: %w", ErrInvalid, err)
	}
	if a.Func == expr.Count && len(a.By) == 0 {
		n, f, err := d.Count(ctx, q)
		if err != nil {
			return nil, nil, err
		}
		f.Returned = 1
		return fold.FromPartial(a, fold.Partial{Headers: n}), f, nil
	}
	state, err := fold.New(a, o)
	if err != nil {
		return nil, nil, fmt.Errorf("diagnoser: %w", err)
	}
	q.Limit, q.Need, q.Slice = 0, a.Attrs(), false
	p, err := d.plan(&q, once)
	if err != nil {
		return nil, nil, err
	}
	s, err := p.scan(ctx, p.low, p.high, p.tsFrom, p.tsTo)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	for s.Next() {
		p.matched += uint64(s.Match().Count())
		state.Add(s.Columns(), s.Match())
	}
	if err := cancelled(ctx); err != nil {
		return nil, nil, err
	}
	r := state.Result()
	p.returned, p.scanned, p.evicted = uint64(len(r.Rows)), s.Scanned(), p.within(s.Evicted())
	return r, d.footer(p), nil
}

// Installed reads the installed aggregate of that name over the range of q,
// from where it was installed at the earliest. Only the snapshot and the bounds
// of q count; q may name the aggregate's filter and no other. Footer.Matched
// counts the headers that the result speaks of.
func (d *Diagnoser) Installed(ctx context.Context, name string, q Query, o fold.Options) (*fold.Result, *Footer, error) {
	a := d.log.Aggregate(name)
	if a == nil {
		return nil, nil, fmt.Errorf("diagnoser: aggregate %q: %w", name, multilog.ErrNotFound)
	}
	if q.Where != nil && !q.Where.All() {
		return nil, nil, fmt.Errorf("diagnoser: %w query: aggregate %q has its own condition, and takes no other", ErrInvalid, name)
	}
	if q.Filter != "" && q.Filter != a.Filter().Name() {
		return nil, nil, fmt.Errorf("diagnoser: %w query: aggregate %q is on filter %q, not %q", ErrInvalid, name, a.Filter().Name(), q.Filter)
	}
	in, err := newFolder(a.Spec(), o)
	if err != nil {
		return nil, nil, fmt.Errorf("diagnoser: %w", err)
	}
	q.Filter, q.Limit = "", 0
	p, err := d.planInstalled(&q, a)
	if err != nil {
		return nil, nil, err
	}
	segment := uint64(d.log.Options().SegmentHeaders)
	for off := p.low; off < p.high; {
		if err := cancelled(ctx); err != nil {
			return nil, nil, err
		}
		// A segment at a time: no version crosses the end of one.
		end := min(p.high, (off/segment+1)*segment)
		p.evicted += d.log.ReadAggregate(a, multilog.AggregateRange{From: off, To: end, TsFrom: p.tsFrom, TsTo: p.tsTo}, in)
		off = end
	}
	if d.log.Aggregate(name) != a { // removed while it was read
		return nil, nil, fmt.Errorf("diagnoser: aggregate %q: %w", name, multilog.ErrNotFound)
	}
	p.matched, p.scanned, p.evicted = in.headers, in.rows, p.within(p.evicted)
	r := in.result()
	p.returned = uint64(len(r.Rows))
	return r, d.footer(p), nil
}

// Explain says in plain words how q would be answered now, without answering
// it.
func (d *Diagnoser) Explain(q Query) (string, error) {
	p, err := d.plan(&q, once)
	if err != nil {
		return "", err
	}
	return p.text(), nil
}

// cancelled returns why ctx ended, or nil if it did not.
func cancelled(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("diagnoser: %w", context.Cause(ctx))
}

// A folder folds what an installed aggregate has into one result.
type folder struct {
	agg     *expr.Aggregate
	scalar  fold.Partial
	state   *fold.State // nil for a scalar aggregate
	headers uint64
	rows    uint64 // of headers, those that were read themselves
}

func newFolder(a *expr.Aggregate, o fold.Options) (*folder, error) {
	f := &folder{agg: a}
	if fold.IsScalar(a) {
		return f, nil
	}
	var err error
	f.state, err = fold.New(a, o)
	return f, err
}

// Partial implements multilog.Folder.
func (f *folder) Partial(_ int64, p *fold.Partial) {
	f.scalar.Merge(*p)
	f.headers += p.Headers
}

// Rows implements multilog.Folder.
func (f *folder) Rows(_ int64, c *packet.Columns, m *packet.Bitmap) {
	n := uint64(m.Count())
	f.rows += n
	if f.state == nil {
		p := fold.FoldScalar(f.agg, c, m)
		f.scalar.Merge(p)
		f.headers += p.Headers
		return
	}
	f.state.Add(c, m)
	f.headers += n
}

func (f *folder) result() *fold.Result {
	if f.state == nil {
		return fold.FromPartial(f.agg, f.scalar)
	}
	return f.state.Result()
}
