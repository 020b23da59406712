package afpacket

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/internal/gate"
	"github.com/confluo/confluo/packet"
)

// A queue delivers what its ring holds, and goes over to the next ring when
// the interface has come back.
type queue struct {
	gate *gate.Gate
	wake int // eventfd: the source is being closed, or a ring is offered

	ring  *ring // belongs to the receiver; nil when there is none yet
	fds   [2]unix.PollFd
	bytes atomic.Uint64 // delivered; written by the receiver alone

	offered atomic.Pointer[ring] // put here by the watcher, taken by the receiver

	// mu guards which rings count, so that Stats misses none and counts none
	// twice. It is taken when a ring comes or goes, not in between.
	mu    sync.Mutex
	live  []*ring // the receiver's, and the offered one
	total counts  // of the rings that are gone
}

// counts are the counters of one ring or several.
type counts struct{ received, kernel, closed, freezes uint64 }

func newQueue() (*queue, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("afpacket: eventfd: %w", err)
	}
	q := &queue{wake: wake}
	q.gate = gate.New(q.release, q.rouse)
	return q, nil
}

// rouse makes a receiver that sleeps look around. An eventfd takes far more of
// these than there can be, so the write cannot fail.
func (q *queue) rouse() { unix.Write(q.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// offer hands a ring to the receiver. One that was offered before and not
// taken is given up; what it held is counted.
func (q *queue) offer(r *ring) {
	q.mu.Lock()
	q.live = append(q.live, r)
	q.mu.Unlock()
	if old := q.offered.Swap(r); old != nil {
		q.retire(old)
	}
	q.rouse()
}

// retire closes a ring for good and keeps its counts.
func (q *queue) retire(r *ring) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.close()
	q.total.add(r, r.undelivered())
	for i, l := range q.live {
		if l == r {
			q.live = append(q.live[:i], q.live[i+1:]...)
			break
		}
	}
}

func (c *counts) add(r *ring, closed uint64) {
	_, drops, freezes := r.counts()
	c.received += r.delivered.Load()
	c.kernel += drops
	c.closed += closed
	c.freezes += freezes
}

// counts returns the counters of the queue since it was opened.
func (q *queue) counts() counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.total
	for _, r := range q.live {
		c.add(r, 0)
	}
	return c
}

// release is called by the gate.
func (q *queue) release() {
	if r := q.ring; r != nil {
		q.ring = nil
		q.retire(r)
	}
	if r := q.offered.Swap(nil); r != nil {
		q.retire(r)
	}
}

// Recv implements capture.Queue.
func (q *queue) Recv(b *packet.Batch, wait time.Duration) error {
	if !q.gate.Enter() {
		return capture.ErrClosed
	}
	defer q.gate.Leave()
	start := b.N
	var until time.Time // only who waits reads a clock
	for {
		if q.ring != nil {
			q.ring.take(b)
			if b.N > start {
				var wire uint64
				for _, n := range b.WireLen[start:b.N] {
					wire += uint64(n)
				}
				q.bytes.Add(wire)
				return nil
			}
		}
		if b.Full() {
			return nil
		}
		if q.offered.Load() != nil && (q.ring == nil || q.ring.drained()) {
			if old := q.ring; old != nil {
				q.retire(old)
			}
			q.ring = q.offered.Swap(nil)
			continue
		}
		now := time.Now()
		if until.IsZero() {
			until = now.Add(wait)
		}
		left := until.Sub(now)
		if left <= 0 {
			return nil
		}
		if err := q.sleep(left); err != nil {
			return err
		}
	}
}

// pollGap is how long a receiver sleeps at most while it waits for the old
// ring of an interface that came back to run empty: the kernel hands the last
// block over at its timeout, of which poll tells nothing when the interface is
// gone.
const pollGap = time.Millisecond

func (q *queue) sleep(left time.Duration) error {
	q.fds = [2]unix.PollFd{{Fd: int32(q.wake), Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}}
	if q.ring != nil {
		q.fds[1].Fd = int32(q.ring.fd)
		if q.offered.Load() != nil {
			left = min(left, pollGap)
		}
	}
	ts := unix.NsecToTimespec(int64(left))
	_, err := unix.Ppoll(q.fds[:], &ts, nil)
	switch {
	case q.gate.Closing():
		return capture.ErrClosed
	case err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("afpacket: poll: %w", err)
	}
	if q.fds[0].Revents != 0 {
		var n [8]byte
		unix.Read(q.wake, n[:]) // resets it; it does not block
	}
	if q.fds[1].Revents&unix.POLLERR != 0 {
		// The interface went down or away. Asking takes the error off the
		// socket, which else would never let poll sleep again.
		unix.GetsockoptInt(q.ring.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	}
	return nil
}
