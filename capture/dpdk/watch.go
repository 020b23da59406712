//go:build dpdk

package dpdk

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A linkState is the state of a port, from good to bad.
type linkState int

const (
	up linkState = iota
	down
	gone
)

func (s linkState) String() string { return [...]string{"up", "down", "gone"}[s] }

// watchInterval is how soon a watcher notices that an interface returned.
const watchInterval = 100 * time.Millisecond

// A watcher follows the kernel interfaces that a source's virtual devices are
// bound to. DPDK does not: a net_af_packet port whose interface was removed
// stays up and silent for ever, also when an interface of the same name
// returns. The watcher then removes the device and creates it again.
type watcher struct {
	nl   *netlink.Handle // into the source's namespace; guarded by the source's mutex
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

// watch starts a watcher on the namespace of the calling thread, if the source
// has ports to watch.
func watch(s *source) (*watcher, error) {
	bound := false
	for _, p := range s.ports {
		bound = bound || p.info.ifIndex != 0
	}
	if !bound {
		return nil, nil
	}
	nl, err := netlink.NewHandle()
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	w := &watcher{nl: nl, quit: make(chan struct{}), done: make(chan struct{})}
	for _, p := range s.ports {
		if p.info.ifIndex == 0 {
			continue
		}
		link, err := nl.LinkByIndex(p.info.ifIndex)
		if err != nil {
			nl.Close()
			return nil, fmt.Errorf("interface of port %s: %w", p.name, err)
		}
		p.ifName = link.Attrs().Name
	}
	go w.run(s)
	return w, nil
}

// stop ends the watcher. It may be called more than once.
func (w *watcher) stop() {
	w.once.Do(func() {
		close(w.quit)
		<-w.done
	})
}

func (w *watcher) run(s *source) {
	defer close(w.done)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			s.mu.Lock()
			w.nl.Close()
			w.nl = nil
			s.mu.Unlock()
			return
		case <-tick.C:
			s.mu.Lock()
			for _, p := range s.ports {
				if p.ifName != "" && p.returned(w.nl) {
					p.swap(s.ns)
				}
			}
			s.mu.Unlock()
		}
	}
}

// returned reports whether the interface that the port was bound to is gone,
// and there is another of its name.
func (p *port) returned(nl *netlink.Handle) bool {
	if !p.swappable {
		return false
	}
	if p.attached && p.kernelState(nl) != gone {
		return false
	}
	_, err := nl.LinkByName(p.ifName)
	return err == nil
}

// swap removes the port's device and creates it again in namespace ns. The
// queues are held meanwhile, so Recv returns empty. When it fails it is tried
// again at the watcher's next look.
func (p *port) swap(ns netns.NsHandle) {
	if p.attached {
		for _, q := range p.queues {
			q.hold()
		}
		p.drain()
	}
	if err := errors.Join(within(ns, p.detach), within(ns, p.attach)); err != nil {
		p.trouble = "interface " + p.ifName + " is back, but: " + err.Error()
		return
	}
	p.trouble = ""
	for _, q := range p.queues {
		q.release()
	}
}

// within runs f on a thread of namespace ns.
func within(ns netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace: %w", err)
	}
	defer old.Close()
	if old.Equal(ns) {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace: %w", err)
	}
	err = f()
	// A thread that cannot go back stays locked, and so ends with its goroutine.
	if back := netns.Set(old); back != nil {
		return errors.Join(err, fmt.Errorf("network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// linkState returns the state of the port. The watcher is that of its source,
// or nil.
func (p *port) linkState(w *watcher) linkState {
	if !p.attached || removed(p.id) {
		return gone
	}
	if p.ifName != "" && w != nil && w.nl != nil {
		return p.kernelState(w.nl)
	}
	if link, err := p.id.EthLinkGetNowait(); err != nil || !link.Status() {
		return down
	}
	return up
}

// kernelState returns the state of the kernel interface that the port is bound
// to, which drivers do not follow.
func (p *port) kernelState(nl *netlink.Handle) linkState {
	link, err := nl.LinkByIndex(p.info.ifIndex)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing):
		return gone
	case err != nil:
		return down
	}
	a := link.Attrs()
	if a.Flags&net.FlagUp == 0 || a.OperState != netlink.OperUp && a.OperState != netlink.OperUnknown {
		return down
	}
	return up
}
