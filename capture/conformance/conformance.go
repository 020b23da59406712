// Package conformance is the test suite that every capture backend joins: what
// [capture.Source] and [capture.Queue] promise, checked from outside.
//
// A backend's test package describes itself in a [Harness] and calls [Run].
// The suite makes the frames ([Frames]), so that it can tell which frame it
// got back, whether it is whole, and whether one came twice or not at all.
// Frames that the suite did not make (a kernel greeting its neighbours on a
// veth) are counted but otherwise ignored.
package conformance

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/packet"
)

// A Harness says how a backend is started and what it can do. What it cannot
// do is declared here, so that the suite checks less of it, and visibly so.
type Harness struct {
	// Open starts a source, and registers with t whatever must be undone,
	// also when the test fails. The suite closes the source.
	Open func(t *testing.T, s Setup) Rig

	// Recorded: the frames are known before the source is opened (a capture
	// file): Setup.Frames holds them, the source delivers them with the times
	// given there, and then io.EOF. Otherwise the source is live: Rig.Send
	// puts frames on its wire and it never ends.
	Recorded bool

	// Window is how many frames a live source takes in before any is
	// received, without losing one: the suite never has more under way.
	// Default 64.
	Window int

	// MaxFrame is the longest frame that the backend takes, in bytes, at
	// least 256. Default 1514.
	MaxFrame int

	// Flood is how many frames, sent while nobody receives, are certainly
	// more than a source opened with Setup.Tiny can hold. Zero: the backend
	// cannot lose frames, or nobody counts what it loses; the suite then does
	// not check received + drops = sent under overload.
	Flood int
}

// A Setup is what the suite wants of one source.
type Setup struct {
	SnapLen int     // bytes of a frame to keep: the stride of the batches
	Frames  []Frame // for a recorded source: what it must deliver
	Tiny    bool    // with as little buffer as the backend can be given
}

// A Rig is one running source and the other end of its wire.
type Rig struct {
	Source capture.Source
	Name   string     // what Source.Name must return
	Port   uint16     // what every frame must bear as its port
	Dir    packet.Dir // what every frame must bear as its direction

	// Send puts frames on the wire, in order and from one CPU, and returns
	// when the last has been handed over. Nil for a recorded source.
	Send func(frames [][]byte) error
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	if h.Window == 0 {
		h.Window = 64
	}
	if h.MaxFrame == 0 {
		h.MaxFrame = 1514
	}
	const (
		both = iota
		recorded
		live
		overloadable
	)
	for _, c := range []struct {
		name string
		of   int // kind of source that this is asked of
		test func(*testing.T, Harness)
	}{
		{"every frame arrives once, in order, byte for byte", both, everyFrame},
		{"a frame is cut at the snap length and keeps its wire length", both, snapLength},
		{"a batch is never filled beyond its room", both, room},
		{"a queue without frames returns empty after about the wait", live, emptyAfterWait},
		{"a recorded source ends with io.EOF, again and again", recorded, endOfFile},
		{"Close ends a Recv under way", both, closeDuringRecv},
		{"Close may be called twice, Recv then returns ErrClosed", both, closeTwice},
		{"undelivered frames are accounted for at Close", live, closeUndelivered},
		{"received and drops add up to what was sent", overloadable, overload},
		{"Stats may be called at any time and never goes back", both, statsMonotone},
		{"Recv allocates nothing", both, allocates},
	} {
		if c.of == recorded && !h.Recorded || c.of == live && h.Recorded || c.of == overloadable && h.Flood == 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			c.test(t, h)
			goleak.VerifyNone(t, before)
		})
	}
}

// open starts a source that a subtest uses; it is closed at the end of the
// subtest at the latest.
func (h Harness) open(t *testing.T, s Setup) Rig {
	t.Helper()
	if !h.Recorded {
		s.Frames = nil
	}
	r := h.Open(t, s)
	if r.Source == nil {
		t.Fatal("the harness opened no source")
	}
	if got := r.Source.Name(); got != r.Name {
		t.Errorf("Name() = %q, want %q", got, r.Name)
	}
	if len(r.Source.Queues()) == 0 {
		t.Fatal("the source has no queue")
	}
	return r
}

// closeSource closes r's source, which must work.
func closeSource(t *testing.T, r Rig) {
	t.Helper()
	if err := r.Source.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func dropped(s capture.Stats) (n uint64) {
	for _, d := range s.Drops {
		n += d.N
	}
	return n
}

func newBatch(t *testing.T, stride int) *packet.Batch {
	t.Helper()
	b, err := packet.NewBatch(nil, stride)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// patience is how long the suite waits for something that must happen before
// it says that it did not. No test asserts that anything is fast.
var patience = 30 * time.Second

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		panic(fmt.Sprintf("%s: %s: not within %v", t.Name(), what, patience))
	}
}
