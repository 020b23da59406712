package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/multilog/offheap"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/ringbuf"
	"github.com/confluo/confluo/spray"
	"github.com/confluo/confluo/writer"
)

// recvWait is how long a capture goroutine lets a quiet queue keep it. Frames
// that come meanwhile end the wait; only Stop on a source that does not end it
// by itself would have to wait so long.
const recvWait = 100 * time.Millisecond

// A queue is one receive queue with what its capture goroutine owns.
type queue struct {
	source *source // set when the source is open
	recv   capture.Queue
	name   string
	spray  *spray.Sprayer
	rings  []*spray.Ring // one a writer
}

// A pipeline is everything between the sources and the log.
type pipeline struct {
	memory    *offheap.Region // of all batches
	queues    []*queue
	writers   []*writer.Writer
	capturing sync.WaitGroup

	// wait ends when nobody waits for room any more: see abandon.
	wait    context.Context
	abandon context.CancelFunc
}

// buildPipeline makes rings for the queues that the sources will have, and
// starts the writers.
func (a *Agent) buildPipeline(cfg *config.Config) error {
	p := &pipeline{}
	p.wait, p.abandon = context.WithCancel(context.Background())
	a.pipe = p
	nq, nw, slots := cfg.Queues(), cfg.Writers.Count, cfg.Spray.RingBatches
	if nq == 0 {
		a.log.Warn("no sources are configured: nothing will be captured")
		return nil
	}
	// Each ring has its slots, and each queue a batch for what will be dropped.
	snap := cfg.Agent.Snaplen
	var err error
	if p.memory, err = offheap.Map(nq*(nw*slots+1)*packet.BatchBytes(snap), cfg.MultiLog.Pages()); err != nil {
		return fmt.Errorf("agent: memory for rings: %w", err)
	}
	inputs := make([][]writer.Input, nw)
	for range nq {
		q := &queue{}
		for w := range nw {
			ring, err := newRing(p.memory, slots, snap)
			if err != nil {
				return fmt.Errorf("agent: ring: %w", err)
			}
			lane := len(p.queues)*nw + w
			inputs[w] = append(inputs[w], writer.Input{Ring: ring, Lane: a.mlog.Lane(lane)})
			q.rings = append(q.rings, ring)
		}
		spare, err := newBatch(p.memory, snap)
		if err != nil {
			return fmt.Errorf("agent: batch: %w", err)
		}
		q.spray = spray.New(a.mlog, q.rings, cfg.Spray.Policy(), spare)
		p.queues = append(p.queues, q)
	}
	for i := range nw {
		cpu := -1
		if len(cfg.Writers.CPUs) > 0 {
			cpu = cfg.Writers.CPUs[i]
		}
		w := writer.Start(inputs[i], writer.Options{CPU: cpu})
		p.writers = append(p.writers, w)
		if err := w.PinError(); err != nil {
			return fmt.Errorf("agent: writers.cpus: %w", err)
		}
	}
	return nil
}

func newRing(mem *offheap.Region, slots, snap int) (*spray.Ring, error) {
	batches := make([]packet.Batch, slots)
	for i := range batches {
		b, err := newBatch(mem, snap)
		if err != nil {
			return nil, err
		}
		batches[i] = *b
	}
	return ringbuf.New(batches)
}

func newBatch(mem *offheap.Region, snap int) (*packet.Batch, error) {
	return packet.NewBatch(offheap.Carve[byte](mem, packet.BatchBytes(snap)), snap)
}

// attach gives the next free queues of the pipeline to an open source.
func (p *pipeline) attach(s *source, first int) error {
	recv := s.Queues()
	for i, r := range recv {
		if first+i >= len(p.queues) || p.queues[first+i].source != nil {
			return fmt.Errorf("agent: source %s has %d queues, more than are configured", s.name, len(recv))
		}
		q := p.queues[first+i]
		q.source, q.recv = s, r
		q.name = s.name + "/" + strconv.Itoa(i)
		s.queues = append(s.queues, q)
	}
	return nil
}

// receive is the capture goroutine of one queue.
func (p *pipeline) receive(q *queue, ended func(*queue, error)) {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	for {
		b := q.spray.Next(p.wait)
		err := q.recv.Recv(b, recvWait)
		q.spray.Commit(p.wait, b)
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) || errors.Is(err, capture.ErrClosed) {
			err = nil
		}
		ended(q, err)
		return
	}
}

// drain waits until the capture goroutines, whose sources are closed, have
// delivered what they had, and the writers have stored it.
func (p *pipeline) drain() {
	p.capturing.Wait()
	for _, w := range p.writers {
		w.Stop()
	}
	p.abandon()
}

// free gives the memory of the rings back.
func (p *pipeline) free() error { return p.memory.Free() }
