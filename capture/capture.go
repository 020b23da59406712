// Package capture defines where frames come from: the Source interface that
// every backend implements (one sub-package each) and the counters that it
// keeps. A backend copies slices into batches; it never parses, filters or
// decides what to keep.
package capture

import (
	"errors"
	"time"

	"github.com/confluo/confluo/packet"
)

// ErrClosed is returned by Queue.Recv after Source.Close.
var ErrClosed = errors.New("capture: source closed")

// A Source is one configured way in, open and running: a set of ports and of
// queues that deliver the ports' frames.
type Source interface {
	// Name is the name of the source in the configuration.
	Name() string
	// Queues returns the receive queues, in a fixed order. Each is used by one
	// goroutine at a time; different queues run in parallel.
	Queues() []Queue
	// Stats may be called from any goroutine at any time, also after Close,
	// when it returns the final counts.
	Stats() Stats
	// Close stops the source. A Recv under way returns ErrClosed, or the frames
	// it had; frames that were received from the device but not yet delivered
	// are delivered first or counted as drops. Close may be called from any
	// goroutine, once or more.
	Close() error
}

// A Queue delivers frames in the order in which the device gave them.
type Queue interface {
	// Recv appends frames to b, which has room for one at least, until it is
	// full. It returns as soon as at least one frame came, and with the batch as
	// it was and a nil error when none did within about wait (busy polling
	// meanwhile, if the backend is so configured). It returns io.EOF
	// when there will never be more (capture files), ErrClosed after Close, and
	// any other error when the queue has failed for good; b may hold frames
	// beside an error. A device that is down or gone for a while is no error:
	// Recv returns empty until it is back.
	//
	// Recv allocates nothing.
	Recv(b *packet.Batch, wait time.Duration) error
}

// Stats are the counters of a source since it was opened. They never go back,
// also when the device's own counters do (an interface that is removed and
// returns).
type Stats struct {
	Received uint64 // frames delivered through Recv
	Bytes    uint64 // their bytes on the wire
	Drops    []Drop // frames that the device saw and Recv did not deliver
	State    string // one word for status: "up", "down", "gone", "done", "failed"
	Detail   string // what an operator would want beside it, or empty
}

// A Drop is a count of lost frames with its cause.
type Drop struct {
	Cause string `json:"cause"` // such as "nic_imissed", "nic_rx_nombuf", "kernel_ring"
	N     uint64 `json:"n"`
}
