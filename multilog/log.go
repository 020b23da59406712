package multilog

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/confluo/confluo/multilog/offheap"
)

type pad [64]byte

// A Log is an Atomic MultiLog. Its methods may be called from any goroutine
// unless they say otherwise.
type Log struct {
	opt    Options
	region *offheap.Region
	segs   []segment
	shift  uint   // log2 of the headers a segment
	mask   uint64 // headers a segment - 1

	_         pad
	writeTail atomic.Uint64 // globalWriteTail
	_         pad
	readTail  atomic.Uint64 // globalReadTail
	_         pad
	limit     atomic.Uint64 // offsets from here on have no memory yet
	oldest    atomic.Uint64 // logical number of the oldest segment held
	_         pad

	installed atomic.Pointer[installed]
	lanes     []*Lane

	mu        sync.Mutex // guards installing, removing, holds and evictions; never taken by a lane
	holds     map[*Hold]struct{}
	evictions evictions
	indexes   atomic.Pointer[[]*Index]

	wakeRetention chan struct{}
	wakeIndexer   chan struct{}
	stop          chan struct{}
	background    sync.WaitGroup
	closed        sync.Once
}

// New reserves and touches the memory of a log and starts its retention and
// index goroutines, which Close ends.
func New(o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	region, err := offheap.Map(o.Segments*o.segmentBytes(), o.HugePages)
	if err != nil {
		return nil, fmt.Errorf("multilog: %w", err)
	}
	l := &Log{
		opt: o, region: region,
		segs:  make([]segment, o.Segments),
		shift: log2(o.SegmentHeaders), mask: uint64(o.SegmentHeaders - 1),
		holds:         make(map[*Hold]struct{}),
		wakeRetention: make(chan struct{}, 1),
		wakeIndexer:   make(chan struct{}, 1),
		stop:          make(chan struct{}),
	}
	for i := range l.segs {
		l.segs[i].init(region, &o)
		l.segs[i].logical.Store(uint64(i))
	}
	l.limit.Store(uint64(o.Segments) << l.shift)
	l.installed.Store(&installed{})
	l.indexes.Store(new([]*Index))
	for i := 0; i < o.Lanes; i++ {
		l.lanes = append(l.lanes, newLane(l, i))
	}
	l.background.Add(2)
	go l.retain()
	go l.buildIndexes()
	return l, nil
}

// Close ends the background goroutines and gives the memory back. No lane,
// scan or other reader may be in use any more.
func (l *Log) Close() error {
	var err error
	l.closed.Do(func() {
		close(l.stop)
		l.background.Wait()
		for _, x := range *l.indexes.Load() {
			err = x.region.Free()
		}
		if e := l.region.Free(); e != nil {
			err = e
		}
	})
	return err
}

// Options returns the options in force, defaults filled in.
func (l *Log) Options() Options { return l.opt }

// Lane returns lane i of Options.Lanes.
func (l *Log) Lane(i int) *Lane { return l.lanes[i] }

// ReadTail returns globalReadTail: every header below it is in every part of
// the log.
func (l *Log) ReadTail() uint64 { return l.readTail.Load() }

// WriteTail returns globalWriteTail: offsets below it are claimed.
func (l *Log) WriteTail() uint64 { return l.writeTail.Load() }

// First returns the offset of the oldest header that a reader may still get at;
// those before it are evicted, or only wait for the last reader they have.
func (l *Log) First() uint64 {
	n := l.oldest.Load()
	if l.segs[n%uint64(len(l.segs))].logical.Load() != n {
		n++
	}
	return min(n<<l.shift, l.readTail.Load())
}

// Capacity returns the headers that memory has room for.
func (l *Log) Capacity() uint64 { return uint64(l.opt.Segments) << l.shift }

// Bytes returns the memory reserved for segments and indexes.
func (l *Log) Bytes() int64 {
	n := int64(l.region.Size())
	for _, x := range *l.indexes.Load() {
		n += int64(x.region.Size())
	}
	return n
}

// Claim takes the next n offsets, 1 to 256, with one fetch-and-add
// of globalWriteTail and returns the first. It reports false, and takes none,
// when memory is full: retention has not freed the oldest segment yet, because
// a reader, a Hold or an unpublished batch is in it. Who claims must append.
func (l *Log) Claim(n int) (uint64, bool) {
	// The slack keeps claims that pass this check at the same moment, one a
	// lane at most, within memory. It also keeps globalWriteTail below limit,
	// on which publish relies: the row it looks at is always reset memory.
	if l.writeTail.Load()+uint64(n)+l.opt.slack() > l.limit.Load() {
		l.wake(l.wakeRetention)
		return 0, false
	}
	return l.writeTail.Add(uint64(n)) - uint64(n), true
}

// segment returns the memory of the segment that holds offset off, and its
// logical number.
func (l *Log) segment(off uint64) (*segment, uint64) {
	n := off >> l.shift
	return &l.segs[n%uint64(len(l.segs))], n
}

// publish moves globalReadTail over every batch that is marked and next in
// order. It never waits: if the next batch is not marked, its lane will find
// the ones marked here when it marks its own.
func (l *Log) publish() {
	for {
		t := l.readTail.Load()
		g, _ := l.segment(t)
		n := g.marked(int(t & l.mask))
		if n == 0 {
			return
		}
		// When other lanes have moved the tail on since t was read, the mark may
		// even be that of a later batch in reused memory; the swap then fails.
		if l.readTail.CompareAndSwap(t, t+n) && (t^(t+n))&^uint64(l.blockSize()-1) != 0 {
			l.wake(l.wakeIndexer)
			if (t^(t+n))&^l.mask != 0 {
				l.wake(l.wakeRetention)
			}
		}
	}
}

// wake tells a background goroutine that there may be work.
func (l *Log) wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
