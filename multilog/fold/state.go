package fold

import (
	"slices"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// Accumulators of a row of groups. The second is the sum, minimum or maximum,
// or the number of different values.
const (
	accHeaders = 0
	accNumber  = 1
	accLive    = 1 // different values with a header, while there is no sketch
	accLost    = 2 // of the headers, those whose value found no room
	accSketch  = 3 // number of the group's sketch plus one; 0: none
)

// A State is an aggregate folded over some headers.
//
// Not safe for concurrent use.
type State struct {
	agg expr.Aggregate
	opt Options

	scalar Partial // all of the state when IsScalar(&agg)

	need   []packet.Layers
	by     layout
	groups table
	valued bool // the function needs the values of each group
	arg    valueKey
	values table

	sketches []sketch // the first used ones are of groups
	used     int

	overflow  uint64 // headers of groups that found no room
	lost      uint64 // headers whose value found no room, over all groups
	saturated bool   // some sum did not fit

	// Upper bounds of the rows that Subtract left empty.
	emptyGroups, emptyValues int

	w *work
}

// work is the memory that a chunk needs on its way, shared by the states that
// one goroutine uses.
type work struct {
	sel    selection
	probe  probe
	keys   []lanes    // words of BY keys
	words  [][]uint64 // what stands for them: keys or columns
	group  [packet.ChunkSize]uint32
	vkeys  [3]lanes // words of values
	vwords [3][]uint64
	vrow   [packet.ChunkSize]uint32
	weight *lanes // headers of each value: &ones or &counts
	ones   lanes
	counts lanes

	from  [packet.ChunkSize]uint32 // another state's groups
	remap []uint32                 // where they are in this state, or noRow
	rank  []uint64                 // groups, largest first
	order []uint32                 // rows of values in the order of their groups
	first []uint32                 // where a group begins in order
}

// New returns an empty state. The aggregate is copied.
func New(a *expr.Aggregate, o Options) (*State, error) {
	if err := Check(a); err != nil {
		return nil, err
	}
	o, err := o.withDefaults(a)
	if err != nil {
		return nil, err
	}
	s := &State{agg: *a, opt: o, w: &work{}}
	for i := range s.w.ones {
		s.w.ones[i] = 1
	}
	s.agg.By = slices.Clone(a.By)
	if s.agg.Func == expr.Count {
		s.agg.Arg = 0
	}
	if IsScalar(&s.agg) {
		return s, nil
	}
	if s.by, err = newLayout(s.agg.By); err != nil {
		return nil, err
	}
	attrs := s.agg.By
	if s.agg.Func != expr.Count {
		attrs = append(slices.Clip(attrs), s.agg.Arg)
	}
	s.need = needs(attrs)
	s.w.keys = make([]lanes, s.by.words)
	s.w.words = make([][]uint64, s.by.words)
	s.setup()
	return s, nil
}

func (s *State) setup() {
	accs, init := 2, uint64(0)
	switch s.agg.Func {
	case expr.Count:
		accs = 1
	case expr.Min:
		init = ^uint64(0)
	case expr.Distinct, expr.Quantile, expr.TopK:
		accs, s.valued = 4, true
		s.arg = newValueKey(s.agg.Arg, len(s.agg.By) > 0)
		s.values.setup(s.arg.words, 1, 0, s.opt.MaxDistinct)
	}
	s.groups.setup(s.by.words, accs, init, s.opt.MaxGroups)
	if len(s.agg.By) == 0 { // there is one group, always
		s.groups.rows, s.groups.n = make([]uint64, accs), 1
	}
}

// NewLike returns another empty state of the same aggregate and options that
// shares s's working memory: both, and others made so, must stay with one
// goroutine. It takes some hundred bytes until headers come.
func (s *State) NewLike() *State {
	t := &State{agg: s.agg, opt: s.opt, need: s.need, by: s.by, w: s.w}
	if !IsScalar(&s.agg) {
		t.setup()
	}
	return t
}

// Aggregate returns what the state aggregates. The caller must not change it.
func (s *State) Aggregate() *expr.Aggregate { return &s.agg }

// Reset forgets all headers and keeps the memory. It takes time in proportion
// to the groups and values that there were.
func (s *State) Reset() {
	s.scalar = Partial{}
	if len(s.agg.By) > 0 {
		s.groups.reset()
	} else {
		clear(s.groups.rows)
	}
	s.values.reset()
	s.used = 0
	s.overflow, s.lost, s.saturated = 0, 0, false
	s.emptyGroups, s.emptyValues = 0, 0
}

// Add folds the rows of c that m selects (nil: all of the first c.N) and that
// have every attribute of the aggregate. Columns needed: those attributes and
// Layers, of c.N rows each. Bits of m at and above c.N are ignored.
func (s *State) Add(c *packet.Columns, m *packet.Bitmap) {
	if IsScalar(&s.agg) {
		s.scalar.Merge(FoldScalar(&s.agg, c, m))
		return
	}
	rows := below(m, c.N)
	for _, p := range s.need {
		present(c.Layers[:c.N], p, &rows)
	}
	w := s.w
	w.sel.of(&rows, c.N)
	if w.sel.n == 0 {
		return
	}
	if len(s.agg.By) > 0 {
		s.by.gather(c, &w.sel, w.keys, w.words)
		s.reserveGroups(w.sel.n)
		s.groups.find(w.words, w.sel.n, true, &w.probe, &w.group)
	} else {
		clear(w.group[:w.sel.n])
	}
	if !s.valued {
		s.addNumbers(c)
		return
	}
	if len(s.agg.By) == 0 {
		s.groups.rows[accHeaders] += uint64(w.sel.n)
	} else {
		s.dropGroupless()
		rows, stride, kw := s.groups.rows, s.groups.stride, s.groups.kw
		for _, g := range w.group[:w.sel.n] {
			rows[int(g)*stride+kw]++
		}
	}
	w.weight = &w.ones
	s.arg.gather(c, w)
	s.addValues(w.sel.n)
}

// addNumbers folds the selected rows, whose groups are known, into the numbers
// of their groups.
func (s *State) addNumbers(c *packet.Columns) {
	w, t := s.w, &s.groups
	groups := w.group[:w.sel.n]
	rows, stride, kw := t.rows, t.stride, t.kw
	if s.agg.Func == expr.Count {
		for _, g := range groups {
			if g == noRow {
				s.overflow++
				continue
			}
			rows[int(g)*stride+kw]++
		}
		return
	}
	// A BY key that is a column itself may lie in no lane, so lane 0 of the
	// values is the one that is free here.
	vals := numbers(c, s.agg.Arg, &w.sel, &w.vkeys[0])[:len(groups)]
	switch s.agg.Func {
	case expr.Sum, expr.Avg:
		var carries uint64
		for i, g := range groups {
			if g == noRow {
				s.overflow++
				continue
			}
			acc := (*[2]uint64)(rows[int(g)*stride+kw:])
			acc[accHeaders]++
			sum, carry := addCarry(acc[accNumber], vals[i])
			acc[accNumber] = sum
			carries |= carry
		}
		s.saturated = s.saturated || carries != 0
	case expr.Min:
		for i, g := range groups {
			if g == noRow {
				s.overflow++
				continue
			}
			acc := (*[2]uint64)(rows[int(g)*stride+kw:])
			acc[accHeaders]++
			acc[accNumber] = min(acc[accNumber], vals[i])
		}
	case expr.Max:
		for i, g := range groups {
			if g == noRow {
				s.overflow++
				continue
			}
			acc := (*[2]uint64)(rows[int(g)*stride+kw:])
			acc[accHeaders]++
			acc[accNumber] = max(acc[accNumber], vals[i])
		}
	}
}

// dropGroupless takes the rows whose group found no room out of the selection.
func (s *State) dropGroupless() {
	w := s.w
	if !slices.Contains(w.group[:w.sel.n], noRow) {
		return
	}
	w.sel.list()
	k := 0
	for i, g := range w.group[:w.sel.n] {
		if g == noRow {
			s.overflow++
			continue
		}
		w.group[k], w.sel.rows[k] = g, w.sel.rows[i]
		k++
	}
	w.sel.n = k
}

// reserveGroups drops empty groups if n new ones might not find room
// otherwise.
func (s *State) reserveGroups(n int) {
	if s.emptyGroups > 0 && s.groups.n+n > s.groups.max {
		s.dropEmpty()
	}
}

// dropEmpty drops the groups and values that Subtract left empty. Rows get new
// numbers.
func (s *State) dropEmpty() {
	w := s.w
	if s.emptyGroups > 0 && len(s.agg.By) > 0 {
		w.remap = slices.Grow(w.remap[:0], s.groups.n)[:s.groups.n]
		s.groups.compact(func(old, new int, row []uint64) bool {
			if row[s.groups.kw+accHeaders] == 0 {
				w.remap[old] = noRow
				return false
			}
			w.remap[old] = uint32(new)
			return true
		})
		if s.valued {
			s.values.compact(func(_, _ int, row []uint64) bool {
				if row[s.arg.words] == 0 {
					return false
				}
				s.arg.setGroup(row, w.remap[s.arg.group(row)])
				return true
			})
		}
	} else if s.emptyValues > 0 {
		s.values.compact(func(_, _ int, row []uint64) bool { return row[s.arg.words] != 0 })
	}
	s.emptyGroups, s.emptyValues = 0, 0
}
