package fold

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A Number is the value of an aggregate: a whole number, exactly, or a real
// one, or none (of MIN, MAX, AVG and QUANTILE of no headers). The zero Number
// is none.
type Number struct {
	u    uint64
	f    float64
	kind uint8
}

const (
	isNone uint8 = iota
	isUint
	isReal
)

func uintNumber(u uint64) Number  { return Number{u: u, kind: isUint} }
func realNumber(f float64) Number { return Number{f: f, kind: isReal} }

// IsNone reports whether there is no value.
func (n Number) IsNone() bool { return n.kind == isNone }

// Uint returns the value if it is a whole number by nature.
func (n Number) Uint() (uint64, bool) { return n.u, n.kind == isUint }

// Float returns the value, rounded to a float64; false if there is none.
func (n Number) Float() (float64, bool) {
	if n.kind == isUint {
		return float64(n.u), true
	}
	return n.f, n.kind == isReal
}

// String writes the number in decimal; none is "-".
func (n Number) String() string {
	switch n.kind {
	case isUint:
		return strconv.FormatUint(n.u, 10)
	case isReal:
		return strconv.FormatFloat(n.f, 'f', -1, 64)
	}
	return "-"
}

// A Counted is one value of a TOPK and how many headers had it.
type Counted struct {
	Value packet.Value
	Count uint64
}

// A Row is the answer for one group.
type Row struct {
	Group   []packet.Value // one for each attribute after BY, in that order
	Value   Number         // none for TOPK
	Top     []Counted      // TOPK only: count descending, then value ascending
	Headers uint64         // how many the value speaks of
	Exact   bool           // false: an estimate, a saturated sum, or values were left out
	Lost    uint64         // headers of this group whose value found no room; a count of TOPK may be short by so many
}

// A Result is the answer of an aggregate. Its memory is its own.
type Result struct {
	Agg  *expr.Aggregate
	Rows []Row // by group, ascending; without BY there is one row, even of no headers

	// Exact is whether every row is, and no header was left out.
	Exact bool
	// RelativeError bounds the rows that are estimates: [QuantileError] is never
	// exceeded, [DistinctError] is a standard error. 0 when there are none.
	RelativeError float64
	// OverflowHeaders are those that are in no row, because their group or their
	// value found no room: row and value counts may be short by up to as many.
	OverflowHeaders uint64

	values []packet.Value // backs Row.Group
	top    []Counted      // backs Row.Top
}

// Result returns the answer so far.
func (s *State) Result() *Result {
	r := &Result{}
	s.Read(r)
	return r
}

// Read puts the answer so far into r, whose memory it uses again.
func (s *State) Read(r *Result) { s.ReadIf(r, nil) }

// ReadIf is Read of only those rows whose value keep wants, nil meaning all;
// rows of TOPK, which have none, are always read. It spares a reader who looks
// for few groups among many the sorting of the rest. Exact then speaks of the
// rows read, OverflowHeaders of the whole state.
func (s *State) ReadIf(r *Result, keep func(Number) bool) {
	r.Agg, r.Rows, r.values, r.top = &s.agg, r.Rows[:0], r.values[:0], r.top[:0]
	r.Exact, r.RelativeError, r.OverflowHeaders = true, 0, 0
	if IsScalar(&s.agg) {
		r.scalar(s.scalar)
		return
	}
	r.OverflowHeaders = s.overflow + s.lost
	if s.valued && s.agg.Func != expr.Distinct {
		s.orderValues()
	}
	for g := range s.groups.n {
		row := s.groups.row(g)
		acc := row[s.groups.kw:]
		if acc[accHeaders] == 0 && len(s.agg.By) > 0 {
			continue
		}
		out := Row{Headers: acc[accHeaders], Exact: true}
		if s.valued {
			s.readValues(r, &out, g)
		} else {
			var number uint64
			if len(acc) > accNumber {
				number = acc[accNumber]
			}
			out.Value, out.Exact = numberOf(&s.agg, acc[accHeaders], number)
		}
		if keep != nil && s.agg.Func != expr.TopK && !keep(out.Value) {
			continue
		}
		out.Group = r.group(s, row)
		r.Exact = r.Exact && out.Exact
		r.Rows = append(r.Rows, out)
	}
	r.Exact = r.Exact && r.OverflowHeaders == 0
	slices.SortFunc(r.Rows, func(a, b Row) int { return compareGroups(a.Group, b.Group) })
}

// FromPartial returns the answer of a scalar aggregate.
func FromPartial(a *expr.Aggregate, p Partial) *Result {
	r := &Result{Agg: a, Exact: true}
	r.scalar(p)
	return r
}

func (r *Result) scalar(p Partial) {
	number := p.Sum
	switch r.Agg.Func {
	case expr.Min:
		number = p.Min
	case expr.Max:
		number = p.Max
	}
	v, exact := numberOf(r.Agg, p.Headers, number)
	r.Rows = append(r.Rows, Row{Value: v, Headers: p.Headers, Exact: exact})
	r.Exact = exact
}

// numberOf makes a value of what a group holds.
func numberOf(a *expr.Aggregate, headers, number uint64) (v Number, exact bool) {
	exact = true
	switch a.Func {
	case expr.Count:
		return uintNumber(headers), true
	case expr.Sum:
		return uintNumber(number), number != saturated
	case expr.Avg:
		exact = number != saturated
	}
	switch {
	case headers == 0:
		return Number{}, exact
	case a.Func == expr.Avg:
		return realNumber(float64(number) / float64(headers)), exact
	}
	return uintNumber(number), exact
}

// group appends the attributes of a group to r's memory.
func (r *Result) group(s *State, row []uint64) []packet.Value {
	from := len(r.values)
	for _, f := range s.by.fields {
		r.values = append(r.values, f.value(row))
	}
	return r.values[from:len(r.values):len(r.values)]
}

// readValues answers DISTINCT, QUANTILE and TOPK for group g. For the last two
// orderValues must have been called.
func (s *State) readValues(r *Result, out *Row, g int) {
	acc := s.groups.acc(uint32(g))
	out.Lost = acc[accLost]
	out.Headers -= out.Lost
	out.Exact = out.Lost == 0 && acc[accSketch] == 0
	var sk *sketch
	if acc[accSketch] != 0 {
		sk = &s.sketches[acc[accSketch]-1]
	}
	switch s.agg.Func {
	case expr.Distinct:
		out.Value = uintNumber(acc[accLive])
		if sk != nil {
			out.Value = uintNumber(sk.distinct.Estimate())
			r.RelativeError = DistinctError
		}
	case expr.Quantile:
		switch {
		case sk != nil:
			if q, err := sk.quantile.GetValueAtQuantile(s.agg.Param); err == nil {
				out.Value = realNumber(q)
			}
			r.RelativeError = QuantileError
		case out.Headers > 0:
			out.Value = uintNumber(s.quantile(s.valuesOf(g), out.Headers))
		}
	case expr.TopK:
		out.Top = s.topK(r, s.valuesOf(g))
	}
}

// orderValues sorts the rows of values that are not empty by group, by
// counting.
func (s *State) orderValues() {
	w := s.w
	w.first = slices.Grow(w.first[:0], s.groups.n+1)[:s.groups.n+1]
	clear(w.first)
	n := 0
	for r := range s.values.n {
		if row := s.values.row(r); row[s.arg.words] != 0 {
			w.first[s.arg.group(row)]++
			n++
		}
	}
	sum := uint32(0)
	for g, here := range w.first {
		sum += here
		w.first[g] = sum // the end of g; filling from behind makes it the beginning
	}
	w.order = slices.Grow(w.order[:0], n)[:n]
	for r := range s.values.n {
		if row := s.values.row(r); row[s.arg.words] != 0 {
			g := s.arg.group(row)
			w.first[g]--
			w.order[w.first[g]] = uint32(r)
		}
	}
}

// valuesOf returns the rows of values of group g, in no order. The caller may
// reorder them.
func (s *State) valuesOf(g int) []uint32 {
	return s.w.order[s.w.first[g]:s.w.first[g+1]]
}

// quantile returns the value of rank floor(q*(n-1)), counted from 0: the lower
// quantile of DDSketch (VLDB 2019, section 2), so that estimates and exact
// answers speak of the same.
func (s *State) quantile(rows []uint32, headers uint64) uint64 {
	slices.SortFunc(rows, func(a, b uint32) int {
		return cmp.Compare(s.arg.value(s.values.row(int(a))).Lo, s.arg.value(s.values.row(int(b))).Lo)
	})
	rank := float64(s.agg.Param * float64(headers-1))
	below := uint64(0)
	for _, r := range rows {
		row := s.values.row(int(r))
		below += row[s.arg.words]
		if float64(below) > rank {
			return s.arg.value(row).Lo
		}
	}
	return s.arg.value(s.values.row(int(rows[len(rows)-1]))).Lo // rank rounded up
}

// topK appends the k most frequent of some values to r's memory.
func (s *State) topK(r *Result, rows []uint32) []Counted {
	k := int(s.agg.Param)
	before := func(a, b uint32) int {
		x, y := s.values.row(int(a)), s.values.row(int(b))
		if c := cmp.Compare(y[s.arg.words], x[s.arg.words]); c != 0 {
			return c
		}
		return compareValues(s.arg.value(x), s.arg.value(y))
	}
	if k <= 64 && len(rows) > k {
		// Keep the best k in order at the front; most rows are worse than the
		// worst of them, and fall out at one comparison.
		slices.SortFunc(rows[:k], before)
		for _, v := range rows[k:] {
			if before(v, rows[k-1]) >= 0 {
				continue
			}
			at, _ := slices.BinarySearchFunc(rows[:k], v, before)
			copy(rows[at+1:k], rows[at:k-1])
			rows[at] = v
		}
	} else {
		slices.SortFunc(rows, before)
	}
	from := len(r.top)
	for _, v := range rows[:min(k, len(rows))] {
		row := s.values.row(int(v))
		r.top = append(r.top, Counted{s.arg.value(row), row[s.arg.words]})
	}
	return r.top[from:len(r.top):len(r.top)]
}

func compareValues(a, b packet.Value) int {
	if c := cmp.Compare(a.Hi, b.Hi); c != 0 {
		return c
	}
	return cmp.Compare(a.Lo, b.Lo)
}

func compareGroups(a, b []packet.Value) int { return slices.CompareFunc(a, b, compareValues) }
