package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/monitor"
)

// openMonitor makes the monitor, which does not evaluate yet.
func (a *Agent) openMonitor(cfg *config.Config) error {
	o := cfg.MonitorOptions()
	sinks, err := a.openSinks(cfg)
	if err != nil {
		return err
	}
	o.Sinks = sinks.list()
	m, err := monitor.New(a.log, o)
	if err != nil {
		return errors.Join(fmt.Errorf("agent: %w", err), sinks.close())
	}
	a.mon = m
	a.sinks.Store(sinks)
	return nil
}

// sinks are where alerts go. They are replaced as a whole.
type sinks struct {
	log      *monitor.LogSink // nil: none
	webhooks []*monitor.Webhook
	before   uint64 // alerts that earlier sinks did not deliver
}

func (a *Agent) openSinks(cfg *config.Config) (*sinks, error) {
	s := &sinks{}
	for i := range cfg.Alerts.Webhooks {
		w, err := monitor.NewWebhook(cfg.Alerts.Webhooks[i].Options(hostName(cfg), a.slog))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("agent: alerts.webhooks: %w", err), s.close())
		}
		s.webhooks = append(s.webhooks, w)
	}
	if cfg.Alerts.Log {
		s.log = monitor.NewLogSink(a.slog)
	}
	return s, nil
}

// hostName is the name that this agent goes by.
func hostName(cfg *config.Config) string {
	if cfg.Agent.Name != "" {
		return cfg.Agent.Name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

func (s *sinks) list() []monitor.Sink {
	var out []monitor.Sink
	if s.log != nil {
		out = append(out, s.log)
	}
	for _, w := range s.webhooks {
		out = append(out, w)
	}
	return out
}

func (s *sinks) close() error {
	var errs []error
	for _, sink := range s.list() {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}

// undelivered returns how many alerts receivers did not take, these and those
// before them.
func (s *sinks) undelivered() uint64 {
	n := s.before
	if s.log != nil {
		n += s.log.Dropped()
	}
	for _, w := range s.webhooks {
		st := w.Stats()
		n += st.Rejected + st.Dropped
	}
	return n
}

// replaceSinks delivers alerts to next from now on.
func (a *Agent) replaceSinks(next *sinks) error {
	old := a.sinks.Load()
	err := a.mon.SetSinks(next.list())
	next.before = old.undelivered() // final: SetSinks has closed them
	a.sinks.Store(next)
	return err
}

// Alerts implements api.Host.
func (a *Agent) Alerts(since time.Time) []api.Alert {
	done, err := a.use()
	if err != nil {
		return nil
	}
	defer done()
	var out []api.Alert
	for _, al := range a.mon.Alerts(since) {
		out = append(out, apiAlert(al))
	}
	return out
}

// Follow implements api.Host.
func (a *Agent) Follow(ctx context.Context) <-chan api.Alert {
	out := make(chan api.Alert)
	done, err := a.use()
	if err != nil {
		close(out)
		return out
	}
	ctx, cancel := context.WithCancel(ctx)
	in := a.mon.Follow(ctx)
	done() // alerts do not need the log
	go func() {
		defer close(out)
		defer cancel()
		for al := range in {
			select {
			case out <- apiAlert(al):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func apiAlert(al *monitor.Alert) api.Alert {
	out := api.Alert{
		Seq: al.Seq, Time: al.Raised, Trigger: al.Trigger, Expr: al.Expr, Filter: al.Filter, State: string(al.State),
		Severity: al.Severity, Started: al.Started, Labels: al.Labels, Annotations: al.Annotations,
		Value: al.Value, NoValue: al.NoValue, Threshold: al.Threshold, Headers: al.Headers, WindowFrom: al.From, WindowTo: al.To,
		FirstOffset: al.FirstOffset, LastOffset: al.LastOffset, NoOffsets: !al.HasOffsets,
	}
	for _, l := range al.Group {
		if out.Group == nil {
			out.Group = make(map[string]string)
		}
		out.Group[l.Name] = l.Value
	}
	return out
}
