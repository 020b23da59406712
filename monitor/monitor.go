package monitor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/confluo/confluo/multilog"
)

// A Monitor evaluates triggers over a log and delivers their alerts.
type Monitor struct {
	log     *multilog.Log
	opt     Options
	journal *journal

	mu         sync.Mutex
	clock      eventClock
	pos        uint64 // offset up to which capture times were looked at
	aggregates map[string]*aggregate
	triggers   map[string]*trigger
	sources    map[sourceKey]*source
	order      []*source // in the order of installation
	eval       evaluation
	sinks      []Sink
	evicted    uint64
	gone       counts // of what was removed

	stop    chan struct{}
	running sync.WaitGroup
	started bool
	closed  bool
}

// New returns a monitor of log, which must live until Close has returned. What
// is published before Start, or before a trigger is installed, is not watched.
func New(log *multilog.Log, o Options) (*Monitor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Monitor{
		log: log, opt: o, journal: newJournal(o.Keep, o.Follow),
		pos:        log.ReadTail(),
		aggregates: map[string]*aggregate{},
		triggers:   map[string]*trigger{},
		sources:    map[sourceKey]*source{},
		sinks:      o.Sinks,
		stop:       make(chan struct{}),
	}
	m.eval = evaluation{log: log, maxFiring: o.MaxFiring, raise: m.raise, spans: map[groupKey]*span{}}
	return m, nil
}

// Start begins to evaluate. It may be called once.
func (m *Monitor) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started || m.closed {
		return errors.New("monitor: started or closed already")
	}
	m.started = true
	m.running.Add(1)
	go func() {
		defer m.running.Done()
		t := time.NewTicker(m.opt.Every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				m.look(time.Now())
			case <-m.stop:
				m.look(time.Now())
				return
			}
		}
	}()
	return nil
}

// Close evaluates what is published a last time, ends the followers and closes
// the sinks. Groups that fire do not resolve. Further calls do nothing.
func (m *Monitor) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	close(m.stop)
	m.running.Wait()
	m.journal.close()
	m.mu.Lock()
	sinks := m.sinks
	m.sinks = nil
	m.mu.Unlock()
	return closeSinks(sinks)
}

func closeSinks(sinks []Sink) error {
	var errs []error
	for _, s := range sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// look reads what was published and evaluates every window that is due.
func (m *Monitor) look(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tail := m.log.ReadTail()
	if tail > m.pos {
		if lo, hi, ok := m.log.TimeBounds(m.pos, tail); ok {
			m.clock.observe(lo, hi, now)
		}
		m.pos = tail
	}
	if !m.clock.known {
		return
	}
	m.eval.now = now
	mark := m.clock.now(now) - int64(m.opt.Lateness)
	for _, src := range m.order {
		for _, s := range src.series {
			if !s.started { // it was there before any header
				s.start(floorDiv(m.clock.first, s.every))
				for _, w := range s.windows {
					w.begin()
				}
			}
		}
		m.evicted += src.read(tail)
		for _, s := range src.series {
			s.advance(floorDiv(mark, s.every), &m.eval, m.opt.MaxBehind)
		}
	}
}

// raise numbers and delivers an alert. With m.mu.
func (m *Monitor) raise(a *Alert) {
	m.journal.add(a)
	for _, s := range m.sinks {
		s.Alert(a)
	}
}

// SetSinks delivers alerts to sinks from now on, beginning with those of all
// groups that fire, and closes the ones before.
func (m *Monitor) SetSinks(sinks []Sink) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errors.Join(errors.New("monitor: closed"), closeSinks(sinks))
	}
	old := m.sinks
	m.sinks = sinks
	for _, a := range m.firing() {
		for _, s := range sinks {
			s.Alert(a)
		}
	}
	m.mu.Unlock()
	return closeSinks(old)
}

// Alerts returns the alerts raised at since or later that are still kept, in
// order.
func (m *Monitor) Alerts(since time.Time) []*Alert { return m.journal.since(since) }

// Follow delivers every alert raised from now on. The channel is closed when
// ctx is done, when the monitor closes, and when the receiver has let
// Options.Follow alerts wait and another comes.
func (m *Monitor) Follow(ctx context.Context) <-chan *Alert { return m.journal.follow(ctx) }
