package multilog

import "math/bits"

// A window selects rows of one block, bit i for its row i.
type window [blockHeaders / 64]uint64

// fill selects the rows lo..hi-1 of the first n words and no others.
func (w *window) fill(lo, hi, n int) {
	clear(w[:n])
	for i := lo >> 6; i<<6 < hi; i++ {
		from, to := max(lo-i<<6, 0), min(hi-i<<6, 64)
		w[i] = ^uint64(0) >> (64 - (to - from)) << from
	}
}

// and keeps the rows of the first n words that o selects too.
func (w *window) and(o *window, n int) {
	for i := range n {
		w[i] &= o[i]
	}
}

// count returns how many of the rows lo..hi-1 are selected; hi is a multiple of
// 64.
func (w *window) count(lo, hi int) (n int) {
	if lo < hi {
		n = bits.OnesCount64(w[lo>>6] >> (lo & 63))
		for _, word := range w[lo>>6+1 : hi>>6] {
			n += bits.OnesCount64(word)
		}
	}
	return n
}

// set selects row i.
func (w *window) set(i int) { w[i>>6] |= 1 << (i & 63) }

// merge selects row at+i for each bit i of word, where that lies in the window.
// at may be negative.
func (w *window) merge(at int, word uint64) {
	i, s := at>>6, uint(at&63)
	if uint(i) < uint(len(w)) {
		w[i] |= word << s
	}
	if i++; s != 0 && uint(i) < uint(len(w)) {
		w[i] |= word >> (64 - s)
	}
}

// matchReader reads the entries of a filter about one segment, those of all
// lanes, block by block in order. The segment must stay pinned.
type matchReader struct {
	lanes []streamReader
	lost  int // row from which on entries are incomplete
}

// open reads the entries of f about logical segment n in g.
func (m *matchReader) open(l *Log, f *Filter, g *segment, n uint64) {
	m.lost = l.opt.SegmentHeaders
	m.lanes = m.lanes[:0]
	for lane := range l.lanes {
		r, lost := f.stream(lane, int(n%uint64(len(l.segs)))).read(g, n, l.opt.SegmentHeaders)
		m.lost = min(m.lost, lost)
		m.lanes = append(m.lanes, r)
	}
}

// into selects the rows lo..hi-1 of the segment that have an entry; lo is row 0
// of w. Calls must come with growing lo.
func (m *matchReader) into(w *window, lo, hi int) {
	for i := range m.lanes {
		r := &m.lanes[i]
		r.skipBefore(uint32(lo))
		for {
			e := r.next()
			if e == nil {
				break
			}
			if e[0]&denseEntry == 0 {
				row := int(e[0])
				if row >= hi {
					break
				}
				if row >= lo {
					w.set(row - lo)
				}
				r.advance(1)
				continue
			}
			row := int(e[0] &^ denseEntry)
			if row >= hi {
				break
			}
			last := row
			for j := range 4 {
				word := uint64(e[1+2*j]) | uint64(e[2+2*j])<<32
				if word != 0 {
					w.merge(row-lo+64*j, word)
					last = row + 64*j + bits.Len64(word) - 1
				}
			}
			if last >= hi {
				break // the rest belongs to the next block
			}
			r.advance(9)
		}
	}
}
