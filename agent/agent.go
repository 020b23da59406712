package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/monitor"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// Options are what an agent needs beside its configuration.
type Options struct {
	Log     *slog.Logger // nil: to standard error, as agent.log of the configuration says
	Version string       // of the program, for status and metrics
	Path    string       // of the configuration file, which Reload reads again; empty: there is none
}

// The states of an agent.
const (
	stateNew int32 = iota
	stateStarting
	stateRunning
	stateDraining
	stateStopped
)

var stateNames = [...]string{"new", "starting", "running", "draining", "stopped"}

// ErrState is returned by what an agent cannot do in its present state.
var ErrState = errors.New("agent: not in a state for this")

// An Agent is one running pipeline. Its methods may be called from any
// goroutine.
type Agent struct {
	opt   Options
	slog  *slog.Logger
	level slog.LevelVar // of slog, when it is the agent's own

	state   atomic.Int32
	started time.Time // set before the state is starting

	life sync.Mutex // held while the agent starts and while it stops

	// change is held while a configuration is applied, or a user installs or
	// removes something. No reader of counters takes it, and nothing on the way
	// of a packet.
	change sync.Mutex
	cfg    atomic.Pointer[config.Config] // in force

	users    gate // of pipe, log and diag
	ports    packet.PortTable
	pipe     *pipeline.Pipeline
	log      *multilog.Log // the pipeline's
	mon      *monitor.Monitor
	sinks    atomic.Pointer[sinks]
	diag     *diagnoser.Diagnoser
	api      *api.Server
	registry *prometheus.Registry
	drops    dropHistory

	background sync.WaitGroup
	quit       chan struct{} // closed when background work shall end
	ended      chan struct{} // closed when no source will ever deliver again and all is stored
}

// New makes an agent that is not running yet. cfg must not be changed any more.
func New(cfg *config.Config, opt Options) *Agent {
	a := &Agent{opt: opt, slog: opt.Log, quit: make(chan struct{}), ended: make(chan struct{})}
	a.cfg.Store(cfg)
	if a.slog == nil {
		a.slog = slog.New(newHandler(os.Stderr, &a.level, cfg.Agent.Log.Format))
	}
	a.setLevel(cfg)
	a.registry = newRegistry(a)
	a.api = api.NewServer(a, apiOptions(cfg, a.slog))
	return a
}

func apiOptions(cfg *config.Config, log *slog.Logger) api.Options {
	o := api.Options{Socket: cfg.API.Socket, Mode: fs.FileMode(cfg.API.SocketMode), Group: cfg.API.SocketGroup, Log: log}
	if t := cfg.API.TCP; t != nil {
		o.TCP = t.Listen
		if t.TLS != nil {
			o.Cert, o.Key, o.ClientCA = t.TLS.Cert, t.TLS.Key, t.TLS.ClientCA
		}
	}
	return o
}

// Start listens for requests, reserves and touches the log's memory, opens the
// sources, installs what the configuration asks for, and begins to capture.
// When it fails, everything it had started is stopped again, and the agent is
// of no more use. Cancelling ctx makes a Start under way give up; it has no
// effect on an agent that runs.
func (a *Agent) Start(ctx context.Context) (err error) {
	a.life.Lock()
	defer a.life.Unlock()
	if a.state.Load() != stateNew {
		return fmt.Errorf("%w: start of an agent that is %s", ErrState, a.State())
	}
	a.started = time.Now()
	a.state.Store(stateStarting)
	cfg := a.cfg.Load()
	defer func() {
		if err != nil {
			_, stopErr := a.shutdown(ctx)
			err = errors.Join(err, stopErr)
		}
	}()
	for _, step := range []func(*config.Config) error{
		a.listen,
		lookForSources,
		a.initEAL,
		a.reserve, // takes long, and so comes before sources have to be served
		a.openMonitor,
		a.installIndexes, // takes long as well
		a.openSources,
		a.installRest, // expressions may name ports of sources
		a.capture,
	} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("agent: start: %w", err)
		}
		if err := step(cfg); err != nil {
			return err
		}
	}
	a.slog.Info("capturing", "sources", len(cfg.Sources), "queues", cfg.Queues(), "writers", cfg.Writers.Count,
		"memory", config.Bytes(a.log.Bytes()).String(), "headers", a.log.Capacity())
	return nil
}

// State returns what the agent is doing: new, starting, running, draining or
// stopped.
func (a *Agent) State() string { return stateNames[a.state.Load()] }

// Config returns the configuration in force. It must not be changed.
func (a *Agent) Config() *config.Config { return a.cfg.Load() }

// Addrs returns where the API listens: the path of the socket, then the TCP
// address.
func (a *Agent) Addrs() []net.Addr { return a.api.Addrs() }

// Ended is closed when every source of a running agent has come to its end
// (capture files do) and what they delivered is stored. The log can still be
// queried.
func (a *Agent) Ended() <-chan struct{} { return a.ended }

// Stop closes the sources, waits until what they delivered is stored, answers
// the requests under way, and ends everything. The ledger that it returns is
// the last and has nothing in flight. When ctx ends first, batches that still
// wait for room are dropped and counted, and requests are cut off.
func (a *Agent) Stop(ctx context.Context) (api.Ledger, error) {
	a.life.Lock()
	defer a.life.Unlock()
	if !a.state.CompareAndSwap(stateRunning, stateDraining) {
		return api.Ledger{}, fmt.Errorf("%w: stop of an agent that is %s", ErrState, a.State())
	}
	a.slog.Info("draining")
	ledger, err := a.shutdown(ctx)
	a.slog.Info("stopped", "ran", time.Since(a.started).Round(time.Millisecond).String(), "ledger", ledgerValue(ledger))
	return ledger, err
}

// shutdown undoes what Start did, as far as it came, in the order in which
// headers travel.
func (a *Agent) shutdown(ctx context.Context) (ledger api.Ledger, err error) {
	var errs []error
	if a.pipe != nil {
		errs = append(errs, a.pipe.Stop(ctx))
	}
	if a.mon != nil {
		errs = append(errs, a.mon.Close()) // after a last look at what is stored now
	}
	errs = append(errs, a.api.Shutdown(ctx))
	a.change.Lock() // nothing is being installed or removed any more
	defer a.change.Unlock()
	ledger = a.Ledger()
	if n := ledger.InFlight; n != 0 {
		errs = append(errs, fmt.Errorf("agent: the ledger does not balance: %d headers are neither stored nor dropped", int64(n)))
	}
	a.state.Store(stateStopped)
	close(a.quit)
	a.background.Wait()
	a.users.close()
	if a.pipe != nil {
		a.diag.Close()
		errs = append(errs, a.pipe.Close())
	}
	return ledger, errors.Join(errs...)
}

func (a *Agent) listen(cfg *config.Config) error {
	// /run is emptied at every start of the machine.
	if err := os.MkdirAll(filepath.Dir(cfg.API.Socket), 0o755); err != nil {
		return fmt.Errorf("agent: api.socket: %w", err)
	}
	if err := a.api.Start(); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// reserve reserves the memory of log and rings.
func (a *Agent) reserve(cfg *config.Config) error {
	m := &cfg.MultiLog
	a.slog.Info("reserving memory", "memory", m.Memory.String())
	p, err := pipeline.Reserve(pipeline.Options{
		Log: multilog.Options{
			Ports:          &a.ports,
			SnapLen:        cfg.Agent.Snaplen,
			Memory:         int64(m.Memory),
			SegmentHeaders: m.SegmentHeaders,
			Columns:        m.Stored(),
			LogBytes:       m.LogBytes,
			HugePages:      m.Pages(),
		},
		RingBatches: cfg.Spray.RingBatches,
		Policy:      cfg.Spray.Policy(),
		Writers:     cfg.Writers.Count,
		WriterCPUs:  cfg.Writers.CPUs,
		CaptureCPUs: cfg.Capture.CPUs,
	}, cfg.Queues())
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	a.pipe, a.log = p, p.Log()
	a.diag = diagnoser.New(a.log, diagnoser.Options{Drops: a.drops.between})
	return nil
}

// capture begins to receive.
func (a *Agent) capture(cfg *config.Config) error {
	if len(cfg.Sources) == 0 {
		a.slog.Warn("no sources are configured: nothing will be captured")
	}
	if err := a.mon.Start(); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	a.pipe.Start()
	a.users.unlock()
	a.state.Store(stateRunning)
	if err := a.pipe.Err(); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	a.background.Go(func() { a.drops.run(a.quit, a.Ledger) })
	a.background.Go(a.watchEnd)
	a.background.Go(a.watchSources)
	return nil
}

// watchEnd closes ended when there is nothing more to come.
func (a *Agent) watchEnd() {
	select {
	case <-a.pipe.Ended():
	case <-a.quit:
		return
	}
	for a.log.ReadTail() != a.log.WriteTail() {
		time.Sleep(time.Millisecond) // the writers are at it
	}
	if a.state.Load() == stateRunning && len(a.cfg.Load().Sources) > 0 {
		a.slog.Info("every source has ended")
	}
	close(a.ended)
}

// watchSources logs what becomes of the sources.
func (a *Agent) watchSources() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	states := map[string]string{}
	failed := ""
	for {
		for _, s := range a.pipe.Ledger().Sources {
			if now := s.Stats.State; now != states[s.Name] {
				a.slog.Info("source", "name", s.Name, "state", now, "was", states[s.Name], "detail", s.Stats.Detail)
				states[s.Name] = now
			}
		}
		if err := a.pipe.Err(); err != nil && err.Error() != failed {
			failed = err.Error()
			a.slog.Error("capture failed", "err", err)
		}
		select {
		case <-a.quit:
			return
		case <-tick.C:
		}
	}
}
