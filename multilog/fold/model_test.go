package fold

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A chunk is what Add is called with.
type chunk struct {
	c *packet.Columns
	m *packet.Bitmap
}

// set stores v as attribute a of row i.
func set(c *packet.Columns, a packet.Attr, i int, v packet.Value) {
	switch {
	case a == packet.Ts:
		c.Ts[i] = int64(v.Lo)
	case a == packet.LayerBits:
		c.Layers[i] = packet.Layers(v.Lo)
	case a.Info().Width == packet.W8:
		c.U8(a)[i] = uint8(v.Lo)
	case a.Info().Width == packet.W16:
		c.U16(a)[i] = uint16(v.Lo)
	case a.Info().Width == packet.W32:
		c.U32(a)[i] = uint32(v.Lo)
	case a.Info().Width == packet.W64:
		c.U64(a)[i] = v.Lo
	default:
		hi, lo := c.U128(a)
		hi[i], lo[i] = v.Hi, v.Lo
	}
}

// pool returns n values of a, among them nothing but zeros, nothing but ones,
// and neighbours.
func pool(r *rand.Rand, a packet.Attr, n int) []packet.Value {
	out := make([]packet.Value, n)
	mask := packet.Value{Lo: ^uint64(0)}
	if w := a.Info().Width; w == packet.W128 {
		mask.Hi = ^uint64(0)
	} else if w < packet.W64 {
		mask.Lo = 1<<w - 1
	}
	for i := range out {
		switch r.IntN(8) {
		case 0:
			out[i] = packet.Value{}
		case 1:
			out[i] = mask
		case 2, 3, 4:
			out[i] = packet.Value{Lo: uint64(i) & mask.Lo}
		default:
			out[i] = packet.Value{Hi: r.Uint64() & mask.Hi, Lo: r.Uint64() & mask.Lo}
		}
	}
	return out
}

// chunks returns random chunks whose attributes as take few or many values.
func chunks(t *rapid.T, as []packet.Attr, most int) []chunk {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "data"), 1))
	pools := map[packet.Attr][]packet.Value{}
	for _, a := range as {
		pools[a] = pool(r, a, rapid.IntRange(1, most).Draw(t, "values of "+a.String()))
	}
	out := make([]chunk, rapid.IntRange(0, 8).Draw(t, "chunks"))
	for i := range out {
		n := rapid.IntRange(0, packet.ChunkSize).Draw(t, "rows")
		c := packet.NewColumns(packet.ChunkSize)
		c.N = n
		for row := range packet.ChunkSize { // rows beyond N must not count
			c.Layers[row] = packet.Layers(r.Uint32())
			if r.IntN(4) > 0 {
				c.Layers[row] = packet.LayerEth | packet.LayerEthType | packet.LayerIPv4 | packet.LayerTCP | packet.LayerPorts
			}
			for _, a := range as {
				if p := pools[a]; a != packet.LayerBits {
					set(c, a, row, p[r.IntN(len(p))])
				}
			}
		}
		out[i].c = c
		switch rapid.IntRange(0, 2).Draw(t, "mask") {
		case 0: // all
		case 1:
			out[i].m = &packet.Bitmap{r.Uint64(), r.Uint64(), ^uint64(0), r.Uint64()}
		case 2:
			out[i].m = &packet.Bitmap{r.Uint64() & r.Uint64() & r.Uint64(), 0, r.Uint64(), ^uint64(0)}
		}
	}
	return out
}

func attrsWhere(ok func(packet.Kind) bool) []packet.Attr {
	var out []packet.Attr
	for a := range packet.Attr(packet.NumAttrs) {
		if ok(a.Info().Kind) {
			out = append(out, a)
		}
	}
	return out
}

func aggregate(t *rapid.T, fs ...expr.Func) *expr.Aggregate {
	a := &expr.Aggregate{Func: rapid.SampledFrom(fs).Draw(t, "func")}
	of := attrsWhere(func(packet.Kind) bool { return true })
	a.By = rapid.SliceOfN(rapid.SampledFrom(of), 0, 3).Draw(t, "by")
	switch a.Func {
	case expr.Count:
		return a
	case expr.Sum, expr.Avg, expr.Quantile:
		of = attrsWhere(func(k packet.Kind) bool { return k == packet.KindUint })
		of = append(of, packet.FlowHash, packet.FlowHash, packet.FlowHash) // whose sums do not fit
	case expr.Min, expr.Max:
		of = attrsWhere(func(k packet.Kind) bool { return k == packet.KindUint || k == packet.KindTime })
	}
	a.Arg = rapid.SampledFrom(of).Draw(t, "arg")
	switch a.Func {
	case expr.Quantile:
		a.Param = rapid.SampledFrom([]float64{0, 0.01, 0.5, 0.99, 1}).Draw(t, "q")
	case expr.TopK:
		a.Param = float64(rapid.SampledFrom([]int{1, 3, 10, 100}).Draw(t, "k"))
	}
	return a
}

var allFuncs = []expr.Func{expr.Count, expr.Sum, expr.Min, expr.Max, expr.Avg, expr.Distinct, expr.Quantile, expr.TopK}

func attrsOf(a *expr.Aggregate) []packet.Attr {
	if a.Func == expr.Count {
		return a.By
	}
	return append(slices.Clone(a.By), a.Arg)
}

// A modelGroup is a group as a naive implementation would hold it.
type modelGroup struct {
	group   []packet.Value
	headers uint64
	values  map[packet.Value]uint64
}

// model folds chunks naively.
func model(a *expr.Aggregate, cs []chunk) map[string]*modelGroup {
	out := map[string]*modelGroup{}
	if len(a.By) == 0 {
		out["[]"] = &modelGroup{values: map[packet.Value]uint64{}}
	}
	for _, ch := range cs {
	rows:
		for i := range ch.c.N {
			if ch.m != nil && !ch.m.Has(i) {
				continue
			}
			var group []packet.Value
			for _, by := range a.By {
				if !ch.c.Has(by, i) {
					continue rows
				}
				group = append(group, ch.c.Value(by, i))
			}
			if a.Func != expr.Count && !ch.c.Has(a.Arg, i) {
				continue
			}
			key := fmt.Sprint(group)
			g := out[key]
			if g == nil {
				g = &modelGroup{group: group, values: map[packet.Value]uint64{}}
				out[key] = g
			}
			g.headers++
			if a.Func != expr.Count {
				g.values[ch.c.Value(a.Arg, i)]++
			}
		}
	}
	return out
}

// sorted returns the values of a group in ascending order.
func (g *modelGroup) sorted() []packet.Value {
	var vs []packet.Value
	for v, n := range g.values {
		for range n {
			vs = append(vs, v)
		}
	}
	slices.SortFunc(vs, func(a, b packet.Value) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
	return vs
}

func (g *modelGroup) row(a *expr.Aggregate) Row {
	row := Row{Group: g.group, Headers: g.headers, Exact: true}
	vs := g.sorted()
	sum := new(big.Int)
	for _, v := range vs {
		sum.Add(sum, new(big.Int).SetUint64(v.Lo))
	}
	total := uint64(math.MaxUint64)
	if sum.IsUint64() {
		total = sum.Uint64()
	}
	switch a.Func {
	case expr.Count:
		row.Value = uintNumber(g.headers)
	case expr.Sum:
		row.Value, row.Exact = uintNumber(total), total != math.MaxUint64
	case expr.Distinct:
		row.Value = uintNumber(uint64(len(g.values)))
	case expr.TopK:
		for v, n := range g.values {
			row.Top = append(row.Top, Counted{v, n})
		}
		slices.SortFunc(row.Top, func(x, y Counted) int {
			if x.Count > y.Count || x.Count == y.Count && x.Value.Less(y.Value) {
				return -1
			}
			return 1
		})
		row.Top = row.Top[:min(len(row.Top), int(a.Param))]
	}
	if len(vs) == 0 {
		return row
	}
	switch a.Func {
	case expr.Min:
		row.Value = uintNumber(vs[0].Lo)
	case expr.Max:
		row.Value = uintNumber(vs[len(vs)-1].Lo)
	case expr.Avg:
		row.Value, row.Exact = realNumber(float64(total)/float64(len(vs))), total != math.MaxUint64
	case expr.Quantile:
		row.Value = uintNumber(vs[int(a.Param*float64(len(vs)-1))].Lo)
	}
	return row
}

func modelRows(a *expr.Aggregate, m map[string]*modelGroup) []Row {
	var rows []Row
	for _, g := range m {
		rows = append(rows, g.row(a))
	}
	slices.SortFunc(rows, func(x, y Row) int { return compareGroups(x.Group, y.Group) })
	return rows
}

func mustNew(t interface {
	Helper()
	Fatal(...any)
}, a *expr.Aggregate, o Options) *State {
	t.Helper()
	s, err := New(a, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// scatter adds the chunks to some states in any order and merges those in a
// tree of any shape.
func scatter(t *rapid.T, a *expr.Aggregate, o Options, cs []chunk) *State {
	states := make([]*State, rapid.IntRange(1, 6).Draw(t, "states"))
	for i := range states {
		if i > 0 && rapid.Bool().Draw(t, "shares memory") {
			states[i] = states[0].NewLike()
		} else {
			states[i] = mustNew(t, a, o)
		}
	}
	for _, ch := range rapid.Permutation(cs).Draw(t, "order") {
		s := states[rapid.IntRange(0, len(states)-1).Draw(t, "state")]
		s.Add(ch.c, ch.m)
	}
	for len(states) > 1 {
		i := rapid.IntRange(0, len(states)-1).Draw(t, "into")
		j := rapid.IntRange(0, len(states)-2).Draw(t, "from")
		if j >= i {
			j++
		}
		states[i].Merge(states[j])
		states = slices.Delete(states, j, j+1)
	}
	return states[0]
}

var sameRows = cmp.Options{cmp.AllowUnexported(Number{}), cmpopts.EquateEmpty()}

func TestAnyMergeTreeGivesWhatANaiveFoldGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aggregate(t, allFuncs...)
		cs := chunks(t, attrsOf(a), 60)
		r := scatter(t, a, Options{}, cs).Result()
		want := modelRows(a, model(a, cs))
		if diff := cmp.Diff(want, r.Rows, sameRows); diff != "" {
			t.Fatalf("%s: -naive +folded\n%s", Text(a), diff)
		}
		exact := !slices.ContainsFunc(want, func(r Row) bool { return !r.Exact })
		if r.Exact != exact || r.OverflowHeaders != 0 || r.RelativeError != 0 {
			t.Fatalf("%s: exact %v, want %v; %d overflow, error %v", Text(a), r.Exact, exact, r.OverflowHeaders, r.RelativeError)
		}
	})
}

func TestWhatFindsNoRoomIsCountedAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aggregate(t, allFuncs...)
		if rapid.Bool().Draw(t, "sketches of few groups") {
			a.Func = rapid.SampledFrom([]expr.Func{expr.Distinct, expr.Quantile}).Draw(t, "sketched")
			a.Arg, a.Param, a.By = packet.PktLen, 0.5, []packet.Attr{packet.InPort}
		}
		cs := chunks(t, attrsOf(a), rapid.SampledFrom([]int{5, 2000}).Draw(t, "at most"))
		o := Options{
			MaxGroups:   rapid.SampledFrom([]int{1, 7, 100, 5000}).Draw(t, "max groups"),
			MaxDistinct: rapid.SampledFrom([]int{1, 7, 100, 1000, 5000}).Draw(t, "max distinct"),
			MaxSketches: rapid.SampledFrom([]int{1, 4, 64}).Draw(t, "max sketches"),
		}
		r := scatter(t, a, o, cs).Result()
		m := model(a, cs)

		var total, held uint64
		for _, g := range m {
			total += g.headers
		}
		exact := true
		for _, row := range r.Rows {
			held += row.Headers
			g := m[fmt.Sprint(row.Group)]
			if g == nil {
				t.Fatalf("a group that is not there: %v", row.Group)
			}
			checkBounds(t, a, r, row, g)
			exact = exact && row.Exact
		}
		if held+r.OverflowHeaders != total {
			t.Fatalf("%s: %d headers in rows, %d overflow; there were %d", Text(a), held, r.OverflowHeaders, total)
		}
		if len(r.Rows) > o.MaxGroups {
			t.Fatalf("%d rows, at most %d", len(r.Rows), o.MaxGroups)
		}
		if r.Exact != (exact && r.OverflowHeaders == 0) {
			t.Fatalf("exact %v with rows' %v and %d overflow headers", r.Exact, exact, r.OverflowHeaders)
		}
		if r.Exact {
			if diff := cmp.Diff(modelRows(a, m), r.Rows, sameRows); diff != "" {
				t.Fatalf("%s says it is exact: -naive +folded\n%s", Text(a), diff)
			}
		} else if len(r.Notes()) == 0 {
			t.Fatal("not exact, and no word why")
		}
	})
}

// checkBounds checks one row against all that is known of its group.
func checkBounds(t *rapid.T, a *expr.Aggregate, r *Result, row Row, g *modelGroup) {
	want := g.row(a)
	if row.Headers > g.headers || g.headers-row.Headers > r.OverflowHeaders {
		t.Fatalf("%s: %d headers of %v, there were %d, %d overflow", Text(a), row.Headers, row.Group, g.headers, r.OverflowHeaders)
	}
	if row.Exact && row.Headers == g.headers && a.Func != expr.TopK {
		if row.Value != want.Value {
			t.Fatalf("%s of all headers of %v: %v, want %v", Text(a), row.Group, row.Value, want.Value)
		}
		return
	}
	if row.Headers != g.headers && a.Func != expr.TopK {
		return // less than all: which is a matter of order
	}
	switch a.Func {
	case expr.Distinct:
		got, _ := row.Value.Float()
		real := float64(len(g.values))
		if math.Abs(got-real) > max(2, 6*DistinctError*real) {
			t.Fatalf("%v different values, there were %v", got, real)
		}
	case expr.Quantile:
		got, _ := row.Value.Float()
		real, _ := want.Value.Float()
		if math.Abs(got-real) > (QuantileError+1e-9)*real {
			t.Fatalf("%s: %v, is %v", Text(a), got, real)
		}
	case expr.TopK:
		for i, c := range row.Top {
			real := g.values[c.Value]
			if c.Count > real || real-c.Count > r.OverflowHeaders {
				t.Fatalf("count of %v: %d, is %d, %d overflow", c.Value, c.Count, real, r.OverflowHeaders)
			}
			if i > 0 && c.Count > row.Top[i-1].Count {
				t.Fatalf("not in order: %v", row.Top)
			}
		}
	}
}

// A bucket is a part of a sliding window.
type bucket struct {
	s  *State
	cs []chunk
}

// size returns how many groups and values some buckets have together.
func size(a *expr.Aggregate, bs []bucket) (groups, values int) {
	var cs []chunk
	for _, b := range bs {
		cs = append(cs, b.cs...)
	}
	m := model(a, cs)
	for _, g := range m {
		values += len(g.values)
	}
	if a.Func != expr.Distinct && a.Func != expr.Quantile && a.Func != expr.TopK {
		values = 0
	}
	return len(m), values
}

func TestASlidingWindowBySubtractionHoldsItsBucketsAndNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := aggregate(t, expr.Count, expr.Sum, expr.Avg, expr.Distinct, expr.Quantile, expr.TopK)
		small := Options{}
		if rapid.Bool().Draw(t, "tight") {
			small = Options{MaxGroups: 150, MaxDistinct: 300}
		}
		window := mustNew(t, a, small)
		var in, free []bucket
		noRoom := false // since the window was last made anew
		merge := func(b bucket, earlier []bucket) {
			window.Merge(b.s)
			fits := b.s.whole() || b.s.saturated
			if small.MaxGroups > 0 {
				groups, values := size(a, append(slices.Clone(earlier), b))
				fits = fits && groups <= small.MaxGroups && values <= small.MaxDistinct
			}
			noRoom = noRoom || !fits
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if len(in) > 0 && rapid.Bool().Draw(t, "drop the oldest") {
				was := window.Result().Exact
				if !window.Subtract(in[0].s) {
					if was && in[0].s.Result().Exact {
						t.Fatal("cannot subtract, though both were exact")
					}
					window.Reset()
					noRoom = false
					for i, b := range in[1:] {
						merge(b, in[1:1+i])
					}
				}
				in[0].s.Reset()
				free = append(free, in[0])
				in = in[1:]
			} else {
				b := bucket{s: nil}
				if len(free) > 0 {
					b, free = free[0], free[1:]
				} else {
					b.s = window.NewLike()
				}
				b.cs = chunks(t, attrsOf(a), 40)
				for _, ch := range b.cs {
					b.s.Add(ch.c, ch.m)
				}
				merge(b, in)
				in = append(in, b)
			}
			var all []chunk
			for _, b := range in {
				all = append(all, b.cs...)
			}
			r := window.Result()
			if noRoom {
				continue // bounds are tested elsewhere
			}
			if r.OverflowHeaders > 0 || r.RelativeError > 0 {
				t.Fatalf("%s: %d overflow, error %v though there is room", Text(a), r.OverflowHeaders, r.RelativeError)
			}
			if diff := cmp.Diff(modelRows(a, model(a, all)), r.Rows, sameRows); diff != "" {
				t.Fatalf("%s: -naive +window\n%s", Text(a), diff)
			}
		}
	})
}
