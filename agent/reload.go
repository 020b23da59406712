package agent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// Apply changes a running agent to the live part of configuration to, which
// the caller must not change afterwards, and names what would take a restart.
// It first makes sure that everything can be applied: an error means that
// nothing was changed, unless it says otherwise. What did not change is left
// alone; what was installed by others than the configuration stays.
func (a *Agent) Apply(to *config.Config) (applied, needRestart []config.Change, err error) {
	a.change.Lock()
	defer a.change.Unlock()
	if a.state.Load() != stateRunning {
		return nil, nil, fmt.Errorf("%w: reload of an agent that is %s", ErrState, a.State())
	}
	from := a.cfg.Load()
	for _, c := range from.Diff(to) {
		if c.Live {
			applied = append(applied, c)
		} else {
			needRestart = append(needRestart, c)
		}
	}
	p, err := a.plan(from, to)
	if err != nil {
		return nil, nil, err
	}
	// In force from now on: what is live, and of the rest what was before.
	next := *from
	next.Agent.Log.Level = to.Agent.Log.Level
	next.Indexes, next.Filters, next.Aggregates = to.Indexes, to.Filters, to.Aggregates
	next.Triggers, next.Alerts = to.Triggers, to.Alerts
	if err := p.carryOut(a.log); err != nil {
		return nil, nil, fmt.Errorf("%w (what comes after it was not applied)", err)
	}
	a.cfg.Store(&next)
	a.setLevel(&next)
	for _, c := range applied {
		a.slog.Info("reloaded", "key", c.Key, "old", c.Old, "new", c.New)
	}
	for _, c := range needRestart {
		a.slog.Warn("takes a restart", "key", c.Key, "old", c.Old, "new", c.New)
	}
	return applied, needRestart, nil
}

// installIndexes installs the configured indexes, which reserves memory and
// takes its time.
func (a *Agent) installIndexes(cfg *config.Config) error {
	p, err := a.plan(&config.Config{}, &config.Config{Indexes: cfg.Indexes})
	if err != nil {
		return err
	}
	return p.carryOut(a.log)
}

// installRest installs everything else that is configured.
func (a *Agent) installRest(cfg *config.Config) error {
	p, err := a.plan(&config.Config{}, cfg)
	if err != nil {
		return err
	}
	return p.carryOut(a.log)
}

// A plan is what has to be removed from and installed into the log, in this
// order: what others need goes last and comes first.
type plan struct {
	dropAggregates []string
	dropFilters    []string
	dropIndexes    []packet.Attr

	indexes    []packet.Attr
	filters    []multilog.FilterSpec
	aggregates []multilog.AggregateSpec
}

// plan works out what turns from into to, and whether it can be done.
func (a *Agent) plan(from, to *config.Config) (*plan, error) {
	p := &plan{}
	for _, x := range from.Indexes {
		if !slices.Contains(to.Indexes, x) && a.log.Index(packet.Attr(x)) != nil {
			p.dropIndexes = append(p.dropIndexes, packet.Attr(x))
		}
	}
	for _, x := range to.Indexes {
		if slices.Contains(from.Indexes, x) {
			continue
		}
		attr := packet.Attr(x)
		if a.log.Index(attr) != nil {
			continue // someone has it already
		}
		if !a.log.Options().Columns.Has(attr) {
			return nil, fmt.Errorf("agent: indexes: %s is not stored as a column (multilog.columns takes a restart)", x)
		}
		p.indexes = append(p.indexes, attr)
	}

	oldF := byName(from.Filters, func(f *config.Filter) string { return f.Name })
	newF := byName(to.Filters, func(f *config.Filter) string { return f.Name })
	oldA := byName(from.Aggregates, func(g *config.Aggregate) string { return g.Name })
	newA := byName(to.Aggregates, func(g *config.Aggregate) string { return g.Name })

	changedFilter := func(name string) bool { return name != "" && !reflect.DeepEqual(oldF[name], newF[name]) }
	changedAggregate := func(name string) bool {
		o, n := oldA[name], newA[name]
		return !reflect.DeepEqual(o, n) || o != nil && changedFilter(o.Filter)
	}
	// What was in the configuration may have been removed by a user meanwhile.
	for _, g := range from.Aggregates {
		if changedAggregate(g.Name) && a.log.Aggregate(g.Name) != nil {
			p.dropAggregates = append(p.dropAggregates, g.Name)
		}
	}
	for _, f := range from.Filters {
		if changedFilter(f.Name) && a.log.Filter(f.Name) != nil {
			p.dropFilters = append(p.dropFilters, f.Name)
		}
	}
	for _, g := range a.log.Aggregates() {
		on := g.Filter().Name()
		if slices.Contains(p.dropFilters, on) && !slices.Contains(p.dropAggregates, g.Name()) {
			return nil, fmt.Errorf("agent: filters: %s cannot change: %w by aggregate %s, which is not of the configuration", on, multilog.ErrInUse, g.Name())
		}
	}
	var errs []error
	for i := range to.Filters {
		f := &to.Filters[i]
		if !changedFilter(f.Name) {
			continue
		}
		if a.log.Filter(f.Name) != nil && !slices.Contains(p.dropFilters, f.Name) {
			errs = append(errs, fmt.Errorf("agent: filters: %s: %w", f.Name, multilog.ErrExists))
			continue
		}
		spec, err := a.filterSpec(f)
		errs = append(errs, err)
		p.filters = append(p.filters, spec)
	}
	for i := range to.Aggregates {
		g := &to.Aggregates[i]
		if !changedAggregate(g.Name) {
			continue
		}
		if a.log.Aggregate(g.Name) != nil && !slices.Contains(p.dropAggregates, g.Name) {
			errs = append(errs, fmt.Errorf("agent: aggregates: %s: %w", g.Name, multilog.ErrExists))
			continue
		}
		spec, err := aggregateSpec(g)
		errs = append(errs, err)
		p.aggregates = append(p.aggregates, spec)
	}
	return p, errors.Join(errs...)
}

func byName[T any](list []T, name func(*T) string) map[string]*T {
	m := make(map[string]*T, len(list))
	for i := range list {
		m[name(&list[i])] = &list[i]
	}
	return m
}

func (p *plan) carryOut(l *multilog.Log) error {
	for _, name := range p.dropAggregates {
		if err := l.RemoveAggregate(name); err != nil {
			return fmt.Errorf("agent: aggregates: %w", err)
		}
	}
	for _, name := range p.dropFilters {
		if err := l.RemoveFilter(name); err != nil {
			return fmt.Errorf("agent: filters: %w", err)
		}
	}
	for _, attr := range p.dropIndexes {
		if err := l.RemoveIndex(attr); err != nil {
			return fmt.Errorf("agent: indexes: %w", err)
		}
	}
	for _, attr := range p.indexes {
		if _, err := l.InstallIndex(attr); err != nil {
			return fmt.Errorf("agent: indexes: %w", err)
		}
	}
	for _, spec := range p.filters {
		if _, err := l.InstallFilter(spec); err != nil {
			return fmt.Errorf("agent: filters: %w", err)
		}
	}
	for _, spec := range p.aggregates {
		if _, err := l.InstallAggregate(spec); err != nil {
			return fmt.Errorf("agent: aggregates: %w", err)
		}
	}
	return nil
}

func (a *Agent) filterSpec(f *config.Filter) (multilog.FilterSpec, error) {
	e, err := api.ParseWhere(f.Where, &a.ports)
	if err != nil {
		err = fmt.Errorf("agent: filters: %s: where: %w", f.Name, err)
	}
	return multilog.FilterSpec{Name: f.Name, Expr: e}, err
}

func aggregateSpec(g *config.Aggregate) (multilog.AggregateSpec, error) {
	spec, err := expr.ParseAggregate(g.Compute)
	if err != nil {
		err = fmt.Errorf("agent: aggregates: %s: compute: %w", g.Name, err)
	}
	return multilog.AggregateSpec{Name: g.Name, Filter: g.Filter, Agg: spec, Bucket: g.Bucket}, err
}
