//go:build dpdk

package dpdk

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/dpdk/internal/feed"
	"github.com/confluo/confluo/packet"
	"github.com/yerden/go-dpdk/ethdev"
	"github.com/yerden/go-dpdk/mbuf"
	"github.com/yerden/go-dpdk/mempool"
	"go.uber.org/goleak"
)

// openWithoutEAL, in the environment, makes the test binary open a source
// before EAL is initialised.
const openWithoutEAL = "CONFLUO_TEST_DPDK_WITHOUT_EAL"

// testEAL is the EAL of all tests: no huge pages, no PCI, nothing shared.
var testEAL = EALOptions{MemoryMiB: 256, Args: []string{"--no-telemetry"}}

func TestMain(m *testing.M) {
	if os.Getenv(openWithoutEAL) != "" {
		_, err := Open(Options{Name: "early", Ports: []Port{{Device: "net_null0"}}})
		fmt.Print(err)
		return
	}
	if err := InitEAL(testEAL); err != nil {
		log.Fatal(err)
	}
	// The thread of EAL's main lcore waits for the end of the process.
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// open opens a source of one port and closes it with the test.
func open(t testing.TB, p Port) capture.Source {
	t.Helper()
	return openAll(t, Options{Name: t.Name(), Ports: []Port{p}})
}

func openAll(t testing.TB, o Options) capture.Source {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newBatch(t testing.TB, stride int) *packet.Batch {
	t.Helper()
	b, err := packet.NewBatch(nil, stride)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A frame is what a test keeps of a received row.
type frame struct {
	data    []byte
	ts      int64
	wireLen uint32
	port    uint16
	dir     packet.Dir
}

// receive collects want frames from a queue, and whatever comes with the last
// of them; it fails the test when they do not come.
func receive(t testing.TB, q capture.Queue, stride, want int) []frame {
	t.Helper()
	var out []frame
	b := newBatch(t, stride)
	for end := time.Now().Add(30 * time.Second); len(out) < want; {
		b.N = 0
		if err := q.Recv(b, 20*time.Millisecond); err != nil {
			t.Fatalf("recv after %d of %d frames: %v", len(out), want, err)
		}
		out = appendRows(out, b)
		if time.Now().After(end) {
			t.Fatalf("%d of %d frames after 30 s", len(out), want)
		}
	}
	return out
}

func appendRows(out []frame, b *packet.Batch) []frame {
	for i := range b.N {
		out = append(out, frame{bytes.Clone(b.Slice(i)), b.Ts[i], b.WireLen[i], b.Port[i], packet.Dir(b.Dir[i])})
	}
	return out
}

// expectNoMore fails the test when a queue has further frames.
func expectNoMore(t testing.TB, q capture.Queue) {
	t.Helper()
	b := newBatch(t, 64)
	if err := q.Recv(b, 20*time.Millisecond); err != nil || b.N != 0 {
		t.Errorf("%d frames more than were sent, %v", b.N, err)
	}
}

func drop(t testing.TB, st capture.Stats, cause string) uint64 {
	t.Helper()
	for _, d := range st.Drops {
		if d.Cause == cause {
			return d.N
		}
	}
	t.Fatalf("no drop cause %q in %+v", cause, st.Drops)
	return 0
}

// A feeder sends frames into the rings of a net_ring source.
type feeder struct {
	t    testing.TB
	port ethdev.Port
	pool *mempool.Mempool
}

// newRing opens a source on a net_ring device and a feeder into it.
func newRing(t testing.TB, p Port) (capture.Source, *feeder) {
	t.Helper()
	queues := uint16(max(1, p.Queues))
	name := fmt.Sprint("t", poolNumber.Add(1))
	free, err := feed.Rings(name, int(queues))
	if err != nil {
		t.Fatal(err)
	}
	p.Device = "net_ring_" + name
	pool, err := mempool.CreateMbufPool("feed_"+name, 8191, 2048+mbufHeadroom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(detach(p.Device+"f"), detach(p.Device)); err != nil {
			t.Error(err)
		}
		free()
		pool.Free()
	})
	s := open(t, p)
	port, err := ethdev.GetPortByName(p.Device + "f")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(port.Stop)
	if err := port.DevConfigure(queues, queues); err != nil {
		t.Fatal(err)
	}
	for q := range queues {
		if err := port.RxqSetup(q, 512, pool); err != nil {
			t.Fatal(err)
		}
		if err := port.TxqSetup(q, 512); err != nil {
			t.Fatal(err)
		}
	}
	if err := port.Start(); err != nil {
		t.Fatal(err)
	}
	return s, &feeder{t: t, port: port, pool: pool}
}

// mbufs returns one mbuf a frame.
func (f *feeder) mbufs(frames ...[]byte) []*mbuf.Mbuf {
	f.t.Helper()
	ms := make([]*mbuf.Mbuf, len(frames))
	if err := mbuf.PktMbufAllocBulk(f.pool, ms); err != nil {
		f.t.Fatal(err)
	}
	for i, m := range ms {
		if err := m.PktMbufAppend(frames[i]); err != nil {
			f.t.Fatal(err)
		}
	}
	return ms
}

// try sends what fits and returns how many that were.
func (f *feeder) try(queue uint16, ms []*mbuf.Mbuf) int {
	n := f.port.TxBurst(queue, ms)
	mbuf.PktMbufFreeBulk(ms[n:])
	return int(n)
}

func (f *feeder) send(queue uint16, ms ...*mbuf.Mbuf) {
	f.t.Helper()
	if n := f.try(queue, ms); n != len(ms) {
		f.t.Fatalf("the ring took %d of %d frames", n, len(ms))
	}
}
