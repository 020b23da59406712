package expr

import (
	"slices"

	"github.com/confluo/confluo/packet"
)

// Sets of values are slices of closed ranges, sorted, disjoint and not
// adjacent: every set has one such form, so equal sets compare equal.

var zero packet.Value

// maxValue returns the largest value that attribute a can store.
func maxValue(a packet.Attr) packet.Value {
	w := a.Info().Width
	if w == packet.W128 {
		return packet.Value{Hi: ^uint64(0), Lo: ^uint64(0)}
	}
	return packet.Value{Lo: ^uint64(0) >> (64 - w)}
}

// next returns v+1; v must not be the largest value.
func next(v packet.Value) packet.Value {
	v.Lo++
	if v.Lo == 0 {
		v.Hi++
	}
	return v
}

// prev returns v-1; v must not be zero.
func prev(v packet.Value) packet.Value {
	if v.Lo == 0 {
		v.Hi--
	}
	v.Lo--
	return v
}

// normalize brings rs into the form described above, in place.
func normalize(rs []packet.Range) []packet.Range {
	slices.SortFunc(rs, func(a, b packet.Range) int { return compare(a.Min, b.Min) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && (!out[n-1].Max.Less(r.Min) || next(out[n-1].Max) == r.Min) {
			if out[n-1].Max.Less(r.Max) {
				out[n-1].Max = r.Max
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

func compare(a, b packet.Value) int {
	switch {
	case a.Less(b):
		return -1
	case b.Less(a):
		return 1
	}
	return 0
}

// complement returns the values 0..last that are not in rs.
func complement(rs []packet.Range, last packet.Value) []packet.Range {
	out := make([]packet.Range, 0, len(rs)+1)
	at := zero // smallest value not yet decided
	for _, r := range rs {
		if at.Less(r.Min) {
			out = append(out, packet.Range{Min: at, Max: prev(r.Min)})
		}
		if r.Max == last {
			return out
		}
		at = next(r.Max)
	}
	return append(out, packet.Range{Min: at, Max: last})
}

// intersect returns the values that are in both.
func intersect(a, b []packet.Range) []packet.Range {
	var out []packet.Range
	for len(a) > 0 && len(b) > 0 {
		r := packet.Range{Min: a[0].Min, Max: a[0].Max}
		if r.Min.Less(b[0].Min) {
			r.Min = b[0].Min
		}
		if b[0].Max.Less(r.Max) {
			r.Max = b[0].Max
		}
		if !r.Max.Less(r.Min) {
			out = append(out, r)
		}
		if a[0].Max.Less(b[0].Max) {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// contains reports whether v is in rs.
func contains(rs []packet.Range, v packet.Value) bool {
	for _, r := range rs {
		if !v.Less(r.Min) && !r.Max.Less(v) {
			return true
		}
	}
	return false
}
