// Package ringbuf is a bounded ring between one producer and one consumer
// goroutine. Slots are made once and reused: the producer fills a slot in
// place and publishes it, the consumer reads it in place and gives it back, so
// nothing is copied and nothing is allocated.
//
// # Protocol
//
// head counts the slots ever published; only the producer writes it. tail
// counts the slots ever released; only the consumer writes it. Both only grow,
// and head-tail is the number of slots that the consumer owns. Each side keeps
// a private copy of the other's counter and reads the shared one only when the
// copy says that there is nothing left to do, so that in steady state a cache
// line moves between the cores once a ring's length, not once a slot (the
// scheme of FastForward and of DPDK's rte_ring in its SPSC mode).
package ringbuf

import (
	"fmt"
	"sync/atomic"
)

type pad [64]byte

// A Ring carries values of T from one producer to one consumer goroutine.
type Ring[T any] struct {
	slots []T
	mask  uint64

	_        pad
	head     atomic.Uint64 // written by the producer
	tailSeen uint64        // the producer's copy of tail
	_        pad
	tail     atomic.Uint64 // written by the consumer
	headSeen uint64        // the consumer's copy of head
	_        pad
}

// New makes a ring over slots, whose number must be a power of two.
func New[T any](slots []T) (*Ring[T], error) {
	n := len(slots)
	if n < 1 || n&(n-1) != 0 {
		return nil, fmt.Errorf("ringbuf: %d slots: must be a power of two", n)
	}
	return &Ring[T]{slots: slots, mask: uint64(n - 1)}, nil
}

// Cap returns the number of slots.
func (r *Ring[T]) Cap() int { return len(r.slots) }

// Len returns the number of slots published and not yet released. Any
// goroutine may call it; the answer is a snapshot.
func (r *Ring[T]) Len() int {
	t := r.tail.Load() // tail first, so that the difference is never negative
	return int(min(r.head.Load()-t, uint64(len(r.slots))))
}

// Free returns how many slots the producer may fill before the next Push, up
// to want; it looks at the consumer's counter only when its own copy shows
// fewer. Producer only.
func (r *Ring[T]) Free(want int) int {
	h := r.head.Load()
	free := uint64(len(r.slots)) - (h - r.tailSeen)
	if free < uint64(want) {
		r.tailSeen = r.tail.Load()
		free = uint64(len(r.slots)) - (h - r.tailSeen)
	}
	return int(min(free, uint64(want)))
}

// Slot returns the i-th slot after the published ones, for filling. i must be
// below the last answer of Free. Producer only.
func (r *Ring[T]) Slot(i int) *T { return &r.slots[(r.head.Load()+uint64(i))&r.mask] }

// Push publishes the next n filled slots. Producer only.
func (r *Ring[T]) Push(n int) { r.head.Store(r.head.Load() + uint64(n)) }

// Ready returns how many published slots wait, up to want. Consumer only.
func (r *Ring[T]) Ready(want int) int {
	t := r.tail.Load()
	n := r.headSeen - t
	if n < uint64(want) {
		r.headSeen = r.head.Load()
		n = r.headSeen - t
	}
	return int(min(n, uint64(want)))
}

// Peek returns the i-th waiting slot. i must be below the last answer of
// Ready. Consumer only; the slot is the consumer's until Release.
func (r *Ring[T]) Peek(i int) *T { return &r.slots[(r.tail.Load()+uint64(i))&r.mask] }

// Release gives the first n waiting slots back to the producer. Consumer only.
func (r *Ring[T]) Release(n int) { r.tail.Store(r.tail.Load() + uint64(n)) }
