package fold

import (
	"cmp"
	"slices"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A valueKey is how a value and its group make a key of the table of values:
//
//	address          hi │ lo │ group
//	64 bits          value │ group
//	up to 32 bits    group<<32 | value
//
// The group is left out where there is no BY.
type valueKey struct {
	attr    packet.Attr
	width   packet.Width
	grouped bool
	words   int
}

func newValueKey(a packet.Attr, grouped bool) valueKey {
	k := valueKey{attr: a, width: a.Info().Width, grouped: grouped, words: 1}
	if k.width == packet.W128 {
		k.words++
	}
	if grouped && k.width >= packet.W64 {
		k.words++
	}
	return k
}

func (k *valueKey) group(row []uint64) uint32 {
	switch {
	case !k.grouped:
		return 0
	case k.width < packet.W64:
		return uint32(row[0] >> 32)
	}
	return uint32(row[k.words-1])
}

func (k *valueKey) setGroup(row []uint64, g uint32) {
	switch {
	case !k.grouped:
	case k.width < packet.W64:
		row[0] = uint64(g)<<32 | row[0]&0xffffffff
	default:
		row[k.words-1] = uint64(g)
	}
}

func (k *valueKey) value(row []uint64) packet.Value {
	switch {
	case k.width == packet.W128:
		return packet.Value{Hi: row[0], Lo: row[1]}
	case k.grouped && k.width < packet.W64:
		return packet.Value{Lo: row[0] & 0xffffffff}
	}
	return packet.Value{Lo: row[0]}
}

// gather makes the keys of the selected rows, whose groups are in w.group.
func (k *valueKey) gather(c *packet.Columns, w *work) {
	if k.width == packet.W128 {
		hi, lo := c.U128(k.attr)
		w.vwords[0] = pick(hi, &w.sel, &w.vkeys[0])
		w.vwords[1] = pick(lo, &w.sel, &w.vkeys[1])
	} else {
		w.vwords[0] = numbers(c, k.attr, &w.sel, &w.vkeys[0])
	}
	if !k.grouped {
		return
	}
	if k.width < packet.W64 {
		for i, g := range w.group[:w.sel.n] {
			w.vkeys[0][i] |= uint64(g) << 32
		}
		return
	}
	last := k.words - 1
	for i, g := range w.group[:w.sel.n] {
		w.vkeys[last][i] = uint64(g)
	}
	w.vwords[last] = w.vkeys[last][:w.sel.n]
}

// keep moves value i of the chunk to place j <= i, never writing to a column.
func (s *State) keep(i, j int) {
	w := s.w
	for k := range s.arg.words {
		w.vkeys[k][j] = w.vwords[k][i]
	}
	w.group[j], w.weight[j] = w.group[i], w.weight[i]
}

// kept makes the first n values, placed by keep, the chunk.
func (s *State) kept(n int) {
	for k := range s.arg.words {
		s.w.vwords[k] = s.w.vkeys[k][:n]
	}
}

// addValues folds n values whose keys, groups and weights are in s.w. The
// headers of the groups are counted already.
func (s *State) addValues(n int) {
	w, t := s.w, &s.values
	for {
		if s.used > 0 {
			n = s.addToSketches(n)
		}
		if n == 0 {
			return
		}
		t.find(w.vwords[:], n, true, &w.probe, &w.vrow)
		homeless := 0
		rows, stride, kw := t.rows, t.stride, t.kw
		for i, r := range w.vrow[:n] {
			if r == noRow {
				s.keep(i, homeless)
				homeless++
				continue
			}
			headers := &rows[int(r)*stride+kw]
			if *headers == 0 {
				s.groups.acc(w.group[i])[accLive]++
			}
			*headers += w.weight[i]
		}
		if homeless == 0 {
			return
		}
		n = homeless
		s.kept(n)
		if !s.makeRoom() {
			for i, g := range w.group[:n] {
				s.lose(g, w.weight[i])
			}
			return
		}
	}
}

func (s *State) lose(group uint32, headers uint64) {
	s.groups.acc(group)[accLost] += headers
	s.lost += headers
}

// addToSketches folds those values whose group has a sketch into it and
// returns how many are left.
func (s *State) addToSketches(n int) int {
	w := s.w
	left := 0
	var row [3]uint64
	for i := range n {
		sk := s.groups.acc(w.group[i])[accSketch]
		if sk == 0 {
			s.keep(i, left)
			left++
			continue
		}
		for k := range s.arg.words {
			row[k] = w.vwords[k][i]
		}
		s.sketches[sk-1].add(s.arg.value(row[:]), w.weight[i])
	}
	s.kept(left)
	return left
}

// makeRoom makes room for more values, if that can be: by dropping empty ones,
// else by giving sketches to the groups with most values, until an eighth of
// the table is free, so that the work is seldom.
func (s *State) makeRoom() bool {
	if s.emptyValues > 0 {
		before := s.values.n
		s.values.compact(func(_, _ int, row []uint64) bool { return row[s.arg.words] != 0 })
		s.emptyValues = 0
		if s.values.n < before {
			return true
		}
	}
	if s.agg.Func == expr.TopK || s.used >= s.opt.MaxSketches {
		return false
	}
	w := s.w
	w.rank = w.rank[:0]
	for g := range s.groups.n {
		if live := s.groups.acc(uint32(g))[accLive]; live > 0 {
			w.rank = append(w.rank, live<<32|uint64(g))
		}
	}
	slices.SortFunc(w.rank, func(a, b uint64) int { return cmp.Compare(b, a) })
	freed := uint64(0)
	for _, r := range w.rank {
		if freed > 0 && freed >= uint64(s.values.max/8) || !s.giveSketch(uint32(r)) {
			break
		}
		freed += r >> 32
	}
	s.fillSketches()
	return freed > 0
}

// giveSketch gives a group a sketch, if there is one to give. The group's
// values must be moved to it by fillSketches before anything else is done.
func (s *State) giveSketch(group uint32) bool {
	if s.used >= s.opt.MaxSketches {
		return false
	}
	if s.used == len(s.sketches) {
		s.sketches = append(s.sketches, newSketch(s.agg.Func))
	} else {
		s.sketches[s.used].reset()
	}
	s.used++
	acc := s.groups.acc(group)
	acc[accSketch], acc[accLive] = uint64(s.used), 0
	return true
}

// fillSketches moves the values of groups with a sketch into it.
func (s *State) fillSketches() {
	s.values.compact(func(_, _ int, row []uint64) bool {
		headers := row[s.arg.words]
		sk := s.groups.acc(s.arg.group(row))[accSketch]
		if headers != 0 && sk != 0 {
			s.sketches[sk-1].add(s.arg.value(row), headers)
		}
		return headers != 0 && sk == 0
	})
	s.emptyValues = 0
}
