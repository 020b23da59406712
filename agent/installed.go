package agent

import (
	"fmt"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/monitor"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// changing takes the right to install and remove until the function that it
// returns is called.
func (a *Agent) changing() (done func(), err error) {
	a.change.Lock()
	if s := a.state.Load(); s != stateRunning {
		a.change.Unlock()
		return nil, fmt.Errorf("%w: the agent is %s", api.ErrUnavailable, a.State())
	}
	return a.change.Unlock, nil
}

// Filters implements api.Host.
func (a *Agent) Filters() []api.Filter {
	done, err := a.use()
	if err != nil {
		return nil
	}
	defer done()
	var out []api.Filter
	for _, f := range a.log.Filters() {
		out = append(out, apiFilter(f))
	}
	return out
}

func apiFilter(f *multilog.Filter) api.Filter {
	return api.Filter{Name: f.Name(), Expr: f.Expr().String(), FromOffset: f.From(), Matched: f.Matched()}
}

// InstallFilter implements api.Host.
func (a *Agent) InstallFilter(name string, e *expr.Expr) (api.Filter, error) {
	done, err := a.changing()
	if err != nil {
		return api.Filter{}, err
	}
	defer done()
	f, err := a.mon.InstallFilter(name, e)
	if err != nil {
		return api.Filter{}, toAPI(err)
	}
	return apiFilter(f), nil
}

// RemoveFilter implements api.Host.
func (a *Agent) RemoveFilter(name string) error {
	done, err := a.changing()
	if err != nil {
		return err
	}
	defer done()
	return toAPI(a.mon.RemoveFilter(name))
}

// Indexes implements api.Host.
func (a *Agent) Indexes() []api.Index {
	done, err := a.use()
	if err != nil {
		return nil
	}
	defer done()
	var out []api.Index
	for _, x := range a.log.Indexes() {
		out = append(out, a.apiIndex(x))
	}
	return out
}

func (a *Agent) apiIndex(x *multilog.Index) api.Index {
	from := max(x.From(), a.log.First())
	return api.Index{Attr: x.Attr().String(), FromOffset: x.From(), Entries: max(x.Sorted(), from) - from}
}

// InstallIndex implements api.Host.
func (a *Agent) InstallIndex(attr packet.Attr) (api.Index, error) {
	done, err := a.changing()
	if err != nil {
		return api.Index{}, err
	}
	defer done()
	if !a.log.Options().Columns.Has(attr) {
		return api.Index{}, fmt.Errorf("%w index: %s is not stored as a column (multilog.columns of the configuration)", api.ErrInvalid, attr)
	}
	x, err := a.log.InstallIndex(attr)
	if err != nil {
		return api.Index{}, toAPI(err)
	}
	return a.apiIndex(x), nil
}

// RemoveIndex implements api.Host.
func (a *Agent) RemoveIndex(attr packet.Attr) error {
	done, err := a.changing()
	if err != nil {
		return err
	}
	defer done()
	return toAPI(a.log.RemoveIndex(attr))
}

// Aggregates implements api.Host. It reads the log of each for its value.
func (a *Agent) Aggregates() []api.Aggregate {
	done, err := a.use()
	if err != nil {
		return nil
	}
	defer done()
	var out []api.Aggregate
	for _, g := range a.mon.Aggregates() {
		// One that is removed meanwhile is left out.
		if r, _, err := a.mon.Value(g.Name); err == nil {
			out = append(out, api.Aggregate{
				Name: g.Name, Filter: g.Filter, Aggregate: g.Agg.String(), FromOffset: g.FromOffset,
				Result: api.NewResult(r, &a.ports),
			})
		}
	}
	return out
}

// InstallAggregate implements api.Host.
func (a *Agent) InstallAggregate(name, filter string, spec *expr.Aggregate) (api.Aggregate, error) {
	done, err := a.changing()
	if err != nil {
		return api.Aggregate{}, err
	}
	defer done()
	g, err := a.mon.InstallAggregate(monitor.AggregateSpec{Name: name, Filter: filter, Agg: spec})
	if err != nil {
		return api.Aggregate{}, toAPI(err)
	}
	return api.Aggregate{Name: name, Filter: filter, Aggregate: spec.String(), FromOffset: g.From()}, nil
}

// RemoveAggregate implements api.Host.
func (a *Agent) RemoveAggregate(name string) error {
	done, err := a.changing()
	if err != nil {
		return err
	}
	defer done()
	return toAPI(a.mon.RemoveAggregate(name))
}

// Triggers implements api.Host.
func (a *Agent) Triggers() []api.Trigger {
	done, err := a.use()
	if err != nil {
		return nil
	}
	defer done()
	var out []api.Trigger
	for _, t := range a.mon.Triggers() {
		out = append(out, a.apiTrigger(&t))
	}
	return out
}

func (a *Agent) apiTrigger(t *monitor.TriggerInfo) api.Trigger {
	filter := t.Filter
	for _, g := range a.mon.Aggregates() {
		if g.Name == t.Aggregate {
			filter = g.Filter
		}
	}
	return api.Trigger{
		Name: t.Name, Filter: filter, Trigger: t.Trigger.String(), FromOffset: t.FromOffset,
		Evaluations: t.Evaluations, Firing: t.Firing, LastFired: t.LastFired,
		Severity: t.Severity, Alerts: t.Alerts, Late: t.Late, Skipped: t.Skipped,
	}
}

// InstallTrigger implements api.Host.
func (a *Agent) InstallTrigger(name, filter string, tr *expr.Trigger) (api.Trigger, error) {
	done, err := a.changing()
	if err != nil {
		return api.Trigger{}, err
	}
	defer done()
	spec := monitor.TriggerSpec{Name: name, Filter: filter, Trigger: tr, Severity: config.DefaultSeverity}
	if err := spec.Validate(); err != nil {
		return api.Trigger{}, marked{err, api.ErrInvalid}
	}
	t, err := a.mon.InstallTrigger(spec)
	if err != nil {
		return api.Trigger{}, toAPI(err)
	}
	return a.apiTrigger(&t), nil
}

// RemoveTrigger implements api.Host.
func (a *Agent) RemoveTrigger(name string) error {
	done, err := a.changing()
	if err != nil {
		return err
	}
	defer done()
	return toAPI(a.mon.RemoveTrigger(name))
}
