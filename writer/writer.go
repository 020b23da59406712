// Package writer moves batches from rings into the multilog: one goroutine a
// core, pinned to it, that drains its rings and waits for no other writer.
package writer

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/spray"
)

// An Input is one ring with the lane of the log that its batches go to. A lane
// belongs to one ring, so that its batches come in offset order.
type Input struct {
	Ring *spray.Ring
	Lane *multilog.Lane
}

// Options say how a writer runs.
type Options struct {
	CPU     int           // core to run on, or -1: any
	IdleMax time.Duration // longest sleep when all rings are empty (default 100 µs); latency of the first packet after a pause
}

// burst is how many slots are taken from a ring before the next one has its
// turn.
const burst = 16

// A Writer drains its inputs until it is stopped.
type Writer struct {
	in   []Input
	opt  Options
	stop atomic.Bool
	done chan struct{}

	headers, batches atomic.Uint64
	pinErr           error
}

// Start runs a writer over the given inputs.
func Start(in []Input, o Options) *Writer {
	if o.IdleMax == 0 {
		o.IdleMax = 100 * time.Microsecond
	}
	w := &Writer{in: in, opt: o, done: make(chan struct{})}
	pinned := make(chan struct{})
	go w.run(pinned)
	<-pinned
	return w
}

// PinError returns why the writer could not be pinned to its core, or nil.
func (w *Writer) PinError() error { return w.pinErr }

// Counts returns the headers and batches written so far.
func (w *Writer) Counts() (headers, batches uint64) { return w.headers.Load(), w.batches.Load() }

// Stop ends the writer after it has drained its rings, and waits for it. The
// producers of the rings must have ended.
func (w *Writer) Stop() {
	w.stop.Store(true)
	<-w.done
}

func (w *Writer) run(pinned chan<- struct{}) {
	defer close(w.done)
	runtime.LockOSThread() // the thread ends with the goroutine, and its affinity with it
	w.pinErr = pin(w.opt.CPU)
	close(pinned)
	idle := 0
	for {
		// Read before the rings: what was pushed before Stop is drained.
		last := w.stop.Load()
		if w.drain() {
			idle = 0
			continue
		}
		if last {
			return
		}
		idle++
		w.rest(idle)
	}
}

// drain takes up to a burst from each ring and reports whether there was any.
func (w *Writer) drain() bool {
	var headers, batches uint64
	for i := range w.in {
		in := &w.in[i]
		n := in.Ring.Ready(burst)
		for range n {
			b := in.Ring.Peek(0)
			headers += uint64(b.N)
			in.Lane.Append(b)
			in.Ring.Release(1)
		}
		batches += uint64(n)
	}
	if batches == 0 {
		return false
	}
	w.headers.Add(headers)
	w.batches.Add(batches)
	return true
}

// rest waits a little longer with each empty round: spin, yield, then sleep up
// to IdleMax.
func (w *Writer) rest(idle int) {
	switch {
	case idle < 256:
	case idle < 512:
		runtime.Gosched()
	default:
		time.Sleep(min(w.opt.IdleMax, time.Duration(idle-511)*time.Microsecond))
	}
}

// pin binds the current thread to a core.
func pin(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("writer: pin to core %d: %w", cpu, err)
	}
	return nil
}
