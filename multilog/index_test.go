package multilog

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/packet"
)

func TestBlockSorterOrdersRowsByKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 1024
		w := &blockSorter{keys: make([]uint64, n), a: make([]uint64, n), b: make([]uint64, n)}
		top := rapid.SampledFrom([]uint64{1, 3, 1 << 8, 1 << 16, 1 << 40, 1 << 48, 1 << 63}).Draw(t, "top")
		base := rapid.Uint64Range(0, 1<<62).Draw(t, "base")
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for i := range w.keys {
			w.keys[i] = base + rnd.Uint64N(top)
		}
		perm, root := make([]uint16, n), make([]uint64, n/leafSize)
		shape := w.sort(perm, root)
		seen := make([]bool, n)
		for i, p := range perm {
			if seen[p] {
				t.Fatalf("row %d twice", p)
			}
			seen[p] = true
			if i > 0 && shape.reduce(w.keys[perm[i-1]]) > shape.reduce(w.keys[p]) {
				t.Fatalf("position %d out of order", i)
			}
			if i%leafSize == 0 && root[i/leafSize] != shape.reduce(w.keys[p]) {
				t.Fatalf("root %d is not the key at position %d", i/leafSize, i)
			}
		}
	})
}

func TestSortKeyKeepsTheOrderOfValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := rapid.SampledFrom([]uint64{0, 1, 0xffff_0000_0000, 0xffff_0a00_0001, 0xffff_ffff_ffff, 1 << 48, 1 << 49, 0x2001_0db8_0000_0000, 1<<64 - 1})
		any64 := rapid.OneOf(half, rapid.Uint64())
		v := packet.Value{Hi: any64.Draw(t, "hi"), Lo: any64.Draw(t, "lo")}
		w := packet.Value{Hi: any64.Draw(t, "hi2"), Lo: any64.Draw(t, "lo2")}
		if w.Less(v) {
			v, w = w, v
		}
		if sortKey(v) > sortKey(w) {
			t.Fatalf("%x <= %x, but %x > %x", v, w, sortKey(v), sortKey(w))
		}
	})
}

// A karyTree is the index of the paper (section 3.3) as it is usually built: a
// perfect tree over the 32 bits of the key, 256 children a node, whose leaves
// hold the offsets of a value in growing lists. It is here to be measured
// beside.
type karyTree struct{ root karyNode }

type karyNode struct {
	kids     [256]*karyNode
	postings [256][]uint32
}

func (t *karyTree) insert(key, off uint32) {
	n := &t.root
	for shift := 24; shift > 0; shift -= 8 {
		k := &n.kids[byte(key>>shift)]
		if *k == nil {
			*k = new(karyNode)
		}
		n = *k
	}
	n.postings[byte(key)] = append(n.postings[byte(key)], off)
}

// keysFor are the distributions of values that BenchmarkIndex runs over.
var keysFor = map[string]func(*rand.Rand) uint32{
	"uniform": func(r *rand.Rand) uint32 { return r.Uint32() },
	"hosts":   func(r *rand.Rand) uint32 { return 0x0a000000 + uint32(float64(1<<16)*r.Float64()*r.Float64()) },
	"ports":   func(r *rand.Rand) uint32 { return 1024 + r.Uint32N(60000) },
	"same":    func(*rand.Rand) uint32 { return 443 },
}

// BenchmarkIndex gives ns for each indexed header: of sorting a block, as Index
// does, and of inserting into a tree.
func BenchmarkIndex(b *testing.B) {
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range keysFor {
			if !yield(k) {
				return
			}
		}
	}) {
		const n = blockHeaders
		keys := make([]uint64, n)
		rnd := rand.New(rand.NewPCG(1, 2))
		for i := range keys {
			keys[i] = uint64(keysFor[name](rnd))
		}
		perHeader := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/header")
		}
		b.Run(name+"/sort", func(b *testing.B) {
			w := &blockSorter{keys: keys, a: make([]uint64, n), b: make([]uint64, n)}
			perm, root := make([]uint16, n), make([]uint64, n/leafSize)
			for b.Loop() {
				w.sort(perm, root)
			}
			perHeader(b)
		})
		b.Run(name+"/tree", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var t karyTree
				for i, k := range keys {
					t.insert(uint32(k), uint32(i))
				}
			}
			perHeader(b)
		})
	}
}
