package fold

import (
	"math/bits"
	"math/rand/v2"

	"github.com/confluo/confluo/packet"
)

const (
	// noRow is what find gives for a key that the table has no room for.
	noRow = ^uint32(0)
	// rowBits of an index slot hold the row number plus one; the rest is a tag
	// from the key's hash whose top bit is set, so that an empty slot (zero)
	// matches no tag and most foreign keys are passed over without touching
	// their row.
	rowBits = 24
	rowMask = 1<<rowBits - 1
	maxRows = rowMask - 1
	minRows = 8
	// indexPerRow is how many slots the index has for a row at least. At most a
	// quarter full, nearly every key is in the first slot of its chain, which is
	// what a branch predictor learns.
	indexPerRow = 4
)

// Who sends the packets chooses the keys. A seed of this process's own keeps a
// sender from choosing keys that all fall into one chain.
var seed = [3]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}

// mix is the multiply-and-fold step of wyhash.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// A lanes is one key word of every row of a chunk.
type lanes = [packet.ChunkSize]uint64

// A table is an open-addressing hash table from keys of kw words to rows of
// stride words: the key, then accumulators. Rows lie densely in the order of
// their arrival, and an index with linear probing points to them; so a table is walked, merged and reset in the time of its rows. There
// is no deletion: a row whose accumulators say that it is empty is dropped by
// [table.compact].
//
// Not safe for concurrent use.
type table struct {
	kw, stride int
	init       uint64 // first value of the accumulator after the first (Min begins at the top)
	max        int    // rows that there may be
	n          int
	rows       []uint64 // n rows in use
	index      []uint32 // a power of two
}

func (t *table) setup(keyWords, accWords int, init uint64, max int) {
	*t = table{kw: keyWords, stride: keyWords + accWords, init: init, max: max}
}

// row returns row r, key and accumulators.
func (t *table) row(r int) []uint64 { return t.rows[r*t.stride:][:t.stride:t.stride] }

// acc returns the accumulators of row r.
func (t *table) acc(r uint32) []uint64 {
	return t.rows[int(r)*t.stride+t.kw : (int(r)+1)*t.stride : (int(r)+1)*t.stride]
}

func hash1(a uint64) uint64    { return mix(a^seed[0], seed[1]) }
func hash2(a, b uint64) uint64 { return mix(a^seed[0], b^seed[1]) }

func hashRow(key []uint64) uint64 {
	switch len(key) {
	case 1:
		return hash1(key[0])
	case 2:
		return hash2(key[0], key[1])
	}
	h := seed[2]
	for _, w := range key {
		h = mix(h^w, seed[1])
	}
	return h
}

// A probe is the memory that find needs for a chunk.
type probe struct {
	hash [packet.ChunkSize]uint64
	cand [packet.ChunkSize]uint32
}

// find gives out[i] the row of key i, whose words are keys[0][i], keys[1][i],
// ..., for every i < n, and makes rows for new keys while there is room;
// without insert, a key that is not there gets noRow.
//
// It goes over the chunk twice, first hashing and loading the index slots, then
// comparing rows, so that the cache misses of many keys overlap instead of
// following one another.
func (t *table) find(keys [][]uint64, n int, insert bool, p *probe, out *[packet.ChunkSize]uint32) {
	if t.index == nil {
		t.index = make([]uint32, indexPerRow*minRows)
		t.rows = make([]uint64, minRows*t.stride)
	}
	switch t.kw {
	case 1:
		t.find1(keys[0][:n], insert, p, out)
	case 2:
		t.find2(keys[0][:n], keys[1][:n], insert, p, out)
	default:
		t.findN(keys, n, insert, p, out)
	}
}

func (t *table) find1(k0 []uint64, insert bool, p *probe, out *[packet.ChunkSize]uint32) {
	if len(k0) > packet.ChunkSize {
		return // tells the compiler that i is within the chunk
	}
	index, rows, stride := t.index, t.rows, t.stride
	mask := uint64(len(index) - 1)
	s0, s1 := seed[0], seed[1]
	for i, a := range k0 {
		h := mix(a^s0, s1) // hash1
		p.hash[i] = h
		p.cand[i] = index[h&mask]
	}
	for i, a := range k0 {
		c := p.cand[i]
		if c>>rowBits == tag(p.hash[i]) {
			r := c&rowMask - 1
			if rows[int(r)*stride] == a {
				out[i] = r
				continue
			}
		}
		key := [1]uint64{a}
		out[i] = t.seek(key[:], p.hash[i], insert)
	}
}

func (t *table) find2(k0, k1 []uint64, insert bool, p *probe, out *[packet.ChunkSize]uint32) {
	if len(k0) > packet.ChunkSize || len(k1) < len(k0) {
		return // as in find1
	}
	index, rows, stride := t.index, t.rows, t.stride
	mask := uint64(len(index) - 1)
	s0, s1 := seed[0], seed[1]
	k1 = k1[:len(k0)]
	for i, a := range k0 {
		h := mix(a^s0, k1[i]^s1) // hash2
		p.hash[i] = h
		p.cand[i] = index[h&mask]
	}
	for i, a := range k0 {
		c, b := p.cand[i], k1[i]
		if c>>rowBits == tag(p.hash[i]) {
			r := c&rowMask - 1
			if at := int(r) * stride; rows[at] == a && rows[at+1] == b {
				out[i] = r
				continue
			}
		}
		key := [2]uint64{a, b}
		out[i] = t.seek(key[:], p.hash[i], insert)
	}
}

func (t *table) findN(keys [][]uint64, n int, insert bool, p *probe, out *[packet.ChunkSize]uint32) {
	for i := range n {
		p.hash[i] = seed[2]
	}
	for _, k := range keys[:t.kw] {
		for i, w := range k[:n] {
			p.hash[i] = mix(p.hash[i]^w, seed[1])
		}
	}
	mask := uint64(len(t.index) - 1)
	for i := range n {
		p.cand[i] = t.index[p.hash[i]&mask]
	}
	rows := t.rows
	var key [maxKeyWords]uint64
next:
	for i := range n {
		for w, k := range keys[:t.kw] {
			key[w] = k[i]
		}
		c := p.cand[i]
		if c>>rowBits == tag(p.hash[i]) {
			r := c&rowMask - 1
			if sameKey(rows[int(r)*t.stride:][:t.kw], &key) {
				out[i] = r
				continue next
			}
		}
		out[i] = t.seek(key[:t.kw], p.hash[i], insert)
	}
}

func sameKey(row []uint64, key *[maxKeyWords]uint64) bool {
	var diff uint64
	for w := range min(len(row), maxKeyWords) {
		diff |= row[w] ^ key[w]
	}
	return diff == 0
}

func tag(h uint64) uint32 { return uint32(h>>57) | 0x80 }

// seek walks the chain of a key from its beginning; it is where find goes when
// the first slot is not the key's.
func (t *table) seek(key []uint64, h uint64, insert bool) uint32 {
	mask := uint64(len(t.index) - 1)
	at := h & mask
	for ; ; at = (at + 1) & mask {
		c := t.index[at]
		if c == 0 {
			break
		}
		if c>>rowBits != tag(h) {
			continue
		}
		r := c&rowMask - 1
		same := true
		for w, k := range t.rows[int(r)*t.stride:][:len(key)] {
			if k != key[w] {
				same = false
				break
			}
		}
		if same {
			return r
		}
	}
	if !insert || t.n >= t.max {
		return noRow
	}
	return t.insert(key, h, at)
}

// insert adds a row for a key that is not there, whose free slot is at.
func (t *table) insert(key []uint64, h, at uint64) uint32 {
	r := t.n
	if (r+1)*t.stride > len(t.rows) {
		grown := make([]uint64, min(2*len(t.rows), max(t.max, minRows)*t.stride))
		copy(grown, t.rows)
		t.rows = grown
	}
	t.n++
	row := t.row(r)
	clear(row)
	copy(row, key)
	if t.kw+1 < t.stride {
		row[t.kw+1] = t.init
	}
	if indexPerRow*t.n > len(t.index) {
		t.index = make([]uint32, 2*len(t.index))
		t.reindex()
		return uint32(r)
	}
	t.index[at] = tag(h)<<rowBits | uint32(r+1)
	return uint32(r)
}

// reindex fills the empty index with every row.
func (t *table) reindex() {
	mask := uint64(len(t.index) - 1)
	for r := range t.n {
		h := hashRow(t.row(r)[:t.kw])
		at := h & mask
		for t.index[at] != 0 {
			at = (at + 1) & mask
		}
		t.index[at] = tag(h)<<rowBits | uint32(r+1)
	}
}

// compact keeps the rows for which keep, which may change the row's key, says
// so. Row numbers change; keep is told the new one. It allocates nothing.
func (t *table) compact(keep func(old, new int, row []uint64) bool) {
	n := 0
	for r := range t.n {
		row := t.row(r)
		if !keep(r, n, row) {
			continue
		}
		if r != n {
			copy(t.row(n), row)
		}
		n++
	}
	t.n = n
	clear(t.index)
	t.reindex()
}

// reset drops every row and keeps the memory.
func (t *table) reset() {
	if t.n*8 > len(t.index) {
		clear(t.index)
		t.n = 0
		return
	}
	// Few rows in a large index: clear their slots alone. A row lies between
	// the beginning of its chain and the slot found here, whatever was cleared
	// in between.
	mask := uint64(len(t.index) - 1)
	for r := range t.n {
		at := hashRow(t.row(r)[:t.kw]) & mask
		for t.index[at]&rowMask != uint32(r+1) {
			at = (at + 1) & mask
		}
		t.index[at] = 0
	}
	t.n = 0
}
