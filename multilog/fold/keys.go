package fold

import (
	"fmt"
	"math/bits"

	"github.com/confluo/confluo/packet"
)

// maxKeyWords bounds the words of a key: eight attributes, addresses taking two
// words, and the group number before a value.
const maxKeyWords = 16

// MaxBy is the largest number of attributes after BY.
const MaxBy = 7

// A field is where one attribute lies in a key: bits shift and up of one word,
// or, for an address, two words of its own.
type field struct {
	attr  packet.Attr
	word  int
	shift uint
	width packet.Width
}

func (f field) mask() uint64 { return 1<<f.width - 1 } // all ones for W64: 1<<64 is 0

// A layout packs attributes into as few words as keep each in one piece.
type layout struct {
	fields []field
	words  int
}

func newLayout(as []packet.Attr) (layout, error) {
	var l layout
	var used [maxKeyWords]uint
	for _, a := range as {
		if int(a) >= packet.NumAttrs {
			return layout{}, fmt.Errorf("fold: attribute %d does not exist", a)
		}
		f := field{attr: a, width: a.Info().Width}
		switch f.width {
		case packet.W128:
			f.word = l.words
			used[l.words], used[l.words+1] = 64, 64
			l.words += 2
		default:
			for f.word < l.words && used[f.word]+uint(f.width) > 64 {
				f.word++
			}
			f.shift = used[f.word]
			used[f.word] += uint(f.width)
			l.words = max(l.words, f.word+1)
		}
		l.fields = append(l.fields, f)
	}
	return l, nil
}

// value reads field f out of a key.
func (f field) value(key []uint64) packet.Value {
	if f.width == packet.W128 {
		return packet.Value{Hi: key[f.word], Lo: key[f.word+1]}
	}
	return packet.Value{Lo: key[f.word] >> f.shift & f.mask()}
}

// A selection lists the selected rows of a chunk in ascending order.
type selection struct {
	n    int
	all  bool                    // rows 0..n-1, each of them; the list is empty
	rows [packet.ChunkSize]uint8 // else n of them
}

// of lists the set bits of m, which has none at or above n.
func (s *selection) of(m *packet.Bitmap, n int) {
	s.n = m.Count()
	s.all = s.n == n
	if s.all {
		return
	}
	k := 0
	for w, word := range m {
		for base := uint8(w * 64); word != 0; word &= word - 1 {
			s.rows[k&(packet.ChunkSize-1)] = base + uint8(bits.TrailingZeros64(word))
			k++
		}
	}
}

// list writes the list out if it is not.
func (s *selection) list() {
	if s.all {
		for i := range s.n {
			s.rows[i] = uint8(i)
		}
		s.all = false
	}
}

// gather puts the keys of the selected rows into dst, word by word, and returns
// the words: those of dst, or a column itself where it is the word as it
// stands.
func (l *layout) gather(c *packet.Columns, sel *selection, dst []lanes, words [][]uint64) {
	var begun [maxKeyWords]bool
	for _, f := range l.fields {
		switch {
		case f.width == packet.W128:
			hi, lo := c.U128(f.attr)
			words[f.word] = pick(hi, sel, &dst[f.word])
			words[f.word+1] = pick(lo, sel, &dst[f.word+1])
		default:
			keep := uint64(0)
			if begun[f.word] {
				keep = ^keep
			}
			begun[f.word] = true
			place(c, f.attr, f.shift, keep, sel, &dst[f.word])
			words[f.word] = dst[f.word][:sel.n]
		}
	}
}

// pick returns the selected values of a 64-bit column, in dst unless the column
// will do.
func pick(col []uint64, sel *selection, dst *lanes) []uint64 {
	if sel.all {
		return col[:sel.n]
	}
	for i, r := range sel.rows[:sel.n] {
		dst[i] = col[r]
	}
	return dst[:sel.n]
}

// numbers returns the selected values of an attribute that is no address.
func numbers(c *packet.Columns, a packet.Attr, sel *selection, dst *lanes) []uint64 {
	if a.Info().Width == packet.W64 && a != packet.Ts {
		return pick(c.U64(a), sel, dst)
	}
	place(c, a, 0, 0, sel, dst)
	return dst[:sel.n]
}

// place puts the selected values of a, shifted left, beside those bits of dst
// that keep has.
func place(c *packet.Columns, a packet.Attr, shift uint, keep uint64, sel *selection, dst *lanes) {
	switch a {
	case packet.Ts:
		placeIn(c.Ts, shift, keep, sel, dst)
		return
	case packet.LayerBits:
		placeIn(c.Layers, shift, keep, sel, dst)
		return
	}
	switch a.Info().Width {
	case packet.W8:
		placeIn(c.U8(a), shift, keep, sel, dst)
	case packet.W16:
		placeIn(c.U16(a), shift, keep, sel, dst)
	case packet.W32:
		placeIn(c.U32(a), shift, keep, sel, dst)
	default:
		placeIn(c.U64(a), shift, keep, sel, dst)
	}
}

func placeIn[T number](col []T, shift uint, keep uint64, sel *selection, dst *lanes) {
	shift &= 63
	if sel.all {
		for i, v := range col[:min(sel.n, packet.ChunkSize)] {
			dst[i] = dst[i]&keep | uint64(v)<<shift
		}
		return
	}
	for i, r := range sel.rows[:sel.n] {
		dst[i] = dst[i]&keep | uint64(col[r])<<shift
	}
}
