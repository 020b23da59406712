package multilog

import (
	"fmt"
	"math/bits"
	"sort"
	"sync/atomic"

	"github.com/confluo/confluo/multilog/offheap"
	"github.com/confluo/confluo/packet"
)

// An Index is the IndexLog of one attribute. The rows of each block of 65,536
// headers are kept in the order of the attribute's value, two bytes a header,
// under a perfect search tree of two levels with 256 children a node: the root
// holds the value at every 256th position, a leaf is the stretch between two of
// them. Values, ranges and prefixes are the stretch between two searches.
//
// A block is sorted once, by the index goroutine, after all of it is published,
// so an index costs the lanes nothing. The newest, unsorted headers are scanned
// by column instead; an answer never depends on how far the index has come.
//
// (The paper, section 3.3, inserts each record into a k-ary tree as it is
// written. Measured against such a tree, BenchmarkIndex, sorting is faster for
// every distribution of values and its memory does not depend on it.)
type Index struct {
	log    *Log
	attr   packet.Attr
	from   uint64
	next   uint64        // next logical block to sort; the index goroutine's own
	done   atomic.Uint64 // offset that next stands for
	region *offheap.Region
	refs   atomic.Int64 // scans that read it, plus one while it is installed

	perm   []uint16     // rows of a block in value order; a block has blockSize of them
	root   []uint64     // reduced key at every 256th position
	shape  []blockShape // how keys of a block are reduced
	sealed []atomic.Uint64
}

// blockShape reduces the keys of a block to 48 bits: (key-min)>>shift. The
// order is kept; where shift is not zero different keys may become equal, and
// a look-up finds a superset.
type blockShape struct {
	min   uint64
	shift uint64
}

const leafSize = 256

func (l *Log) blockSize() int { return l.opt.block }

// blocks returns the blocks of all segments.
func (l *Log) blocks() int { return len(l.segs) * l.opt.SegmentHeaders / l.blockSize() }

// IndexBytes returns the memory that one index takes a header.
func IndexBytes() float64 { return 2 + 8.0/leafSize }

// InstallIndex starts an index on an attribute that is stored as a column. It
// reserves and touches the index's memory, which no lane waits for.
func (l *Log) InstallIndex(a packet.Attr) (*Index, error) {
	if !l.opt.Columns.Has(a) {
		return nil, fmt.Errorf("multilog: index on %s: the attribute is not stored as a column (add it to multilog.columns and restart)", a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Index(a) != nil {
		return nil, fmt.Errorf("multilog: index on %s: %w", a, ErrExists)
	}
	nb, n := l.blocks(), l.blockSize()
	leaves := n / leafSize
	size := offheap.Bytes(nb*n, 2) + offheap.Bytes(nb*leaves, 8) + offheap.Bytes(nb, 16) + offheap.Bytes(nb, 8)
	r, err := offheap.Map(size, l.opt.HugePages)
	if err != nil {
		return nil, fmt.Errorf("multilog: index on %s: %w", a, err)
	}
	x := &Index{
		log: l, attr: a, region: r,
		perm:   offheap.Carve[uint16](r, nb*n),
		root:   offheap.Carve[uint64](r, nb*leaves),
		shape:  offheap.Carve[blockShape](r, nb),
		sealed: offheap.Carve[atomic.Uint64](r, nb),
	}
	x.refs.Store(1)
	x.from = l.writeTail.Load()
	x.next = x.from / uint64(n)
	x.done.Store(x.from)
	old := *l.indexes.Load()
	list := append(old[:len(old):len(old)], x)
	l.indexes.Store(&list)
	l.wake(l.wakeIndexer)
	return x, nil
}

// RemoveIndex ends an index. Its memory goes back when the last scan that reads
// it is done.
func (l *Log) RemoveIndex(a packet.Attr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := l.Index(a)
	if x == nil {
		return fmt.Errorf("multilog: index on %s: %w", a, ErrNotFound)
	}
	var rest []*Index
	for _, y := range *l.indexes.Load() {
		if y != x {
			rest = append(rest, y)
		}
	}
	l.indexes.Store(&rest)
	x.release()
	return nil
}

// Index returns the index on a, or nil.
func (l *Log) Index(a packet.Attr) *Index {
	for _, x := range *l.indexes.Load() {
		if x.attr == a {
			return x
		}
	}
	return nil
}

// Indexes returns the installed indexes in the order of installation.
func (l *Log) Indexes() []*Index { return *l.indexes.Load() }

// Attr returns the indexed attribute.
func (x *Index) Attr() packet.Attr { return x.attr }

// From returns the offset that the index was installed at.
func (x *Index) From() uint64 { return x.from }

// Sorted returns the end of the headers that the index has sorted; those from
// there to globalReadTail are scanned by column meanwhile.
func (x *Index) Sorted() uint64 { return x.done.Load() }

// acquire keeps the index's memory while a scan reads it.
func (x *Index) acquire() bool {
	for {
		n := x.refs.Load()
		if n == 0 {
			return false
		}
		if x.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (x *Index) release() {
	if x.refs.Add(-1) == 0 {
		_ = x.region.Free() // munmap of a whole mapping cannot fail
	}
}

// buildIndexes sorts blocks as they are published.
func (l *Log) buildIndexes() {
	defer l.background.Done()
	n := l.blockSize()
	w := &blockSorter{keys: make([]uint64, n), a: make([]uint64, n), b: make([]uint64, n)}
	for {
		select {
		case <-l.stop:
			return
		case <-l.wakeIndexer:
		}
		for more := true; more; {
			more = false
			for _, x := range *l.indexes.Load() {
				if x.acquire() {
					more = x.build(w) || more
					x.release()
				}
			}
			select {
			case <-l.stop:
				return
			default:
			}
		}
	}
}

// build sorts the next block, if it is published, and reports whether it did.
func (x *Index) build(w *blockSorter) bool {
	l := x.log
	n := uint64(l.blockSize())
	if first := l.First() / n; x.next < first {
		x.next = first // retention was faster
	}
	off := x.next * n
	if off+n > l.ReadTail() {
		return false
	}
	g, logical := l.segment(off)
	if !g.pin(logical) {
		return true
	}
	defer g.unpin()
	b := x.slot(x.next)
	x.sealed[b].Store(0)
	readKeys(&g.cols, x.attr, int(off&l.mask), w.keys)
	leaves := int(n) / leafSize
	x.shape[b] = w.sort(x.perm[b*int(n):][:n], x.root[b*leaves:][:leaves])
	x.next++
	x.sealed[b].Store(x.next) // logical block + 1
	x.done.Store(x.next * n)
	return true
}

// slot returns the place of logical block lb in the index's memory.
func (x *Index) slot(lb uint64) int {
	return int(lb % uint64(len(x.sealed)))
}

// lookup adds to w the rows of logical block lb whose value may lie in one of
// ranges, and reports false when the block is not sorted. The block's segment
// must be pinned.
func (x *Index) lookup(g *segment, lb uint64, ranges []packet.Range, w *window) bool {
	b := x.slot(lb)
	if x.sealed[b].Load() != lb+1 {
		return false
	}
	n := x.log.blockSize()
	leaves := n / leafSize
	perm, root, shape := x.perm[b*n:][:n], x.root[b*leaves:][:leaves], x.shape[b]
	row := int(lb * uint64(n) & x.log.mask)
	for _, r := range ranges {
		lo, hi := sortKey(r.Min), sortKey(r.Max)
		if hi < shape.min {
			continue
		}
		lo = shape.reduce(max(lo, shape.min))
		hi = shape.reduce(hi)
		from := x.search(g, row, perm, root, shape, func(k uint64) bool { return k >= lo })
		to := x.search(g, row, perm, root, shape, func(k uint64) bool { return k > hi })
		for _, p := range perm[from:max(from, to)] {
			w[p>>6] |= 1 << (p & 63)
		}
	}
	return true
}

// search returns the first position whose reduced key satisfies ok, which must
// be monotonic: one step in the root, one in a leaf.
func (x *Index) search(g *segment, row int, perm []uint16, root []uint64, shape blockShape, ok func(uint64) bool) int {
	leaf := sort.Search(len(root), func(i int) bool { return ok(root[i]) })
	if leaf == 0 {
		return 0
	}
	base := (leaf - 1) * leafSize
	return base + sort.Search(leafSize, func(i int) bool {
		return ok(shape.reduce(keyAt(&g.cols, x.attr, row+int(perm[base+i]))))
	})
}

func (s blockShape) reduce(key uint64) uint64 { return (key - s.min) >> s.shift }

// sortKey maps a value to 64 bits and keeps the order. IPv4 addresses
// (::ffff:a.b.c.d) stay distinct; of IPv6 addresses the upper half counts.
func sortKey(v packet.Value) uint64 {
	const mapped = 1 << 48 // beyond every ::ffff:a.b.c.d
	if v.Hi == 0 {
		return min(v.Lo, mapped)
	}
	return max(v.Hi, mapped)
}

func keyAt(c *packet.Columns, a packet.Attr, row int) uint64 {
	return sortKey(c.Value(a, row))
}

// readKeys fills keys with those of the rows from row on.
func readKeys(c *packet.Columns, a packet.Attr, row int, keys []uint64) {
	switch w := a.Info().Width; {
	case w == packet.W128:
		hi, lo := c.U128(a)
		hi, lo = hi[row:row+len(keys)], lo[row:row+len(keys)]
		for i := range keys {
			keys[i] = sortKey(packet.Value{Hi: hi[i], Lo: lo[i]})
		}
	case w == packet.W16:
		for i, v := range c.U16(a)[row : row+len(keys)] {
			keys[i] = uint64(v)
		}
	default:
		for i := range keys {
			keys[i] = keyAt(c, a, row+i)
		}
	}
}

// A blockSorter holds the scratch memory of the index goroutine.
type blockSorter struct {
	keys, a, b []uint64
	hist       [6][256]int
}

// sort writes the order of keys to perm and every 256th reduced key to root.
// Least significant digit radix sort of 48-bit keys with the row in the low 16
// bits; digits in which all keys agree cost nothing.
func (w *blockSorter) sort(perm []uint16, root []uint64) blockShape {
	shape := blockShape{min: w.keys[0]}
	top := w.keys[0]
	for _, k := range w.keys {
		shape.min, top = min(shape.min, k), max(top, k)
	}
	if n := bits.Len64(top - shape.min); n > 48 {
		shape.shift = uint64(n - 48)
	}
	w.hist = [6][256]int{}
	for i, k := range w.keys {
		v := shape.reduce(k)<<16 | uint64(i)
		w.a[i] = v
		for d := range w.hist {
			w.hist[d][byte(v>>(16+8*d))]++
		}
	}
	src, dst := w.a, w.b
	for d := range w.hist {
		h := &w.hist[d]
		shift := 16 + 8*d
		if h[byte(src[0]>>shift)] == len(src) {
			continue
		}
		at := 0
		for i, n := range h {
			h[i] = at
			at += n
		}
		for _, v := range src {
			p := &h[byte(v>>shift)]
			dst[*p] = v
			*p++
		}
		src, dst = dst, src
	}
	for i, v := range src {
		perm[i] = uint16(v)
	}
	for i := range root {
		root[i] = src[i*leafSize] >> 16
	}
	return shape
}
