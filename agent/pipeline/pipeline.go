// Package pipeline puts the rooms of the hot path together: the queues of open
// sources, a sprayer each, rings to the writers, and the multilog. The agent and
// the commands that read a capture file run the very same pipeline.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/offheap"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/ringbuf"
	"github.com/confluo/confluo/spray"
	"github.com/confluo/confluo/writer"
)

// Options say how a pipeline runs.
type Options struct {
	Log         multilog.Options // Lanes follows from sources and writers and is ignored here
	RingBatches int              // slots a ring, a power of two (default 64)
	Policy      spray.Policy     // when no ring has room, or memory is full
	Writers     int              // writer goroutines (default 1)
	WriterCPUs  []int            // cores to pin them to, in turn; empty: not pinned
	CaptureCPUs []int            // cores to pin the capture goroutines to, in turn; empty: not pinned
	Wait        time.Duration    // longest a queue waits for a frame before it looks whether to end (default 50 ms)
}

const defaultRingBatches = 64

// gatherWait is how long a batch is held back for more frames when the writer
// is behind.
const gatherWait = time.Millisecond

// A Pipeline runs from Start to Stop. Its counters may be read at any time.
type Pipeline struct {
	opt     Options
	log     *multilog.Log
	memory  *offheap.Region // of the batches
	sources []source
	writers []*writer.Writer
	inputs  [][]writer.Input // by writer
	free    []*spray.Sprayer // of the queues to come

	captures sync.WaitGroup
	ended    chan struct{} // closed when every capture goroutine has ended
	giveUp   context.CancelFunc
	ctx      context.Context
	stopOnce sync.Once
}

// source is an open source with a sprayer for each of its queues.
type source struct {
	capture.Source
	queues   []capture.Queue
	sprayers []*spray.Sprayer
	failed   []atomic.Pointer[error] // why a queue ended, if not by Stop or end of file
}

// New reserves the memory of log and rings for the given sources, which it owns
// from here on, also when it fails.
func New(o Options, sources []capture.Source) (*Pipeline, error) {
	queues := 0
	for _, s := range sources {
		queues += len(s.Queues())
	}
	p, err := Reserve(o, queues)
	if err != nil {
		for _, s := range sources {
			s.Close()
		}
		return nil, err
	}
	if err := p.Attach(sources...); err != nil {
		return nil, errors.Join(err, p.Stop(context.Background()), p.Close())
	}
	return p, nil
}

// Reserve reserves the memory of log and rings for sources that have so many
// queues together. Touching it takes a while, in which a source that is open
// already could overflow: open them afterwards, and Attach them.
func Reserve(o Options, queues int) (_ *Pipeline, err error) {
	if o.RingBatches == 0 {
		o.RingBatches = defaultRingBatches
	}
	if o.Writers == 0 {
		o.Writers = 1
	}
	if o.Wait == 0 {
		o.Wait = 50 * time.Millisecond
	}
	p := &Pipeline{opt: o, ended: make(chan struct{})}
	p.ctx, p.giveUp = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	o.Log.Lanes = max(1, queues*o.Writers)
	if p.log, err = multilog.New(o.Log); err != nil {
		return nil, err
	}
	p.inputs = make([][]writer.Input, o.Writers)
	if queues == 0 {
		return p, nil
	}
	size := packet.BatchBytes(o.Log.SnapLen)
	batches := queues * (o.Writers*o.RingBatches + 1)
	if p.memory, err = offheap.Map(batches*size, o.Log.HugePages); err != nil {
		return nil, fmt.Errorf("pipeline: rings: %w", err)
	}
	for lane := 0; lane < queues*o.Writers; {
		var rings []*spray.Ring
		for w := range o.Writers {
			r, err := p.newRing(size)
			if err != nil {
				return nil, err
			}
			rings = append(rings, r)
			p.inputs[w] = append(p.inputs[w], writer.Input{Ring: r, Lane: p.log.Lane(lane)})
			lane++
		}
		spare, err := packet.NewBatch(offheap.Carve[byte](p.memory, size), o.Log.SnapLen)
		if err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		p.free = append(p.free, spray.New(p.log, rings, o.Policy, spare))
	}
	return p, nil
}

// Attach gives the pipeline open sources, which it owns from here on, also when
// it fails. It comes before Start.
func (p *Pipeline) Attach(sources ...capture.Source) error {
	for _, s := range sources {
		q := s.Queues()
		src := source{Source: s, queues: q, failed: make([]atomic.Pointer[error], len(q))}
		n := min(len(q), len(p.free))
		src.sprayers, p.free = p.free[:n:n], p.free[n:]
		p.sources = append(p.sources, src)
		if n < len(q) {
			return fmt.Errorf("pipeline: source %s has %d queues, and only %d more are reserved", s.Name(), len(q), n)
		}
	}
	return nil
}

func (p *Pipeline) newRing(size int) (*spray.Ring, error) {
	slots := make([]packet.Batch, p.opt.RingBatches)
	for i := range slots {
		b, err := packet.NewBatch(offheap.Carve[byte](p.memory, size), p.opt.Log.SnapLen)
		if err != nil {
			return nil, fmt.Errorf("pipeline: %w", err)
		}
		slots[i] = *b
	}
	r, err := ringbuf.New(slots)
	if err != nil {
		return nil, fmt.Errorf("pipeline: %w", err)
	}
	return r, nil
}

// Log returns the log that the pipeline fills. It lives until Close.
func (p *Pipeline) Log() *multilog.Log { return p.log }

// Start runs the writers, then the capture goroutines. Install what must see
// the first header before.
func (p *Pipeline) Start() {
	for w, in := range p.inputs {
		o := writer.Options{CPU: -1}
		if n := len(p.opt.WriterCPUs); n > 0 {
			o.CPU = p.opt.WriterCPUs[w%n]
		}
		p.writers = append(p.writers, writer.Start(in, o))
	}
	n := 0
	for i := range p.sources {
		s := &p.sources[i]
		for j := range s.queues {
			cpu := -1
			if c := p.opt.CaptureCPUs; len(c) > 0 {
				cpu = c[n%len(c)]
			}
			n++
			p.captures.Add(1)
			go p.capture(s, j, cpu)
		}
	}
	go func() {
		p.captures.Wait()
		close(p.ended)
	}()
}

// capture moves bursts from one queue to its sprayer until the queue ends.
func (p *Pipeline) capture(s *source, i, cpu int) {
	defer p.captures.Done()
	runtime.LockOSThread() // the thread ends with the goroutine, and its affinity with it
	if cpu >= 0 {
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			err = fmt.Errorf("pipeline: pin capture to core %d: %w", cpu, err)
			s.failed[i].Store(&err)
		}
	}
	q, sp := s.queues[i], s.sprayers[i]
	for {
		b := sp.Next(p.ctx)
		err := q.Recv(b, p.opt.Wait)
		// Frames that trickle in one by one would fill the ring with batches of
		// one while the writer is kept from its core for a moment.
		for have := 0; err == nil && have < b.N && !b.Full() && sp.Behind(); {
			have = b.N
			err = q.Recv(b, gatherWait)
		}
		sp.Commit(p.ctx, b)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, capture.ErrClosed):
			return
		default:
			s.failed[i].Store(&err)
			return
		}
	}
}

// Ended is closed when every queue has ended: at the end of the capture files,
// after failures, or by Stop. What they delivered may still be in the rings.
func (p *Pipeline) Ended() <-chan struct{} { return p.ended }

// Stop closes the sources, waits until what they delivered is in the log, and
// ends the writers. When ctx ends first, a capture goroutine that waits for room
// gives up and counts what it had. It may be called more than once.
func (p *Pipeline) Stop(ctx context.Context) error {
	var errs []error
	p.stopOnce.Do(func() {
		for i := range p.sources {
			if err := p.sources[i].Close(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", p.sources[i].Name(), err))
			}
		}
		if p.writers == nil { // never started
			return
		}
		select {
		case <-p.ended:
		case <-ctx.Done():
			p.giveUp()
			<-p.ended
		}
		for _, w := range p.writers {
			w.Stop()
		}
	})
	return errors.Join(errs...)
}

// Close gives the memory back. The pipeline must be stopped, and nobody may use
// its log any more.
func (p *Pipeline) Close() error {
	p.giveUp()
	var errs []error
	if p.log != nil {
		errs = append(errs, p.log.Close())
	}
	if p.memory != nil {
		errs = append(errs, p.memory.Free())
	}
	return errors.Join(errs...)
}

// Err returns why queues ended early or run other than asked for, or nil.
func (p *Pipeline) Err() error {
	var errs []error
	for i := range p.sources {
		for j := range p.sources[i].failed {
			if e := p.sources[i].failed[j].Load(); e != nil {
				errs = append(errs, fmt.Errorf("source %s: %w", p.sources[i].Name(), *e))
			}
		}
	}
	for _, w := range p.writers {
		if err := w.PinError(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
