package fold

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

func TestAPartialIsPlainMemoryOfAtMost32Bytes(t *testing.T) {
	if n := unsafe.Sizeof(Partial{}); n > 32 {
		t.Errorf("%d bytes", n)
	}
}

func TestPartialsMergedInAnyOrderGiveWhatANaiveFoldGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aggregate(t, expr.Count, expr.Sum, expr.Min, expr.Max, expr.Avg)
		a.By = nil
		cs := chunks(t, attrsOf(a), 60)
		parts := []Partial{{}}
		for _, ch := range cs {
			parts = append(parts, FoldScalar(a, ch.c, ch.m))
		}
		parts = rapid.Permutation(parts).Draw(t, "order")
		for len(parts) > 1 {
			i := rapid.IntRange(0, len(parts)-2).Draw(t, "at")
			parts[i].Merge(parts[i+1])
			parts = append(parts[:i+1], parts[i+2:]...)
		}
		got := FromPartial(a, parts[0])
		want := modelRows(a, model(a, cs))
		if diff := cmp.Diff(want, got.Rows, sameRows); diff != "" {
			t.Fatalf("%s: -naive +folded\n%s", Text(a), diff)
		}
		if got.Exact != want[0].Exact {
			t.Fatalf("exact %v, want %v", got.Exact, want[0].Exact)
		}
	})
}

func TestAPartialTakesBackWhatItMerged(t *testing.T) {
	sum := &expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen}
	p := Partial{Headers: 3, Sum: 900}
	p.Merge(Partial{Headers: 2, Sum: 100})
	if !p.Subtract(sum, Partial{Headers: 3, Sum: 900}) || p.Headers != 2 || p.Sum != 100 {
		t.Errorf("left %+v", p)
	}
	for name, c := range map[string]struct {
		a    *expr.Aggregate
		p, q Partial
	}{
		"a minimum":                 {&expr.Aggregate{Func: expr.Min, Arg: packet.TTL}, Partial{Headers: 2, Min: 1}, Partial{Headers: 1, Min: 1}},
		"a saturated sum":           {sum, Partial{Headers: 2, Sum: math.MaxUint64}, Partial{Headers: 1, Sum: 4}},
		"what saturated in a part":  {sum, Partial{Headers: 2, Sum: 4}, Partial{Headers: 2, Sum: math.MaxUint64}},
		"what is no scalar at all":  {&expr.Aggregate{Func: expr.Distinct, Arg: packet.TTL}, Partial{Headers: 2}, Partial{Headers: 1}},
		"groups, which it has none": {&expr.Aggregate{Func: expr.Count, By: []packet.Attr{packet.TTL}}, Partial{Headers: 2}, Partial{Headers: 1}},
	} {
		before := c.p
		if c.p.Subtract(c.a, c.q) || c.p != before {
			t.Errorf("%s: subtracted, or changed to %+v", name, c.p)
		}
	}
}

// The vector kernels and their plain twins must give what a loop gives; which
// of the two is under test depends on the build and on the processor.
func TestKernelsAgreeWithALoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "data"), 2))
		n := rapid.IntRange(packet.ChunkSize, packet.ChunkSize+9).Draw(t, "columns are longer")
		if rapid.Bool().Draw(t, "short") {
			n = rapid.IntRange(1, packet.ChunkSize).Draw(t, "columns")
		}
		col := make([]uint32, n)
		layers := make([]packet.Layers, n)
		shift := rapid.IntRange(0, 31).Draw(t, "shift")
		for i := range col {
			col[i] = r.Uint32() >> shift
			if r.IntN(8) == 0 {
				col[i] = math.MaxUint32
			}
			layers[i] = packet.Layers(1) << r.IntN(20)
		}
		m := packet.Bitmap{r.Uint64(), r.Uint64() & r.Uint64(), ^uint64(0), 0}
		if rapid.Bool().Draw(t, "rotate") {
			m[0], m[3] = m[3], m[0]
		}
		m = below(&m, n)
		p := packet.Layers(r.Uint32())

		var sum, headers, hi uint64
		lo := uint64(math.MaxUint64)
		for i := range min(n, packet.ChunkSize) {
			if m.Has(i) {
				sum += uint64(col[i])
				lo, hi = min(lo, uint64(col[i])), max(hi, uint64(col[i]))
				headers++
			}
		}
		for name, f := range map[string]func([]uint32, *packet.Bitmap) uint64{"sum32": sum32, "sum32Plain": sum32Plain, "sumPlain": sumPlain[uint32]} {
			if got := f(col, &m); got != sum {
				t.Fatalf("%s: %d, want %d", name, got, sum)
			}
		}
		if headers > 0 {
			for name, f := range map[string]func([]uint32, *packet.Bitmap) (uint64, uint64){"minMax32": minMax32, "minMaxPlain": minMaxPlain[uint32]} {
				if l, h := f(col, &m); l != lo || h != hi {
					t.Fatalf("%s: %d..%d, want %d..%d", name, l, h, lo, hi)
				}
			}
		}
		got := m
		present(layers, p, &got)
		for i := range min(n, packet.ChunkSize) {
			if want := m.Has(i) && layers[i]&p != 0; got.Has(i) != want {
				t.Fatalf("present: row %d is %v, want %v", i, got.Has(i), want)
			}
		}
	})
}
