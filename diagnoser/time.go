package diagnoser

import (
	"context"
	"math"
	"slices"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// A key is the place of a row in the order of time.
type key struct {
	ts     int64
	offset uint64
}

func (k key) less(l key) bool { return k.ts < l.ts || k.ts == l.ts && k.offset < l.offset }

func (k key) compare(l key) int {
	switch {
	case k.less(l):
		return -1
	case l.less(k):
		return 1
	}
	return 0
}

var (
	firstKey = key{math.MinInt64, 0}
	lastKey  = key{math.MaxInt64, math.MaxUint64}
)

// A waiting row has been read and may not be given out yet.
type waiting struct {
	key
	row uint32 // in timeOrder.store
}

// timeOrder puts the rows of a plan in the order of their capture times.
//
// A pass reads the log in the order of offsets. Rows wait in a heap, smallest
// key first; one may go when no header that is still to be read can have a
// smaller key, which the smallest lower bound of the capture times of all later
// spans tells. When the store is full the later half of what waits is dropped,
// and the pass goes on for the rows below the first of those; another pass
// reads from there on. So memory is bounded whatever the order, a log in order
// is read once, and each pass gives out at least half a store of rows.
type timeOrder struct {
	p     *plan
	out   *output
	spans spans

	max   int // rows that may wait
	store *packet.Columns
	attrs []packet.Attr
	free  []uint32 // rows of store
	heap  []waiting
	most  int64 // no row that waits was captured later

	lower, upper key   // this pass gives out lower <= key < upper
	last         int64 // capture time of the last row given out
	from, to     []uint32
}

// leastWaiting is the room for rows below which a pass would not be worth it.
const leastWaiting = 4 * packet.ChunkSize

func (d *Diagnoser) inTimeOrder(ctx context.Context, p *plan, out *output) error {
	t := &timeOrder{p: p, out: out, spans: newSpans(d.log, p.oldest(), p.high), lower: firstKey, most: math.MinInt64}
	t.store, t.attrs = newRows(p, leastWaiting)
	for i := range leastWaiting {
		t.free = append(t.free, uint32(leastWaiting-1-i))
	}
	const perRow = 24 + 4 // in heap and free
	t.max = max(leastWaiting, d.opt.SortBytes/(rowBytes(t.attrs, t.store.Stride)+perRow))
	low := p.low
	again := lastKey.ts // from here on the log was read more than once
	for {
		t.upper = lastKey
		if err := t.pass(ctx, low); err != nil {
			return err
		}
		if t.upper == lastKey || out.full() {
			break
		}
		t.lower = t.upper
		low = max(p.low, t.spans.start(t.lower.ts))
		again = min(again, t.lower.ts)
	}
	if again != lastKey.ts {
		// What was dropped may have been evicted before it was read again.
		p.evicted += d.log.EvictedWithin(p.low, p.high, again, p.to)
	}
	if out.full() {
		p.limited = p.limited || t.upper != lastKey || len(t.heap) > 0
		if p.limited {
			p.tmax = t.last
		}
	}
	return out.flush()
}

// pass reads the log from offset low on, and gives out the rows from lower on
// that it can.
func (t *timeOrder) pass(ctx context.Context, low uint64) error {
	for low < t.p.high && !t.out.full() && t.spans.least(low) <= t.upper.ts {
		s, err := t.p.scan(ctx, low, t.p.high, max(t.p.tsFrom, t.lower.ts), min(t.p.tsTo, satInc(t.upper.ts)))
		if err != nil {
			return err
		}
		low, err = t.read(s)
		t.p.scanned += s.Scanned()
		if t.lower == firstKey {
			t.p.evicted += t.p.within(s.Evicted())
		}
		s.Close()
		if err == nil {
			err = cancelled(ctx)
		}
		if err != nil {
			return err
		}
	}
	return t.release(nil, lastKey.ts)
}

// read reads on until the end of s, until upper moves, so that a narrower scan
// will do, or until nothing below upper can come any more. It returns the
// offset that it came to.
func (t *timeOrder) read(s *multilog.Scan) (uint64, error) {
	upper := t.upper
	for s.Next() {
		t.take(s)
		next := s.Base() + packet.ChunkSize
		level := t.spans.least(next)
		if err := t.release(s, level); err != nil {
			return 0, err
		}
		if t.out.full() {
			t.p.limited = next < t.p.high
			return next, nil
		}
		if len(t.heap) > t.max-packet.ChunkSize {
			t.drop()
		}
		if t.upper != upper || level > t.upper.ts {
			return next, nil
		}
	}
	return t.p.high, nil
}

// take makes the rows of the current chunk wait that belong to this pass.
func (t *timeOrder) take(s *multilog.Scan) {
	c := s.Columns()
	t.from, t.to = t.from[:0], t.to[:0]
	s.Match().Each(func(i int) {
		k := key{c.Ts[i], s.Base() + uint64(i)}
		if k.less(t.lower) || !k.less(t.upper) {
			return
		}
		if len(t.free) == 0 {
			t.grow()
		}
		row := t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
		t.push(waiting{k, row})
		t.most = max(t.most, k.ts)
		t.from, t.to = append(t.from, uint32(i)), append(t.to, row)
	})
	copyRows(t.store, t.to, c, t.from, t.attrs)
}

// grow doubles the store. Rows taken from the chunk that is being read are not
// in it yet.
func (t *timeOrder) grow() {
	old, n := t.store, t.store.N
	t.store, _ = newRows(t.p, min(2*n, t.max))
	all := make([]uint32, n)
	for i := range all {
		all[i] = uint32(i)
	}
	copyRows(t.store, all, old, all, t.attrs)
	for i := t.store.N - 1; i >= n; i-- {
		t.free = append(t.free, uint32(i))
	}
}

// release gives out the waiting rows that were captured at level or before, as
// nothing still to be read was captured before level; of one time, what is
// still to be read has larger offsets. Before rows are given out s lets go of
// the log.
func (t *timeOrder) release(s *multilog.Scan, level int64) error {
	o := t.out
	// In a log that is in order, all that wait may go: then sorting what is
	// nearly sorted costs less than one pop a row.
	sorted, next := level >= t.most, 0
	if sorted {
		slices.SortFunc(t.heap, func(a, b waiting) int { return a.compare(b.key) })
	}
	for !o.full() {
		t.from = t.from[:0]
		for room := min(uint64(packet.ChunkSize), o.left()); uint64(len(t.from)) < room; {
			var w waiting
			if sorted && next < len(t.heap) {
				w = t.heap[next]
				next++
			} else if !sorted && len(t.heap) > 0 && t.heap[0].ts <= level {
				w = t.pop()
			} else {
				break
			}
			o.offsets[o.n+len(t.from)] = w.offset
			t.from = append(t.from, w.row)
			t.last = w.ts
		}
		if len(t.from) == 0 {
			break
		}
		o.add(t.store, t.from)
		t.free = append(t.free, t.from...)
		if o.due() {
			if s != nil {
				s.Release()
			}
			if err := o.send(min(o.n, packet.ChunkSize)); err != nil {
				return err
			}
		}
	}
	t.heap = t.heap[:copy(t.heap, t.heap[next:])]
	if len(t.heap) == 0 {
		t.most = math.MinInt64
	}
	return nil
}

// drop forgets the later half of what waits, for another pass to read again.
func (t *timeOrder) drop() {
	slices.SortFunc(t.heap, func(a, b waiting) int { return a.compare(b.key) }) // sorted, it is a heap too
	keep := len(t.heap) / 2
	t.upper = t.heap[keep].key
	for _, w := range t.heap[keep:] {
		t.free = append(t.free, w.row)
	}
	t.heap = t.heap[:keep]
}

// push and pop are those of container/heap, without its calls through an
// interface.

func (t *timeOrder) push(w waiting) {
	t.heap = append(t.heap, w)
	h := t.heap
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !w.less(h[up].key) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = w
}

func (t *timeOrder) pop() waiting {
	h := t.heap
	top, w := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	t.heap = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		kid := 2*i + 1
		if kid >= len(h) {
			break
		}
		if kid+1 < len(h) && h[kid+1].less(h[kid].key) {
			kid++
		}
		if !h[kid].less(w.key) {
			break
		}
		h[i] = h[kid]
		i = kid
	}
	h[i] = w
	return top
}

// maxSpans bounds the memory of spans, 16 bytes each.
const maxSpans = 1 << 16

// spans holds, of stretches of chunks, bounds of the capture times.
type spans struct {
	base    uint64  // offset of the first
	headers uint64  // of each
	latest  []int64 // largest time in each
	rest    []int64 // smallest time in each or a later one; one more than latest
}

func newSpans(log *multilog.Log, low, high uint64) spans {
	s := spans{base: low &^ (packet.ChunkSize - 1), headers: packet.ChunkSize}
	for (high-s.base)/s.headers >= maxSpans {
		s.headers *= 2
	}
	n := int((high - s.base + s.headers - 1) / s.headers)
	s.latest, s.rest = make([]int64, n), make([]int64, n+1)
	for i := range s.latest {
		s.latest[i], s.rest[i] = math.MinInt64, math.MaxInt64
	}
	s.rest[n] = math.MaxInt64
	log.EachChunk(low, high, func(base uint64, lo, hi int64) {
		i := (base - s.base) / s.headers
		s.latest[i], s.rest[i] = max(s.latest[i], hi), min(s.rest[i], lo)
	})
	for i := n - 1; i >= 0; i-- {
		s.rest[i] = min(s.rest[i], s.rest[i+1])
	}
	return s
}

// least returns a lower bound of the capture times of the headers from offset
// off on.
func (s *spans) least(off uint64) int64 {
	return s.rest[min((max(off, s.base)-s.base)/s.headers, uint64(len(s.latest)))]
}

// start returns an offset before which no header was captured at ts or later.
func (s *spans) start(ts int64) uint64 {
	i := slices.IndexFunc(s.latest, func(t int64) bool { return t >= ts })
	if i < 0 {
		i = len(s.latest)
	}
	return s.base + uint64(i)*s.headers
}
