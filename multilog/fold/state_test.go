package fold

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

func TestFoldingAllocatesNothingOnceWarm(t *testing.T) {
	cs := traffic(8, 300)
	half := &packet.Bitmap{0x5555555555555555, 0, ^uint64(0), 0x123456789abcdef0}
	for _, a := range []expr.Aggregate{
		{Func: expr.Count},
		{Func: expr.Sum, Arg: packet.PktLen},
		{Func: expr.Count, By: []packet.Attr{packet.SrcIP, packet.DstIP, packet.SrcPort}},
		{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{packet.DstIP}},
		{Func: expr.Max, Arg: packet.PktLen, By: []packet.Attr{packet.DstPort, packet.Proto}},
		{Func: expr.Distinct, Arg: packet.SrcIP},
		{Func: expr.Distinct, Arg: packet.SrcIP, By: []packet.Attr{packet.DstPort}},
		{Func: expr.Quantile, Arg: packet.PktLen, Param: 0.99},
		{Func: expr.Quantile, Arg: packet.PktLen, Param: 0.99, By: []packet.Attr{packet.DstPort}},
		{Func: expr.TopK, Arg: packet.SrcIP, Param: 10},
		{Func: expr.TopK, Arg: packet.SrcIP, Param: 10, By: []packet.Attr{packet.DstPort}},
	} {
		// Few values: those of the first group or so go to a sketch.
		for _, o := range []Options{{}, {MaxDistinct: 64, MaxGroups: 64, MaxSketches: 2}} {
			if raceEnabled && a.Func == expr.Quantile && o.MaxDistinct > 0 {
				continue // DDSketch extends slices by append(s, make(...)...), which allocates with -race only
			}
			s := mustNew(t, &a, o)
			bucket := s.NewLike()
			var r Result
			fill := func(s *State) {
				for i, c := range cs {
					if i%2 == 0 {
						s.Add(c, nil)
					} else {
						s.Add(c, half)
					}
				}
			}
			cycle := func() {
				bucket.Reset()
				fill(bucket)
				s.Reset()
				s.Merge(bucket)
				fill(s)
				s.Merge(bucket)
				s.Subtract(bucket)
			}
			for range 3 {
				cycle()
			}
			s.Read(&r)
			if got := testing.AllocsPerRun(20, cycle); got != 0 {
				t.Errorf("%s %+v: %v allocations a cycle of Reset, Add, Merge and Subtract", Text(&a), o, got)
			}
			if got := testing.AllocsPerRun(20, func() { fill(s) }); got != 0 {
				t.Errorf("%s %+v: %v allocations of Add with known groups", Text(&a), o, got)
			}
			if got := testing.AllocsPerRun(20, func() { s.Read(&r) }); got != 0 {
				t.Errorf("%s %+v: %v allocations of Read", Text(&a), o, got)
			}
		}
	}
}

func TestFoldScalarAllocatesNothing(t *testing.T) {
	c := traffic(1, 10)[0]
	a := &expr.Aggregate{Func: expr.Sum, Arg: packet.PayloadLen}
	var p Partial
	if got := testing.AllocsPerRun(100, func() { p.Merge(FoldScalar(a, c, nil)) }); got != 0 || p.Sum == 0 {
		t.Errorf("%v allocations, sum %d", got, p.Sum)
	}
}

func TestAStateThatIsResetIsAsNew(t *testing.T) {
	cs := traffic(12, 3000)
	for _, f := range allFuncs {
		for _, by := range [][]packet.Attr{nil, {packet.DstPort}, {packet.SrcIP}} {
			a := &expr.Aggregate{Func: f, Arg: packet.PktLen, By: by}
			switch f {
			case expr.Quantile:
				a.Param = 0.5
			case expr.TopK:
				a.Param = 5
			}
			o := Options{MaxGroups: 100, MaxDistinct: 200, MaxSketches: 3}
			used, fresh := mustNew(t, a, o), mustNew(t, a, o)
			for _, c := range cs { // sketches, overflow, all of it
				used.Add(c, nil)
			}
			used.Reset()
			used.Add(cs[0], &packet.Bitmap{1<<20 - 1})
			fresh.Add(cs[0], &packet.Bitmap{1<<20 - 1})
			if diff := cmp.Diff(fresh.Result().Rows, used.Result().Rows, sameRows); diff != "" || !used.Result().Exact {
				t.Errorf("%s: -new +reset\n%s", Text(a), diff)
			}
			// And a sketch that is used again holds nothing of before.
			used.Reset()
			fresh.Reset()
			for _, c := range cs[6:] {
				used.Add(c, nil)
				fresh.Add(c, nil)
			}
			if diff := cmp.Diff(fresh.Result().Rows, used.Result().Rows, sameRows); diff != "" {
				t.Errorf("%s, many: -new +reset\n%s", Text(a), diff)
			}
		}
	}
}

func TestDistinctOfMillionsIsWithinItsError(t *testing.T) {
	s := mustNew(t, &expr.Aggregate{Func: expr.Distinct, Arg: packet.SrcIP}, Options{})
	c := packet.NewColumns(packet.ChunkSize)
	const n = 1 << 20
	for base := 0; base < n; base += packet.ChunkSize {
		for i := range c.N {
			c.Layers[i] = packet.LayerIPv4
			c.SrcIPLo[i] = 0xffff_00000000 | uint64(base+i)
		}
		s.Add(c, nil)
		s.Add(c, nil)
	}
	r := s.Result()
	got, _ := r.Rows[0].Value.Float()
	if r.Exact || r.RelativeError != DistinctError || r.OverflowHeaders != 0 || r.Rows[0].Headers != 2*n {
		t.Errorf("%+v", r)
	}
	if e := math.Abs(got-n) / n; e > 4*DistinctError {
		t.Errorf("%v of %v: error %.2f %%", got, n, 100*e)
	}
}

func TestWhatCannotBeAggregatedIsSaid(t *testing.T) {
	many := make([]packet.Attr, MaxBy+1)
	for _, c := range []struct {
		a    expr.Aggregate
		o    Options
		want string
	}{
		{expr.Aggregate{Func: 99}, Options{}, "function 99 does not exist"},
		{expr.Aggregate{Func: expr.Sum, Arg: packet.SrcIP}, Options{}, "SUM of src_ip: it is not a number"},
		{expr.Aggregate{Func: expr.Avg, Arg: packet.Ts}, Options{}, "AVG of ts: it is not a number"},
		{expr.Aggregate{Func: expr.Max, Arg: packet.SrcMAC}, Options{}, "MAX of src_mac: it is neither a number nor a time"},
		{expr.Aggregate{Func: expr.Min, Arg: 200}, Options{}, "attribute 200 does not exist"},
		{expr.Aggregate{Func: expr.Quantile, Arg: packet.TTL, Param: 1.5}, Options{}, "quantile 1.5 is not within 0..1"},
		{expr.Aggregate{Func: expr.Quantile, Arg: packet.TTL, Param: math.NaN()}, Options{}, "quantile NaN is not within 0..1"},
		{expr.Aggregate{Func: expr.TopK, Arg: packet.TTL}, Options{}, "k 0 of TOPK is not a whole number within 1..65536"},
		{expr.Aggregate{Func: expr.TopK, Arg: packet.TTL, Param: 2.5}, Options{}, "k 2.5 of TOPK is not a whole number within 1..65536"},
		{expr.Aggregate{By: []packet.Attr{200}}, Options{}, "BY an attribute that does not exist"},
		{expr.Aggregate{By: many}, Options{}, "BY 8 attributes; at most 7"},
		{expr.Aggregate{}, Options{MaxGroups: -1}, "MaxGroups -1 is not within 1..16777214"},
		{expr.Aggregate{}, Options{MaxDistinct: 1 << 30}, "MaxDistinct 1073741824 is not within 1..16777214"},
		{expr.Aggregate{}, Options{MaxSketches: -7}, "MaxSketches -7 is not within 1..16777214"},
	} {
		if _, err := New(&c.a, c.o); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%+v %+v: %v, want %q", c.a, c.o, err, c.want)
		}
	}
}

func TestSevenAddressesAreAKey(t *testing.T) {
	as := []packet.Attr{packet.SrcIP, packet.DstIP, packet.OuterSrc, packet.OuterDst, packet.SrcIP, packet.DstIP, packet.Ts}
	c := packet.NewColumns(2)
	for i := range c.N {
		c.Layers[i] = packet.LayerIPv6 | packet.LayerTunnel
		c.OuterDstLo[i] = uint64(i)
	}
	s := mustNew(t, &expr.Aggregate{Func: expr.Distinct, Arg: packet.SrcIP, By: as}, Options{})
	s.Add(c, nil)
	if r := s.Result(); len(r.Rows) != 2 || r.Rows[1].Group[3] != (packet.Value{Lo: 1}) {
		t.Errorf("%+v", r.Rows)
	}
}

func TestMixingUpStatesPanics(t *testing.T) {
	count := func(by packet.Attr) *State {
		return mustNew(t, &expr.Aggregate{By: []packet.Attr{by}}, Options{})
	}
	full := count(packet.DstPort)
	full.Add(traffic(1, 10)[0], nil)
	values := mustNew(t, &expr.Aggregate{Func: expr.Distinct, Arg: packet.PktLen}, Options{})
	other := values.NewLike()
	for i, c := range traffic(2, 10) {
		[]*State{values, other}[i].Add(c, nil)
	}
	for name, f := range map[string]func(){
		"merge with itself":         func() { full.Merge(full) },
		"merge another aggregate":   func() { full.Merge(count(packet.SrcPort)) },
		"subtract groups not there": func() { count(packet.DstPort).Subtract(full) },
		"subtract values not there": func() { values.Subtract(other) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestReadIfGivesTheRowsThatAreWanted(t *testing.T) {
	s, err := New(&expr.Aggregate{Func: expr.Count, By: []packet.Attr{packet.DstPort}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := packet.NewColumns(packet.ChunkSize)
	for i := range c.N {
		c.Layers[i], c.DstPort[i] = ^packet.Layers(0), uint16(i*i%17)
	}
	s.Add(c, nil)
	want := s.Result()
	var got Result
	s.ReadIf(&got, func(n Number) bool { v, _ := n.Uint(); return v > 20 })
	n := 0
	for _, row := range want.Rows {
		if v, _ := row.Value.Uint(); v <= 20 {
			continue
		}
		if n >= len(got.Rows) || compareGroups(got.Rows[n].Group, row.Group) != 0 || got.Rows[n].Value != row.Value {
			t.Fatalf("row %d of %+v, want %+v", n, got.Rows, row)
		}
		n++
	}
	if n == 0 || n == len(want.Rows) || n != len(got.Rows) {
		t.Fatalf("%d rows of %d, got %d", n, len(want.Rows), len(got.Rows))
	}
}
