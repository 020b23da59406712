package fold

import "github.com/confluo/confluo/packet"

// below returns the bitmap of rows 0..n-1, within m unless m is nil.
func below(m *packet.Bitmap, n int) packet.Bitmap {
	var out packet.Bitmap
	out.SetRange(0, n)
	if m != nil {
		out.And(m)
	}
	return out
}

// needs returns the layer bits of which a header must have one each, so that
// it has all of the attributes. What another entry implies is left out.
func needs(as []packet.Attr) []packet.Layers {
	var out []packet.Layers
next:
	for _, a := range as {
		p := a.Present()
		if p == 0 {
			continue
		}
		kept := out[:0:0]
		for _, q := range out {
			if q&^p == 0 {
				continue next // whoever has one of q has one of p
			}
			if p&^q != 0 {
				kept = append(kept, q)
			}
		}
		out = append(kept, p)
	}
	return out
}

// present clears the bits of m whose row has none of the layer bits p.
// Columns shorter than a word of m are read to their end only.
func present(layers []packet.Layers, p packet.Layers, m *packet.Bitmap) {
	for w, word := range m {
		if word != 0 {
			m[w] = word & presentWord(layers[64*w:], p)
		}
	}
}

// presentWordPlain returns the bitmap of the first 64 rows (or as many as there
// are) that have one of the layer bits p.
func presentWordPlain(layers []packet.Layers, p packet.Layers) uint64 {
	var out uint64
	layers = layers[:min(64, len(layers))]
	i := 0
	for ; i+8 <= len(layers); i += 8 {
		l := (*[8]packet.Layers)(layers[i:])
		out |= (bit(l[0]&p) | bit(l[1]&p)<<1 | bit(l[2]&p)<<2 | bit(l[3]&p)<<3 |
			bit(l[4]&p)<<4 | bit(l[5]&p)<<5 | bit(l[6]&p)<<6 | bit(l[7]&p)<<7) << (i & 63)
	}
	for ; i < len(layers); i++ {
		out |= bit(layers[i]&p) << (i & 63)
	}
	return out
}

// bit returns 1 unless l is 0, without a branch.
func bit(l packet.Layers) uint64 { return (uint64(l) + 1<<32 - 1) >> 32 }
