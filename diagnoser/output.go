package diagnoser

import (
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// flushEvery is how long a row may wait for others before it is given out.
const flushEvery = 100 * time.Millisecond

// An output collects rows in blocks and gives them out. Its memory is taken
// once: there are up to two chunks of rows in it, and those that go beyond a
// block move to the front when the block is gone.
type output struct {
	p       *plan
	emit    func(*Rows) error
	attrs   []packet.Attr
	cols    *packet.Columns // 2*ChunkSize rows
	offsets [2 * packet.ChunkSize]uint64
	n       int
	rows    Rows
	view    packet.Columns
	sent    time.Time // of the last block; zero: none yet

	from, to []uint32 // scratch: row numbers
}

func newOutput(p *plan, emit func(*Rows) error) *output {
	o := &output{p: p, emit: emit, from: make([]uint32, 0, packet.ChunkSize), to: make([]uint32, 0, packet.ChunkSize)}
	o.cols, o.attrs = newRows(p, 2*packet.ChunkSize)
	o.rows.Cols = &o.view
	return o
}

// newRows makes columns for n rows of what the plan's query asks for.
func newRows(p *plan, n int) (*packet.Columns, []packet.Attr) {
	need, stride := p.q.Need, 0
	if p.q.Slice {
		need |= packet.SetOf(packet.CapLen)
		stride = p.d.log.Options().SnapLen
	}
	return newColumns(need, n, stride), need.Attrs()
}

// left returns how many more rows there may be.
func (o *output) left() uint64 {
	if o.p.q.Limit == 0 {
		return 1<<63 - 1
	}
	return uint64(o.p.q.Limit) - o.p.returned - uint64(o.n)
}

// full reports whether there are as many rows as were asked for.
func (o *output) full() bool { return o.left() == 0 }

// drain takes the rows that s finds, until its end, at offset to, or the limit.
func (o *output) drain(s *multilog.Scan, to uint64) error {
	for s.Next() {
		o.from = o.from[:0]
		left, more := o.left(), false
		s.Match().Each(func(i int) {
			if uint64(len(o.from)) < left {
				o.from = append(o.from, uint32(i))
			} else {
				more = true
			}
		})
		for j, i := range o.from {
			o.offsets[o.n+j] = s.Base() + uint64(i)
		}
		o.add(s.Columns(), o.from)
		if o.full() {
			last := o.offsets[o.n-1] + 1
			if more || min(s.Base()+packet.ChunkSize, to) < o.p.high {
				o.p.limited = true
				o.p.cutAt(last)
			}
			s.Release()
			return o.flush()
		}
		if o.due() {
			s.Release()
			if err := o.send(min(o.n, packet.ChunkSize)); err != nil {
				return err
			}
		}
	}
	return nil
}

// add copies rows of c behind those that wait. Their offsets are there already.
func (o *output) add(c *packet.Columns, rows []uint32) {
	o.to = o.to[:0]
	for range rows {
		o.to = append(o.to, uint32(o.n))
		o.n++
	}
	copyRows(o.cols, o.to, c, rows, o.attrs)
}

// due reports whether what waits should be given out now: a whole block, the
// very first rows, or rows that have waited long.
func (o *output) due() bool {
	return o.n >= packet.ChunkSize || o.n > 0 && time.Since(o.sent) >= flushEvery
}

// flush gives out what waits.
func (o *output) flush() error {
	for o.n > 0 {
		if err := o.send(min(o.n, packet.ChunkSize)); err != nil {
			return err
		}
	}
	return nil
}

// send gives out the first n rows. Nothing of the log may be pinned.
func (o *output) send(n int) error {
	o.cols.Window(0, n, &o.view)
	o.rows.N, o.rows.Offsets = n, o.offsets[:n:n]
	if err := o.emit(&o.rows); err != nil {
		return err
	}
	o.p.returned += uint64(n)
	o.p.matched = o.p.returned
	o.from, o.to = o.from[:0], o.to[:0]
	for i := n; i < o.n; i++ {
		o.from, o.to = append(o.from, uint32(i)), append(o.to, uint32(i-n))
	}
	copyRows(o.cols, o.to, o.cols, o.from, o.attrs)
	copy(o.offsets[:], o.offsets[n:o.n])
	o.n -= n
	o.sent = time.Now()
	return nil
}
