//go:build dpdk

package dpdk

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/confluo/confluo/capture"
	"github.com/vishvananda/netns"
	"github.com/yerden/go-dpdk/ethdev"
)

// A source is an open set of ports.
type source struct {
	name   string
	queues []capture.Queue
	closed atomic.Bool

	ns      netns.NsHandle // where the ports' kernel interfaces are
	watcher *watcher       // nil when no port can go and return

	mu       sync.Mutex // guards what follows; the data path never takes it
	ports    []*port
	final    *capture.Stats // set by Close
	closeErr error
}

// owners tells which source uses a device, by the device's name.
var owners struct {
	sync.Mutex
	source map[string]string
}

// Open opens a source: it creates the devices that do not exist, configures
// and starts their ports. EAL must be initialised (InitEAL). It may be called
// from any goroutine; a virtual device on a kernel interface is created in the
// network namespace of the calling thread, also when it is created again later
// because its interface went and returned.
func Open(o Options) (capture.Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := ealReady(); err != nil {
		return nil, fmt.Errorf("dpdk: source %s: %w", o.Name, err)
	}
	ns, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("dpdk: source %s: network namespace: %w", o.Name, err)
	}
	s := &source{name: o.Name, ns: ns}
	for i := range o.Ports {
		p := s.newPort(&o, &o.Ports[i])
		err := claim(p.name, o.Name)
		if err == nil {
			if err = p.attach(); err == nil {
				s.ports = append(s.ports, p)
				continue
			}
			disown(p.name)
		}
		p.freeQueues()
		return nil, errors.Join(fmt.Errorf("dpdk: source %s: port %s: %w", o.Name, p.name, err), s.Close())
	}
	if s.watcher, err = watch(s); err != nil {
		return nil, errors.Join(fmt.Errorf("dpdk: source %s: %w", o.Name, err), s.Close())
	}
	for _, p := range s.ports {
		for _, q := range p.queues {
			s.queues = append(s.queues, q)
			q.release()
		}
	}
	return s, nil
}

func (s *source) newPort(o *Options, opt *Port) *port {
	p := &port{opt: *opt, pool: o.Mempool}
	p.name, _ = deviceName(opt.Device)
	for i := range max(1, opt.Queues) {
		q := newQueue(opt, uint16(i), o.Idle, &s.closed)
		q.hold()
		p.queues = append(p.queues, q)
	}
	return p
}

func (p *port) freeQueues() {
	for _, q := range p.queues {
		q.free()
	}
}

func claim(device, source string) error {
	owners.Lock()
	defer owners.Unlock()
	if other, taken := owners.source[device]; taken {
		return fmt.Errorf("the device is in use by source %s", other)
	}
	if owners.source == nil {
		owners.source = make(map[string]string)
	}
	owners.source[device] = source
	return nil
}

func disown(device string) {
	owners.Lock()
	defer owners.Unlock()
	delete(owners.source, device)
}

// Name implements capture.Source.
func (s *source) Name() string { return s.name }

// Queues implements capture.Source: the ports' queues, port by port in the
// order of the options.
func (s *source) Queues() []capture.Queue { return s.queues }

// Close implements capture.Source. Frames that wait in the device, but no Recv
// will fetch, are counted as drops of cause "closed".
func (s *source) Close() error {
	s.closed.Store(true)
	if s.watcher != nil {
		s.watcher.stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.final != nil {
		return s.closeErr
	}
	for _, p := range s.ports {
		for _, q := range p.queues {
			if q.state.Load() != queueHeld { // as it is before Open is done
				q.hold()
			}
		}
		p.drain()
		p.readCounters()
	}
	final := s.count()
	final.State = "done"
	s.final = &final
	for _, p := range s.ports {
		// Drivers switch promiscuous mode off in the namespace of the thread.
		if err := within(s.ns, p.detach); err != nil {
			s.closeErr = errors.Join(s.closeErr, fmt.Errorf("dpdk: source %s: close: %w", s.name, err))
		}
		p.freeQueues()
		disown(p.name)
	}
	s.ns.Close()
	return s.closeErr
}

// Stats implements capture.Source. Of the drops, nic_imissed, nic_ierrors and
// nic_rx_nombuf are the port counters imissed, ierrors and rx_nombuf of DPDK's
// rte_eth_stats (the last counts failed allocations, which some drivers also
// count as missed frames); kernel_ring is what the kernel had no room for in the
// ring of a net_af_packet port; closed are frames that Close, or the removal of
// a device whose interface returned, found in the device.
// Detail names the ports that are not up, what the configuration asked for and
// the driver does not have, and the driver's own loss counters that are not 0.
func (s *source) Stats() capture.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.final != nil {
		st := *s.final
		st.Drops = append([]capture.Drop(nil), st.Drops...)
		return st
	}
	for _, p := range s.ports {
		p.readCounters()
	}
	st := s.count()
	var details []string
	st.State, details = s.linkState()
	st.Detail = strings.Join(details, "; ")
	return st
}

func (s *source) count() capture.Stats {
	st := capture.Stats{Drops: drops(s.ports)}
	for _, p := range s.ports {
		for _, q := range p.queues {
			frames, bytes := q.counts()
			st.Received += frames
			st.Bytes += bytes
		}
	}
	return st
}

// linkState returns the worst state of the ports and what to say of each.
func (s *source) linkState() (string, []string) {
	worst := up
	var details []string
	for _, p := range s.ports {
		state := p.linkState(s.watcher)
		worst = max(worst, state)
		if state != up {
			details = append(details, fmt.Sprintf("port %s is %s", p.name, state))
		}
		for _, note := range []string{p.note, p.trouble} {
			if note != "" {
				details = append(details, fmt.Sprintf("port %s: %s", p.name, note))
			}
		}
		details = append(details, p.ownLosses()...)
	}
	return worst.String(), details
}

// ownLosses returns the driver's own counters of losses that are not zero.
func (p *port) ownLosses() []string {
	if !p.attached {
		return nil
	}
	names, err := p.id.XstatNames()
	if err != nil {
		return nil
	}
	values := make([]ethdev.Xstat, len(names))
	n, err := p.id.XstatsGet(values)
	if err != nil || n > len(values) {
		return nil
	}
	var out []string
	for _, x := range values[:n] {
		if x.Value == 0 || x.Index >= uint64(len(names)) {
			continue
		}
		if name := names[x.Index].String(); reportsLoss(name) {
			out = append(out, fmt.Sprintf("port %s: %s %d", p.name, name, x.Value))
		}
	}
	return out
}
