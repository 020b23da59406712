package archiver_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/confluo/confluo/archiver"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter keeps the number of headers that it could read of each segment.
type counter struct {
	kept  atomic.Uint64
	fail  atomic.Int64 // attempts that still fail
	pause time.Duration
}

var errDisk = errors.New("disk full")

func (c *counter) Archive(_ context.Context, log *multilog.Log, from, to uint64) error {
	time.Sleep(c.pause)
	if c.fail.Add(-1) >= 0 {
		return errDisk
	}
	s, err := log.Scan(multilog.ScanOptions{From: from, To: to})
	if err != nil {
		return err
	}
	defer s.Close()
	n := uint64(0)
	for s.Next() {
		n += uint64(s.Match().Count())
	}
	if n != to-from {
		return errors.New("some headers were gone")
	}
	c.kept.Add(n)
	return nil
}

const segment = 1024

// run appends headers until total are stored or refused, beside an archiver.
func run(t *testing.T, c *counter, o archiver.Options, total int) (stored, refused uint64) {
	t.Helper()
	ports := new(packet.PortTable)
	if _, err := ports.Add(packet.Port{Name: "test0", Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	log, err := multilog.New(multilog.Options{Ports: ports, SnapLen: 64, Segments: 6, SegmentHeaders: segment})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		archiver.Run(ctx, log, c, o)
	}()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < total; n += packet.ChunkSize {
		for b.N = 0; !b.Full(); {
			b.Append(make([]byte, 60), int64(n), 60, 0, packet.DirIn)
		}
		base, ok := log.Claim(b.N)
		for tries := 0; !ok && tries < 20; tries++ {
			time.Sleep(time.Millisecond)
			base, ok = log.Claim(b.N)
		}
		if !ok {
			refused += packet.ChunkSize
			continue
		}
		b.Base = base
		log.Lane(0).Append(b)
	}
	sealed := log.ReadTail() &^ (segment - 1)
	for deadline := time.Now().Add(20 * time.Second); c.kept.Load() < sealed && o.OnFull == archiver.Block && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	return log.ReadTail(), refused
}

func TestNothingLeavesMemoryBeforeItIsArchived(t *testing.T) {
	c := &counter{}
	c.fail.Store(3)
	var failed atomic.Int64
	stored, refused := run(t, c, archiver.Options{OnFull: archiver.Block, Poll: time.Millisecond,
		Failed: func(err error) {
			if !errors.Is(err, errDisk) {
				t.Error(err)
			}
			failed.Add(1)
		}}, 40*segment)
	if stored+refused != 40*segment || c.kept.Load() != stored&^(segment-1) {
		t.Errorf("stored %d, refused %d, archived %d", stored, refused, c.kept.Load())
	}
	if failed.Load() != 3 {
		t.Errorf("%d failures were told, want 3", failed.Load())
	}
}

func TestASlowArchiverLosesCountedSegments(t *testing.T) {
	c := &counter{pause: 20 * time.Millisecond}
	var lost atomic.Uint64
	stored, refused := run(t, c, archiver.Options{Poll: time.Millisecond, Lost: func(n uint64) { lost.Add(n) }}, 100*segment)
	if refused != 0 || stored != 100*segment {
		t.Errorf("stored %d, refused %d: capture waited for the archiver", stored, refused)
	}
	if lost.Load() == 0 || c.kept.Load()+lost.Load() > stored || lost.Load()%segment != 0 {
		t.Errorf("archived %d + lost %d, stored %d", c.kept.Load(), lost.Load(), stored)
	}
}
