package expr

import "github.com/confluo/confluo/packet"

// kernels are the loops that everything comes down to. Each compares a column
// of at most packet.ChunkSize rows and writes all of out, with zeros behind
// the last row:
//
//	eq:  col[i]&mask == v
//	in:  col[i]&mask - lo <= span, in unsigned arithmetic, so lo <= x <= lo+span
//
// and for addresses, which are pairs of columns, the same of both halves.
type kernels struct {
	name  string
	eq8   func(col []uint8, mask, v uint8, out *packet.Bitmap)
	eq16  func(col []uint16, mask, v uint16, out *packet.Bitmap)
	eq32  func(col []uint32, mask, v uint32, out *packet.Bitmap)
	eq64  func(col []uint64, mask, v uint64, out *packet.Bitmap)
	eq128 func(hi, lo []uint64, vhi, vlo uint64, out *packet.Bitmap)
	in8   func(col []uint8, mask, lo, span uint8, out *packet.Bitmap)
	in16  func(col []uint16, mask, lo, span uint16, out *packet.Bitmap)
	in32  func(col []uint32, mask, lo, span uint32, out *packet.Bitmap)
	in64  func(col []uint64, mask, lo, span uint64, out *packet.Bitmap)
	in128 func(hi, lo []uint64, hlo, hspan, llo, lspan uint64, out *packet.Bitmap)
	// manyValues is, by width, how many comparisons of one column cost as much
	// as looking each row up in a hash table once. BenchmarkKernel shows both.
	manyValues map[packet.Width]int
}

// plain are the kernels in portable Go.
var plain = kernels{
	name: "plain",
	eq8:  eqPlain[uint8], eq16: eqPlain[uint16], eq32: eqPlain[uint32], eq64: eqPlain[uint64], eq128: eq128Plain,
	in8: inPlain[uint8], in16: inPlain[uint16], in32: inPlain[uint32], in64: inPlain[uint64], in128: in128Plain,
	manyValues: map[packet.Width]int{packet.W8: 4, packet.W16: 4, packet.W32: 4, packet.W64: 4, packet.W128: 3},
}

// kernel are the kernels in use: the fastest that this machine can run.
var kernel = plain

type unsigned interface {
	uint8 | uint16 | uint32 | uint64
}

func eqPlain[T unsigned](col []T, mask, v T, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	for w := 0; len(col) > 0; w++ {
		rows := col[:min(64, len(col))]
		var word uint64
		for _, x := range rows {
			var bit uint64
			if x&mask == v {
				bit = 1
			}
			word = word>>1 | bit<<63
		}
		out[w&3] = word >> (64 - len(rows))
		col = col[len(rows):]
	}
}

func inPlain[T unsigned](col []T, mask, lo, span T, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	for w := 0; len(col) > 0; w++ {
		rows := col[:min(64, len(col))]
		var word uint64
		for _, x := range rows {
			var bit uint64
			if x&mask-lo <= span {
				bit = 1
			}
			word = word>>1 | bit<<63
		}
		out[w&3] = word >> (64 - len(rows))
		col = col[len(rows):]
	}
}

func eq128Plain(hi, lo []uint64, vhi, vlo uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	hi = hi[:len(lo)]
	for i, x := range lo {
		var bit uint64
		if (x^vlo)|(hi[i]^vhi) == 0 {
			bit = 1
		}
		out[i>>6&3] |= bit << (i & 63)
	}
}

func in128Plain(hi, lo []uint64, hlo, hspan, llo, lspan uint64, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	hi = hi[:len(lo)]
	for i, x := range lo {
		var inLo, inHi uint64
		if x-llo <= lspan {
			inLo = 1
		}
		if hi[i]-hlo <= hspan {
			inHi = 1
		}
		out[i>>6&3] |= (inLo & inHi) << (i & 63)
	}
}
