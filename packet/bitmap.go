package packet

import "math/bits"

// A Bitmap selects rows of a chunk: bit i%64 of word i/64 is row i.
type Bitmap [ChunkSize / 64]uint64

// Has reports whether row i is selected.
func (b *Bitmap) Has(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }

// Set selects row i.
func (b *Bitmap) Set(i int) { b[i>>6] |= 1 << (i & 63) }

// SetRange selects rows lo..hi-1.
func (b *Bitmap) SetRange(lo, hi int) {
	for w := range b {
		from, to := max(lo-w*64, 0), min(hi-w*64, 64)
		if from < to {
			b[w] |= ^uint64(0) >> (64 - (to - from)) << from
		}
	}
}

// And removes the rows that o does not select.
func (b *Bitmap) And(o *Bitmap) {
	for i := range b {
		b[i] &= o[i]
	}
}

// Or adds the rows that o selects.
func (b *Bitmap) Or(o *Bitmap) {
	for i := range b {
		b[i] |= o[i]
	}
}

// Empty reports whether no row is selected.
func (b *Bitmap) Empty() bool { return b[0]|b[1]|b[2]|b[3] == 0 }

// Count returns the number of selected rows.
func (b *Bitmap) Count() int {
	return bits.OnesCount64(b[0]) + bits.OnesCount64(b[1]) + bits.OnesCount64(b[2]) + bits.OnesCount64(b[3])
}

// Each calls f for each selected row, in order.
func (b *Bitmap) Each(f func(row int)) {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			f(i<<6 + bits.TrailingZeros64(w))
		}
	}
}
