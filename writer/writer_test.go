package writer_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/ringbuf"
	"github.com/confluo/confluo/spray"
	"github.com/confluo/confluo/writer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stride = 64

// A pipeline is producers × writers rings over one log.
type pipeline struct {
	log      *multilog.Log
	sprayers []*spray.Sprayer
	inputs   [][]writer.Input // by writer
}

func newPipeline(t testing.TB, producers, writers, slots int, policy spray.Policy, o multilog.Options) *pipeline {
	t.Helper()
	ports := new(packet.PortTable)
	if _, err := ports.Add(packet.Port{Name: "test0", Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	o.Ports, o.SnapLen, o.Lanes = ports, stride, producers*writers
	log, err := multilog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &pipeline{log: log, inputs: make([][]writer.Input, writers)}
	for i := range producers {
		var rings []*spray.Ring
		for w := range writers {
			batches := make([]packet.Batch, slots)
			for j := range batches {
				b, err := packet.NewBatch(nil, stride)
				if err != nil {
					t.Fatal(err)
				}
				batches[j] = *b
			}
			r, err := ringbuf.New(batches)
			if err != nil {
				t.Fatal(err)
			}
			rings = append(rings, r)
			p.inputs[w] = append(p.inputs[w], writer.Input{Ring: r, Lane: log.Lane(i*writers + w)})
		}
		spare, err := packet.NewBatch(nil, stride)
		if err != nil {
			t.Fatal(err)
		}
		p.sprayers = append(p.sprayers, spray.New(log, rings, policy, spare))
	}
	return p
}

// send gives n numbered frames of one producer to the pipeline. The number is
// in the TCP sequence field, the producer in the source port.
func (p *pipeline) send(producer, from, n, burst int) {
	var frame [54]byte
	frame[12], frame[13], frame[14], frame[22], frame[23], frame[46] = 8, 0, 0x45, 64, 6, 5<<4
	binary.BigEndian.PutUint16(frame[16:], 40)
	binary.BigEndian.PutUint16(frame[34:], uint16(producer+1))
	binary.BigEndian.PutUint16(frame[36:], 443)
	s := p.sprayers[producer]
	ctx := context.Background()
	for i := 0; i < n; {
		b := s.Next(ctx)
		for range min(burst, n-i) {
			binary.BigEndian.PutUint32(frame[38:], uint32(from+i))
			b.Append(frame[:], time.Now().UnixNano(), 60, 0, packet.DirIn)
			i++
		}
		s.Commit(ctx, b)
	}
}

// received returns the numbers of all published headers, by producer, in offset
// order.
func (p *pipeline) received(t testing.TB, producers int) [][]uint32 {
	t.Helper()
	out := make([][]uint32, producers)
	s, err := p.log.Scan(multilog.ScanOptions{To: p.log.ReadTail(), Need: packet.SetOf(packet.SrcPort, packet.TCPSeq)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Next() {
		c := s.Columns()
		s.Match().Each(func(i int) {
			out[c.SrcPort[i]-1] = append(out[c.SrcPort[i]-1], c.TCPSeq[i])
		})
	}
	if s.Evicted() > 0 {
		t.Fatalf("%d headers evicted", s.Evicted())
	}
	return out
}

func TestEveryHeaderArrivesOnceAndInOrderThroughParallelWriters(t *testing.T) {
	const producers, writers, each = 3, 2, 20_000
	p := newPipeline(t, producers, writers, 4, spray.Block, multilog.Options{Segments: 24, SegmentHeaders: 4096})
	if _, err := p.log.InstallIndex(packet.SrcPort); err != nil {
		t.Fatal(err)
	}
	where, err := expr.Parse("src_port == 2", nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.log.InstallFilter(multilog.FilterSpec{Name: "two", Expr: where})
	if err != nil {
		t.Fatal(err)
	}
	var ws []*writer.Writer
	for _, in := range p.inputs {
		ws = append(ws, writer.Start(in, writer.Options{CPU: -1}))
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Add(1)
	go func() { // a filter and the headers agree at every moment
		defer readers.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			tail := p.log.ReadTail()
			if a, b := p.count(t, multilog.ScanOptions{To: tail, Where: where}), p.count(t, multilog.ScanOptions{To: tail, Filter: f}); a != b {
				t.Errorf("below %d: %d headers match, the filter has %d", tail, a, b)
				return
			}
		}
	}()
	var senders sync.WaitGroup
	for i := range producers {
		senders.Add(1)
		go func() {
			defer senders.Done()
			p.send(i, 0, each, 7+31*i)
		}()
	}
	senders.Wait()
	for _, w := range ws {
		w.Stop()
	}
	close(stop)
	readers.Wait()
	for i, got := range p.received(t, producers) {
		if len(got) != each {
			t.Errorf("producer %d: %d headers, want %d", i, len(got), each)
		}
		for j, v := range got {
			if int(v) != j {
				t.Fatalf("producer %d: header %d carries number %d", i, j, v)
			}
		}
	}
}

func (p *pipeline) count(t testing.TB, o multilog.ScanOptions) (n int) {
	s, err := p.log.Scan(o)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer s.Close()
	for s.Next() {
		n += s.Match().Count()
	}
	return n
}

func TestAStoppedWriterStopsNoOther(t *testing.T) {
	p := newPipeline(t, 1, 2, 4, spray.Drop, multilog.Options{Segments: 16, SegmentHeaders: 4096})
	// Writer 0 does not run. Its ring fills; every other batch goes to writer 1.
	w1 := writer.Start(p.inputs[1], writer.Options{CPU: -1})
	const batches = 100
	for i := range batches {
		p.send(0, i*10, 10, 10)
		time.Sleep(100 * time.Microsecond)
	}
	w1.Stop()
	c := p.sprayers[0].Counts()
	headers, _ := w1.Counts()
	if dropped := c.RingFull.Load(); headers+4*10+dropped != batches*10 || headers < batches*10/2 {
		t.Errorf("the running writer wrote %d headers, 40 wait for the other, %d were dropped, of %d", headers, dropped, batches*10)
	}
	if tail := p.log.ReadTail(); tail != 0 {
		t.Errorf("read tail is %d although the first batch is not written", tail)
	}
	w0 := writer.Start(p.inputs[0], writer.Options{CPU: -1})
	w0.Stop()
	if r, w := p.log.ReadTail(), p.log.WriteTail(); r != w || w != c.Claimed.Load() {
		t.Errorf("read tail %d, write tail %d, claimed %d", r, w, c.Claimed.Load())
	}
}

func TestDroppedBatchesAreCountedAndLeaveNoHole(t *testing.T) {
	for name, c := range map[string]struct {
		hold bool
		want func(*spray.Counts) uint64
	}{
		"full ring":   {false, func(c *spray.Counts) uint64 { return c.RingFull.Load() }},
		"full memory": {true, func(c *spray.Counts) uint64 { return c.MemoryFull.Load() }},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(t, 1, 1, 2, spray.Drop, multilog.Options{Segments: 6, SegmentHeaders: 1024})
			var w *writer.Writer
			if c.hold { // a reader that never reads
				defer p.log.Hold(0).Release()
				w = writer.Start(p.inputs[0], writer.Options{CPU: -1})
			}
			const n = 50_000
			for i := 0; i < n; i += 100 {
				p.send(0, i, 100, 100)
				if c.hold {
					for p.log.ReadTail() < p.log.WriteTail() {
						time.Sleep(10 * time.Microsecond)
					}
				}
			}
			if w == nil {
				w = writer.Start(p.inputs[0], writer.Options{CPU: -1})
			}
			w.Stop()
			counts := p.sprayers[0].Counts()
			if counts.Received.Load() != n {
				t.Errorf("received %d of %d", counts.Received.Load(), n)
			}
			dropped := c.want(counts)
			if dropped == 0 || p.log.ReadTail()+dropped != n {
				t.Errorf("stored %d + dropped %d != received %d", p.log.ReadTail(), dropped, n)
			}
			if got := p.received(t, 1)[0]; uint64(len(got)) != p.log.ReadTail() {
				t.Errorf("%d headers below read tail %d", len(got), p.log.ReadTail())
			}
		})
	}
}

func TestBlockLosesNothingWhenMemoryIsSmall(t *testing.T) {
	p := newPipeline(t, 1, 1, 2, spray.Block, multilog.Options{Segments: 6, SegmentHeaders: 1024})
	hold := p.log.Hold(0)
	w := writer.Start(p.inputs[0], writer.Options{CPU: -1})
	const n = 100_000
	go func() { // a consumer that frees memory as it has read it
		defer hold.Release()
		for off := uint64(0); off < n; off = p.log.ReadTail() {
			hold.Advance(p.log.ReadTail())
			time.Sleep(100 * time.Microsecond)
		}
	}()
	p.send(0, 0, n, 256)
	w.Stop()
	if p.log.ReadTail() != n {
		t.Errorf("stored %d of %d", p.log.ReadTail(), n)
	}
	time.Sleep(time.Millisecond)
}

func TestAppendAllocatesNothing(t *testing.T) {
	p := newPipeline(t, 1, 1, 2, spray.Drop, multilog.Options{Segments: 6, SegmentHeaders: 1024})
	for i, text := range []string{"dst_port == 443", "tcp && tcp_seq > 5", "src_port == 9"} {
		e, err := expr.Parse(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		name := string(rune('a' + i))
		if _, err := p.log.InstallFilter(multilog.FilterSpec{Name: name, Expr: e}); err != nil {
			t.Fatal(err)
		}
		sum, err := expr.ParseAggregate("SUM(pkt_len)")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.log.InstallAggregate(multilog.AggregateSpec{Name: name, Filter: name, Agg: sum}); err != nil {
			t.Fatal(err)
		}
	}
	in := p.inputs[0][0]
	step := func() {
		p.send(0, 0, 256, 256)
		for range in.Ring.Ready(2) {
			in.Lane.Append(in.Ring.Peek(0))
			in.Ring.Release(1)
		}
	}
	step() // the lane takes up the installed set
	if n := testing.AllocsPerRun(200, step); n > 0 {
		t.Errorf("%.1f allocations a batch", n)
	}
}
