package afpacket

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/packet"
)

// A watcher follows an interface by its name, and opens rings on it when there
// are none.
type watcher struct {
	s      *Source
	events int // netlink socket that tells of links that change
	close  int // eventfd: the source is being closed

	// What the rings that the queues have are bound to.
	index int // 0: to nothing that still exists
	rings []*ring

	port  uint16
	typ   packet.LinkType
	typed bool // port and typ are known
}

// retry is how often the watcher looks even if nothing was told, since the
// kernel drops notifications when there are too many, and opening a ring may
// have failed for want of memory.
const retry = time.Second

func (w *watcher) open(s *Source) (err error) {
	w.s = s
	if w.close, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("afpacket: eventfd: %w", err)
	}
	w.events, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err == nil {
		err = unix.Bind(w.events, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK})
	}
	if err != nil {
		return fmt.Errorf("afpacket: listen for link changes: %w", err)
	}
	return nil
}

// run is the watcher's goroutine.
func (w *watcher) run() {
	if err := w.s.ns.enter(); err != nil {
		// Rings cannot be opened from here; what is open works on.
		w.s.state.Store(&state{"failed", err.Error()})
		return
	}
	buf := make([]byte, 16<<10)
	for {
		fds := []unix.PollFd{{Fd: int32(w.close), Events: unix.POLLIN}, {Fd: int32(w.events), Events: unix.POLLIN}}
		ts := unix.NsecToTimespec(int64(retry))
		if _, err := unix.Ppoll(fds, &ts, nil); err != nil && err != unix.EINTR {
			w.s.state.Store(&state{"failed", fmt.Sprintf("watching %s: %v", w.s.o.Interface, err)})
			return
		}
		if fds[0].Revents != 0 {
			return
		}
		// What was told does not matter, only that something was.
		for {
			if _, _, err := unix.Recvfrom(w.events, buf, 0); err != nil {
				break
			}
		}
		l, err := findLink(w.s.control, w.s.o.Interface)
		if err == nil {
			err = w.follow(l)
		}
		if err != nil {
			w.s.state.Store(&state{"down", err.Error()})
		}
	}
}

// stop ends run soon.
func (w *watcher) stop() {
	if w.close >= 0 {
		unix.Write(w.close, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// follow makes the rings fit the interface as it is now.
func (w *watcher) follow(l link) error {
	s := w.s
	if w.rings != nil && w.index != l.index {
		// The interface was removed, or its name given to another. Nothing
		// more shall come from it; what came is still delivered.
		for _, r := range w.rings {
			r.refuse()
		}
		w.rings = nil
	}
	if w.rings == nil && (l.index != 0 || s.o.Interface == Any) {
		typ := packet.LinkSLL2
		if s.o.Interface != Any {
			typ = l.linkType()
		}
		if !w.typed || w.typ != typ {
			port, err := s.portOf(typ)
			if err != nil {
				return err
			}
			w.port, w.typ, w.typed = port, typ, true
		}
	}
	// A socket joins a fanout group only while its interface is up.
	if w.rings == nil && l.up {
		rings, err := openRings(&s.o, l, w.port, w.typ)
		if err != nil {
			return err
		}
		w.rings, w.index = rings, l.index
		for i, q := range s.queues {
			q.offer(rings[i])
		}
	}
	s.state.Store(l.state(s.o.Interface))
	return nil
}

// state says how the interface is.
func (l link) state(name string) *state {
	switch {
	case name == Any:
		return &state{"up", name}
	case l.index == 0:
		return &state{"gone", name + " does not exist"}
	case !l.up:
		return &state{"down", name + " is down"}
	case !l.running:
		return &state{"down", name + " has no carrier"}
	}
	return &state{"up", name}
}

// refuse stops a ring from taking frames.
func (r *ring) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fd >= 0 {
		_ = attach(r.fd, refuseAll)
	}
}
