//go:build goexperiment.simd && amd64

package fold

import (
	"simd/archsimd"
	"unsafe"

	"github.com/confluo/confluo/packet"
)

// Every method used below needs AVX2 and no more (the comment of each in
// simd/archsimd says which feature it needs).
var useAVX2 = archsimd.X86.AVX2()

// laneBits has bit i set in lane i: compared with a broadcast byte of a bitmap,
// it gives the lanes whose row is selected.
var laneBits = [8]uint32{1, 2, 4, 8, 16, 32, 64, 128}

func presentWord(layers []packet.Layers, p packet.Layers) uint64 {
	if !useAVX2 || len(layers) < 64 {
		return presentWordPlain(layers, p)
	}
	col := unsafe.Slice((*uint32)(unsafe.Pointer(&layers[0])), 64) // Layers is a uint32
	want := archsimd.BroadcastUint32x8(uint32(p))
	var zero archsimd.Uint32x8
	var absent uint64
	for i := 0; i < 64; i += 8 {
		v := archsimd.LoadUint32x8Slice(col[i : i+8])
		absent |= uint64(v.And(want).Equal(zero).ToBits()) << i
	}
	archsimd.ClearAVXUpperBits()
	return ^absent
}

func sum32(col []uint32, m *packet.Bitmap) uint64 {
	if !useAVX2 || len(col) < packet.ChunkSize {
		return sum32Plain(col, m)
	}
	lanes := archsimd.LoadUint32x8(&laneBits)
	low := archsimd.BroadcastUint64x4(0xffffffff)
	var sum archsimd.Uint64x4
	for w, word := range m {
		if word == 0 {
			continue
		}
		col := col[64*w:][:64]
		for i := 0; i < 64; i += 8 {
			v := archsimd.LoadUint32x8Slice(col[i : i+8])
			on := archsimd.BroadcastUint32x8(uint32(word >> i)).And(lanes).Equal(lanes)
			v64 := v.And(on.ToInt32x8().AsUint32x8()).AsUint64x4()
			sum = sum.Add(v64.And(low)).Add(v64.ShiftAllRight(32))
		}
	}
	var out [4]uint64
	sum.Store(&out)
	archsimd.ClearAVXUpperBits()
	return out[0] + out[1] + out[2] + out[3] // 256 times 32 bits cannot overflow
}

func minMax32(col []uint32, m *packet.Bitmap) (lo, hi uint64) {
	if !useAVX2 || len(col) < packet.ChunkSize {
		return minMaxPlain(col, m)
	}
	lanes := archsimd.LoadUint32x8(&laneBits)
	var top archsimd.Uint32x8
	bottom := archsimd.BroadcastUint32x8(1<<32 - 1)
	ones := bottom
	for w, word := range m {
		if word == 0 {
			continue
		}
		col := col[64*w:][:64]
		for i := 0; i < 64; i += 8 {
			v := archsimd.LoadUint32x8Slice(col[i : i+8])
			on := archsimd.BroadcastUint32x8(uint32(word >> i)).And(lanes).Equal(lanes).ToInt32x8().AsUint32x8()
			top = top.Max(v.And(on))
			bottom = bottom.Min(v.Or(on.Xor(ones)))
		}
	}
	var a, b [8]uint32
	bottom.Store(&a)
	top.Store(&b)
	archsimd.ClearAVXUpperBits()
	l, h := a[0], b[0]
	for i := 1; i < 8; i++ {
		l, h = min(l, a[i]), max(h, b[i])
	}
	return uint64(l), uint64(h)
}
