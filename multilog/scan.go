package multilog

import (
	"fmt"
	"math"
	"sync"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// ScanOptions say which headers a Scan visits. All conditions must hold.
type ScanOptions struct {
	From, To     uint64 // From <= offset < To; To beyond globalReadTail means globalReadTail
	TsFrom, TsTo int64  // TsFrom <= ts < TsTo, ns; both zero: any time
	Where        *expr.Expr
	Filter       *Filter // only what this filter matched, from its From on
	Index        []IndexUse
	Need         packet.AttrSet  // attributes to have in Columns
	Done         <-chan struct{} // when closed, the scan ends at the next chunk; nil: never
}

// An IndexUse makes a Scan look only at headers whose attribute lies in one of
// the ranges, found through the index where it is sorted. The index is a hint:
// Where must still say what is meant.
type IndexUse struct {
	Index  *Index
	Ranges []packet.Range
}

// A Scan walks over matching headers, a chunk at a time, in offset order. It
// pins at most one segment, from Next to Release or the Next after it. Headers
// that retention took before the scan reached them are counted in Evicted.
//
// Not safe for concurrent use. Close it when done.
type Scan struct {
	log  *Log
	opt  ScanOptions
	bufs *scanBuffers

	where  *expr.Set
	evalW  *expr.Scratch
	verify *expr.Set // Filter's expression, for rows where its log is incomplete
	evalF  *expr.Scratch
	first  packet.AttrSet // derived before where is evaluated
	rest   packet.AttrSet // derived only for chunks with a match

	seg     *segment // pinned, or nil
	logical uint64   // segment that what follows speaks of, pinned or not
	matches matchReader
	opened  bool   // matches is open for the segment
	from    uint64 // headers below it are out of the range, or were looked at before Extend
	pos     uint64 // next offset to look at
	block   uint64 // logical block that win is for, noBlock before the first
	check   int    // row of the block from which on verify applies

	base    uint64
	cols    packet.Columns
	match   packet.Bitmap
	evicted uint64
	scanned uint64
}

const noBlock = math.MaxUint64

// scanBuffers is the scratch memory of a scan, recycled between scans.
type scanBuffers struct {
	win, tmp window
	derived  *packet.Columns
	parser   *packet.Parser
	ports    *packet.PortTable
}

var scanPool = sync.Pool{New: func() any {
	return &scanBuffers{derived: packet.NewColumns(packet.ChunkSize)}
}}

// Scan starts a scan.
func (l *Log) Scan(o ScanOptions) (*Scan, error) {
	o.To = min(o.To, l.ReadTail())
	if o.TsFrom == 0 && o.TsTo == 0 {
		o.TsFrom, o.TsTo = math.MinInt64, math.MaxInt64
	}
	s := &Scan{log: l, logical: noSegment, block: noBlock}
	if o.Filter != nil {
		if until := o.Filter.until.Load(); until < o.To {
			return nil, fmt.Errorf("multilog: filter %q: %w", o.Filter.name, ErrNotFound)
		}
		o.From = max(o.From, o.Filter.from)
		s.verify = expr.NewSet([]*expr.Expr{o.Filter.expr})
		s.evalF = s.verify.NewScratch()
	}
	if o.Where != nil && !o.Where.All() {
		s.where = expr.NewSet([]*expr.Expr{o.Where})
		s.evalW = s.where.NewScratch()
		s.first = s.where.Attrs() &^ l.opt.Columns
	}
	s.rest = o.Need &^ l.opt.Columns &^ s.first
	for i, u := range o.Index {
		if !u.Index.acquire() {
			for _, v := range o.Index[:i] {
				v.Index.release()
			}
			return nil, fmt.Errorf("multilog: index on %s: %w", u.Index.attr, ErrNotFound)
		}
	}
	s.opt = o
	s.from, s.pos = o.From, o.From
	s.bufs = scanPool.Get().(*scanBuffers)
	if s.bufs.ports != l.opt.Ports {
		s.bufs.ports, s.bufs.parser = l.opt.Ports, packet.NewParser(l.opt.Ports)
	}
	return s, nil
}

// Close gives up what the scan holds. Columns and Match must not be used
// afterwards.
func (s *Scan) Close() {
	s.Release()
	if s.bufs == nil {
		return
	}
	for _, u := range s.opt.Index {
		u.Index.release()
	}
	scanPool.Put(s.bufs)
	s.bufs = nil
}

// Release lets go of the segment, so that a reader that is about to wait (for a
// slow client, say) stands in nobody's way. Columns is invalid until Next.
func (s *Scan) Release() {
	if s.seg != nil {
		s.seg.unpin()
		s.seg = nil
	}
}

// Base returns the offset of row 0 of Columns.
func (s *Scan) Base() uint64 { return s.base }

// Columns returns the current chunk, with the attributes of ScanOptions.Need
// and Ts, and the raw slices. It is valid until the next call of Next, Release
// or Close.
func (s *Scan) Columns() *packet.Columns { return &s.cols }

// Match returns which rows of Columns satisfy the conditions, at least one.
func (s *Scan) Match() *packet.Bitmap { return &s.match }

// Evicted returns the headers of the range that were gone already.
func (s *Scan) Evicted() uint64 { return s.evicted }

// Scanned returns the headers of the range whose attributes were looked at.
func (s *Scan) Scanned() uint64 { return s.scanned }

// Extend moves the end of the range on to offset to, at most globalReadTail, so
// that a scan that has come to its end can go on where the log has grown. Done
// takes the place of ScanOptions.Done.
func (s *Scan) Extend(to uint64, done <-chan struct{}) error {
	s.opt.Done = done
	to = min(to, s.log.ReadTail())
	if to <= s.opt.To {
		return nil
	}
	if f := s.opt.Filter; f != nil && f.until.Load() < to {
		return fmt.Errorf("multilog: filter %q: %w", f.name, ErrNotFound)
	}
	s.Release()
	// The last chunk may have been cut by the old end.
	s.pos = min(s.pos, max(s.opt.To, s.opt.From))
	s.from = s.pos
	s.opt.To = to
	s.logical = noSegment // there may be more in it now
	return nil
}

// Next moves on to the next chunk with a match and reports whether there is
// one. After an end because of Done the scan must not be used any more.
func (s *Scan) Next() bool {
	for s.open() {
		if s.candidate() && s.readChunk() {
			return true
		}
	}
	s.Release()
	return false
}

// Count moves the scan to its end and returns the headers that match. Where the
// log of a filter alone decides, or nothing does, no column is read.
func (s *Scan) Count() (n uint64) {
	untimed := s.opt.TsFrom == math.MinInt64 && s.opt.TsTo == math.MaxInt64
	size := uint64(s.log.blockSize())
	for s.open() {
		if untimed && s.where == nil && len(s.opt.Index) == 0 && (s.verify == nil || s.check == int(size)) {
			// What openBlock found before pos is out of the range or counted.
			n += uint64(s.bufs.win.count(int(s.pos%size), int(size)))
			s.pos = (s.block + 1) * size
			continue
		}
		if s.candidate() && s.readChunk() {
			n += uint64(s.match.Count())
		}
	}
	s.Release()
	return n
}

// open makes the block of offset pos the current one, moving pos past what
// retention took, and reports false at the end of the range.
func (s *Scan) open() bool {
	n := uint64(s.log.blockSize())
	for s.pos < s.opt.To {
		select {
		case <-s.opt.Done:
			return false
		default:
		}
		if !s.pinAt(s.pos) {
			continue
		}
		if b := s.pos / n; b != s.block {
			s.openBlock(b)
		}
		return true
	}
	return false
}

// candidate makes the next chunk of the current block that has candidates the
// current one, and reports false when there is none.
func (s *Scan) candidate() bool {
	n := uint64(s.log.blockSize())
	row := int(s.pos % n)
	word := s.bufs.win.next(row>>6, int(n)>>6)
	if word < 0 {
		s.pos = (s.block + 1) * n
		return false
	}
	const chunkMask = packet.ChunkSize - 1
	s.base = s.block*n + uint64(word<<6)&^chunkMask
	s.pos = s.base + packet.ChunkSize
	copy(s.match[:], s.bufs.win[int(s.base%n)>>6:])
	return true
}

// pinAt makes the segment of offset off the pinned one, or moves the scan past
// what retention took and reports false.
func (s *Scan) pinAt(off uint64) bool {
	l := s.log
	g, logical := l.segment(off)
	if s.seg != nil && s.logical == logical {
		return true
	}
	s.Release()
	if !g.pin(logical) {
		// Gone, or going: it will be gone when the readers of it are.
		next := max((logical+1)<<l.shift, l.oldest.Load()<<l.shift)
		next = min(next, s.opt.To)
		s.evicted += next - off
		s.pos = next
		return false
	}
	s.seg = g
	if s.logical != logical {
		s.logical, s.opened, s.block = logical, false, noBlock
	} // else it was released and never evicted: what is known of it still holds
	return true
}

// openBlock works out the candidates of logical block b.
func (s *Scan) openBlock(b uint64) {
	l := s.log
	n := l.blockSize()
	words := n >> 6
	start := b * uint64(n)
	win, tmp := &s.bufs.win, &s.bufs.tmp
	s.block = b
	lo, hi := int(max(s.pos, start)-start), int(min(s.opt.To, start+uint64(n))-start)
	win.fill(lo, hi, words)
	for _, u := range s.opt.Index {
		clear(tmp[:words])
		if u.Index.lookup(s.seg, b, u.Ranges, tmp) {
			win.and(tmp, words)
		}
	}
	s.check = n
	if s.opt.Filter == nil {
		return
	}
	if !s.opened {
		s.matches.open(l, s.opt.Filter, s.seg, s.logical)
		s.opened = true
	}
	clear(tmp[:words])
	row := int(start & l.mask) // of the block in the segment
	s.matches.into(tmp, row, row+n)
	if lost := max(s.matches.lost-row, 0); lost < n {
		for i := lost; i < n; i++ { // rare: a full arena
			tmp.set(i)
		}
		s.check = lost
	}
	win.and(tmp, words)
}

// readChunk narrows match, which holds the candidates of the chunk at base, to
// the rows that satisfy all conditions, and makes cols ready.
func (s *Scan) readChunk() bool {
	l := s.log
	row := int(s.base & l.mask)
	chunk := row / packet.ChunkSize
	tmin, tmax := s.seg.tsMin[chunk].Load(), s.seg.tsMax[chunk].Load()
	if tmax < s.opt.TsFrom || tmin >= s.opt.TsTo {
		return false
	}
	c := &s.cols
	n := int(min(packet.ChunkSize, s.opt.To-s.base))
	s.seg.cols.Window(row, n, c)
	s.scanned += uint64(n) - (max(s.base, s.from) - s.base)
	if tmin < s.opt.TsFrom || tmax >= s.opt.TsTo {
		s.match.Each(func(i int) {
			if t := c.Ts[i]; t < s.opt.TsFrom || t >= s.opt.TsTo {
				s.match[i>>6] &^= 1 << (i & 63)
			}
		})
	}
	if s.match.Empty() {
		return false
	}
	if in := int(s.base%uint64(l.blockSize())) + packet.ChunkSize; s.verify != nil && in > s.check {
		s.derive(s.verify.Attrs() &^ l.opt.Columns)
		var m [1]packet.Bitmap
		s.verify.Eval(c, s.evalF, m[:])
		// Rows before check are there because the log says so.
		m[0].SetRange(0, max(0, s.check-(in-packet.ChunkSize)))
		s.match.And(&m[0])
	}
	if s.where != nil {
		s.derive(s.first)
		var m [1]packet.Bitmap
		s.where.Eval(c, s.evalW, m[:])
		s.match.And(&m[0])
	}
	if s.match.Empty() {
		return false
	}
	s.derive(s.rest)
	return true
}

// derive reads attributes that are not stored from the slices of the chunk.
func (s *Scan) derive(want packet.AttrSet) {
	if want == 0 {
		return
	}
	c := &s.cols
	var out packet.Columns
	out.N = c.N
	out.Share(s.bufs.derived, want)
	s.bufs.parser.Parse(&packet.Frames{
		Data: c.Data, Stride: c.Stride, Ts: c.Ts, WireLen: c.PktLen,
		CapLen: c.CapLen, Port: c.InPort, Dir: c.Direction,
	}, 0, c.N, &out)
	c.Share(&out, want)
}

// next returns the first word from i on, below n, that selects a row, or -1.
func (w *window) next(i, n int) int {
	for ; i < n; i++ {
		if w[i] != 0 {
			return i
		}
	}
	return -1
}

// TimeBounds returns bounds of the capture times of the headers from..to-1 that
// are still held: no header of them lies outside, and ok is false when none is
// held. Bounds are as fine as a chunk.
func (l *Log) TimeBounds(from, to uint64) (lo, hi int64, ok bool) {
	lo, hi = math.MaxInt64, math.MinInt64
	l.EachChunk(from, to, func(_ uint64, tmin, tmax int64) {
		lo, hi, ok = min(lo, tmin), max(hi, tmax), true
	})
	return lo, hi, ok
}

// EachChunk calls f for each chunk that holds one of the headers from..to-1
// still in memory, in order, with its first offset and bounds of its capture
// times.
func (l *Log) EachChunk(from, to uint64, f func(base uint64, tmin, tmax int64)) {
	to = min(to, l.ReadTail())
	for off := max(from, l.First()) &^ (packet.ChunkSize - 1); off < to; {
		g, logical := l.segment(off)
		end := min(to, (logical+1)<<l.shift)
		if g.pin(logical) {
			for ; off < end; off += packet.ChunkSize {
				i := (off & l.mask) / packet.ChunkSize
				f(off, g.tsMin[i].Load(), g.tsMax[i].Load())
			}
			g.unpin()
		}
		off = end
	}
}
