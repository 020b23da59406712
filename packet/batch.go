package packet

import (
	"fmt"
	"unsafe"
)

// Frames is a block of frame slices with what the capture knew of each: the
// input of the parser. Row i is Data[i*Stride:][:CapLen[i]].
type Frames struct {
	Data    []byte
	Stride  int      // bytes reserved a row: the snap length
	Ts      []int64  // ns since the Unix epoch
	WireLen []uint32 // bytes of the frame on the wire
	CapLen  []uint16 // bytes kept, at most Stride
	Port    []uint16 // index into the agent's port table
	Dir     []uint8  // a Dir
}

// A Batch is a burst of up to ChunkSize header slices with their metadata: the
// unit that moves from a capture queue through spray and ring to a writer.
//
// Owned by one goroutine at a time: the capture goroutine that fills it until
// spray commits it, then the writer until it releases the ring slot.
type Batch struct {
	Frames
	N    int    // rows in use
	Base uint64 // offset of row 0 in the log, set by spray when it claims
}

// BatchBytes returns the bytes of memory that a batch of the given stride
// needs, a multiple of 64.
func BatchBytes(stride int) int {
	return (ChunkSize*(stride+8+4+2+2+1) + 63) &^ 63
}

// NewBatch lays a batch out over mem, which must be 64-byte aligned,
// BatchBytes(stride) long, and live as long as the batch; nil allocates on the
// Go heap. Stride is the snap length in bytes, 1 to 65535.
func NewBatch(mem []byte, stride int) (*Batch, error) {
	if stride < 1 || stride > 65535 {
		return nil, fmt.Errorf("packet: snap length %d is not within 1..65535", stride)
	}
	if mem == nil {
		words := make([]uint64, BatchBytes(stride)/8)
		mem = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), BatchBytes(stride))
	}
	if len(mem) < BatchBytes(stride) {
		return nil, fmt.Errorf("packet: %d bytes are too few for a batch of stride %d (%d)", len(mem), stride, BatchBytes(stride))
	}
	b := &Batch{}
	b.Stride = stride
	// Widest first, so that every column is aligned for its type.
	b.Ts, mem = carve[int64](mem)
	b.WireLen, mem = carve[uint32](mem)
	b.CapLen, mem = carve[uint16](mem)
	b.Port, mem = carve[uint16](mem)
	b.Dir, mem = carve[uint8](mem)
	b.Data = mem[: ChunkSize*stride : ChunkSize*stride]
	return b, nil
}

func carve[T any](mem []byte) ([]T, []byte) {
	var z T
	n := ChunkSize * int(unsafe.Sizeof(z))
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[0])), ChunkSize), mem[n:]
}

// Append copies at most Stride bytes of frame into the next row. The batch
// must not be full.
func (b *Batch) Append(frame []byte, ts int64, wireLen uint32, port uint16, dir Dir) {
	i := b.N
	n := copy(b.Data[i*b.Stride:(i+1)*b.Stride], frame)
	b.Ts[i], b.WireLen[i], b.CapLen[i], b.Port[i], b.Dir[i] = ts, wireLen, uint16(n), port, uint8(dir)
	b.N = i + 1
}

// Full reports whether the batch has no free row.
func (b *Batch) Full() bool { return b.N == ChunkSize }

// Slice returns the kept bytes of row i; they belong to the batch.
func (f *Frames) Slice(i int) []byte {
	return f.Data[i*f.Stride : i*f.Stride+int(f.CapLen[i])]
}
