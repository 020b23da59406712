package fold

import (
	"slices"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// Merge folds into s all that o holds, which does not change. Both must be of
// the same aggregate, and not be the same state; anything else is a programmer's
// mistake and panics.
func (s *State) Merge(o *State) {
	s.mustMatch(o)
	if IsScalar(&s.agg) {
		s.scalar.Merge(o.scalar)
		return
	}
	s.overflow += o.overflow
	s.saturated = s.saturated || o.saturated
	s.reserveGroups(o.groups.n)
	s.w.remap = slices.Grow(s.w.remap[:0], o.groups.n)[:o.groups.n]
	for from := 0; from < o.groups.n; from += packet.ChunkSize {
		s.mergeGroups(o, from, min(from+packet.ChunkSize, o.groups.n))
	}
	if !s.valued {
		return
	}
	s.mergeSketches(o)
	for from := 0; from < o.values.n; from += packet.ChunkSize {
		s.addValues(s.loadValues(o, from, min(from+packet.ChunkSize, o.values.n)))
	}
}

func (s *State) mustMatch(o *State) {
	switch {
	case s == o:
		panic("fold: a state with itself")
	case s.agg.Func != o.agg.Func || s.agg.Arg != o.agg.Arg || s.agg.Param != o.agg.Param || !slices.Equal(s.agg.By, o.agg.By):
		panic("fold: states of different aggregates")
	}
}

// findGroups finds the rows in s of those of o's groups from..to-1 that are not
// empty, puts them into s.w.group in that order, and notes them in s.w.remap.
// It returns how many there are; s.w.from tells which.
func (s *State) findGroups(o *State, from, to int, insert bool) int {
	w, n := s.w, 0
	for g := from; g < to; g++ {
		w.remap[g] = noRow
		row := o.groups.row(g)
		if row[s.groups.kw+accHeaders] == 0 {
			continue
		}
		for k := range s.by.words {
			w.keys[k][n] = row[k]
		}
		w.from[n] = uint32(g)
		n++
	}
	if len(s.agg.By) == 0 {
		clear(w.group[:n])
	} else {
		for k := range s.by.words {
			w.words[k] = w.keys[k][:n]
		}
		s.groups.find(w.words, n, insert, &w.probe, &w.group)
	}
	for i, g := range w.from[:n] {
		w.remap[g] = w.group[i]
	}
	return n
}

// mergeGroups merges the numbers of o's groups from..to-1. Whatever else a
// group holds is merged later.
func (s *State) mergeGroups(o *State, from, to int) {
	w := s.w
	n := s.findGroups(o, from, to, true)
	for i, g := range w.group[:n] {
		theirs := o.groups.acc(w.from[i])
		if g == noRow {
			s.overflow += theirs[accHeaders]
			continue
		}
		ours := s.groups.acc(g)
		ours[accHeaders] += theirs[accHeaders]
		switch s.agg.Func {
		case expr.Count:
		case expr.Sum, expr.Avg:
			sum, carry := addCarry(ours[accNumber], theirs[accNumber])
			ours[accNumber] = sum
			s.saturated = s.saturated || carry != 0
		case expr.Min:
			ours[accNumber] = min(ours[accNumber], theirs[accNumber])
		case expr.Max:
			ours[accNumber] = max(ours[accNumber], theirs[accNumber])
		default:
			ours[accLost] += theirs[accLost]
			s.lost += theirs[accLost]
		}
	}
}

// mergeSketches merges o's sketches, after giving one to each group of ours
// that meets one of theirs.
func (s *State) mergeSketches(o *State) {
	if o.used == 0 {
		return
	}
	given := false
	for g := range o.groups.n {
		theirs, at := o.groups.acc(uint32(g)), s.w.remap[g]
		if theirs[accSketch] == 0 || at == noRow || s.groups.acc(at)[accSketch] != 0 {
			continue
		}
		if s.giveSketch(at) {
			given = true
		} else {
			s.lose(at, theirs[accHeaders]-theirs[accLost])
		}
	}
	if given {
		s.fillSketches()
	}
	for g := range o.groups.n {
		theirs, at := o.groups.acc(uint32(g))[accSketch], s.w.remap[g]
		if theirs == 0 || at == noRow {
			continue
		}
		if ours := s.groups.acc(at)[accSketch]; ours != 0 {
			s.sketches[ours-1].merge(&o.sketches[theirs-1])
		}
	}
}

// loadValues puts o's values from..to-1 into s.w, as values of our groups, and
// returns how many there are. Those of groups that found no room are left out:
// their headers were counted with the group.
func (s *State) loadValues(o *State, from, to int) int {
	w, n := s.w, 0
	words := s.arg.words
	w.weight = &w.counts
	for r := from; r < to; r++ {
		row := o.values.row(r)
		g := w.remap[s.arg.group(row)]
		if row[words] == 0 || g == noRow {
			continue
		}
		for k := range words {
			w.vkeys[k][n] = row[k]
		}
		switch {
		case !s.arg.grouped:
		case s.arg.width < packet.W64:
			w.vkeys[0][n] = uint64(g)<<32 | row[0]&0xffffffff
		default:
			w.vkeys[words-1][n] = uint64(g)
		}
		w.group[n], w.weight[n] = g, row[words]
		n++
	}
	s.kept(n)
	return n
}

// Subtract takes back the merge of o, which must have been merged into s and
// not changed since, and reports whether it could: a sliding window then adds
// its newest part and subtracts its oldest. It cannot for MIN and MAX (see
// [CanSubtract]) nor when either state is not exact; s is then as it was, and
// must be merged anew from its parts. Subtracting what was never merged is a
// programmer's mistake and panics.
func (s *State) Subtract(o *State) bool {
	s.mustMatch(o)
	if IsScalar(&s.agg) {
		return s.scalar.Subtract(&s.agg, o.scalar)
	}
	if !CanSubtract(&s.agg) || !s.whole() || !o.whole() {
		return false
	}
	s.w.remap = slices.Grow(s.w.remap[:0], o.groups.n)[:o.groups.n]
	for from := 0; from < o.groups.n; from += packet.ChunkSize {
		s.subtractGroups(o, from, min(from+packet.ChunkSize, o.groups.n))
	}
	if s.valued {
		for from := 0; from < o.values.n; from += packet.ChunkSize {
			s.subtractValues(s.loadValues(o, from, min(from+packet.ChunkSize, o.values.n)))
		}
	}
	// Empty rows cost time when the state is walked: at most as much as the rest.
	if s.emptyGroups > 16+s.groups.n/2 || s.emptyValues > 16+s.values.n/2 {
		s.dropEmpty()
	}
	return true
}

// whole reports whether everything that was folded is held exactly.
func (s *State) whole() bool {
	return s.overflow == 0 && s.lost == 0 && s.used == 0 && !s.saturated
}

const notMerged = "fold: subtracting a state that was not merged"

func (s *State) subtractGroups(o *State, from, to int) {
	w := s.w
	n := s.findGroups(o, from, to, false)
	for i, g := range w.group[:n] {
		theirs := o.groups.acc(w.from[i])
		if g == noRow || s.groups.acc(g)[accHeaders] < theirs[accHeaders] {
			panic(notMerged)
		}
		ours := s.groups.acc(g)
		ours[accHeaders] -= theirs[accHeaders]
		if ours[accHeaders] == 0 {
			s.emptyGroups++
		}
		if s.agg.Func == expr.Sum || s.agg.Func == expr.Avg {
			ours[accNumber] -= theirs[accNumber]
		}
	}
}

func (s *State) subtractValues(n int) {
	w := s.w
	if n == 0 {
		return
	}
	s.values.find(w.vwords[:], n, false, &w.probe, &w.vrow)
	for i, r := range w.vrow[:n] {
		if r == noRow || s.values.acc(r)[0] < w.weight[i] {
			panic(notMerged)
		}
		headers := &s.values.acc(r)[0]
		if *headers -= w.weight[i]; *headers == 0 {
			s.emptyValues++
			s.groups.acc(w.group[i])[accLive]--
		}
	}
}
