package afpacket

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/packet"
)

// fakeRing lays blocks of frames out in ordinary memory as the kernel does.
func fakeRing(blocks, frames, length int, cooked bool) *ring {
	const slot = 128
	size := blockHdrBytes + frames*(slot+length)
	r := &ring{mem: make([]byte, blocks*size), blockSize: size, cooked: cooked, fd: -1}
	ne := binary.NativeEndian
	for b := range blocks {
		block := r.mem[b*size:][:size]
		ne.PutUint32(block[offNumPkts:], uint32(frames))
		ne.PutUint32(block[offFirstPkt:], blockHdrBytes)
		for i := range frames {
			h := block[blockHdrBytes+i*(slot+length):]
			ne.PutUint32(h[offNext:], uint32(slot+length))
			ne.PutUint32(h[offSec:], 1700000000)
			ne.PutUint32(h[offNsec:], uint32(b*frames+i))
			ne.PutUint32(h[offSnapLen:], uint32(length))
			ne.PutUint32(h[offLen:], uint32(length))
			ne.PutUint16(h[offMac:], slot)
		}
	}
	return r
}

// hand gives all blocks to the reader, as the kernel would.
func (r *ring) hand() {
	for at := 0; at < len(r.mem); at += r.blockSize {
		status(r.mem[at:]).Store(unix.TP_STATUS_USER)
	}
}

func TestBlocksAreGivenBackWhenTheirLastFrameIsTaken(t *testing.T) {
	r := fakeRing(3, 10, 60, false)
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	ours := func() (n int) {
		for at := 0; at < len(r.mem); at += r.blockSize {
			n += int(status(r.mem[at:]).Load())
		}
		return n
	}
	next := int64(1700000000e9)
	for round := range 4 {
		r.hand()
		for _, c := range []struct{ room, got, left int }{{1, 1, 3}, {8, 8, 3}, {1, 1, 2}, {15, 15, 1}, {100, 5, 0}, {100, 0, 0}} {
			b.N = packet.ChunkSize - c.room
			r.take(b)
			if n := b.N - (packet.ChunkSize - c.room); n != c.got || ours() != c.left {
				t.Fatalf("round %d, room %d: %d frames, %d blocks still ours; want %d and %d", round, c.room, n, ours(), c.got, c.left)
			}
			for i := packet.ChunkSize - c.room; i < b.N; i++ {
				if b.Ts[i] != next {
					t.Fatalf("time %d, want %d", b.Ts[i], next)
				}
				next++
			}
		}
		next -= 30
	}
	if n := r.delivered.Load(); n != 120 {
		t.Errorf("%d delivered, want 120", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for name, cooked := range map[string]bool{"ethernet": false, "cooked": true} {
		b.Run(name, func(b *testing.B) {
			r := fakeRing(16, 200, 1000, cooked)
			batch, err := packet.NewBatch(nil, 128)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batch.N {
				batch.N = 0
				r.take(batch)
				if batch.N == 0 {
					r.hand()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
