//go:build dpdk

package dpdk

/*
#cgo noescape rx_burst_copy
#cgo nocallback rx_burst_copy
#include <stdlib.h>
#include "rx.h"
*/
import "C"

import (
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/packet"
)

// The states of a queue. Recv moves it from idle to receiving and back; the
// control side (Close, a port that is swapped) moves it from idle to held, and
// alone back.
const (
	queueIdle = iota
	queueReceiving
	queueHeld
)

// A queue is one receive queue of one port.
type queue struct {
	state  atomic.Uint32
	closed *atomic.Bool // the source's
	c      *C.struct_rxq
}

// heldPause is how long a Recv on a held queue sleeps before it looks again.
const heldPause = int64(time.Millisecond)

func newQueue(p *Port, id uint16, idle Idle, closed *atomic.Bool) *queue {
	c := (*C.struct_rxq)(C.aligned_alloc(64, C.sizeof_struct_rxq))
	*c = C.struct_rxq{queue: C.uint16_t(id), in_port: C.uint16_t(p.Index), ts_offset: -1}
	polls, first, last := idle.sleeps()
	c.polls = C.uint32_t(polls)
	c.sleep_first, c.sleep_last, c.sleep = C.int64_t(first), C.int64_t(last), C.int64_t(first)
	return &queue{closed: closed, c: c}
}

// Recv implements capture.Queue.
func (q *queue) Recv(b *packet.Batch, wait time.Duration) error {
	if !q.state.CompareAndSwap(queueIdle, queueReceiving) {
		return q.await(int64(wait))
	}
	i, room := b.N, packet.ChunkSize-b.N
	if room <= 0 {
		q.state.Store(queueIdle)
		return nil
	}
	n := C.rx_burst_copy(q.c,
		(*C.uint8_t)(&b.Data[i*b.Stride]), C.uint32_t(b.Stride), (*C.int64_t)(&b.Ts[i]),
		(*C.uint32_t)(&b.WireLen[i]), (*C.uint16_t)(&b.CapLen[i]), (*C.uint16_t)(&b.Port[i]), (*C.uint8_t)(&b.Dir[i]),
		C.uint32_t(room), C.int64_t(wait))
	b.N = i + int(n)
	q.state.Store(queueIdle)
	if n == 0 && q.closed.Load() {
		return capture.ErrClosed
	}
	return nil
}

// await is Recv while the queue is held: the port is being swapped, or closed.
func (q *queue) await(wait int64) error {
	for !q.closed.Load() {
		if q.state.Load() != queueHeld || wait <= 0 {
			return nil
		}
		pause := min(wait, heldPause)
		C.rx_sleep(C.int64_t(pause))
		wait -= pause
	}
	return capture.ErrClosed
}

// hold ends a Recv under way and keeps new ones out, until release.
func (q *queue) hold() {
	atomic.StoreUint32((*uint32)(&q.c.stop), 1)
	for !q.state.CompareAndSwap(queueIdle, queueHeld) {
		time.Sleep(50 * time.Microsecond)
	}
	atomic.StoreUint32((*uint32)(&q.c.stop), 0)
}

func (q *queue) release() { q.state.Store(queueIdle) }

// bind points a held queue at a port.
func (q *queue) bind(port uint16, info *portInfo) {
	q.c.port = C.uint16_t(port)
	q.c.dir = C.uint8_t(packet.DirIn)
	if info.bothDirections {
		q.c.dir = C.uint8_t(packet.DirUnknown)
	}
	C.rx_find_timestamp(q.c)
	q.c.ts_unit, q.c.ts_window = 1, C.int64_t(24*time.Hour)
	if info.driver == "net_pcap" {
		q.c.ts_unit, q.c.ts_window = C.int64_t(time.Microsecond), 0
	}
}

// discard takes up to limit frames off a held queue and returns how many.
func (q *queue) discard(limit uint32) uint64 { return uint64(C.rx_discard(q.c, C.uint32_t(limit))) }

// counts returns the frames delivered and their bytes. It may be called beside
// Recv.
func (q *queue) counts() (frames, bytes uint64) {
	return atomic.LoadUint64((*uint64)(&q.c.received)), atomic.LoadUint64((*uint64)(&q.c.bytes))
}

// free frees the memory of a held queue.
func (q *queue) free() {
	C.free(unsafe.Pointer(q.c))
	q.c = nil
}
