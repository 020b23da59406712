package multilog

import (
	"math"
	"sync/atomic"
)

// A stream is the part of one filter or aggregate log that one lane wrote
// about one segment: entries of 32-bit words in a chain of arena chunks. Only
// its lane writes it; any reader that has the segment pinned may read the words
// below words.
//
// A lane's batches come in offset order, so entries do too.
//
// When the arena is used up the stream ends early: lost says from which header
// on. Readers then read the headers themselves from there on, so an answer
// costs more and stays exact.
type stream struct {
	tag   atomic.Uint64 // logical segment number + 1 that the rest speaks of; 0: none yet
	words atomic.Uint32 // words published, in units of chunkData a full chunk
	lost  atomic.Uint32 // row + 1 from which on entries are missing; 0: complete
	head  uint32        // first chunk; written before words
	tail  uint32        // last chunk; the lane's own
}

// A chunk is 512 bytes: a header of 8 words and 120 words of entries. 120 words
// hold 13 dense filter entries or 10 aggregate versions.
const (
	chunkWords  = 128
	chunkHeader = 8
	chunkData   = chunkWords - chunkHeader

	hdrNext  = 0 // next chunk, written before words grows past this chunk
	hdrFirst = 1 // first row that an entry in it speaks of
	hdrTsMin = 2 // two words each: bounds of the capture times in it
	hdrTsMax = 4

	// endOfChunk fills the rest of a chunk into which the next entry did not
	// fit. It is no valid entry: rows stay below 2^28.
	endOfChunk = math.MaxUint32
)

// open readies the stream for logical segment l. Lane only.
func (s *stream) open(l uint64) {
	if s.tag.Load() == l+1 {
		return
	}
	s.words.Store(0)
	s.lost.Store(0)
	s.tag.Store(l + 1)
}

// append adds one entry about the rows from row on, with capture times within
// lo..hi, to the stream that open made ready. Lane only.
func (s *stream) append(g *segment, e []uint32, row uint32, lo, hi int64) {
	if s.lost.Load() != 0 {
		return
	}
	w := s.words.Load()
	in := int(w % chunkData)
	if in == 0 || in+len(e) > chunkData {
		id, ok := g.allocChunk()
		if !ok {
			s.lost.Store(row + 1)
			return
		}
		if w == 0 {
			s.head = id
		} else {
			old := g.chunk(s.tail)
			old[hdrNext] = id
			if in != 0 {
				old[chunkHeader+in] = endOfChunk
				w += uint32(chunkData - in)
				in = 0
			}
		}
		s.tail = id
		c := g.chunk(id)
		c[hdrFirst] = row
		putInt64(c[hdrTsMin:], lo)
		putInt64(c[hdrTsMax:], hi)
	}
	c := g.chunk(s.tail)
	if lo < getInt64(c[hdrTsMin:]) {
		putInt64(c[hdrTsMin:], lo)
	}
	if hi > getInt64(c[hdrTsMax:]) {
		putInt64(c[hdrTsMax:], hi)
	}
	copy(c[chunkHeader+in:], e)
	s.words.Store(w + uint32(len(e)))
}

// A streamReader reads the entries of a stream that were there when it was
// opened. The segment must stay pinned.
type streamReader struct {
	seg   *segment
	chunk []uint32 // current chunk; nil: nothing to read
	pos   int      // next word in it
	words int      // words from the start of the current chunk to the end of the stream
}

// read opens the entries that s holds about logical segment l, and returns the
// row from which on they are incomplete (the number of rows if they are not).
func (s *stream) read(g *segment, l uint64, rows int) (r streamReader, lost int) {
	r.seg = g
	if s.tag.Load() != l+1 {
		return r, rows
	}
	// words before lost: an entry that went missing after words was read has a
	// row that is not published yet.
	r.words = int(s.words.Load())
	if v := s.lost.Load(); v != 0 {
		rows = int(v - 1)
	}
	if r.words > 0 {
		r.chunk = g.chunk(s.head)
	}
	return r, rows
}

// next returns the words from the current entry to the end of its chunk, or
// nil at the end of the stream.
func (r *streamReader) next() []uint32 {
	for r.chunk != nil {
		end := min(r.words, chunkData)
		if r.pos < end && r.chunk[chunkHeader+r.pos] != endOfChunk {
			return r.chunk[chunkHeader+r.pos : chunkHeader+end]
		}
		if !r.closed() {
			r.chunk = nil
			break
		}
		r.follow()
	}
	return nil
}

// advance steps over an entry of n words.
func (r *streamReader) advance(n int) { r.pos += n }

// skipBefore steps over chunks all of whose entries speak of rows before row:
// those followed by a chunk that begins at or before it.
func (r *streamReader) skipBefore(row uint32) {
	for r.chunk != nil && r.closed() && r.seg.chunk(r.chunk[hdrNext])[hdrFirst] <= row {
		r.follow()
	}
}

// closed reports whether a chunk follows the current one; only then are its
// header words final and safe to read.
func (r *streamReader) closed() bool { return r.words > chunkData }

func (r *streamReader) follow() {
	r.chunk = r.seg.chunk(r.chunk[hdrNext])
	r.words -= chunkData
	r.pos = 0
}

// outside reports whether every entry of the current chunk is known to lie
// outside the capture times from..to (inclusive).
func (r *streamReader) outside(from, to int64) bool {
	return r.chunk != nil && r.closed() &&
		(getInt64(r.chunk[hdrTsMax:]) < from || getInt64(r.chunk[hdrTsMin:]) > to)
}

func putInt64(w []uint32, v int64) { w[0], w[1] = uint32(v), uint32(v>>32) }
func getInt64(w []uint32) int64    { return int64(uint64(w[0]) | uint64(w[1])<<32) }
