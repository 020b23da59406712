package conformance

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluo/confluo/packet"
)

// A got is one frame as a queue delivered it.
type got struct {
	queue, seq int
	data       []byte
	ts         int64
	wire       uint32
}

// A collector receives from all queues of a rig at once and checks what is
// checked of every frame.
type collector struct {
	t    *testing.T
	rig  Rig
	snap int
	room func(i int) int // rows to leave free in batch i; nil: all

	mu      sync.Mutex
	frames  []got // the suite's own, in the order of each queue
	foreign uint64
	bytes   uint64
	ours    atomic.Int64
	stop    atomic.Bool
	wg      sync.WaitGroup
}

func collect(t *testing.T, rig Rig, snap int, room func(int) int) *collector {
	c := &collector{t: t, rig: rig, snap: snap, room: room}
	for i := range rig.Source.Queues() {
		c.wg.Go(func() { c.drain(i) })
	}
	return c
}

// drain receives from one queue until the end, an error, or stop.
func (c *collector) drain(queue int) {
	// A queue belongs to one thread here, as it does in the agent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	q := c.rig.Source.Queues()[queue]
	b, err := packet.NewBatch(nil, c.snap)
	if err != nil {
		c.t.Error(err)
		return
	}
	last := int64(-1 << 63)
	for i := 0; ; i++ {
		before := 0
		if c.room != nil {
			before = packet.ChunkSize - c.room(i)
		}
		b.N = before
		for r := range before {
			b.WireLen[r], b.CapLen[r], b.Ts[r] = 0xdeadbeef, 0xdead, -7
		}
		stopping := c.stop.Load()
		err := q.Recv(b, 20*time.Millisecond)
		if b.N < before || b.N > packet.ChunkSize {
			c.t.Errorf("queue %d: Recv left %d rows in a batch that had %d before", queue, b.N, before)
			return
		}
		for r := range before {
			if b.WireLen[r] != 0xdeadbeef || b.CapLen[r] != 0xdead || b.Ts[r] != -7 {
				c.t.Errorf("queue %d: Recv wrote over row %d, which was there before", queue, r)
				return
			}
		}
		c.take(queue, b, before, &last)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			c.t.Errorf("queue %d: Recv: %v", queue, err)
			return
		case stopping && b.N == before:
			return
		}
	}
}

func (c *collector) take(queue int, b *packet.Batch, from int, last *int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := from; r < b.N; r++ {
		c.bytes += uint64(b.WireLen[r])
		slice := b.Slice(r)
		seq, ok := seqOf(slice)
		if !ok {
			c.foreign++
			continue
		}
		if b.Port[r] != c.rig.Port {
			c.t.Errorf("frame %d bears port %d, want %d", seq, b.Port[r], c.rig.Port)
		}
		if packet.Dir(b.Dir[r]) != c.rig.Dir {
			c.t.Errorf("frame %d bears direction %d, want %d", seq, b.Dir[r], c.rig.Dir)
		}
		if b.Ts[r] < *last {
			c.t.Errorf("queue %d: frame %d is %d ns older than the frame before it", queue, seq, *last-b.Ts[r])
		}
		*last = b.Ts[r]
		c.frames = append(c.frames, got{queue, seq, append([]byte(nil), slice...), b.Ts[r], b.WireLen[r]})
		c.ours.Add(1)
	}
}

// waitFor waits until n frames of the suite have been received.
func (c *collector) waitFor(n int) bool {
	deadline := time.Now().Add(patience)
	for c.ours.Load() < int64(n) {
		if time.Now().After(deadline) || c.t.Failed() {
			return false
		}
		time.Sleep(200 * time.Microsecond)
	}
	return true
}

// finish lets the queues run empty, and returns what came.
func (c *collector) finish() []got {
	c.t.Helper()
	c.stop.Store(true)
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	within(c.t, "the queues run empty", done)
	return c.frames
}

// exchange opens a source, moves frames through it without more than the
// window under way, and returns what came.
func (h Harness) exchange(t *testing.T, snap int, frames []Frame, room func(int) int) (Rig, *collector) {
	t.Helper()
	start := time.Now()
	rig := h.open(t, Setup{SnapLen: snap, Frames: frames})
	c := collect(t, rig, snap, room)
	if !h.Recorded {
		all := datas(frames)
		for at := 0; at < len(all); at += h.Window {
			end := min(at+h.Window, len(all))
			if err := rig.Send(all[at:end]); err != nil {
				t.Errorf("send: %v", err)
				break
			}
			if !c.waitFor(end) {
				t.Errorf("of %d frames sent, %d came", end, c.ours.Load())
				break
			}
		}
	}
	c.finish()
	h.checkOnce(t, c, frames, snap, start)
	st := rig.Source.Stats()
	if want := uint64(len(c.frames)) + c.foreign; st.Received != want || st.Bytes != c.bytes {
		t.Errorf("Stats: %d frames and %d bytes received, but Recv delivered %d and %d", st.Received, st.Bytes, want, c.bytes)
	}
	if n := dropped(st); n != 0 {
		t.Errorf("Stats: drops %v, but every frame came", st.Drops)
	}
	return rig, c
}

// checkOnce checks that each frame came exactly once, in order within its
// queue, with the right bytes, lengths and time.
func (h Harness) checkOnce(t *testing.T, c *collector, frames []Frame, snap int, start time.Time) {
	t.Helper()
	seen := make([]int, len(frames))
	lastOf := make(map[int]int)
	// A clock that a device reads may stand off the system's by a little.
	earliest, latest := start.Add(-time.Second).UnixNano(), time.Now().Add(time.Second).UnixNano()
	for _, g := range c.frames {
		if g.seq >= len(frames) {
			t.Errorf("frame %d was never sent", g.seq)
			continue
		}
		want := frames[g.seq].Data
		seen[g.seq]++
		if last, ok := lastOf[g.queue]; ok && g.seq <= last {
			t.Errorf("queue %d: frame %d after frame %d", g.queue, g.seq, last)
		}
		lastOf[g.queue] = g.seq
		if int(g.wire) != len(want) {
			t.Errorf("frame %d: wire length %d, want %d", g.seq, g.wire, len(want))
		}
		if n := min(snap, len(want)); string(g.data) != string(want[:n]) {
			t.Errorf("frame %d: the bytes differ (%d kept, want %d)", g.seq, len(g.data), n)
		}
		switch {
		case h.Recorded && g.ts != frames[g.seq].Time.UnixNano():
			t.Errorf("frame %d: time %d, want %d", g.seq, g.ts, frames[g.seq].Time.UnixNano())
		case !h.Recorded && (g.ts < earliest || g.ts > latest):
			t.Errorf("frame %d: time %v is not within the test", g.seq, time.Unix(0, g.ts))
		}
		if t.Failed() {
			return
		}
	}
	for seq, n := range seen {
		if n != 1 {
			t.Errorf("frame %d came %d times", seq, n)
		}
	}
}
