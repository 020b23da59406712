// Package archiver hands sealed segments to what keeps history, before memory
// gives them up.
package archiver

import (
	"context"
	"fmt"
	"time"

	"github.com/confluo/confluo/multilog"
)

// An Archiver keeps headers that leave memory.
type Archiver interface {
	// Archive keeps the headers with offsets from..to-1, one whole segment of
	// log, all published. When it returns nil they are safe, and memory may give
	// them up. It may read them by Scan and must not keep log memory afterwards.
	Archive(ctx context.Context, log *multilog.Log, from, to uint64) error
}

// OnFull says what gives way when memory is full and the archiver is behind.
type OnFull uint8

// The policies.
const (
	// DropOldest lets memory give up segments that are not archived; they are
	// counted. Capture goes on.
	DropOldest OnFull = iota
	// Block keeps them, so that a full memory refuses new headers, which spray
	// drops and counts or waits for, as it is set.
	Block
)

// Options say how Run works.
type Options struct {
	OnFull OnFull
	Poll   time.Duration // how often to look for a sealed segment (default 50 ms)
	// Lost is told of headers that memory gave up before they were archived.
	Lost func(headers uint64)
	// Failed is told of an error of Archive; the segment is tried again after
	// Poll, for as long as memory holds it.
	Failed func(error)
}

// Run gives a every segment of log in turn, from the oldest held on, as soon as
// it is full and published, until ctx ends.
func Run(ctx context.Context, log *multilog.Log, a Archiver, o Options) {
	if o.Poll == 0 {
		o.Poll = 50 * time.Millisecond
	}
	size := uint64(log.Options().SegmentHeaders)
	pos := log.First() &^ (size - 1)
	var hold *multilog.Hold
	if o.OnFull == Block {
		hold = log.Hold(pos)
		defer hold.Release()
	}
	tick := time.NewTicker(o.Poll)
	defer tick.Stop()
	for {
		if first := log.First(); first > pos {
			if o.Lost != nil {
				o.Lost(first - pos)
			}
			pos = first
		}
		if pos+size <= log.ReadTail() {
			err := a.Archive(ctx, log, pos, pos+size)
			if err == nil {
				pos += size
				if hold != nil {
					hold.Advance(pos)
				}
				continue
			}
			if o.Failed != nil && ctx.Err() == nil {
				o.Failed(fmt.Errorf("archiver: headers %d to %d: %w", pos, pos+size, err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
