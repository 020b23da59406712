package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
)

// ownPrefix begins the names of the log's aggregates that triggers brought
// along.
const ownPrefix = "trigger:"

// AggregateSpec describes an aggregate to install. Filter names an installed
// filter; empty means all headers.
type AggregateSpec struct {
	Name      string
	Filter    string
	Agg       *expr.Aggregate
	Bucket    time.Duration // width of time buckets; zero means multilog.DefaultBucket
	MaxGroups int           // for triggers and Value; zero means Options.MaxGroups
}

type aggregate struct {
	spec AggregateSpec
	log  *multilog.Aggregate
}

// InstallFilter installs a filter in the log. The error wraps
// multilog.ErrExists when the name is taken.
func (m *Monitor) InstallFilter(name string, e *expr.Expr) (*multilog.Filter, error) {
	if e == nil {
		return nil, fmt.Errorf("monitor: filter %q has no expression", name)
	}
	return m.log.InstallFilter(multilog.FilterSpec{Name: name, Expr: e})
}

// RemoveFilter removes a filter. The error wraps multilog.ErrNotFound, or
// multilog.ErrInUse and names who uses it.
func (m *Monitor) RemoveFilter(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var users []string
	for _, a := range m.aggregates {
		if a.spec.Filter == name {
			users = append(users, fmt.Sprintf("aggregate %q", a.spec.Name))
		}
	}
	for _, t := range m.triggers {
		if t.spec.Aggregate == "" && t.spec.Filter == name {
			users = append(users, fmt.Sprintf("trigger %q", t.spec.Name))
		}
	}
	if name != "" && len(users) > 0 {
		return inUse("filter", name, users)
	}
	return m.log.RemoveFilter(name)
}

func inUse(what, name string, users []string) error {
	slices.Sort(users)
	more := ""
	if n := len(users) - 3; n > 0 {
		users, more = users[:3], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("monitor: %s %q: %w by %s%s", what, name, multilog.ErrInUse, strings.Join(users, ", "), more)
}

// InstallAggregate installs an aggregate in the log. The error wraps
// multilog.ErrExists, or multilog.ErrNotFound when there is no such filter.
func (m *Monitor) InstallAggregate(spec AggregateSpec) (*multilog.Aggregate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if spec.Agg == nil {
		return nil, fmt.Errorf("monitor: aggregate %q computes nothing", spec.Name)
	}
	if strings.HasPrefix(spec.Name, ownPrefix) {
		return nil, fmt.Errorf("monitor: aggregate %q: names that begin with %q are taken by triggers", spec.Name, ownPrefix)
	}
	if spec.MaxGroups == 0 {
		spec.MaxGroups = m.opt.MaxGroups
	}
	if _, err := fold.New(spec.Agg, fold.Options{MaxGroups: spec.MaxGroups}); err != nil {
		return nil, fmt.Errorf("monitor: aggregate %q: %w", spec.Name, err)
	}
	a, err := m.log.InstallAggregate(multilog.AggregateSpec{Name: spec.Name, Filter: spec.Filter, Agg: spec.Agg, Bucket: spec.Bucket})
	if err != nil {
		return nil, err
	}
	m.aggregates[spec.Name] = &aggregate{spec, a}
	return a, nil
}

// RemoveAggregate removes an aggregate that InstallAggregate installed. The
// error wraps multilog.ErrNotFound, or multilog.ErrInUse while triggers are on
// it.
func (m *Monitor) RemoveAggregate(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.aggregates[name] == nil {
		return fmt.Errorf("monitor: aggregate %q: %w", name, multilog.ErrNotFound)
	}
	var users []string
	for _, t := range m.triggers {
		if t.spec.Aggregate == name {
			users = append(users, fmt.Sprintf("trigger %q", t.spec.Name))
		}
	}
	if len(users) > 0 {
		return inUse("aggregate", name, users)
	}
	if err := m.log.RemoveAggregate(name); err != nil {
		return err
	}
	delete(m.aggregates, name)
	return nil
}

// Value returns the value of an installed aggregate over all headers that it
// has seen and that are still held, and how many of those it has seen are not.
// It takes as long as reading the aggregate's log.
func (m *Monitor) Value(name string) (r *fold.Result, evicted uint64, err error) {
	m.mu.Lock()
	a := m.aggregates[name]
	m.mu.Unlock()
	if a == nil {
		return nil, 0, fmt.Errorf("monitor: aggregate %q: %w", name, multilog.ErrNotFound)
	}
	state, err := fold.New(a.spec.Agg, fold.Options{MaxGroups: a.spec.MaxGroups})
	if err != nil {
		return nil, 0, fmt.Errorf("monitor: aggregate %q: %w", name, err)
	}
	v := value{state: state, scalar: fold.IsScalar(a.spec.Agg), agg: a.spec.Agg}
	evicted = m.log.ReadAggregate(a.log, multilog.AggregateRange{To: m.log.ReadTail()}, &v)
	if v.scalar {
		return fold.FromPartial(a.spec.Agg, v.part), evicted, nil
	}
	return state.Result(), evicted, nil
}

// InstallTrigger installs a trigger. Its windows begin with what is published
// from now on, unless another trigger has the like already: then it shares
// them, and says from which offset on they are. It is evaluated first at the
// next window's end.
//
// The error wraps multilog.ErrExists, or multilog.ErrNotFound when there is no
// such filter or aggregate.
func (m *Monitor) InstallTrigger(spec TriggerSpec) (TriggerInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.triggers[spec.Name] != nil {
		return TriggerInfo{}, fmt.Errorf("monitor: trigger %q: %w", spec.Name, multilog.ErrExists)
	}
	if err := spec.Validate(); err != nil {
		return TriggerInfo{}, err
	}
	src, err := m.source(&spec)
	if err != nil {
		return TriggerInfo{}, fmt.Errorf("monitor: trigger %q: %w", spec.Name, err)
	}
	spec = spec.clone()
	w := m.window(src, int64(spec.Trigger.Every), int64(spec.Trigger.Window/spec.Trigger.Every))
	t := &trigger{
		spec: spec, text: spec.Trigger.String(), attrs: groupAttrs(&spec.Trigger.Agg),
		win: w, since: w.s.end, before: w.evaluations, episodes: map[groupKey]*episode{},
	}
	m.triggers[spec.Name] = t
	w.setTriggers(append(w.triggers, compare{threshold: spec.Trigger.Threshold, op: spec.Trigger.Op, t: t}))
	return m.info(t), nil
}

// source returns the source that a trigger reads, a new one if there is none.
func (m *Monitor) source(spec *TriggerSpec) (*source, error) {
	tr := spec.Trigger
	var key sourceKey
	var agg *multilog.Aggregate
	maxGroups := m.opt.MaxGroups
	if spec.Aggregate != "" {
		a := m.aggregates[spec.Aggregate]
		if a == nil {
			return nil, fmt.Errorf("aggregate %q: %w", spec.Aggregate, multilog.ErrNotFound)
		}
		switch width := a.log.Bucket(); {
		case spec.Filter != "" && spec.Filter != a.spec.Filter:
			return nil, fmt.Errorf("aggregate %q is on filter %q, not on %q", spec.Aggregate, a.spec.Filter, spec.Filter)
		case a.spec.Agg.String() != tr.Agg.String():
			return nil, fmt.Errorf("aggregate %q is %s, not %s", spec.Aggregate, a.spec.Agg, &tr.Agg)
		case tr.Every%width != 0:
			return nil, fmt.Errorf("every %v is not a multiple of the bucket of aggregate %q, %v", tr.Every, spec.Aggregate, width)
		}
		key, agg, maxGroups = sourceKey{named: spec.Aggregate}, a.log, a.spec.MaxGroups
	} else {
		key = sourceKey{filter: spec.Filter, agg: tr.Agg.String(), width: gcd(int64(tr.Every), int64(multilog.DefaultBucket))}
	}
	if src := m.sources[key]; src != nil {
		return src, nil
	}
	if key.named == "" {
		name := fmt.Sprintf("%s%s of %q in %v", ownPrefix, key.agg, key.filter, time.Duration(key.width))
		own := tr.Agg
		own.By = slices.Clone(own.By)
		var err error
		agg, err = m.log.InstallAggregate(multilog.AggregateSpec{Name: name, Filter: key.filter, Agg: &own, Bucket: time.Duration(key.width)})
		if err != nil {
			return nil, err
		}
	}
	src, err := newSource(m.log, key, agg, maxGroups)
	if err != nil {
		if key.named == "" {
			err = errors.Join(err, m.log.RemoveAggregate(agg.Name()))
		}
		return nil, err
	}
	m.sources[key] = src
	m.order = append(m.order, src)
	return src, nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// window returns the window of n buckets of width every over src, a new one if
// there is none.
func (m *Monitor) window(src *source, every, n int64) *window {
	var s *series
	for _, have := range src.series {
		if have.every == every && have.covers(n) {
			s = have
			break
		}
	}
	if s == nil {
		s = newSeries(src, every, n, int64(m.opt.Lateness), src.feed.Pos())
		if m.clock.known {
			s.start(max(floorDiv(m.clock.first, every), floorDiv(m.clock.last-int64(m.opt.Lateness), every)))
		}
		src.series = append(src.series, s)
	}
	for _, w := range s.windows {
		if w.n == n {
			return w
		}
	}
	w := newWindow(s, n)
	s.windows = append(s.windows, w)
	return w
}

// RemoveTrigger removes a trigger; groups of it that fire resolve. The error
// wraps multilog.ErrNotFound.
func (m *Monitor) RemoveTrigger(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.triggers[name]
	if t == nil {
		return fmt.Errorf("monitor: trigger %q: %w", name, multilog.ErrNotFound)
	}
	m.eval.now = time.Now()
	for _, key := range t.firingKeys() {
		m.eval.resolve(t, key, 0, true, 0)
	}
	m.eval.flush()
	delete(m.triggers, name)
	w := t.win
	s, src := w.s, w.s.src
	m.gone.Evaluations += w.evaluations - t.before
	m.gone.Overflow += t.overflow
	w.tracking -= len(t.episodes)
	w.setTriggers(slices.DeleteFunc(slices.Clone(w.triggers), func(c compare) bool { return c.t == t }))
	if len(w.triggers) > 0 {
		return nil
	}
	s.windows = slices.DeleteFunc(slices.Clone(s.windows), func(o *window) bool { return o == w })
	if len(s.windows) > 0 {
		return nil
	}
	m.gone.Late += s.tooLate
	m.gone.Reordered += s.reordered
	m.gone.Skipped += s.skipped
	src.series = slices.DeleteFunc(slices.Clone(src.series), func(o *series) bool { return o == s })
	if len(src.series) > 0 {
		return nil
	}
	delete(m.sources, src.key)
	m.order = slices.DeleteFunc(slices.Clone(m.order), func(o *source) bool { return o == src })
	if src.key.named == "" {
		return m.log.RemoveAggregate(src.agg.Name())
	}
	return nil
}

// firingKeys returns the groups of t that fire, in order.
func (t *trigger) firingKeys() []groupKey {
	var keys []groupKey
	for key, ep := range t.episodes {
		if ep.firing {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

// firing returns the alerts of all groups that fire, in the order in which they
// were raised. With m.mu.
func (m *Monitor) firing() []*Alert {
	var out []*Alert
	for _, t := range m.triggers {
		for _, ep := range t.episodes {
			if ep.firing {
				out = append(out, ep.alert)
			}
		}
	}
	slices.SortFunc(out, func(a, b *Alert) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}
