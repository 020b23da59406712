//go:build goexperiment.simd && amd64

package expr

import (
	"simd/archsimd"

	"github.com/confluo/confluo/packet"
)

// The kernels with 256-bit vectors. Only instructions of AVX2 are used: many
// methods of archsimd, such as Mask16x16.ToBits and Uint64x4.Min, need AVX-512,
// as the comment of each says.
//
// Every kernel takes 64 rows at a time and makes one word of the bitmap of
// them. The last rows are copied to a full block first; what the block holds
// beyond them is cut off at the end.

func init() {
	if archsimd.X86.AVX2() {
		kernel = avx2
	}
}

var avx2 = kernels{
	name: "avx2",
	eq8:  eq8AVX2, eq16: eq16AVX2, eq32: eq32AVX2, eq64: eq64AVX2, eq128: eq128AVX2,
	in8: in8AVX2, in16: in16AVX2, in32: in32AVX2, in64: in64AVX2, in128: in128AVX2,
	manyValues: map[packet.Width]int{packet.W8: 24, packet.W16: 16, packet.W32: 12, packet.W64: 8, packet.W128: 6},
}

// block returns 64 rows of col from row on: in place, or copied to buf if
// there are fewer.
func block[T unsigned](col []T, row int, buf *[64]T) *[64]T {
	if len(col)-row >= 64 {
		return (*[64]T)(col[row:])
	}
	copy(buf[:], col[row:])
	return buf
}

// finish clears the bits of rows n and up.
func finish(out *packet.Bitmap, n int) {
	for w := range out {
		out[w] &= lowBits(n - w*64)
	}
}

// pairBits is the order in which bits16 wants bytes: of each 128-bit group the
// even ones, then the odd ones.
var pairBits = [32]int8{
	0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,
	0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,
}

// bits16 turns two masks of 16 lanes, rows 0-15 in a and 16-31 in b, into 32
// bits. (VPMOVMSKB takes one bit a byte; a lane gives up one of its bytes to
// the other mask.) even is 0x00ff in every lane, order is pairBits.
func bits16(a, b archsimd.Mask16x16, even archsimd.Int16x16, order archsimd.Int8x32) uint64 {
	both := a.ToInt16x16().And(even).Or(b.ToInt16x16().AndNot(even))
	sorted := both.AsInt8x32().PermuteOrZeroGrouped(order)
	m := uint64(archsimd.Int8x32{}.Greater(sorted).ToBits())
	// Rows 0-7, 16-23, 8-15, 24-31 by now.
	return m&0xff0000ff | m<<8&0xff0000 | m>>8&0xff00
}

func eq8AVX2(col []uint8, mask, v uint8, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, want := archsimd.BroadcastUint8x32(mask), archsimd.BroadcastUint8x32(v)
	var buf [64]uint8
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		a := archsimd.LoadUint8x32((*[32]uint8)(p[0:])).And(m).Equal(want).ToBits()
		b := archsimd.LoadUint8x32((*[32]uint8)(p[32:])).And(m).Equal(want).ToBits()
		out[row>>6&3] = uint64(a) | uint64(b)<<32
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func in8AVX2(col []uint8, mask, lo, span uint8, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, low, width := archsimd.BroadcastUint8x32(mask), archsimd.BroadcastUint8x32(lo), archsimd.BroadcastUint8x32(span)
	var buf [64]uint8
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		a := archsimd.LoadUint8x32((*[32]uint8)(p[0:])).And(m).Sub(low)
		b := archsimd.LoadUint8x32((*[32]uint8)(p[32:])).And(m).Sub(low)
		out[row>>6&3] = uint64(a.Min(width).Equal(a).ToBits()) | uint64(b.Min(width).Equal(b).ToBits())<<32
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func eq16AVX2(col []uint16, mask, v uint16, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, want := archsimd.BroadcastUint16x16(mask), archsimd.BroadcastUint16x16(v)
	even, order := archsimd.BroadcastInt16x16(0xff), archsimd.LoadInt8x32(&pairBits)
	var buf [64]uint16
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		a := archsimd.LoadUint16x16((*[16]uint16)(p[0:])).And(m).Equal(want)
		b := archsimd.LoadUint16x16((*[16]uint16)(p[16:])).And(m).Equal(want)
		word := bits16(a, b, even, order)
		a = archsimd.LoadUint16x16((*[16]uint16)(p[32:])).And(m).Equal(want)
		b = archsimd.LoadUint16x16((*[16]uint16)(p[48:])).And(m).Equal(want)
		out[row>>6&3] = word | bits16(a, b, even, order)<<32
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func in16AVX2(col []uint16, mask, lo, span uint16, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, low, width := archsimd.BroadcastUint16x16(mask), archsimd.BroadcastUint16x16(lo), archsimd.BroadcastUint16x16(span)
	even, order := archsimd.BroadcastInt16x16(0xff), archsimd.LoadInt8x32(&pairBits)
	var buf [64]uint16
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		a := archsimd.LoadUint16x16((*[16]uint16)(p[0:])).And(m).Sub(low)
		b := archsimd.LoadUint16x16((*[16]uint16)(p[16:])).And(m).Sub(low)
		word := bits16(a.Min(width).Equal(a), b.Min(width).Equal(b), even, order)
		a = archsimd.LoadUint16x16((*[16]uint16)(p[32:])).And(m).Sub(low)
		b = archsimd.LoadUint16x16((*[16]uint16)(p[48:])).And(m).Sub(low)
		out[row>>6&3] = word | bits16(a.Min(width).Equal(a), b.Min(width).Equal(b), even, order)<<32
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func eq32AVX2(col []uint32, mask, v uint32, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, want := archsimd.BroadcastUint32x8(mask), archsimd.BroadcastUint32x8(v)
	var buf [64]uint32
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		var word uint64
		for i := 0; i < 64; i += 32 {
			q := (*[32]uint32)(p[i:])
			a := archsimd.LoadUint32x8((*[8]uint32)(q[0:])).And(m).Equal(want).ToBits()
			b := archsimd.LoadUint32x8((*[8]uint32)(q[8:])).And(m).Equal(want).ToBits()
			c := archsimd.LoadUint32x8((*[8]uint32)(q[16:])).And(m).Equal(want).ToBits()
			d := archsimd.LoadUint32x8((*[8]uint32)(q[24:])).And(m).Equal(want).ToBits()
			word |= (uint64(a) | uint64(b)<<8 | uint64(c)<<16 | uint64(d)<<24) << i
		}
		out[row>>6&3] = word
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func in32AVX2(col []uint32, mask, lo, span uint32, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, low, width := archsimd.BroadcastUint32x8(mask), archsimd.BroadcastUint32x8(lo), archsimd.BroadcastUint32x8(span)
	var buf [64]uint32
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		var word uint64
		for i := 0; i < 64; i += 8 {
			x := archsimd.LoadUint32x8((*[8]uint32)(p[i:])).And(m).Sub(low)
			word |= uint64(x.Min(width).Equal(x).ToBits()) << i
		}
		out[row>>6&3] = word
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func eq64AVX2(col []uint64, mask, v uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, want := archsimd.BroadcastUint64x4(mask), archsimd.BroadcastUint64x4(v)
	var buf [64]uint64
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		var word uint64
		for i := 0; i < 64; i += 8 {
			a := archsimd.LoadUint64x4((*[4]uint64)(p[i:])).And(m).Equal(want).ToBits()
			b := archsimd.LoadUint64x4((*[4]uint64)(p[i+4:])).And(m).Equal(want).ToBits()
			word |= (uint64(a) | uint64(b)<<4) << i
		}
		out[row>>6&3] = word
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

// sign64 turns the order of unsigned words into that of signed ones, which is
// the only one that AVX2 compares.
const sign64 = -1 << 63

func in64AVX2(col []uint64, mask, lo, span uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	m, low := archsimd.BroadcastUint64x4(mask), archsimd.BroadcastUint64x4(lo)
	sign, width := archsimd.BroadcastInt64x4(sign64), archsimd.BroadcastInt64x4(int64(span)^sign64)
	var buf [64]uint64
	for row := 0; row < len(col); row += 64 {
		p := block(col, row, &buf)
		var outside uint64
		for i := 0; i < 64; i += 4 {
			x := archsimd.LoadUint64x4((*[4]uint64)(p[i:])).And(m).Sub(low).AsInt64x4().Xor(sign)
			outside |= uint64(x.Greater(width).ToBits()) << i
		}
		out[row>>6&3] = ^outside
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(col))
}

func eq128AVX2(hi, lo []uint64, vhi, vlo uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	wantHi, wantLo := archsimd.BroadcastUint64x4(vhi), archsimd.BroadcastUint64x4(vlo)
	var bufHi, bufLo [64]uint64
	for row := 0; row < len(lo); row += 64 {
		ph, pl := block(hi, row, &bufHi), block(lo, row, &bufLo)
		var word uint64
		for i := 0; i < 64; i += 4 {
			h := archsimd.LoadUint64x4((*[4]uint64)(ph[i:])).Equal(wantHi)
			l := archsimd.LoadUint64x4((*[4]uint64)(pl[i:])).Equal(wantLo)
			word |= uint64(h.And(l).ToBits()) << i
		}
		out[row>>6&3] = word
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(lo))
}

func in128AVX2(hi, lo []uint64, hlo, hspan, llo, lspan uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	lowHi, lowLo := archsimd.BroadcastUint64x4(hlo), archsimd.BroadcastUint64x4(llo)
	sign := archsimd.BroadcastInt64x4(sign64)
	widthHi, widthLo := archsimd.BroadcastInt64x4(int64(hspan)^sign64), archsimd.BroadcastInt64x4(int64(lspan)^sign64)
	var bufHi, bufLo [64]uint64
	for row := 0; row < len(lo); row += 64 {
		ph, pl := block(hi, row, &bufHi), block(lo, row, &bufLo)
		var outside uint64
		for i := 0; i < 64; i += 4 {
			h := archsimd.LoadUint64x4((*[4]uint64)(ph[i:])).Sub(lowHi).AsInt64x4().Xor(sign).Greater(widthHi)
			l := archsimd.LoadUint64x4((*[4]uint64)(pl[i:])).Sub(lowLo).AsInt64x4().Xor(sign).Greater(widthLo)
			outside |= uint64(h.Or(l).ToBits()) << i
		}
		out[row>>6&3] = ^outside
	}
	archsimd.ClearAVXUpperBits()
	finish(out, len(lo))
}
