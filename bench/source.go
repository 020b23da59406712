package bench

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/packet"
)

// A generator is a source of one queue that delivers frames of a pool, as many
// as it was asked for, as fast as they are taken.
type generator struct {
	pool   *pool
	burst  int
	port   int    // where the destination port stands
	rare   uint64 // one header in so many gets rarePort; 0: none
	quota  atomic.Uint64
	sent   atomic.Uint64
	bytes  atomic.Uint64
	closed chan struct{}
	once   sync.Once
}

func newGenerator(p *pool, o *Options) *generator {
	return &generator{pool: p, burst: o.Burst, port: dstPortAt(o.Mix), closed: make(chan struct{})}
}

// send lets n more headers go.
func (g *generator) send(n uint64) { g.quota.Add(n) }

// Recv implements capture.Queue. Frames carry the time of their burst, and a
// nanosecond more each.
func (g *generator) Recv(b *packet.Batch, wait time.Duration) error {
	sent := g.sent.Load()
	left := g.quota.Load() - sent
	if left == 0 {
		select {
		case <-g.closed:
			return capture.ErrClosed
		default:
			time.Sleep(min(wait, 50*time.Microsecond))
			return nil
		}
	}
	lo := int(sent % flows)
	at := b.N // Recv appends
	n := int(min(uint64(g.burst), left, uint64(flows-lo), uint64(packet.ChunkSize-at)))
	end := at + n
	p := g.pool
	copy(b.Data[at*b.Stride:end*b.Stride], p.Data[lo*p.stride:(lo+n)*p.stride])
	copy(b.WireLen[at:end], p.WireLen[lo:])
	copy(b.CapLen[at:end], p.CapLen[lo:])
	copy(b.Port[at:end], p.Port[lo:])
	copy(b.Dir[at:end], p.Dir[lo:])
	now := time.Now().UnixNano()
	var bytes uint64
	for i := range n {
		b.Ts[at+i] = now + int64(i)
		bytes += uint64(b.WireLen[at+i])
	}
	b.N = end
	if g.rare > 0 {
		if i := g.rare - 1 - sent%g.rare; i < uint64(n) {
			binary.BigEndian.PutUint16(b.Data[(at+int(i))*b.Stride+g.port:], rarePort)
		}
	}
	g.sent.Store(sent + uint64(n))
	g.bytes.Add(bytes)
	return nil
}

// Name implements capture.Source.
func (g *generator) Name() string { return "bench" }

// Queues implements capture.Source.
func (g *generator) Queues() []capture.Queue { return []capture.Queue{g} }

// Stats implements capture.Source.
func (g *generator) Stats() capture.Stats {
	return capture.Stats{Received: g.sent.Load(), Bytes: g.bytes.Load(), State: "up"}
}

// Close implements capture.Source.
func (g *generator) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}
