package fold

import (
	"math"
	"math/bits"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// saturated stands for itself or any larger sum.
const saturated = math.MaxUint64

// A Partial is what some headers contribute to a scalar aggregate (see
// [IsScalar]). It is plain memory of 32 bytes without pointers, and the zero
// Partial is that of no headers, so it may live in zeroed memory outside the Go
// heap. Only the fields that the aggregate's function needs are kept.
//
// Sum saturates: math.MaxUint64 stands for that or any larger sum.
type Partial struct {
	Headers  uint64 // how many were folded
	Sum      uint64 // Sum and Avg
	Min, Max uint64 // Min and Max, respectively; nothing when Headers is 0
}

// IsScalar reports whether a Partial holds all there is to know of an
// aggregate: COUNT, SUM, MIN, MAX or AVG without BY.
func IsScalar(a *expr.Aggregate) bool {
	return len(a.By) == 0 && a.Func <= expr.Avg
}

// FoldScalar folds the rows of c that m selects (nil: all) and that have the
// attribute of a, which must be scalar and valid (see [Check]). Columns needed:
// the attribute's and Layers. It does not allocate, and may be called from any
// goroutine.
func FoldScalar(a *expr.Aggregate, c *packet.Columns, m *packet.Bitmap) Partial {
	sel := below(m, c.N)
	if a.Func == expr.Count {
		return Partial{Headers: uint64(sel.Count())}
	}
	if p := a.Arg.Present(); p != 0 {
		present(c.Layers[:c.N], p, &sel)
	}
	out := Partial{Headers: uint64(sel.Count())}
	if out.Headers == 0 {
		return out
	}
	switch a.Func {
	case expr.Sum, expr.Avg:
		out.Sum = sumColumn(c, a.Arg, &sel)
	case expr.Min:
		out.Min, _ = minMaxColumn(c, a.Arg, &sel)
	case expr.Max:
		_, out.Max = minMaxColumn(c, a.Arg, &sel)
	}
	return out
}

// Merge adds what q holds. It is associative and commutative.
func (p *Partial) Merge(q Partial) {
	if q.Headers == 0 {
		return
	}
	if p.Headers == 0 {
		*p = q
		return
	}
	p.Headers += q.Headers
	p.Sum, _ = addCarry(p.Sum, q.Sum)
	p.Min = min(p.Min, q.Min)
	p.Max = max(p.Max, q.Max)
}

// Subtract takes back a merge of q and reports whether that was possible: it is
// for COUNT, SUM and AVG, unless the sum is saturated. Otherwise p is
// unchanged. The extremes of a Partial that was subtracted from mean nothing.
func (p *Partial) Subtract(a *expr.Aggregate, q Partial) bool {
	if !CanSubtract(a) || !IsScalar(a) || p.Sum == saturated || q.Sum == saturated {
		return false
	}
	p.Headers -= q.Headers
	p.Sum -= q.Sum
	return true
}

// addCarry returns the sum, or all ones and a carry of 1 if it does not fit.
func addCarry(a, b uint64) (sum, carry uint64) {
	s, c := bits.Add64(a, b, 0)
	return s | -c, c
}

func sumColumn(c *packet.Columns, a packet.Attr, m *packet.Bitmap) uint64 {
	switch a {
	case packet.Ts:
		return sumPlain(c.Ts, m)
	case packet.LayerBits:
		return sumPlain(c.Layers, m)
	}
	switch a.Info().Width {
	case packet.W8:
		return sumPlain(c.U8(a), m)
	case packet.W16:
		return sumPlain(c.U16(a), m)
	case packet.W32:
		return sum32(c.U32(a), m)
	default:
		return sumPlain(c.U64(a), m)
	}
}

func minMaxColumn(c *packet.Columns, a packet.Attr, m *packet.Bitmap) (lo, hi uint64) {
	switch a {
	case packet.Ts:
		return minMaxPlain(c.Ts, m)
	case packet.LayerBits:
		return minMaxPlain(c.Layers, m)
	}
	switch a.Info().Width {
	case packet.W8:
		return minMaxPlain(c.U8(a), m)
	case packet.W16:
		return minMaxPlain(c.U16(a), m)
	case packet.W32:
		return minMax32(c.U32(a), m)
	default:
		return minMaxPlain(c.U64(a), m)
	}
}

type number interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int64
}

// sumPlain returns the sum of the selected values, saturated.
func sumPlain[T number](col []T, m *packet.Bitmap) uint64 {
	var sum, carries uint64
	for w, word := range m {
		if word == ^uint64(0) {
			for _, v := range col[64*w:][:64] {
				var carry uint64
				sum, carry = bits.Add64(sum, uint64(v), 0)
				carries |= carry
			}
			continue
		}
		for ; word != 0; word &= word - 1 {
			var carry uint64
			sum, carry = bits.Add64(sum, uint64(col[64*w+bits.TrailingZeros64(word)]), 0)
			carries |= carry
		}
	}
	return sum | -carries
}

// sum32Plain is sumPlain for a sum that cannot overflow.
func sum32Plain(col []uint32, m *packet.Bitmap) uint64 {
	var sum uint64
	for w, word := range m {
		if word == ^uint64(0) {
			for _, v := range col[64*w:][:64] {
				sum += uint64(v)
			}
			continue
		}
		for ; word != 0; word &= word - 1 {
			sum += uint64(col[64*w+bits.TrailingZeros64(word)])
		}
	}
	return sum
}

// minMaxPlain returns the extremes of the selected values, of which there must
// be one.
func minMaxPlain[T number](col []T, m *packet.Bitmap) (lo, hi uint64) {
	lo = math.MaxUint64
	for w, word := range m {
		if word == ^uint64(0) {
			for _, v := range col[64*w:][:64] {
				lo, hi = min(lo, uint64(v)), max(hi, uint64(v))
			}
			continue
		}
		for ; word != 0; word &= word - 1 {
			v := uint64(col[64*w+bits.TrailingZeros64(word)])
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return lo, hi
}
