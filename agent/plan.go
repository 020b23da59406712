package agent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/monitor"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A plan is what has to be removed and installed, in this order. Indexes come
// first, since there may be no memory for them; of the others, what some need
// goes last and comes first.
type plan struct {
	dropIndexes []packet.Attr
	indexes     []packet.Attr

	dropTriggers   []string
	dropAggregates []string
	dropFilters    []string

	filters    []filterSpec
	aggregates []monitor.AggregateSpec
	triggers   []monitor.TriggerSpec
	sinks      *sinks // nil: as they are
}

type filterSpec struct {
	name string
	expr *expr.Expr
}

// A difference is what changed between two configurations, and what is
// installed now, by name.
type difference struct {
	filters    map[string][2]*config.Filter // before and after; nil: not there
	aggregates map[string][2]*config.Aggregate
	triggers   map[string][2]*config.Trigger

	filtersNow    map[string]bool
	aggregatesNow map[string]monitor.AggregateInfo
	triggersNow   map[string]monitor.TriggerInfo
}

func (a *Agent) difference(from, to *config.Config) *difference {
	d := &difference{
		filters:       pairs(from.Filters, to.Filters, func(f *config.Filter) string { return f.Name }),
		aggregates:    pairs(from.Aggregates, to.Aggregates, func(g *config.Aggregate) string { return g.Name }),
		triggers:      pairs(from.Triggers, to.Triggers, func(t *config.Trigger) string { return t.Name }),
		filtersNow:    map[string]bool{},
		aggregatesNow: map[string]monitor.AggregateInfo{},
		triggersNow:   map[string]monitor.TriggerInfo{},
	}
	for _, f := range a.mon.Filters() {
		d.filtersNow[f.Name()] = true
	}
	for _, g := range a.mon.Aggregates() {
		d.aggregatesNow[g.Name] = g
	}
	for _, t := range a.mon.Triggers() {
		d.triggersNow[t.Name] = t
	}
	return d
}

func pairs[T any](before, after []T, name func(*T) string) map[string][2]*T {
	m := map[string][2]*T{}
	for i := range before {
		m[name(&before[i])] = [2]*T{&before[i], nil}
	}
	for i := range after {
		n := name(&after[i])
		m[n] = [2]*T{m[n][0], &after[i]}
	}
	return m
}

func (d *difference) filter(name string) bool {
	p := d.filters[name]
	return !reflect.DeepEqual(p[0], p[1])
}

// aggregate reports whether an aggregate changed, or its filter did.
func (d *difference) aggregate(name string) bool {
	p := d.aggregates[name]
	return !reflect.DeepEqual(p[0], p[1]) || p[0] != nil && d.filter(p[0].Filter)
}

// trigger reports whether a trigger changed, or what it is on did.
func (d *difference) trigger(name string) bool {
	p := d.triggers[name]
	return !reflect.DeepEqual(p[0], p[1]) || p[0] != nil && (d.filter(p[0].Filter) || d.aggregate(p[0].Aggregate))
}

// plan works out what turns from into to, and whether it can be done.
func (a *Agent) plan(from, to *config.Config) (*plan, error) {
	p, d := &plan{}, a.difference(from, to)
	// A user may have removed meanwhile what the configuration had installed.
	for _, t := range from.Triggers {
		if _, there := d.triggersNow[t.Name]; there && d.trigger(t.Name) {
			p.dropTriggers = append(p.dropTriggers, t.Name)
		}
	}
	for _, g := range from.Aggregates {
		if _, there := d.aggregatesNow[g.Name]; there && d.aggregate(g.Name) {
			p.dropAggregates = append(p.dropAggregates, g.Name)
		}
	}
	for _, f := range from.Filters {
		if d.filtersNow[f.Name] && d.filter(f.Name) {
			p.dropFilters = append(p.dropFilters, f.Name)
		}
	}
	return p, errors.Join(p.othersNeed(d), a.planIndexes(p, from, to), a.planInstalls(p, d, to))
}

// othersNeed finds what a user installed on something that has to go.
func (p *plan) othersNeed(d *difference) error {
	inUse := func(kind, name, user string) error {
		return fmt.Errorf("agent: %s: %s cannot change: %w by %s, which is not of the configuration", kind, name, multilog.ErrInUse, user)
	}
	var errs []error
	for name, g := range d.aggregatesNow {
		if slices.Contains(p.dropFilters, g.Filter) && !slices.Contains(p.dropAggregates, name) {
			errs = append(errs, inUse("filters", g.Filter, "aggregate "+name))
		}
	}
	for name, t := range d.triggersNow {
		if slices.Contains(p.dropTriggers, name) {
			continue
		}
		if slices.Contains(p.dropFilters, t.Filter) {
			errs = append(errs, inUse("filters", t.Filter, "trigger "+name))
		}
		if slices.Contains(p.dropAggregates, t.Aggregate) {
			errs = append(errs, inUse("aggregates", t.Aggregate, "trigger "+name))
		}
	}
	return errors.Join(errs...)
}

func (a *Agent) planIndexes(p *plan, from, to *config.Config) error {
	for _, x := range from.Indexes {
		if !slices.Contains(to.Indexes, x) && a.log.Index(packet.Attr(x)) != nil {
			p.dropIndexes = append(p.dropIndexes, packet.Attr(x))
		}
	}
	var errs []error
	for _, x := range to.Indexes {
		attr := packet.Attr(x)
		if slices.Contains(from.Indexes, x) || a.log.Index(attr) != nil {
			continue
		}
		if !a.log.Options().Columns.Has(attr) {
			errs = append(errs, fmt.Errorf("agent: indexes: %s is not stored as a column (multilog.columns takes a restart)", x))
		}
		p.indexes = append(p.indexes, attr)
	}
	return errors.Join(errs...)
}

func (a *Agent) planInstalls(p *plan, d *difference, to *config.Config) error {
	var errs []error
	taken := func(kind, name string) {
		errs = append(errs, fmt.Errorf("agent: %s: %s: %w by a user", kind, name, multilog.ErrExists))
	}
	for i := range to.Filters {
		f := &to.Filters[i]
		if !d.filter(f.Name) {
			continue
		}
		if d.filtersNow[f.Name] && !slices.Contains(p.dropFilters, f.Name) {
			taken("filters", f.Name)
		}
		// The file was read without knowing the ports as they are now.
		e, err := api.ParseWhere(f.Where, &a.ports)
		if err != nil {
			errs = append(errs, fmt.Errorf("agent: filters: %s: where: %w", f.Name, err))
		}
		p.filters = append(p.filters, filterSpec{f.Name, e})
	}
	for i := range to.Aggregates {
		g := &to.Aggregates[i]
		if !d.aggregate(g.Name) {
			continue
		}
		if _, there := d.aggregatesNow[g.Name]; there && !slices.Contains(p.dropAggregates, g.Name) {
			taken("aggregates", g.Name)
		}
		spec, err := expr.ParseAggregate(g.Compute)
		if err != nil {
			errs = append(errs, fmt.Errorf("agent: aggregates: %s: compute: %w", g.Name, err))
		}
		p.aggregates = append(p.aggregates, monitor.AggregateSpec{Name: g.Name, Filter: g.Filter, Agg: spec, Bucket: g.Bucket, MaxGroups: g.MaxGroups})
	}
	for i := range to.Triggers {
		t := &to.Triggers[i]
		if !d.trigger(t.Name) {
			continue
		}
		if _, there := d.triggersNow[t.Name]; there && !slices.Contains(p.dropTriggers, t.Name) {
			taken("triggers", t.Name)
		}
		spec, err := t.Spec(d.aggregates[t.Aggregate][1])
		if err != nil {
			errs = append(errs, fmt.Errorf("agent: triggers: %s: when: %w", t.Name, err))
		}
		p.triggers = append(p.triggers, spec)
	}
	return errors.Join(errs...)
}

// carryOut does what was planned. It fails only for what could not be known
// before, such as memory for an index.
func (a *Agent) carryOut(p *plan) error {
	type step struct {
		key string
		do  func() error
	}
	var steps []step
	add := func(key string, do func() error) { steps = append(steps, step{key, do}) }
	for _, attr := range p.dropIndexes {
		add("indexes", func() error { return a.log.RemoveIndex(attr) })
	}
	for _, attr := range p.indexes {
		add("indexes", func() error { _, err := a.log.InstallIndex(attr); return err })
	}
	for _, name := range p.dropTriggers {
		add("triggers", func() error { return a.mon.RemoveTrigger(name) })
	}
	for _, name := range p.dropAggregates {
		add("aggregates", func() error { return a.mon.RemoveAggregate(name) })
	}
	for _, name := range p.dropFilters {
		add("filters", func() error { return a.mon.RemoveFilter(name) })
	}
	for _, f := range p.filters {
		add("filters", func() error { _, err := a.mon.InstallFilter(f.name, f.expr); return err })
	}
	for _, spec := range p.aggregates {
		add("aggregates", func() error { _, err := a.mon.InstallAggregate(spec); return err })
	}
	for _, spec := range p.triggers {
		add("triggers", func() error { _, err := a.mon.InstallTrigger(spec); return err })
	}
	if p.sinks != nil {
		add("alerts.webhooks", func() error { return a.replaceSinks(p.sinks) })
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("agent: %s: %w", s.key, err)
		}
	}
	return nil
}
