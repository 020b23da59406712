package multilog

import (
	"math"
	"sync/atomic"

	"github.com/confluo/confluo/multilog/offheap"
	"github.com/confluo/confluo/packet"
)

// noSegment is the logical number of a segment that is being evicted: nobody
// may pin it.
const noSegment = math.MaxUint64

// A segment is a fixed piece of memory for SegmentHeaders consecutive headers.
// Logical segment L, which holds the offsets from L*SegmentHeaders on, lives in
// physical segment L mod Segments, once the one before it there is evicted.
type segment struct {
	// logical is the number of the logical segment that this memory may be
	// read and written as. Written by the retention goroutine only.
	logical atomic.Uint64
	// refs counts readers that have it pinned.
	refs atomic.Int64

	cols packet.Columns // SegmentHeaders rows; nil for what is not stored

	// marks holds a half word a header: at the first header of a batch that
	// every log has taken in, the batch's length; elsewhere zero. Set by the
	// lane that appended the batch, cleared by retention.
	marks []uint32

	// Bounds of the capture times in each chunk of ChunkSize headers. They
	// cover unpublished headers too, so they may be wider than what a reader
	// sees, never narrower. Moved by lanes, reset by retention.
	tsMin, tsMax []atomic.Int64

	// The arena of filter and aggregate logs, handed out in chunks.
	arena     []uint32
	arenaUsed atomic.Uint32
}

func (s *segment) init(r *offheap.Region, o *Options) {
	n := o.SegmentHeaders
	c := &s.cols
	c.N = n
	for _, a := range o.Columns.Attrs() {
		carveColumn(r, c, a, n)
	}
	c.Data, c.Stride = offheap.Carve[byte](r, n*o.SnapLen), o.SnapLen
	s.marks = offheap.Carve[uint32](r, n/2)
	s.tsMin = offheap.Carve[atomic.Int64](r, n/packet.ChunkSize)
	s.tsMax = offheap.Carve[atomic.Int64](r, n/packet.ChunkSize)
	s.arena = offheap.Carve[uint32](r, o.arenaChunks()*chunkWords)
	s.reset()
}

func carveColumn(r *offheap.Region, c *packet.Columns, a packet.Attr, n int) {
	var src packet.Columns
	switch a.Info().Width {
	case packet.W8:
		v := offheap.Carve[uint8](r, n)
		src.Proto, src.TTL, src.DSCP, src.ECN, src.Tunnel, src.Direction, src.Reason = v, v, v, v, v, v, v
	case packet.W16:
		v := offheap.Carve[uint16](r, n)
		src.SrcPort, src.DstPort, src.TCPFlags, src.TCPWindow, src.Frag = v, v, v, v, v
		src.EthType, src.VLAN, src.InPort, src.CapLen = v, v, v, v
	case packet.W32:
		if a == packet.LayerBits {
			src.Layers = offheap.Carve[packet.Layers](r, n)
			break
		}
		v := offheap.Carve[uint32](r, n)
		src.TCPSeq, src.TCPAck, src.IPID, src.PktLen, src.PayloadLen, src.VNI, src.Tag = v, v, v, v, v, v, v
	case packet.W64:
		if a == packet.Ts {
			src.Ts = offheap.Carve[int64](r, n)
			break
		}
		v := offheap.Carve[uint64](r, n)
		src.SrcMAC, src.DstMAC, src.FlowHash = v, v, v
	case packet.W128:
		hi, lo := offheap.Carve[uint64](r, n), offheap.Carve[uint64](r, n)
		src.SrcIPHi, src.DstIPHi, src.OuterSrcHi, src.OuterDstHi = hi, hi, hi, hi
		src.SrcIPLo, src.DstIPLo, src.OuterSrcLo, src.OuterDstLo = lo, lo, lo, lo
	}
	c.Share(&src, packet.SetOf(a))
}

// reset makes the memory ready for the next logical segment. Columns and
// slices are overwritten as they come and need no clearing.
func (s *segment) reset() {
	clear(s.marks)
	for i := range s.tsMin {
		s.tsMin[i].Store(math.MaxInt64)
		s.tsMax[i].Store(math.MinInt64)
	}
	s.arenaUsed.Store(0)
}

// pin keeps retention from evicting s while it is logical segment l. It
// reports false, and pins nothing, when l is no longer there.
func (s *segment) pin(l uint64) bool {
	if s.refs.Add(1); s.logical.Load() == l {
		return true
	}
	s.refs.Add(-1)
	return false
}

func (s *segment) unpin() { s.refs.Add(-1) }

// mark says that the batch of n headers whose first header is row rel is in
// every log.
func (s *segment) mark(rel, n int) {
	atomic.OrUint32(&s.marks[rel>>1], uint32(n)<<(rel&1*16))
}

// marked returns the length of the batch that begins at row rel, or zero when
// no such batch was marked.
func (s *segment) marked(rel int) uint64 {
	return uint64(atomic.LoadUint32(&s.marks[rel>>1]) >> (rel & 1 * 16) & 0xffff)
}

// widen makes the time bounds of chunk i cover lo..hi.
func (s *segment) widen(i int, lo, hi int64) {
	for v := s.tsMin[i].Load(); lo < v && !s.tsMin[i].CompareAndSwap(v, lo); v = s.tsMin[i].Load() {
	}
	for v := s.tsMax[i].Load(); hi > v && !s.tsMax[i].CompareAndSwap(v, hi); v = s.tsMax[i].Load() {
	}
}

// allocChunk takes a chunk of the arena. It returns its number, or false when
// the arena is used up.
func (s *segment) allocChunk() (uint32, bool) {
	n := uint32(len(s.arena) / chunkWords)
	if s.arenaUsed.Load() >= n { // do not let the counter run away
		return 0, false
	}
	i := s.arenaUsed.Add(1) - 1
	return i, i < n
}

func (s *segment) chunk(i uint32) []uint32 {
	return s.arena[int(i)*chunkWords:][:chunkWords:chunkWords]
}
