package fold

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/packet"
)

func TestATableIsAMapWithBoundedRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.IntRange(1, 5).Draw(t, "key words")
		limit := rapid.SampledFrom([]int{1, 5, 8, 9, 100, 1000}).Draw(t, "max")
		var tab table
		tab.setup(words, 2, 77, limit)
		want := map[string]uint64{}
		keys := make([][]uint64, words)
		var p probe
		var out [packet.ChunkSize]uint32
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0:
				tab.reset()
				clear(want)
			case 1:
				tab.compact(func(_, _ int, row []uint64) bool {
					if row[0]%3 != 0 {
						return true
					}
					delete(want, fmt.Sprint(row[:words]))
					return false
				})
			default:
				n := rapid.IntRange(0, packet.ChunkSize).Draw(t, "keys")
				// A small range makes keys meet again.
				gen := rapid.SliceOfN(rapid.Uint64Range(0, rapid.SampledFrom([]uint64{1, 20, 1 << 62}).Draw(t, "range")), n, n)
				for w := range keys {
					keys[w] = gen.Draw(t, "word")
				}
				insert := rapid.IntRange(0, 3).Draw(t, "insert") > 0
				tab.find(keys, n, insert, &p, &out)
				for i := range n {
					key := make([]uint64, words)
					for w := range key {
						key[w] = keys[w][i]
					}
					name := fmt.Sprint(key)
					_, known := want[name]
					if out[i] == noRow {
						if known || insert && len(want) < limit {
							t.Fatalf("no row for %v: known %v, %d of %d rows", key, known, len(want), limit)
						}
						continue
					}
					if !known && !insert {
						t.Fatalf("a row for %v, which is not there", key)
					}
					if got := tab.row(int(out[i]))[:words]; !slices.Equal(got, key) {
						t.Fatalf("row of %v is that of %v", key, got)
					}
					acc := tab.acc(out[i])
					acc[0]++
					want[name]++
					if acc[1] != 77 {
						t.Fatalf("second accumulator begins as %d", acc[1])
					}
				}
			}
			if tab.n != len(want) {
				t.Fatalf("%d rows, want %d", tab.n, len(want))
			}
			for r := range tab.n {
				row := tab.row(r)
				if n := want[fmt.Sprint(row[:words])]; row[words] != n {
					t.Fatalf("%v: %d, want %d", row[:words], row[words], n)
				}
			}
		}
	})
}
