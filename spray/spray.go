// Package spray gives batches their offsets and deals them out to the writers:
// it makes sure that a batch can be delivered, moves globalWriteTail by one
// fetch-and-add, and puts the batch into the next ring that has room, round
// robin (paper, section 3.4).
//
// What it cannot deliver it does not claim, so the log never has a hole; it
// counts it, by cause.
package spray

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/ringbuf"
)

// A Policy says what happens to a batch for which no ring has room, or whose
// headers memory has no room for.
type Policy uint8

// The policies.
const (
	Drop  Policy = iota // count it and go on: live capture never waits
	Block               // wait: a capture file loses nothing
)

// Ring is the ring between a sprayer and a writer.
type Ring = ringbuf.Ring[packet.Batch]

// A Sprayer serves one capture goroutine, which is the producer of its rings.
// Counters may be read by any goroutine.
type Sprayer struct {
	log    *multilog.Log
	rings  []*Ring // one a writer
	policy Policy
	next   int   // ring whose turn it is
	cur    *Ring // ring of the batch that Next gave, nil: spare
	spare  *packet.Batch

	_      [64]byte
	counts Counts
	_      [64]byte
}

// Counts are the headers that came to a sprayer, by what became of them.
type Counts struct {
	Received   atomic.Uint64 // given to Commit
	Claimed    atomic.Uint64 // on their way to the log
	RingFull   atomic.Uint64 // dropped: no ring had room
	MemoryFull atomic.Uint64 // dropped: memory had no room (retention held up)
}

// New makes a sprayer over rings, one a writer. Spare is a batch of the same
// stride as the rings' that takes what is going to be dropped.
func New(log *multilog.Log, rings []*Ring, policy Policy, spare *packet.Batch) *Sprayer {
	return &Sprayer{log: log, rings: rings, policy: policy, spare: spare}
}

// Counts returns the counters.
func (s *Sprayer) Counts() *Counts { return &s.counts }

// Next returns the batch to fill next: an empty slot of the next ring that has
// room. When none has, it returns a batch that Commit will drop and count, or,
// with Block, waits for one until ctx ends.
func (s *Sprayer) Next(ctx context.Context) *packet.Batch {
	for wait := (backoff{}); ; wait.pause() {
		for range s.rings {
			r := s.rings[s.next]
			if s.next++; s.next == len(s.rings) {
				s.next = 0
			}
			if r.Free(1) > 0 {
				s.cur = r
				b := r.Slot(0)
				b.N = 0
				return b
			}
		}
		if s.policy == Drop || ctx.Err() != nil {
			s.cur = nil
			s.spare.N = 0
			return s.spare
		}
	}
}

// Behind reports whether the writer of the batch that Next gave last lags so
// far that half of its ring waits. A ring has room for a number of batches,
// however few headers are in them, so then it pays to fill a batch up first.
func (s *Sprayer) Behind() bool {
	if s.cur == nil {
		return false
	}
	half := s.cur.Cap() / 2
	return s.cur.Free(half+1) <= half
}

// Commit claims offsets for the batch that Next gave last and publishes it to
// its ring, or drops and counts it. An empty batch is given back unused.
func (s *Sprayer) Commit(ctx context.Context, b *packet.Batch) {
	n := uint64(b.N)
	if n == 0 {
		return
	}
	s.counts.Received.Add(n)
	if s.cur == nil {
		s.counts.RingFull.Add(n)
		return
	}
	base, ok := s.log.Claim(b.N)
	for wait := (backoff{}); !ok; wait.pause() {
		if s.policy == Drop || ctx.Err() != nil {
			s.counts.MemoryFull.Add(n)
			return
		}
		base, ok = s.log.Claim(b.N)
	}
	b.Base = base
	s.cur.Push(1)
	s.counts.Claimed.Add(n)
}

// A backoff spins, then yields, then sleeps. Only Block waits.
type backoff struct{ n int }

func (b *backoff) pause() {
	switch b.n++; {
	case b.n < 64:
	case b.n < 128:
		runtime.Gosched()
	default:
		time.Sleep(50 * time.Microsecond)
	}
}
