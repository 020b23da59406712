package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// An Agent is what the API serves.
var _ api.Host = (*Agent)(nil)

// use keeps the log from being closed until done is called. It fails while
// there is no log yet, and when there is none any more.
func (a *Agent) use() (done func(), err error) {
	if !a.users.enter() {
		return nil, fmt.Errorf("%w: the agent is %s", api.ErrUnavailable, a.State())
	}
	return a.users.leave, nil
}

// toAPI marks errors of the rooms with what the API tells apart.
func toAPI(err error) error {
	for _, m := range []struct{ room, api error }{
		{multilog.ErrNotFound, api.ErrNotFound},
		{multilog.ErrExists, api.ErrExists},
		{multilog.ErrInUse, api.ErrInUse},
		{diagnoser.ErrNoSnapshot, api.ErrNotFound},
		{diagnoser.ErrExists, api.ErrExists},
		{diagnoser.ErrInvalid, api.ErrInvalid},
		{diagnoser.ErrTooMany, api.ErrInvalid},
		{diagnoser.ErrClosed, api.ErrUnavailable},
	} {
		if errors.Is(err, m.room) {
			return marked{err, m.api}
		}
	}
	return err
}

// A marked error reads as the room wrote it, and is also one of the API's.
type marked struct{ room, api error }

func (m marked) Error() string   { return m.room.Error() }
func (m marked) Unwrap() []error { return []error{m.room, m.api} }

// Ready implements api.Host: the agent runs and no queue has failed.
func (a *Agent) Ready() error {
	if s := a.state.Load(); s != stateRunning {
		return fmt.Errorf("%w: the agent is %s", api.ErrUnavailable, a.State())
	}
	if err := a.pipe.Err(); err != nil {
		return fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return nil
}

// Ports implements api.Host.
func (a *Agent) Ports() *packet.PortTable { return &a.ports }

// Reload reads the configuration file again and applies what can change live.
// It implements api.Host.
func (a *Agent) Reload(context.Context) (*api.ReloadResponse, error) {
	if a.opt.Path == "" {
		return nil, fmt.Errorf("%w: this agent has no configuration file", api.ErrInvalid)
	}
	cfg, err := config.Load(a.opt.Path)
	if err != nil {
		a.slog.Error("reload", "err", err)
		return nil, fmt.Errorf("%w configuration:\n%w", api.ErrInvalid, err)
	}
	applied, restart, err := a.Apply(cfg)
	if err != nil {
		a.slog.Error("reload", "err", err)
		return nil, toAPI(err)
	}
	r := &api.ReloadResponse{}
	for _, c := range applied {
		r.Applied = append(r.Applied, c.Key)
	}
	for _, c := range restart {
		r.NeedsRestart = append(r.NeedsRestart, c.Key)
	}
	return r, nil
}

// Query implements api.Host.
func (a *Agent) Query(ctx context.Context, q diagnoser.Query, rows func(*diagnoser.Rows) error) (*diagnoser.Footer, error) {
	done, err := a.use()
	if err != nil {
		return nil, err
	}
	defer done()
	f, err := a.diag.Query(ctx, q, rows)
	return f, toAPI(err)
}

// Count implements api.Host.
func (a *Agent) Count(ctx context.Context, q diagnoser.Query) (uint64, *diagnoser.Footer, error) {
	done, err := a.use()
	if err != nil {
		return 0, nil, err
	}
	defer done()
	n, f, err := a.diag.Count(ctx, q)
	return n, f, toAPI(err)
}

// Aggregate implements api.Host.
func (a *Agent) Aggregate(ctx context.Context, q diagnoser.Query, spec *expr.Aggregate) (*fold.Result, *diagnoser.Footer, error) {
	done, err := a.use()
	if err != nil {
		return nil, nil, err
	}
	defer done()
	r, f, err := a.diag.Aggregate(ctx, q, spec, fold.Options{})
	return r, f, toAPI(err)
}

// Explain implements api.Host.
func (a *Agent) Explain(q diagnoser.Query) (string, error) {
	done, err := a.use()
	if err != nil {
		return "", err
	}
	defer done()
	s, err := a.diag.Explain(q)
	return s, toAPI(err)
}

// Snapshot implements api.Host.
func (a *Agent) Snapshot(name string, ttl time.Duration) (api.Snapshot, error) {
	done, err := a.use()
	if err != nil {
		return api.Snapshot{}, err
	}
	defer done()
	s, err := a.diag.Snapshot(name, ttl)
	return apiSnapshot(s), toAPI(err)
}

// Snapshots implements api.Host.
func (a *Agent) Snapshots() []api.Snapshot {
	done, err := a.use()
	if err != nil {
		return nil
	}
	defer done()
	var out []api.Snapshot
	for _, s := range a.diag.Snapshots() {
		out = append(out, apiSnapshot(s))
	}
	return out
}

// Release implements api.Host.
func (a *Agent) Release(name string) error {
	done, err := a.use()
	if err != nil {
		return err
	}
	defer done()
	return toAPI(a.diag.Release(name))
}

func apiSnapshot(s diagnoser.Snapshot) api.Snapshot {
	return api.Snapshot{Name: s.Name, EndOffset: s.EndOffset, Taken: s.Taken, Expires: s.Expires}
}
