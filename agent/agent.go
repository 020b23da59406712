package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confluo/confluo/agent/config"
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
	log   *slog.Logger
	level slog.LevelVar

	state   atomic.Int32
	started time.Time

	// mu is held while the agent starts, applies a configuration or stops. No
	// reader of counters and nothing on the way of a packet takes it.
	mu  sync.Mutex
	cfg atomic.Pointer[config.Config] // in force

	ports   packet.PortTable
	mlog    *multilog.Log
	pipe    *pipeline
	sources []*source
	drops   dropHistory

	background sync.WaitGroup
	quit       chan struct{} // closed when background work shall end
	ended      chan struct{} // closed when no source will ever deliver again and all is stored

	final Ledger // what Stop found
}

// New makes an agent that is not running yet. cfg is not changed.
func New(cfg *config.Config, opt Options) *Agent {
	a := &Agent{opt: opt, log: opt.Log, quit: make(chan struct{}), ended: make(chan struct{})}
	a.cfg.Store(cfg)
	if a.log == nil {
		a.log = slog.New(newHandler(os.Stderr, &a.level, cfg.Agent.Log.Format))
	}
	a.setLevel(cfg)
	return a
}

// Start reserves and touches the log's memory, opens the sources, installs what
// the configuration asks for, and begins to capture. When it fails, everything
// it had started is stopped again. Cancelling ctx makes a Start under way give
// up; it has no effect on an agent that runs.
func (a *Agent) Start(ctx context.Context) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.state.CompareAndSwap(stateNew, stateStarting) {
		return fmt.Errorf("%w: start of an agent that is %s", ErrState, a.State())
	}
	a.started = time.Now()
	cfg := a.cfg.Load()
	defer func() {
		if err != nil {
			err = errors.Join(err, a.shutdown())
		}
	}()
	for _, step := range []func(*config.Config) error{
		a.openLog, a.installIndexes, a.buildPipeline, a.openSources, a.install, a.capture,
	} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("agent: start: %w", err)
		}
		if err := step(cfg); err != nil {
			return err
		}
	}
	a.state.Store(stateRunning)
	a.log.Info("capturing", "sources", len(a.sources), "queues", len(a.pipe.queues), "writers", len(a.pipe.writers),
		"memory", config.Bytes(a.mlog.Bytes()), "headers", a.mlog.Capacity())
	return nil
}

// State returns what the agent is doing: new, starting, running, draining or
// stopped.
func (a *Agent) State() string { return stateNames[a.state.Load()] }

// Config returns the configuration in force. It must not be changed.
func (a *Agent) Config() *config.Config { return a.cfg.Load() }

// Ended is closed when every source has come to its end (capture files do) and
// what they delivered is stored. The log can still be queried.
func (a *Agent) Ended() <-chan struct{} { return a.ended }

// Stop closes the sources, waits until what they delivered is stored, and ends
// everything else. The ledger that it returns is the last and has nothing in
// flight. When ctx ends first, batches that still wait for room are dropped and
// counted. Stop of an agent that was stopped returns the same again.
func (a *Agent) Stop(ctx context.Context) (Ledger, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.state.Load() {
	case stateStopped:
		return a.final, nil
	case stateRunning:
	default:
		return Ledger{}, fmt.Errorf("%w: stop of an agent that is %s", ErrState, a.State())
	}
	a.state.Store(stateDraining)
	a.log.Info("draining")
	stop := context.AfterFunc(ctx, a.pipe.abandon)
	defer stop()
	err := a.shutdown()
	a.log.Info("stopped", "ran", time.Since(a.started).Round(time.Millisecond).String(), "ledger", a.final)
	return a.final, err
}

// shutdown undoes what Start did, as far as it came, in the order in which
// headers travel.
func (a *Agent) shutdown() error {
	var errs []error
	for _, s := range a.sources {
		if err := s.Close(); err != nil {
			errs = append(errs, fmt.Errorf("agent: source %s: %w", s.name, err))
		}
	}
	if a.pipe != nil {
		a.pipe.drain()
	}
	close(a.quit)
	a.background.Wait()
	if a.mlog != nil {
		a.final = a.Ledger()
		if n := a.final.InFlight; n != 0 {
			errs = append(errs, fmt.Errorf("agent: the ledger does not balance: %d headers are neither stored nor dropped", n))
		}
	}
	a.state.Store(stateStopped)
	if a.pipe != nil {
		errs = append(errs, a.pipe.free())
	}
	if a.mlog != nil {
		errs = append(errs, a.mlog.Close())
	}
	return errors.Join(errs...)
}

// openLog reserves the memory of the log.
func (a *Agent) openLog(cfg *config.Config) error {
	m := &cfg.MultiLog
	var err error
	a.mlog, err = multilog.New(multilog.Options{
		Ports:          &a.ports,
		SnapLen:        cfg.Agent.Snaplen,
		Lanes:          max(1, cfg.Queues()*cfg.Writers.Count),
		Memory:         int64(m.Memory),
		SegmentHeaders: m.SegmentHeaders,
		Columns:        m.Stored(),
		LogBytes:       m.LogBytes,
		HugePages:      m.Pages(),
	})
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// capture starts the goroutines that receive.
func (a *Agent) capture(*config.Config) error {
	for _, q := range a.pipe.queues {
		a.pipe.capturing.Go(func() { a.pipe.receive(q, a.queueEnded) })
	}
	a.background.Go(func() { a.drops.run(a.quit, a.Ledger) })
	a.background.Go(a.watchEnd)
	return nil
}

// queueEnded is told when a queue will deliver no more, and why.
func (a *Agent) queueEnded(q *queue, err error) {
	if a.state.Load() >= stateDraining {
		return
	}
	if err != nil {
		a.log.Error("capture failed", "source", q.source.name, "queue", q.name, "err", err)
		return
	}
	a.log.Info("source ended", "source", q.source.name, "queue", q.name)
}

// watchEnd closes ended when there is nothing more to come.
func (a *Agent) watchEnd() {
	a.pipe.capturing.Wait()
	for a.mlog.ReadTail() != a.mlog.WriteTail() {
		time.Sleep(time.Millisecond) // the writers are at it
	}
	close(a.ended)
}
