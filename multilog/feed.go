package multilog

import (
	"math"

	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A version is one entry of an AggregateLog: the aggregate's value over the
// matching rows first..end-1 of a batch, whose capture times lie in one bucket.
type version struct {
	bucket     int64
	first, end uint32 // rows of the segment
	part       fold.Partial
}

const versionWords = 12

func (v *version) encode(e []uint32) []uint32 {
	p := &v.part
	return append(e, uint32(v.bucket), uint32(v.bucket>>32), v.first, v.end,
		uint32(p.Headers), uint32(p.Headers>>32), uint32(p.Sum), uint32(p.Sum>>32),
		uint32(p.Min), uint32(p.Min>>32), uint32(p.Max), uint32(p.Max>>32))
}

func (v *version) decode(e []uint32) {
	u := func(i int) uint64 { return uint64(e[i]) | uint64(e[i+1])<<32 }
	v.bucket, v.first, v.end = int64(u(0)), e[2], e[3]
	v.part.Headers, v.part.Sum, v.part.Min, v.part.Max = u(4), u(6), u(8), u(10)
}

// A Folder receives what an aggregate is folded from. Bucket numbers count
// from the Unix epoch in units of the aggregate's bucket width. Every matching
// header is in exactly one call.
type Folder interface {
	// Partial gives the value of a scalar aggregate over some headers of one
	// bucket.
	Partial(bucket int64, p *fold.Partial)
	// Rows gives headers themselves: the selected rows of c, all of one bucket,
	// with the aggregate's attributes. Valid during the call.
	Rows(bucket int64, c *packet.Columns, m *packet.Bitmap)
}

// A Feed reads an aggregate's headers in the order in which they were
// published, a step at a time: how the monitor keeps up with the log. For
// scalar aggregates it reads the versions that lanes logged, for the others the
// matching headers.
//
// Not safe for concurrent use.
type Feed struct {
	log *Log
	agg *Aggregate
	pos uint64 // everything below was given

	logical uint64 // segment that lanes speaks of
	lanes   []feedLane
}

// A feedLane is the place in one lane's stream. A stream that is still being
// written grows between calls.
type feedLane struct {
	r    streamReader
	base int // words of the stream before the reader's chunk
}

// Feed starts reading a at offset from, or where a was installed if that is
// later.
func (l *Log) Feed(a *Aggregate, from uint64) *Feed {
	return &Feed{log: l, agg: a, pos: max(from, a.from), logical: math.MaxUint64}
}

// Pos returns the offset that the feed has come to.
func (f *Feed) Pos() uint64 { return f.pos }

// Advance gives into every header below offset to, at most globalReadTail, that
// was not given before. It returns the headers that retention took first.
func (f *Feed) Advance(to uint64, into Folder) (evicted uint64) {
	l := f.log
	if !f.agg.scalar {
		if f.pos < to {
			evicted = l.foldRows(f.agg, ScanOptions{From: f.pos, To: to, Filter: f.agg.filter}, into)
			f.pos = to
		}
		return evicted
	}
	for f.pos < to {
		g, logical := l.segment(f.pos)
		end := min(to, (logical+1)<<l.shift)
		if !g.pin(logical) {
			next := min(max(end, l.First()), to)
			evicted += next - f.pos
			f.pos = next
			continue
		}
		evicted += f.readSegment(g, logical, end, into)
		g.unpin()
		f.pos = end
	}
	return evicted
}

// readSegment gives what pinned segment g holds from f.pos to end.
func (f *Feed) readSegment(g *segment, logical, end uint64, into Folder) (evicted uint64) {
	l := f.log
	start := logical << l.shift
	if f.logical != logical {
		f.logical = logical
		f.lanes = append(f.lanes[:0], make([]feedLane, len(l.lanes))...)
	}
	phys := int(logical % uint64(len(l.segs)))
	whole := end // offset below which versions are complete
	for i := range f.lanes {
		lost := f.lanes[i].refresh(f.agg.stream(i, phys), g, logical, l.opt.SegmentHeaders)
		whole = min(whole, start+uint64(lost))
	}
	rows := func(from, to uint64) {
		if from < to {
			evicted += l.foldRows(f.agg, ScanOptions{From: from, To: to, Filter: f.agg.filter}, into)
		}
	}
	var v version
	for i := range f.lanes {
		fl := &f.lanes[i]
		for e := fl.next(); e != nil; e = fl.next() {
			v.decode(e)
			first, last := start+uint64(v.first), start+uint64(v.end)
			switch {
			case first >= f.pos && last <= whole:
				into.Partial(v.bucket, &v.part)
			default: // cut by the range
				rows(max(first, f.pos), min(last, whole))
			}
			if last > whole {
				break
			}
			fl.r.advance(versionWords)
		}
	}
	rows(max(whole, f.pos), end)
	return evicted
}

// refresh takes in what the stream has gained, and returns the row from which
// on it is incomplete.
func (fl *feedLane) refresh(s *stream, g *segment, logical uint64, rows int) int {
	r, lost := s.read(g, logical, rows)
	if fl.r.chunk == nil {
		fl.r, fl.base = r, 0
		return lost
	}
	fl.r.words = r.words - fl.base
	return lost
}

func (fl *feedLane) next() []uint32 {
	before := fl.r.words
	e := fl.r.next()
	fl.base += before - fl.r.words
	return e
}

// foldRows gives into the headers of o that match, a bucket at a time, and
// returns how many were evicted already.
func (l *Log) foldRows(a *Aggregate, o ScanOptions, into Folder) (evicted uint64) {
	o.Need = a.spec.Attrs()
	s, err := l.Scan(o)
	if err != nil {
		return o.To - o.From // removed meanwhile: nothing is promised any more
	}
	defer s.Close()
	for s.Next() {
		splitBuckets(s.Columns(), s.Match(), a.width, into.Rows)
	}
	return s.Evicted()
}

// splitBuckets calls f for each stretch of the selected rows that lies in one
// time bucket.
func splitBuckets(c *packet.Columns, m *packet.Bitmap, width int64, f func(int64, *packet.Columns, *packet.Bitmap)) {
	var part packet.Bitmap
	var bucket int64
	started := false
	m.Each(func(i int) {
		b := bucketOf(c.Ts[i], width)
		if started && b != bucket {
			f(bucket, c, &part)
			part = packet.Bitmap{}
		}
		bucket, started = b, true
		part.Set(i)
	})
	if started {
		f(bucket, c, &part)
	}
}

// AggregateRange says which headers ReadAggregate folds.
type AggregateRange struct {
	From, To     uint64 // From <= offset < To
	TsFrom, TsTo int64  // TsFrom <= ts < TsTo, ns; both zero: any time
}

// ReadAggregate gives into every header of the range that the aggregate has
// seen: versions for whole buckets where there are any, rows at the edges. It
// returns the headers of the range that were evicted.
func (l *Log) ReadAggregate(a *Aggregate, r AggregateRange, into Folder) (evicted uint64) {
	r.To = min(r.To, l.ReadTail())
	r.From = max(r.From, a.from)
	if r.From >= r.To {
		return 0
	}
	timed := r.TsFrom != 0 || r.TsTo != 0
	scan := ScanOptions{From: r.From, To: r.To, TsFrom: r.TsFrom, TsTo: r.TsTo, Filter: a.filter}
	if !a.scalar {
		return l.foldRows(a, scan, into)
	}
	b := bucketFilter{Folder: into, first: math.MinInt64, end: math.MaxInt64}
	if timed {
		b.first = bucketOf(r.TsFrom+a.width-1, a.width) // first whole bucket
		b.end = bucketOf(r.TsTo, a.width)
		if b.first >= b.end {
			return l.foldRows(a, scan, into)
		}
		left, right := scan, scan
		left.TsTo, right.TsFrom = b.first*a.width, b.end*a.width
		if left.TsFrom < left.TsTo {
			l.foldRows(a, left, into)
		}
		if right.TsFrom < right.TsTo {
			l.foldRows(a, right, into)
		}
	}
	return l.Feed(a, r.From).Advance(r.To, &b)
}

// bucketFilter passes on buckets first..end-1.
type bucketFilter struct {
	Folder
	first, end int64
}

func (b *bucketFilter) Partial(bucket int64, p *fold.Partial) {
	if bucket >= b.first && bucket < b.end {
		b.Folder.Partial(bucket, p)
	}
}

func (b *bucketFilter) Rows(bucket int64, c *packet.Columns, m *packet.Bitmap) {
	if bucket >= b.first && bucket < b.end {
		b.Folder.Rows(bucket, c, m)
	}
}
