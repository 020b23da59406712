// Package gate lets a source be closed while a receiver is inside one of its
// queues, without a lock on the receiver's way and without freeing what the
// receiver still uses.
//
// The receiver enters before it touches the queue's resources (a mapped ring,
// a file) and leaves afterwards: one compare-and-swap each. Whoever closes
// while nobody is inside releases the resources; otherwise the receiver
// releases them on its way out.
package gate

import "sync/atomic"

// States of a Gate. Only the receiver moves open to inside and back; whoever
// closes moves open to closed and inside to closing; the receiver moves
// closing to closed.
const (
	open uint32 = iota
	inside
	closing
	closed
)

// A Gate guards the resources of one queue.
type Gate struct {
	state   atomic.Uint32
	gone    chan struct{} // closed when the resources have been released
	release func()        // called exactly once, by whoever closes the gate for good
	wake    func()        // makes a receiver that sleeps inside come out soon
}

// New returns an open gate. Release is called once, when the gate has been
// closed and nobody is inside. Wake is called at most once, when the gate is
// closed while a receiver is inside; the receiver may be gone, and release
// have been called, before wake is: what wake uses must live until Close
// returns.
func New(release, wake func()) *Gate {
	return &Gate{gone: make(chan struct{}), release: release, wake: wake}
}

// Enter reports whether the receiver may go on, which it must end by Leave.
// False: the gate is closed. It panics when another receiver is inside, since
// a queue belongs to one goroutine at a time.
func (g *Gate) Enter() bool {
	if g.state.CompareAndSwap(open, inside) {
		return true
	}
	if s := g.state.Load(); s == inside {
		panic("capture: two goroutines in Recv of one queue")
	}
	return false
}

// Closing reports, to a receiver inside, whether it was asked to leave.
func (g *Gate) Closing() bool { return g.state.Load() != inside }

// Leave ends what Enter began.
func (g *Gate) Leave() {
	if g.state.CompareAndSwap(inside, open) {
		return
	}
	g.state.Store(closed)
	g.release()
	close(g.gone)
}

// Close closes the gate and returns when the resources have been released. It
// may be called by several goroutines, and again.
func (g *Gate) Close() {
	for {
		switch g.state.Load() {
		case open:
			if g.state.CompareAndSwap(open, closed) {
				g.release()
				close(g.gone)
				return
			}
		case inside:
			if g.state.CompareAndSwap(inside, closing) {
				g.wake()
			}
		default:
			<-g.gone
			return
		}
	}
}
