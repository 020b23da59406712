package conformance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/packet"
)

// A model is a source in memory that keeps every promise but one.
type model struct {
	fault    string
	live     bool
	frames   chan Frame
	closed   chan struct{}
	isClosed atomic.Bool
	received atomic.Uint64
	bytes    atomic.Uint64
	drops    atomic.Uint64
	n        int
	held     Frame // taken out of turn by a fault
	sink     []byte
}

// faults are the promises that a model can break, and a word of the failure
// that the suite must answer with.
var faults = map[string]string{
	"loses a frame":             "came 0 times",
	"repeats a frame":           "frame 3 after frame 3",
	"swaps two frames":          "after frame",
	"flips a bit":               "the bytes differ",
	"tells the cut length":      "wire length 96",
	"forgets the port":          "bears port 0",
	"forgets the direction":     "bears direction 0",
	"goes back in time":         "older than the frame before",
	"lives in another time":     "is not within the test",
	"writes over earlier rows":  "which was there before",
	"empties the batch":         "rows in a batch that had",
	"miscounts frames":          "received, but Recv delivered",
	"miscounts bytes":           "received, but Recv delivered",
	"invents a drop":            "but every frame came",
	"counts no drops":           "received",
	"forgets what it held":      "were sent",
	"returns at once":           "asked to wait",
	"fails when empty":          "Recv",
	"never ends":                "want io.EOF",
	"ends once":                 "want io.EOF",
	"is not done at the end":    "want done",
	"sleeps through Close":      "not within",
	"delivers after Close":      "not within",
	"closes once":               "Close() =",
	"lets its counters go back": "went back",
	"allocates":                 "allocates",
	"has another name":          "Name() =",
	"leaves a goroutine behind": "found unexpected goroutines",
}

const modelRing = 600 // frames that a live model holds

func newModel(fault string, s Setup, live bool) *model {
	m := &model{fault: fault, live: live, frames: make(chan Frame, modelRing), closed: make(chan struct{})}
	if !live {
		m.frames = make(chan Frame, len(s.Frames))
		for _, f := range s.Frames {
			m.frames <- f
		}
		close(m.frames)
	}
	if fault == "leaves a goroutine behind" {
		go func() { select {} }()
	}
	return m
}

func (m *model) Name() string {
	if m.fault == "has another name" {
		return "other"
	}
	return "model"
}

func (m *model) Queues() []capture.Queue { return []capture.Queue{m} }

func (m *model) send(frames [][]byte) error {
	for _, f := range frames {
		select {
		case m.frames <- Frame{f, time.Now()}:
		default:
			m.drops.Add(1)
		}
	}
	return nil
}

func (m *model) Close() error {
	if m.isClosed.Swap(true) {
		if m.fault == "closes once" {
			return errors.New("closed already")
		}
		return nil
	}
	if m.live && m.fault != "forgets what it held" {
		m.drops.Add(uint64(len(m.frames)))
	}
	close(m.closed)
	return nil
}

func (m *model) Stats() capture.Stats {
	st := capture.Stats{Received: m.received.Load(), Bytes: m.bytes.Load(), State: "up",
		Drops: []capture.Drop{{Cause: "ring", N: m.drops.Load()}}}
	if !m.live && len(m.frames) == 0 && m.fault != "is not done at the end" {
		st.State = "done"
	}
	switch m.fault {
	case "miscounts frames":
		st.Received++
	case "miscounts bytes":
		st.Bytes++
	case "invents a drop":
		st.Drops[0].N++
	case "counts no drops":
		st.Drops = nil
	case "lets its counters go back":
		st.Received += uint64(time.Now().UnixNano() % 7)
	}
	return st
}

func (m *model) Recv(b *packet.Batch, wait time.Duration) error {
	if m.isClosed.Load() && m.fault != "delivers after Close" {
		return capture.ErrClosed
	}
	switch m.fault {
	case "allocates":
		m.sink = make([]byte, 64)
	case "writes over earlier rows":
		b.WireLen[0] = 1
	case "empties the batch":
		b.N = 0
	case "returns at once":
		wait = 0
	}
	start := b.N
	for !b.Full() {
		var f Frame
		var ok bool
		select {
		case f, ok = <-m.frames:
		default:
			if b.N > start {
				return nil
			}
			if m.fault == "fails when empty" {
				return errors.New("nothing there")
			}
			closed := m.closed
			if m.fault == "sleeps through Close" {
				closed = nil
			}
			select {
			case f, ok = <-m.frames:
			case <-closed:
				return capture.ErrClosed
			case <-after(wait):
				return nil
			}
		}
		if !ok {
			return m.end(b, start)
		}
		m.deliver(b, f)
	}
	return nil
}

// after is time.After without an allocation for short waits.
func after(wait time.Duration) <-chan time.Time {
	if wait <= time.Millisecond {
		time.Sleep(wait)
		return past
	}
	return time.After(wait)
}

var past = func() chan time.Time { c := make(chan time.Time); close(c); return c }()

func (m *model) end(b *packet.Batch, start int) error {
	if b.N > start {
		return nil
	}
	m.n++
	switch {
	case m.fault == "never ends" && m.isClosed.Load():
		return capture.ErrClosed
	case m.fault == "never ends":
		return errors.New("want io.EOF, but never")
	case m.fault == "ends once" && m.n%2 == 0:
		return nil
	}
	return io.EOF
}

func (m *model) deliver(b *packet.Batch, f Frame) {
	port, dir, ts := uint16(3), packet.DirOut, f.Time.UnixNano()
	data := f.Data
	seq, _ := seqOf(data)
	switch {
	case m.fault == "loses a frame" && seq == 3:
		return
	case m.fault == "swaps two frames" && seq == 3:
		m.held = f
		return
	case m.fault == "flips a bit" && seq == 3:
		data = slices.Clone(data)
		data[len(data)-1] ^= 1
		if len(data) > b.Stride {
			data[b.Stride-1] ^= 1
		}
	case m.fault == "forgets the port":
		port = 0
	case m.fault == "forgets the direction":
		dir = packet.DirUnknown
	case m.fault == "goes back in time" && seq == 3:
		ts -= 1e6
	case m.fault == "lives in another time":
		ts += 3600e9
	}
	wire := uint32(len(data))
	if m.fault == "tells the cut length" {
		wire = min(wire, uint32(b.Stride))
	}
	m.append(b, data, ts, wire, port, dir)
	if m.fault == "repeats a frame" && seq == 3 && !b.Full() {
		m.append(b, data, ts, wire, port, dir)
	}
	if m.held.Data != nil && !b.Full() {
		m.append(b, m.held.Data, ts, uint32(len(m.held.Data)), port, dir)
		m.held.Data = nil
	}
}

func (m *model) append(b *packet.Batch, data []byte, ts int64, wire uint32, port uint16, dir packet.Dir) {
	b.Append(data, ts, wire, port, dir)
	m.received.Add(1)
	m.bytes.Add(uint64(wire))
}

func harness(fault string, live bool) Harness {
	h := Harness{
		Recorded: !live,
		Open: func(t *testing.T, s Setup) Rig {
			m := newModel(fault, s, live)
			r := Rig{Source: m, Name: "model", Port: 3, Dir: packet.DirOut}
			if live {
				r.Send = m.send
			}
			return r
		},
	}
	if live {
		h.Flood = 2 * modelRing
	}
	return h
}

const faultKey = "CONFLUO_CONFORMANCE_FAULT"

// TestModel is the suite itself: on a model without a fault, and, in a process
// of its own, on one with the fault that the environment names.
func TestModel(t *testing.T) {
	fault := os.Getenv(faultKey)
	if fault != "" {
		patience = 500 * time.Millisecond
	}
	t.Run("recorded", func(t *testing.T) { Run(t, harness(fault, false)) })
	t.Run("live", func(t *testing.T) { Run(t, harness(fault, true)) })
}

func TestEachBrokenPromiseIsFound(t *testing.T) {
	if os.Getenv(faultKey) != "" {
		return
	}
	for fault, word := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestModel$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s", faultKey, fault))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), word) {
				t.Errorf("%v, without %q:\n%s", err, word, out)
			}
		})
	}
}
