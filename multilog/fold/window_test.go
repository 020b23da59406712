package fold

import (
	"math"
	"testing"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// ports returns a chunk of one header for each port from lo to hi-1, whose flow
// hash is that given.
func ports(lo, hi int, hash uint64) *packet.Columns {
	c := packet.NewColumns(hi - lo)
	for i := range c.N {
		c.InPort[i] = uint16(lo + i)
		c.Layers[i] = packet.LayerIPv4
		c.FlowHash[i] = hash
	}
	return c
}

func TestASumThatDidNotFitCannotBeTakenBack(t *testing.T) {
	a := &expr.Aggregate{Func: expr.Sum, Arg: packet.FlowHash, By: []packet.Attr{packet.Tag}}
	of := func(hashes ...uint64) *State {
		s := mustNew(t, a, Options{})
		for _, h := range hashes {
			s.Add(ports(0, 1, h), nil)
		}
		return s
	}
	merged := func(parts ...*State) *State {
		s := of()
		for _, p := range parts {
			s.Merge(p)
		}
		return s
	}
	five, big := of(5), of(math.MaxUint64-4)
	for name, s := range map[string]*State{
		"in Add":               of(5, math.MaxUint64-4),
		"in a merge":           merged(five, big),
		"in a part":            merged(five, of(5, math.MaxUint64-4)),
		"in a part of a state": merged(merged(of(7, math.MaxUint64), five)),
	} {
		if s.Subtract(five) {
			t.Errorf("saturated %s: subtracted", name)
		}
		if r := s.Result(); r.Exact || r.Rows[0].Value != uintNumber(math.MaxUint64) {
			t.Errorf("saturated %s: %v, exact %v", name, r.Rows[0].Value, r.Exact)
		}
	}
	if s := merged(five, of(6)); !s.Subtract(five) || s.Result().Rows[0].Value != uintNumber(6) {
		t.Error("5+6-5 is not 6")
	}
	if s := merged(five); s.Subtract(of(1, math.MaxUint64)) {
		t.Error("a saturated part: subtracted")
	}
}

func TestRoomThatSubtractionMadeIsUsedAgain(t *testing.T) {
	for _, a := range []*expr.Aggregate{
		{Func: expr.Count, By: []packet.Attr{packet.InPort}},
		{Func: expr.TopK, Arg: packet.InPort, Param: 2},
		{Func: expr.TopK, Arg: packet.InPort, Param: 2, By: []packet.Attr{packet.InPort}},
		{Func: expr.Distinct, Arg: packet.InPort, By: []packet.Attr{packet.Tag}},
	} {
		for name, fold := range map[string]func(window, bucket *State, c *packet.Columns){
			"Add":   func(window, bucket *State, c *packet.Columns) { window.Add(c, nil) },
			"Merge": func(window, bucket *State, c *packet.Columns) { window.Merge(bucket) },
		} {
			window := mustNew(t, a, Options{MaxGroups: 4, MaxDistinct: 4})
			for step := range 20 {
				c := ports(4*step, 4*step+4, 0)
				bucket := window.NewLike()
				bucket.Add(c, nil)
				fold(window, bucket, c)
				if r := window.Result(); !r.Exact {
					t.Fatalf("%s by %s, step %d: %v", Text(a), name, step, r.Notes())
				}
				if !window.Subtract(bucket) {
					t.Fatalf("%s by %s, step %d: not subtracted", Text(a), name, step)
				}
			}
		}
	}
}
