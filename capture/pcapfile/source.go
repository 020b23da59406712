package pcapfile

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/internal/gate"
	"github.com/confluo/confluo/packet"
)

// A Source reads capture files. It has one queue.
type Source struct {
	name  string
	queue queue
	once  sync.Once
}

var _ capture.Source = (*Source)(nil)

// Open opens the first file and reads its header, so that most mistakes show
// at once; a pipe is not read from yet.
func Open(o Options) (*Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("pcapfile: eventfd: %w", err)
	}
	s := &Source{name: o.Name}
	q := &s.queue
	*q = queue{o: o, wake: wake, alarm: pipeReader{fd: -1, wake: wake}, ports: make(map[portKey]uint16), names: make(map[string]bool)}
	q.gate = gate.New(q.release, func() {
		// Writing 1 to an eventfd that nobody reads cannot fail.
		unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	q.detail.Store(&o.Paths[0])
	err = q.openFile()
	if err == nil && q.in.pipe == nil {
		err = q.dec.start()
		if err != nil {
			err = &DamageError{File: o.Paths[0], Err: err}
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Name implements capture.Source.
func (s *Source) Name() string { return s.name }

// Queues implements capture.Source.
func (s *Source) Queues() []capture.Queue { return []capture.Queue{&s.queue} }

// Close implements capture.Source.
func (s *Source) Close() error {
	s.once.Do(func() {
		s.queue.gate.Close()
		unix.Close(s.queue.wake)
	})
	return nil
}

// Stats implements capture.Source. A file loses no frames: there are no drops.
func (s *Source) Stats() capture.Stats {
	q := &s.queue
	st := capture.Stats{Received: q.received.Load(), Bytes: q.bytes.Load(), State: "up", Detail: *q.detail.Load()}
	switch q.ended.Load() {
	case endedDone:
		st.State = "done"
	case endedFailed:
		st.State = "failed"
	}
	return st
}

// How a queue ended.
const (
	endedNot uint32 = iota
	endedDone
	endedFailed
)

type portKey struct {
	name string
	link packet.LinkType
}

// A queue reads the files in turn. All fields but the atomic ones belong to
// the goroutine that is inside the gate.
type queue struct {
	o    Options
	gate *gate.Gate
	wake int // eventfd: the source is being closed

	received, bytes atomic.Uint64          // written by the receiver alone
	ended           atomic.Uint32          // the same
	detail          atomic.Pointer[string] // the same

	file, loop int // which of o.Paths is being read, and for which time
	in         *input
	dec        *decoder
	err        error // what every further Recv returns

	frame frame // the next to deliver, if held
	held  bool
	seen  bool // there was a frame

	pace  pace
	alarm pipeReader // of wake alone: sleeps until the source is being closed
	ports map[portKey]uint16
	names map[string]bool // of the ports that exist
}

func (q *queue) openFile() error {
	path := q.o.Paths[q.file]
	in, err := openInput(path, q.wake)
	if err != nil {
		return err
	}
	q.in, q.dec = in, newDecoder(in, path)
	q.detail.Store(&q.o.Paths[q.file])
	return nil
}

func (q *queue) closeFile() {
	if q.in != nil {
		q.in.close()
		q.in, q.dec = nil, nil
	}
}

// release is called by the gate.
func (q *queue) release() {
	q.closeFile()
	q.held = false
	if q.ended.Load() == endedNot {
		q.ended.Store(endedDone)
	}
}

// Recv implements capture.Queue.
func (q *queue) Recv(b *packet.Batch, wait time.Duration) error {
	if !q.gate.Enter() {
		return capture.ErrClosed
	}
	defer q.gate.Leave()
	if q.err != nil {
		return q.err
	}
	before := b.N
	var until time.Time // when to give up; only who waits reads a clock
	for {
		reason := q.fill(b)
		if reason != errAgain && reason != errEarly {
			q.err = reason
		}
		if b.N > before {
			q.count(b, before)
			return nil // an error is for the next call
		}
		if q.err != nil || reason == nil {
			return q.err
		}
		now := time.Now()
		if until.IsZero() {
			until = now.Add(wait)
		}
		left := until.Sub(now)
		if left <= 0 {
			return nil
		}
		if err := q.sleep(reason, left); err != nil {
			return err
		}
	}
}

// sleep waits, at most so long, until the reason for which nothing could be
// delivered may have gone, or the source is being closed.
func (q *queue) sleep(reason error, left time.Duration) error {
	var err error
	if reason == errEarly {
		left = min(left, time.Duration(q.pace.due(q.frame.ts, time.Now().UnixNano(), q.o.Speed)))
		_, err = q.alarm.wait(left)
	} else {
		_, err = q.in.last.wait(left)
	}
	if err != nil && err != capture.ErrClosed {
		err = fmt.Errorf("pcapfile: poll: %w", err)
	}
	return err
}

func (q *queue) count(b *packet.Batch, from int) {
	var wire uint64
	for _, n := range b.WireLen[from:b.N] {
		wire += uint64(n)
	}
	q.received.Add(uint64(b.N - from))
	q.bytes.Add(wire)
}

// errEarly is returned by fill when the next frame is not due yet.
var errEarly = errors.New("pcapfile: the next frame is not due yet")

// fill appends frames until the batch is full or there is a reason to stop.
func (q *queue) fill(b *packet.Batch) error {
	var now int64
	if q.o.Speed > 0 || q.o.Stamp == StampNow {
		now = time.Now().UnixNano()
	}
	f := &q.frame
	for !b.Full() {
		if !q.held {
			if err := q.advance(); err != nil {
				return err
			}
			q.held = true
		}
		if q.o.Speed > 0 && q.pace.due(f.ts, now, q.o.Speed) > 0 {
			return errEarly
		}
		ts := now
		if q.o.Stamp != StampNow {
			ts = q.pace.stamp(f.ts)
		}
		b.Append(f.data, ts, f.wire, f.iface.port, f.dir)
		q.held = false
	}
	return nil
}

// advance reads the next frame of the files, going from one to the next.
func (q *queue) advance() error {
	for {
		err := q.dec.next(&q.frame)
		switch {
		case err == nil:
			q.seen = true
			q.pace.note(q.frame.ts)
			if !q.frame.iface.bound {
				if err := q.bind(q.frame.iface); err != nil {
					return q.fail(err)
				}
			}
			return nil
		case err == errAgain:
			return err
		case err == io.EOF:
			if err := q.nextFile(); err != nil {
				return err
			}
		case errors.Is(err, capture.ErrClosed):
			return capture.ErrClosed
		default:
			return q.fail(err)
		}
	}
}

// nextFile opens the next file, or returns io.EOF after the last.
func (q *queue) nextFile() error {
	q.closeFile()
	q.file++
	if q.file == len(q.o.Paths) {
		q.loop++
		// Files without a frame would be looped over for ever.
		if q.o.Loops >= 0 && q.loop >= q.o.Loops || !q.seen {
			q.ended.Store(endedDone)
			return io.EOF
		}
		q.file = 0
		q.pace.again()
	}
	if err := q.openFile(); err != nil {
		return q.fail(err)
	}
	return nil
}

func (q *queue) fail(err error) error {
	text := err.Error()
	q.detail.Store(&text)
	q.ended.Store(endedFailed)
	return err
}

// bind gives an interface its port. An interface with the name and link type
// of one before it, in an earlier section or loop, has the same port.
func (q *queue) bind(i *iface) error {
	path := q.o.Paths[q.file]
	name := filepath.Base(path)
	for n, other := range q.o.Paths {
		if n != q.file && other != path && filepath.Base(other) == name {
			name = path
		}
	}
	if q.dec.format == formatPcapng {
		name += ":" + i.name
	}
	key := portKey{name, i.link}
	port, ok := q.ports[key]
	if !ok {
		unique := name
		for n := 2; q.names[unique]; n++ {
			unique = fmt.Sprintf("%s#%d", name, n)
		}
		var err error
		if port, err = q.o.Port(unique, i.link); err != nil {
			return fmt.Errorf("pcapfile: %s: port %s: %w", path, unique, err)
		}
		q.ports[key], q.names[unique] = port, true
	}
	i.port, i.bound = port, true
	return nil
}
