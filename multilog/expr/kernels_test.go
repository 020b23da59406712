package expr

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/confluo/confluo/packet"
)

// allKernels are the kernels that this build and machine can run.
func allKernels() []kernels {
	if kernel.name == plain.name {
		return []kernels{plain}
	}
	return []kernels{plain, kernel}
}

// withKernels runs the rest of a test or benchmark on k.
func withKernels(t testing.TB, k kernels) {
	old := kernel
	kernel = k
	t.Cleanup(func() { kernel = old })
}

// lengths are the numbers of rows around which blocks and words begin.
var lengths = []int{1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 191, 192, 200, 255, 256}

// randomColumn returns n values, of which many are equal, next to each other, or at
// the ends of the type.
func randomColumn[T unsigned](r *rand.Rand, n int, around T) []T {
	col := make([]T, n, n+r.IntN(3))
	for i := range col {
		switch r.IntN(6) {
		case 0:
			col[i] = around
		case 1:
			col[i] = around + T(r.IntN(5)) - 2
		case 2:
			col[i] = ^T(0)
		case 3:
			col[i] = 0
		default:
			col[i] = T(r.Uint64())
		}
	}
	return col
}

func testWidth[T unsigned](t *testing.T, eq func(kernels) func([]T, T, T, *packet.Bitmap), in func(kernels) func([]T, T, T, T, *packet.Bitmap)) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, k := range allKernels() {
		for _, n := range lengths {
			for range 20 {
				v, mask, width := T(r.Uint64()), ^T(0), T(r.Uint64())
				if r.IntN(2) == 0 {
					mask = T(r.Uint64())
				}
				if r.IntN(2) == 0 {
					width %= 4
				}
				col := randomColumn(r, n, v)
				for name, want := range map[string]func(x T) bool{
					"eq": func(x T) bool { return x&mask == v&mask },
					"in": func(x T) bool { return x&mask >= v && uint64(x&mask) <= min(uint64(v)+uint64(width), uint64(^T(0))) },
				} {
					if uint64(v)+uint64(width) > uint64(^T(0)) || uint64(v)+uint64(width) < uint64(v) {
						width = ^T(0) - v // a range does not wrap
					}
					got := packet.Bitmap{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
					if name == "eq" {
						eq(k)(col, mask, v&mask, &got)
					} else {
						in(k)(col, mask, v, width, &got)
					}
					for i := range packet.ChunkSize {
						if w := i < n && want(col[i]); got.Has(i) != w {
							t.Fatalf("%s %s %T: row %d of %d, value %#x: got %v, want %v (v %#x mask %#x span %#x)",
								k.name, name, v, i, n, col[min(i, n-1)], got.Has(i), w, v, mask, width)
						}
					}
				}
			}
		}
	}
}

func TestKernelsCompareAsWritten(t *testing.T) {
	t.Run("8", func(t *testing.T) {
		testWidth(t, func(k kernels) func([]uint8, uint8, uint8, *packet.Bitmap) { return k.eq8 },
			func(k kernels) func([]uint8, uint8, uint8, uint8, *packet.Bitmap) { return k.in8 })
	})
	t.Run("16", func(t *testing.T) {
		testWidth(t, func(k kernels) func([]uint16, uint16, uint16, *packet.Bitmap) { return k.eq16 },
			func(k kernels) func([]uint16, uint16, uint16, uint16, *packet.Bitmap) { return k.in16 })
	})
	t.Run("32", func(t *testing.T) {
		testWidth(t, func(k kernels) func([]uint32, uint32, uint32, *packet.Bitmap) { return k.eq32 },
			func(k kernels) func([]uint32, uint32, uint32, uint32, *packet.Bitmap) { return k.in32 })
	})
	t.Run("64", func(t *testing.T) {
		testWidth(t, func(k kernels) func([]uint64, uint64, uint64, *packet.Bitmap) { return k.eq64 },
			func(k kernels) func([]uint64, uint64, uint64, uint64, *packet.Bitmap) { return k.in64 })
	})
}

func TestKernelsCompareBothHalvesOfAddresses(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range allKernels() {
		for _, n := range lengths {
			for range 20 {
				b := box{span{r.Uint64() >> 1, uint64(r.IntN(4))}, span{r.Uint64() >> 1, uint64(r.IntN(4))}}
				hi, lo := randomColumn(r, n, b.hi.lo), randomColumn(r, n, b.lo.lo)
				var eq, in packet.Bitmap
				k.eq128(hi, lo, b.hi.lo, b.lo.lo, &eq)
				k.in128(hi, lo, b.hi.lo, b.hi.span, b.lo.lo, b.lo.span, &in)
				for i := range packet.ChunkSize {
					wantEq := i < n && hi[i] == b.hi.lo && lo[i] == b.lo.lo
					wantIn := i < n && hi[i] >= b.hi.lo && hi[i] <= b.hi.lo+b.hi.span && lo[i] >= b.lo.lo && lo[i] <= b.lo.lo+b.lo.span
					if eq.Has(i) != wantEq || in.Has(i) != wantIn {
						t.Fatalf("%s: row %d of %d: eq %v, want %v; in %v, want %v", k.name, i, n, eq.Has(i), wantEq, in.Has(i), wantIn)
					}
				}
			}
		}
	}
}

// BenchmarkKernel shows, in ns a header, what one comparison of a full chunk
// costs by width: the figures behind kernels.manyValues.
func BenchmarkKernel(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	c8, c16, c32 := randomColumn[uint8](r, 256, 6), randomColumn[uint16](r, 256, 443), randomColumn[uint32](r, 256, 1400)
	c64, hi := randomColumn[uint64](r, 256, 7), randomColumn[uint64](r, 256, 0)
	var out packet.Bitmap
	for _, k := range allKernels() {
		for _, tt := range []struct {
			name string
			run  func(i int)
		}{
			{"eq8", func(i int) { k.eq8(c8, 0xff, uint8(i), &out) }},
			{"eq16", func(i int) { k.eq16(c16, 0xffff, uint16(i), &out) }},
			{"eq32", func(i int) { k.eq32(c32, ^uint32(0), uint32(i), &out) }},
			{"eq64", func(i int) { k.eq64(c64, ^uint64(0), uint64(i), &out) }},
			{"eq128", func(i int) { k.eq128(hi, c64, 0, uint64(i), &out) }},
			{"in8", func(i int) { k.in8(c8, 0xff, uint8(i), 20, &out) }},
			{"in16", func(i int) { k.in16(c16, 0xffff, uint16(i), 1000, &out) }},
			{"in32", func(i int) { k.in32(c32, ^uint32(0), uint32(i), 1000, &out) }},
			{"in64", func(i int) { k.in64(c64, ^uint64(0), uint64(i), 1000, &out) }},
			{"in128", func(i int) { k.in128(hi, c64, 0, 0, uint64(i), 1000, &out) }},
		} {
			b.Run(fmt.Sprintf("%s/%s", tt.name, k.name), func(b *testing.B) {
				n := 0
				for i := 0; b.Loop(); i++ {
					tt.run(i)
					n += out.Count()
				}
				sink += n
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/header")
			})
		}
	}
}

// sink keeps the compiler from removing what a benchmark measures.
var sink int
