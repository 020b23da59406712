package pipeline

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/ringbuf"
	"github.com/confluo/confluo/spray"
)

// A trickle delivers frames one by one.
type trickle struct{ left int }

func (q *trickle) Recv(b *packet.Batch, _ time.Duration) error {
	if q.left == 0 {
		return io.EOF
	}
	q.left--
	b.Append(make([]byte, 60), 0, 60, 0, packet.DirIn)
	return nil
}

// TestFramesThatTrickleInAreGatheredWhileTheWriterIsBehind has a ring that
// nobody drains: half of its slots take a frame each, the others a full batch.
func TestFramesThatTrickleInAreGatheredWhileTheWriterIsBehind(t *testing.T) {
	const slots = 8
	const room = slots/2 + slots/2*packet.ChunkSize
	for _, n := range []int{slots / 2, room, room + 10} {
		ports := new(packet.PortTable)
		if _, err := ports.Add(packet.Port{Name: "test", Link: packet.LinkEthernet}); err != nil {
			t.Fatal(err)
		}
		log, err := multilog.New(multilog.Options{Ports: ports, SnapLen: 64, Segments: 16, SegmentHeaders: 1024})
		if err != nil {
			t.Fatal(err)
		}
		batches := make([]packet.Batch, slots)
		for i := range batches {
			batches[i] = *newBatch(t)
		}
		ring, err := ringbuf.New(batches)
		if err != nil {
			t.Fatal(err)
		}
		sp := spray.New(log, []*spray.Ring{ring}, spray.Drop, newBatch(t))
		p := &Pipeline{ctx: t.Context()}
		p.captures.Add(1)
		p.capture(&source{queues: []capture.Queue{&trickle{n}}, sprayers: []*spray.Sprayer{sp}, failed: make([]atomic.Pointer[error], 1)}, 0, -1)
		dropped := sp.Counts().RingFull.Load()
		if want := uint64(max(0, n-room)); dropped != want {
			t.Errorf("of %d frames %d were dropped, want %d", n, dropped, want)
		}
		if n == slots/2 && ring.Len() != n {
			t.Errorf("%d frames went in %d batches although the writer was not behind", n, ring.Len())
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func newBatch(t *testing.T) *packet.Batch {
	t.Helper()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
