package agent

import (
	"fmt"

	"github.com/confluo/confluo/api"
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
	f, err := a.log.InstallFilter(multilog.FilterSpec{Name: name, Expr: e})
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
	return toAPI(a.log.RemoveFilter(name))
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
