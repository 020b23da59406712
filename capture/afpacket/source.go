package afpacket

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/packet"
)

// A Source captures from one interface, or from all.
type Source struct {
	o       Options
	queues  []*queue
	ns      namespace
	control int // a socket in that namespace, to ask about interfaces
	watch   watcher

	state  atomic.Pointer[state]
	opened sync.WaitGroup // the watcher
	once   sync.Once
}

var _ capture.Source = (*Source)(nil)

// A state is what Stats says of the interface.
type state struct{ word, detail string }

// Open starts capturing from an interface of the network namespace that the
// calling thread is in. The interface must exist, but may be down.
func Open(o Options) (*Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Source{o: o.withDefaults(), ns: namespace{-1}, control: -1}
	s.watch.close = -1
	s.watch.events = -1
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) open() (err error) {
	if s.ns, err = thisNamespace(); err != nil {
		return err
	}
	s.control, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("afpacket: open a packet socket (requires CAP_NET_RAW): %w", err)
	}
	for range s.o.Queues {
		q, err := newQueue()
		if err != nil {
			return err
		}
		s.queues = append(s.queues, q)
	}
	if err := s.watch.open(s); err != nil {
		return err
	}
	l, err := findLink(s.control, s.o.Interface)
	if err != nil {
		return err
	}
	if l.index == 0 && s.o.Interface != Any {
		return fmt.Errorf("afpacket: interface %q does not exist", s.o.Interface)
	}
	if err := s.watch.follow(l); err != nil {
		return err
	}
	if s.o.Interface != Any {
		s.opened.Go(s.watch.run)
	}
	return nil
}

// Name implements capture.Source.
func (s *Source) Name() string { return s.o.Name }

// Queues implements capture.Source.
func (s *Source) Queues() []capture.Queue {
	out := make([]capture.Queue, len(s.queues))
	for i, q := range s.queues {
		out[i] = q
	}
	return out
}

// Stats implements capture.Source. The drop causes are in the package comment.
func (s *Source) Stats() capture.Stats {
	var st capture.Stats
	var sum counts
	for _, q := range s.queues {
		c := q.counts()
		sum.received += c.received
		sum.kernel += c.kernel
		sum.closed += c.closed
		sum.freezes += c.freezes
		st.Bytes += q.bytes.Load()
	}
	st.Received = sum.received
	st.Drops = []capture.Drop{{Cause: "kernel_ring", N: sum.kernel}, {Cause: "closed", N: sum.closed}}
	if now := s.state.Load(); now != nil {
		st.State, st.Detail = now.word, now.detail
	}
	if sum.freezes > 0 {
		st.Detail = fmt.Sprintf("%s; the ring was full %d times", st.Detail, sum.freezes)
	}
	return st
}

// Close implements capture.Source.
func (s *Source) Close() error {
	s.once.Do(func() {
		s.watch.stop()
		s.opened.Wait()
		for _, q := range s.queues {
			q.gate.Close()
			unix.Close(q.wake)
		}
		for _, fd := range []int{s.control, s.watch.events, s.watch.close} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
		s.ns.close()
		s.state.Store(&state{"done", s.o.Interface})
	})
	return nil
}

// portOf enters the port for a link type.
func (s *Source) portOf(typ packet.LinkType) (uint16, error) {
	port, err := s.o.Port(s.o.Interface, typ)
	if err != nil {
		return 0, fmt.Errorf("afpacket: port %s: %w", s.o.Interface, err)
	}
	return port, nil
}
