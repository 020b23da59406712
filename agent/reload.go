package agent

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/confluo/confluo/agent/config"
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
	if from.Alerts.Log != to.Alerts.Log || !reflect.DeepEqual(from.Alerts.Webhooks, to.Alerts.Webhooks) {
		if p.sinks, err = a.openSinks(to); err != nil {
			return nil, nil, err
		}
	}
	if err := a.carryOut(p); err != nil {
		err = fmt.Errorf("%w (what comes after it was not applied)", err)
		if p.sinks != nil && a.sinks.Load() != p.sinks {
			err = errors.Join(err, p.sinks.close())
		}
		return nil, nil, err
	}
	// In force from now on: what is live, and of the rest what was before.
	next := *from
	next.Agent.Log.Level = to.Agent.Log.Level
	next.Indexes, next.Filters, next.Aggregates, next.Triggers = to.Indexes, to.Filters, to.Aggregates, to.Triggers
	next.Alerts.Log, next.Alerts.Webhooks = to.Alerts.Log, to.Alerts.Webhooks
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
	return a.carryOut(p)
}

// installRest installs everything else that is configured.
func (a *Agent) installRest(cfg *config.Config) error {
	p, err := a.plan(&config.Config{}, cfg)
	if err != nil {
		return err
	}
	return a.carryOut(p)
}
