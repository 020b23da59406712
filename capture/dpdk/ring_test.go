//go:build dpdk

package dpdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/dpdk/internal/feed"
	"github.com/confluo/confluo/packet"
	"github.com/yerden/go-dpdk/mbuf"
)

// randomFrame returns a frame of n bytes that begins with its number.
func randomFrame(r *rand.Rand, number uint32, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, number)
	for len(b) < n {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

func TestRingFramesArriveOnceInOrderByteForByte(t *testing.T) {
	const stride = 200
	s, f := newRing(t, Port{Index: 7})
	q := s.Queues()[0]
	r := rand.New(rand.NewPCG(1, 2))
	var bytesSent uint64
	before := time.Now().UnixNano()
	for round := range 40 {
		// Frames of 14 to 1514 bytes, shorter and longer than the snap length,
		// in bursts smaller and larger than a batch.
		sent := make([][]byte, 1+r.IntN(600))
		for i := range sent {
			sent[i] = randomFrame(r, uint32(i), 14+r.IntN(1501))
			bytesSent += uint64(len(sent[i]))
		}
		f.send(0, f.mbufs(sent...)...)
		got := receive(t, q, stride, len(sent))
		if len(got) != len(sent) {
			t.Fatalf("round %d: %d frames, want %d", round, len(got), len(sent))
		}
		for i, g := range got {
			if want := sent[i][:min(stride, len(sent[i]))]; !bytes.Equal(g.data, want) {
				t.Fatalf("round %d, frame %d: %x, want %x", round, i, g.data, want)
			}
			if g.wireLen != uint32(len(sent[i])) || g.port != 7 || g.dir != packet.DirIn {
				t.Fatalf("round %d, frame %d: wire length %d, port %d, direction %d, want %d, 7, in", round, i, g.wireLen, g.port, g.dir, len(sent[i]))
			}
			if g.ts < before || g.ts > time.Now().UnixNano() {
				t.Fatalf("round %d, frame %d: time %d is not between send and receipt", round, i, g.ts)
			}
		}
	}
	expectNoMore(t, q)
	if n := f.pool.InUseCount(); n != 0 {
		t.Errorf("%d mbufs were not freed", n)
	}
	if st := s.Stats(); st.Bytes != bytesSent || st.State != "up" {
		t.Errorf("stats %+v, want %d bytes and state up", st, bytesSent)
	}
}

func TestRecvAppendsToWhatTheBatchHas(t *testing.T) {
	s, f := newRing(t, Port{})
	q := s.Queues()[0]
	b := newBatch(t, 32)
	sent := make([][]byte, 300)
	for i := range sent {
		sent[i] = bytes.Repeat([]byte{byte(i)}, 60)
	}
	b.Append([]byte("before"), 1, 6, 2, packet.DirOut)
	f.send(0, f.mbufs(sent...)...)
	for range 2 { // the second call finds the batch full
		if err := q.Recv(b, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if !b.Full() || string(b.Slice(0)) != "before" {
		t.Fatalf("%d rows, first %q, want 256 and before", b.N, b.Slice(0))
	}
	for i := 1; i < b.N; i++ {
		if !bytes.Equal(b.Slice(i), sent[i-1][:32]) {
			t.Fatalf("row %d: %x", i, b.Slice(i))
		}
	}
	rest := receive(t, q, 32, 45)
	if len(rest) != 45 || rest[0].data[0] != byte(255) {
		t.Errorf("%d frames of the rest, first %x, want 45 from number 255 on", len(rest), rest[0].data)
	}
}

// tagged puts tags behind the addresses of a frame.
func tagged(frame []byte, tags ...uint16) []byte {
	out := slices.Clone(frame[:12])
	for _, v := range tags {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return append(out, frame[12:]...)
}

func TestStrippedVLANTagsArePutBack(t *testing.T) {
	s, f := newRing(t, Port{})
	r := rand.New(rand.NewPCG(3, 4))
	plain := randomFrame(r, 0, 100)
	ms := f.mbufs(plain, plain, plain, plain)
	feed.VLANStripped(ms[1], 0x6123)
	feed.QinQStripped(ms[2], 0x0fff)
	feed.QinQStripped(ms[3], 0x0064)
	feed.VLANStripped(ms[3], 0x00c8)
	want := [][]byte{
		plain,
		tagged(plain, 0x8100, 0x6123),
		tagged(plain, 0x88a8, 0x0fff),
		tagged(plain, 0x88a8, 0x0064, 0x8100, 0x00c8),
	}
	f.send(0, ms...)
	for i, g := range receive(t, s.Queues()[0], 256, 4) {
		if !bytes.Equal(g.data, want[i]) || int(g.wireLen) != len(want[i]) {
			t.Errorf("frame %d: %d bytes %x, want %d bytes %x", i, g.wireLen, g.data, len(want[i]), want[i])
		}
	}
}

func TestFramesOfSeveralSegmentsArriveWhole(t *testing.T) {
	s, f := newRing(t, Port{})
	q := s.Queues()[0]
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		whole := randomFrame(r, uint32(round), 12+r.IntN(400))
		// Cut at random, so that cuts fall within the addresses and at their end too.
		var parts [][]byte
		for rest := whole; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			if r.IntN(2) == 0 {
				n = min(n, 13)
			}
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		ms := f.mbufs(parts...)
		for _, m := range ms[1:] {
			if err := feed.Chain(ms[0], m); err != nil {
				t.Fatal(err)
			}
		}
		want := whole
		if round%2 == 1 {
			feed.VLANStripped(ms[0], 42)
			want = tagged(whole, 0x8100, 42)
		}
		stride := 1 + r.IntN(len(want)+20)
		f.send(0, ms[0])
		g := receive(t, q, stride, 1)[0]
		if !bytes.Equal(g.data, want[:min(stride, len(want))]) || int(g.wireLen) != len(want) {
			t.Fatalf("round %d, %d parts, stride %d: %d bytes %x, want %d bytes %x",
				round, len(parts), stride, g.wireLen, g.data, len(want), want)
		}
	}
	if n := f.pool.InUseCount(); n != 0 {
		t.Errorf("%d mbufs were not freed", n)
	}
}

func TestDeviceTimeIsUsedWhereItIsUnixTimeAndNeverGoesBackInABurst(t *testing.T) {
	// The field must be registered before the source looks for it.
	_, f := newRing(t, Port{})
	reg := f.mbufs(make([]byte, 60))
	if err := feed.Stamp(reg[0], 1); err != nil {
		t.Fatal(err)
	}
	mbuf.PktMbufFreeBulk(reg)

	s, f := newRing(t, Port{})
	base := time.Now().Add(-time.Hour).UnixNano()
	stamps := []int64{base, base + 5, base + 3, 12345, base + 9}
	ms := f.mbufs(slices.Repeat([][]byte{make([]byte, 60)}, len(stamps)+1)...)
	for i, v := range stamps {
		if err := feed.Stamp(ms[i], uint64(v)); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().UnixNano()
	f.send(0, ms...)
	got := receive(t, s.Queues()[0], 64, len(ms))
	for i, want := range []int64{base, base + 5, base + 5} {
		if got[i].ts != want {
			t.Errorf("frame %d: time %d, want %d", i, got[i].ts, want)
		}
	}
	// A stamp of another clock gives the system time, and so does none; the
	// stamp after it lies back and does not count.
	for i := 3; i < len(got); i++ {
		if got[i].ts < before || got[i].ts > time.Now().UnixNano() || got[i].ts < got[i-1].ts {
			t.Errorf("frame %d: time %d, want the time of receipt", i, got[i].ts)
		}
	}
}

func TestRingQueuesAreReceivedInParallel(t *testing.T) {
	const queues, frames = 2, 20000
	s, f := newRing(t, Port{Queues: queues})
	if st := s.Stats(); !strings.Contains(st.Detail, "2 queues without RSS (driver net_ring has none)") {
		t.Errorf("detail %q does not say that there is no RSS", st.Detail)
	}
	var wg sync.WaitGroup
	for i, q := range s.Queues() {
		wg.Go(func() {
			next := uint32(0)
			b := newBatch(t, 64)
			for next < frames {
				b.N = 0
				if err := q.Recv(b, 100*time.Millisecond); err != nil {
					t.Errorf("queue %d: %v", i, err)
					return
				}
				for row := range b.N {
					if n := binary.BigEndian.Uint32(b.Slice(row)); n != next || b.Slice(row)[4] != byte(i) {
						t.Errorf("queue %d: frame %d of queue %d, want %d", i, n, b.Slice(row)[4], next)
						return
					}
					next++
				}
			}
		})
	}
	for i := range queues {
		wg.Go(func() {
			for n := 0; n < frames; {
				burst := make([][]byte, min(100, frames-n))
				for j := range burst {
					burst[j] = append(binary.BigEndian.AppendUint32(nil, uint32(n+j)), byte(i), 0, 0, 0, 0, 0, 0, 0, 0, 0)
				}
				taken := f.try(uint16(i), f.mbufs(burst...))
				n += taken
				if taken == 0 {
					time.Sleep(50 * time.Microsecond)
				}
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Received != queues*frames {
		t.Errorf("received %d, want %d", st.Received, queues*frames)
	}
}

func TestCloseCountsWhatTheRingStillHeld(t *testing.T) {
	s, f := newRing(t, Port{})
	q := s.Queues()[0]
	f.send(0, f.mbufs(slices.Repeat([][]byte{make([]byte, 60)}, 700)...)...)
	got := len(receive(t, q, 64, 200))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	if int(st.Received) != got || drop(t, st, "closed") != uint64(700-got) || st.State != "done" {
		t.Errorf("700 sent, %d received: %+v", got, st)
	}
	b := newBatch(t, 64)
	if err := q.Recv(b, time.Second); !errors.Is(err, capture.ErrClosed) || b.N != 0 {
		t.Errorf("recv after close: %d frames, %v, want %v", b.N, err, capture.ErrClosed)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if again := s.Stats(); again.Received != st.Received {
		t.Errorf("stats changed after close: %+v, %+v", st, again)
	}
	if n := f.pool.InUseCount(); n != 0 {
		t.Errorf("%d mbufs were not freed", n)
	}
}

func TestCloseEndsAWaitingRecv(t *testing.T) {
	for name, idle := range map[string]Idle{"busy": {Busy: true}, "adaptive": {}, "sleeping": {Polls: 1, Sleep: time.Second}} {
		t.Run(name, func(t *testing.T) {
			s := openAll(t, Options{Name: "waiting", Idle: idle, Ports: []Port{{Device: "net_ring_wait", Queues: 2}}})
			errs := make(chan error)
			for _, q := range s.Queues() {
				go func() { errs <- q.Recv(newBatch(t, 64), time.Hour) }()
			}
			time.Sleep(20 * time.Millisecond)
			var closers sync.WaitGroup
			for range 3 {
				closers.Go(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			for range s.Queues() {
				if err := <-errs; !errors.Is(err, capture.ErrClosed) {
					t.Errorf("recv: %v, want %v", err, capture.ErrClosed)
				}
			}
			closers.Wait()
		})
	}
}

func TestRecvReturnsEmptyWhenNothingCame(t *testing.T) {
	s, _ := newRing(t, Port{})
	b := newBatch(t, 64)
	for _, wait := range []time.Duration{-1, 0, time.Millisecond, 30 * time.Millisecond} {
		start := time.Now()
		if err := s.Queues()[0].Recv(b, wait); err != nil || b.N != 0 {
			t.Errorf("wait %v: %d frames, %v", wait, b.N, err)
		}
		if took := time.Since(start); took < wait {
			t.Errorf("wait %v: returned after %v", wait, took)
		}
	}
}
