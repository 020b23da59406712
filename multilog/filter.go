package multilog

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// Errors that a caller may want to tell apart.
var (
	ErrExists   = errors.New("already installed")
	ErrNotFound = errors.New("not installed")
	ErrInUse    = errors.New("in use")
)

// DefaultBucket is the width of time buckets where none is given.
const DefaultBucket = time.Millisecond

// installed is what lanes evaluate on every batch: an immutable list, replaced
// as a whole when a filter or aggregate is installed or removed.
type installed struct {
	filters []activeFilter
	exprs   *expr.Set      // the filters' expressions, in order; nil when there are none
	need    packet.AttrSet // attributes that filters and aggregates read
}

type activeFilter struct {
	*Filter
	aggregates []*Aggregate
}

// A logSet is the streams of one filter or aggregate: one for each lane and
// physical segment. Streams of different lanes lie apart.
type logSet struct {
	streams []stream
	segs    int
}

func newLogSet(l *Log) logSet {
	return logSet{make([]stream, len(l.lanes)*len(l.segs)), len(l.segs)}
}

func (s *logSet) stream(lane, phys int) *stream { return &s.streams[lane*s.segs+phys] }

// A Filter is an installed filter: the log of the offsets of the headers that
// match its expression.
type Filter struct {
	logSet
	name  string
	expr  *expr.Expr
	from  uint64
	until atomic.Uint64 // no entries are promised from here on; MaxUint64 while installed
	users int           // aggregates on it; guarded by Log.mu
	hits  []hitCount    // headers matched, by lane
}

// A hitCount is written by its lane alone and has a cache line of its own.
type hitCount struct {
	n atomic.Uint64
	_ [56]byte
}

// FilterSpec describes a filter to install.
type FilterSpec struct {
	Name string
	Expr *expr.Expr
}

// Name returns the filter's name.
func (f *Filter) Name() string { return f.name }

// Matched returns the headers that the filter has matched, published or about
// to be.
func (f *Filter) Matched() (n uint64) {
	for i := range f.hits {
		n += f.hits[i].n.Load()
	}
	return n
}

// Expr returns the filter's expression.
func (f *Filter) Expr() *expr.Expr { return f.expr }

// From returns the offset that the filter was installed at: it has seen every
// header from there on and none before.
func (f *Filter) From() uint64 { return f.from }

const (
	// maxSparse is the number of matches in a batch up to which a word each is
	// no longer than a bitmap of nine words.
	maxSparse = 8
	// denseEntry marks the first word of a bitmap entry. Rows stay below it.
	denseEntry = 1 << 31
)

// InstallFilter starts a filter. It blocks no lane: each takes the filter up at
// its next batch. Every batch claimed after InstallFilter has read
// globalWriteTail, and so every offset from Filter.From on, is processed by a
// lane that already sees the new list.
func (l *Log) InstallFilter(spec FilterSpec) (*Filter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if spec.Name == "" {
		return nil, fmt.Errorf("multilog: a filter needs a name")
	}
	if l.filter(spec.Name) != nil {
		return nil, fmt.Errorf("multilog: filter %q: %w", spec.Name, ErrExists)
	}
	return l.addFilter(spec), nil
}

func (l *Log) addFilter(spec FilterSpec) *Filter {
	f := &Filter{logSet: newLogSet(l), name: spec.Name, expr: spec.Expr, hits: make([]hitCount, len(l.lanes))}
	f.until.Store(math.MaxUint64)
	cur := l.installed.Load()
	l.swap(append(cur.filters[:len(cur.filters):len(cur.filters)], activeFilter{Filter: f}))
	f.from = l.writeTail.Load()
	return f
}

// RemoveFilter ends a filter and drops its log. It fails with ErrInUse while
// an aggregate is on it. Scans that already read it finish.
func (l *Log) RemoveFilter(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.filter(name)
	if f == nil || name == "" {
		return fmt.Errorf("multilog: filter %q: %w", name, ErrNotFound)
	}
	if f.users > 0 {
		return fmt.Errorf("multilog: filter %q: %w by %d aggregates", name, ErrInUse, f.users)
	}
	l.dropFilter(f)
	return nil
}

func (l *Log) dropFilter(f *Filter) {
	// What is published now was appended by lanes that saw the filter.
	f.until.Store(l.readTail.Load())
	var rest []activeFilter
	for _, af := range l.installed.Load().filters {
		if af.Filter != f {
			rest = append(rest, af)
		}
	}
	l.swap(rest)
}

// swap makes filters the list that lanes evaluate from their next batch on.
func (l *Log) swap(filters []activeFilter) {
	in := &installed{filters: filters}
	var es []*expr.Expr
	for _, f := range filters {
		es = append(es, f.expr)
		for _, a := range f.aggregates {
			if a.scalar {
				in.need |= a.spec.Attrs()
			}
		}
	}
	if len(es) > 0 {
		in.exprs = expr.NewSet(es)
		in.need |= in.exprs.Attrs()
	}
	l.installed.Store(in)
}

func (l *Log) filter(name string) *Filter {
	for _, f := range l.installed.Load().filters {
		if f.name == name {
			return f.Filter
		}
	}
	return nil
}

// Filter returns the installed filter of that name, or nil.
func (l *Log) Filter(name string) *Filter {
	l.mu.Lock() // an install under way has not set From yet
	defer l.mu.Unlock()
	if name == "" {
		return nil
	}
	return l.filter(name)
}

// Filters returns the installed filters in the order of installation.
func (l *Log) Filters() []*Filter {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Filter
	for _, f := range l.installed.Load().filters {
		if f.name != "" {
			out = append(out, f.Filter)
		}
	}
	return out
}

// An Aggregate is an installed aggregate: a function over the headers that a
// filter matches, kept by time bucket.
//
// For the scalar ones (fold.IsScalar) each lane logs a version for each batch
// and bucket with a match, stamped with the rows of the batch. The others
// (groups, sketches) are folded by the reader from the filter's log and the
// columns, which costs no more memory and gives the same answers.
type Aggregate struct {
	logSet
	name   string
	spec   *expr.Aggregate
	filter *Filter
	from   uint64
	width  int64 // of a bucket, ns
	scalar bool
}

// AggregateSpec describes an aggregate to install. Filter names an installed
// filter; empty means all headers. A zero Bucket means DefaultBucket.
type AggregateSpec struct {
	Name   string
	Filter string
	Agg    *expr.Aggregate
	Bucket time.Duration
}

// Name returns the aggregate's name.
func (a *Aggregate) Name() string { return a.name }

// Spec returns what is computed.
func (a *Aggregate) Spec() *expr.Aggregate { return a.spec }

// Filter returns the filter that the aggregate is on; that of an aggregate over
// all headers has no name.
func (a *Aggregate) Filter() *Filter { return a.filter }

// From returns the offset that the aggregate was installed at.
func (a *Aggregate) From() uint64 { return a.from }

// Bucket returns the width of the time buckets.
func (a *Aggregate) Bucket() time.Duration { return time.Duration(a.width) }

// Scalar reports whether lanes log versions of it.
func (a *Aggregate) Scalar() bool { return a.scalar }

// InstallAggregate starts an aggregate, as InstallFilter does a filter.
func (l *Log) InstallAggregate(spec AggregateSpec) (*Aggregate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if spec.Name == "" {
		return nil, fmt.Errorf("multilog: an aggregate needs a name")
	}
	if l.aggregate(spec.Name) != nil {
		return nil, fmt.Errorf("multilog: aggregate %q: %w", spec.Name, ErrExists)
	}
	if spec.Bucket == 0 {
		spec.Bucket = DefaultBucket
	}
	if spec.Bucket < 0 {
		return nil, fmt.Errorf("multilog: aggregate %q: bucket %v is negative", spec.Name, spec.Bucket)
	}
	f := l.filter(spec.Filter)
	if f == nil {
		if spec.Filter != "" {
			return nil, fmt.Errorf("multilog: aggregate %q: filter %q: %w", spec.Name, spec.Filter, ErrNotFound)
		}
		all, err := expr.Parse("", nil)
		if err != nil {
			return nil, fmt.Errorf("multilog: %w", err)
		}
		f = l.addFilter(FilterSpec{Expr: all})
	}
	a := &Aggregate{name: spec.Name, spec: spec.Agg, filter: f,
		width: int64(spec.Bucket), scalar: fold.IsScalar(spec.Agg)}
	if a.scalar {
		a.logSet = newLogSet(l)
	}
	l.edit(f, func(as []*Aggregate) []*Aggregate { return append(as[:len(as):len(as)], a) })
	a.from = l.writeTail.Load()
	f.users++
	return a, nil
}

// RemoveAggregate ends an aggregate and drops its log.
func (l *Log) RemoveAggregate(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.aggregate(name)
	if a == nil {
		return fmt.Errorf("multilog: aggregate %q: %w", name, ErrNotFound)
	}
	l.edit(a.filter, func(as []*Aggregate) []*Aggregate {
		var rest []*Aggregate
		for _, b := range as {
			if b != a {
				rest = append(rest, b)
			}
		}
		return rest
	})
	if a.filter.users--; a.filter.users == 0 && a.filter.name == "" {
		l.dropFilter(a.filter)
	}
	return nil
}

// edit changes the list of aggregates on f.
func (l *Log) edit(f *Filter, change func([]*Aggregate) []*Aggregate) {
	var out []activeFilter
	for _, af := range l.installed.Load().filters {
		if af.Filter == f {
			af.aggregates = change(af.aggregates)
		}
		out = append(out, af)
	}
	l.swap(out)
}

func (l *Log) aggregate(name string) *Aggregate {
	for _, f := range l.installed.Load().filters {
		for _, a := range f.aggregates {
			if a.name == name {
				return a
			}
		}
	}
	return nil
}

// Aggregate returns the installed aggregate of that name, or nil.
func (l *Log) Aggregate(name string) *Aggregate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.aggregate(name)
}

// Aggregates returns the installed aggregates, by filter.
func (l *Log) Aggregates() []*Aggregate {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Aggregate
	for _, f := range l.installed.Load().filters {
		out = append(out, f.aggregates...)
	}
	return out
}
