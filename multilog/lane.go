package multilog

import (
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A Lane appends batches to the log. Batches given to one lane come in the
// order of their offsets; lanes run in parallel. A Lane is used by one
// goroutine at a time and allocates nothing.
type Lane struct {
	log    *Log
	id     int
	parser *packet.Parser

	cols    packet.Columns  // window on the rows being written
	scratch *packet.Columns // rows of attributes that are needed here but not stored

	set     *installed // what the scratch space below was made for
	eval    *expr.Scratch
	matches []packet.Bitmap
	runs    []run
	entry   [chunkData]uint32
}

// A run is a stretch of rows of a batch whose capture times lie in one time
// bucket.
type run struct {
	bucket int64
	rows   packet.Bitmap
	lo, hi int // rows lo..hi-1
}

func newLane(l *Log, id int) *Lane {
	return &Lane{
		log: l, id: id,
		parser:  packet.NewParser(l.opt.Ports),
		scratch: packet.NewColumns(packet.ChunkSize),
		runs:    make([]run, 0, packet.ChunkSize),
	}
}

// Append puts b, whose Base was claimed from this log, into every part of the
// log and publishes what is then complete. b is the caller's again afterwards.
func (w *Lane) Append(b *packet.Batch) {
	if b.N == 0 {
		return
	}
	l := w.log
	if set := l.installed.Load(); set != w.set {
		w.adopt(set)
	}
	for lo := 0; lo < b.N; {
		g, logical := l.segment(b.Base + uint64(lo))
		row := int((b.Base + uint64(lo)) & l.mask)
		n := min(b.N-lo, l.opt.SegmentHeaders-row)
		w.appendRows(g, logical, row, b, lo, n)
		lo += n
	}
	g, _ := l.segment(b.Base)
	g.mark(int(b.Base&l.mask), b.N)
	l.publish()
}

// adopt makes scratch space for a changed set of filters and aggregates. This
// is the one place where a lane allocates, once a change.
func (w *Lane) adopt(set *installed) {
	w.set = set
	w.matches = make([]packet.Bitmap, len(set.filters))
	w.eval = nil
	if set.exprs != nil {
		w.eval = set.exprs.NewScratch()
	}
}

// appendRows writes n rows of b from lo on to the rows of segment g from row on.
func (w *Lane) appendRows(g *segment, logical uint64, row int, b *packet.Batch, lo, n int) {
	c := &w.cols
	g.cols.Window(row, n, c)
	copy(c.Data, b.Data[lo*b.Stride:(lo+n)*b.Stride])
	if extra := w.set.need &^ w.log.opt.Columns; extra != 0 {
		c.Share(w.scratch, extra)
	}
	w.parser.Parse(&b.Frames, lo, n, c)

	for i := 0; i < n; { // time bounds, a chunk at a time
		chunk := (row + i) / packet.ChunkSize
		end := min(n, (chunk+1)*packet.ChunkSize-row)
		tmin, tmax := bounds(b.Ts[lo+i : lo+end])
		g.widen(chunk, tmin, tmax)
		i = end
	}

	if w.eval != nil {
		w.set.exprs.Eval(c, w.eval, w.matches)
	}
	w.logMatches(g, logical, uint32(row), c)
}

// logMatches writes the filter and aggregate entries of the rows in c.
func (w *Lane) logMatches(g *segment, logical uint64, row uint32, c *packet.Columns) {
	width := int64(0) // bucket width that w.runs were cut for
	phys := int(logical % uint64(len(w.log.segs)))
	lo, hi := bounds(c.Ts)
	for i, f := range w.set.filters {
		m := &w.matches[i]
		if m[0]|m[1]|m[2]|m[3] == 0 {
			continue
		}
		// Rows before From, which a lane may see while the filter is being
		// installed, are in the log too, where readers leave them out.
		f.hits[w.id].n.Add(uint64(m.Count()))
		w.logFilter(g, logical, f.stream(w.id, phys), row, m, lo, hi)
		for _, a := range f.aggregates {
			if !a.scalar {
				continue
			}
			if a.width != width {
				width = a.width
				w.cut(c.Ts, width)
			}
			w.logVersions(g, logical, a, a.stream(w.id, phys), row, c, m)
		}
	}
}

// logFilter writes the entry of one filter: each matching row as a word, or,
// where that is shorter, the first row with denseEntry and a bitmap.
func (w *Lane) logFilter(g *segment, logical uint64, s *stream, row uint32, m *packet.Bitmap, lo, hi int64) {
	s.open(logical)
	e := w.entry[:0]
	if count := m.Count(); count > maxSparse {
		e = append(e, row|denseEntry)
		for _, word := range m {
			e = append(e, uint32(word), uint32(word>>32))
		}
		s.append(g, e, row, lo, hi)
		return
	}
	m.Each(func(i int) { e = append(e, row+uint32(i)) })
	s.append(g, e, row, lo, hi)
}

// logVersions writes, for each time bucket with a match, the aggregate's value
// over the matching rows of this batch.
func (w *Lane) logVersions(g *segment, logical uint64, a *Aggregate, s *stream, row uint32, c *packet.Columns, m *packet.Bitmap) {
	s.open(logical)
	for i := range w.runs {
		r := &w.runs[i]
		sel := *m
		sel.And(&r.rows)
		if sel.Empty() {
			continue
		}
		p := fold.FoldScalar(a.spec, c, &sel)
		v := version{bucket: r.bucket, first: row + uint32(r.lo), end: row + uint32(r.hi), part: p}
		s.append(g, v.encode(w.entry[:0]), v.first, c.Ts[r.lo], c.Ts[r.lo])
	}
}

// cut splits the rows with capture times ts into runs of one bucket each.
func (w *Lane) cut(ts []int64, width int64) {
	w.runs = w.runs[:0]
	for i := 0; i < len(ts); {
		b := bucketOf(ts[i], width)
		start, end := b*width, (b+1)*width
		r := run{bucket: b, lo: i}
		for i < len(ts) && ts[i] >= start && ts[i] < end {
			i++
		}
		r.hi = i
		r.rows.SetRange(r.lo, r.hi)
		w.runs = append(w.runs, r)
	}
}

// bucketOf returns the number of the time bucket that ts lies in, rounding
// towards minus infinity.
func bucketOf(ts, width int64) int64 {
	b := ts / width
	if ts%width < 0 {
		b--
	}
	return b
}

func bounds(ts []int64) (lo, hi int64) {
	lo, hi = ts[0], ts[0]
	for _, t := range ts[1:] {
		lo, hi = min(lo, t), max(hi, t)
	}
	return lo, hi
}
