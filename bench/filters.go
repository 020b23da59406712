package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// The share of headers that a generated filter matches.
const (
	leastMatches = 0.001
	mostMatches  = 0.33
)

// A filterMaker makes filters over the attributes of a pool's frames.
type filterMaker struct {
	r      *rand.Rand
	cols   *packet.Columns
	sorted map[packet.Attr][]packet.Value // of the headers that have it
}

// filterAttrs are what generated filters test.
var filterAttrs = []packet.Attr{packet.DstPort, packet.SrcPort, packet.SrcIP, packet.DstIP, packet.PktLen, packet.PayloadLen, packet.TTL}

func newFilterMaker(cols *packet.Columns) *filterMaker {
	m := &filterMaker{r: rand.New(rand.NewPCG(3, 3)), cols: cols, sorted: map[packet.Attr][]packet.Value{}}
	for _, a := range filterAttrs {
		var vs []packet.Value
		for i := range cols.N {
			if cols.Has(a, i) {
				vs = append(vs, cols.Value(a, i))
			}
		}
		slices.SortFunc(vs, compare)
		m.sorted[a] = vs
	}
	return m
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

// next makes a filter of one to three predicates and tells which share of the
// headers it matches. How selective it is to be is drawn anew each time, evenly
// on a logarithmic scale.
func (m *filterMaker) next() (e *expr.Expr, share float64, err error) {
	for range 10_000 {
		want := math.Exp(math.Log(leastMatches) + m.r.Float64()*math.Log(mostMatches/leastMatches))
		n := 1 + m.r.IntN(3)
		var parts []string
		for _, i := range m.r.Perm(len(filterAttrs))[:n] {
			parts = append(parts, m.predicate(filterAttrs[i], math.Pow(want, 1/float64(n))))
		}
		if e, err = expr.Parse(strings.Join(parts, " && "), nil); err != nil {
			return nil, 0, fmt.Errorf("bench: %w", err)
		}
		if share = m.share(e); share >= leastMatches && share <= mostMatches {
			return e, share, nil
		}
	}
	return nil, 0, fmt.Errorf("bench: no filter found that matches %v to %v of the headers", leastMatches, mostMatches)
}

// predicate returns a comparison that about the share p of the headers meets: a
// value, a prefix or a range.
func (m *filterMaker) predicate(a packet.Attr, p float64) string {
	vs := m.sorted[a]
	n := len(vs)
	v := vs[m.r.IntN(n)] // common values come up most
	if a.Info().Kind == packet.KindIP {
		return fmt.Sprintf("%s in %s", a, m.prefix(vs, v.Addr(), p))
	}
	if m.r.IntN(2) == 0 {
		for range 20 {
			if share := m.between(vs, v, v); share > p/2 && share < p*2 {
				return fmt.Sprintf("%s == %d", a, v.Lo)
			}
			v = vs[m.r.IntN(n)]
		}
	}
	width := min(max(1, int(p*float64(n))), n-1)
	at := m.r.IntN(n - width)
	return fmt.Sprintf("%s in %d..%d", a, vs[at].Lo, vs[at+width].Lo)
}

// prefix returns the prefix around ip whose share of the headers is nearest to
// p.
func (m *filterMaker) prefix(vs []packet.Value, ip netip.Addr, p float64) netip.Prefix {
	best, off := netip.Prefix{}, math.Inf(1)
	for bits := range ip.BitLen() + 1 {
		q, err := ip.Prefix(bits)
		if err != nil {
			continue
		}
		last := packet.ValueOfAddr(q.Addr())
		if free := ip.BitLen() - bits; free >= 64 {
			last.Hi |= 1<<(free-64) - 1
			last.Lo = math.MaxUint64
		} else {
			last.Lo |= 1<<free - 1
		}
		share := m.between(vs, packet.ValueOfAddr(q.Addr()), last)
		if d := math.Abs(math.Log(share / p)); d < off {
			best, off = q, d
		}
	}
	return best
}

// between returns the share of vs, sorted, that lies in lo..hi.
func (m *filterMaker) between(vs []packet.Value, lo, hi packet.Value) float64 {
	from, _ := slices.BinarySearchFunc(vs, lo, compare)
	to, _ := slices.BinarySearchFunc(vs, hi, func(v, hi packet.Value) int {
		if hi.Less(v) {
			return 1
		}
		return -1
	})
	return float64(to-from) / float64(len(vs))
}

// share returns the share of the pool's headers that e matches.
func (m *filterMaker) share(e *expr.Expr) float64 {
	set := expr.NewSet([]*expr.Expr{e})
	scratch := set.NewScratch()
	n := 0
	var w packet.Columns
	var out [1]packet.Bitmap
	for lo := 0; lo < m.cols.N; lo += packet.ChunkSize {
		m.cols.Window(lo, packet.ChunkSize, &w)
		set.Eval(&w, scratch, out[:])
		n += out[0].Count()
	}
	return float64(n) / float64(m.cols.N)
}
