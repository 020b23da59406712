package afpacket

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/conformance"
	"github.com/confluo/confluo/internal/nettest"
	"github.com/confluo/confluo/packet"
)

// A wire is a veth between two namespaces: what is sent on one end is captured
// on the other.
type wire struct {
	t            testing.TB
	lab          *nettest.Lab
	here, there  *nettest.Namespace
	tx, rx       string
	sock, sentOn int
}

func newWire(t testing.TB) *wire {
	lab := nettest.New(t)
	w := &wire{t: t, lab: lab, here: lab.Namespace("capture"), there: lab.Namespace("sender"), tx: "tx0", rx: "rx0", sock: -1}
	w.plug()
	t.Cleanup(func() { unix.Close(w.sock) })
	return w
}

// plug joins the namespaces.
func (w *wire) plug() {
	w.t.Helper()
	w.lab.Veth(nettest.End{NS: w.here, Name: w.rx}, nettest.End{NS: w.there, Name: w.tx})
	unix.Close(w.sock)
	w.sock = w.socket(w.there, w.tx)
}

// socket opens a socket that sends frames from an interface.
func (w *wire) socket(ns *nettest.Namespace, name string) (fd int) {
	w.t.Helper()
	err := ns.Do(func() error {
		var err error
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		l, err := findLink(fd, name)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: l.index, Protocol: 0})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return fd
}

// send sends frames to the capturing end.
func (w *wire) send(frames [][]byte) error { return sendOn(w.sock, frames) }

// sendOn sends from one CPU, so that frames cannot overtake each other.
func sendOn(fd int, frames [][]byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	defer unix.SchedSetaffinity(0, &before)
	for i, f := range frames {
		if _, err := unix.Write(fd, f); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
	}
	return nil
}

// open starts a source on the capturing end.
func (w *wire) open(o Options) *Source {
	w.t.Helper()
	if o.Name == "" {
		o.Name = "wire"
	}
	if o.Interface == "" {
		o.Interface = w.rx
	}
	if o.Port == nil {
		o.Port = func(string, packet.LinkType) (uint16, error) { return 5, nil }
	}
	if o.BlockTimeout == 0 {
		o.BlockTimeout = 2 * time.Millisecond
	}
	var s *Source
	err := w.here.Do(func() (err error) {
		s, err = Open(o)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"one queue":                  {},
		"two queues by hash":         {Queues: 2},
		"three queues round robin":   {Queues: 3, Fanout: FanoutLoadBalance},
		"two queues by CPU":          {Queues: 2, Fanout: FanoutCPU},
		"two queues by rollover":     {Queues: 2, Fanout: FanoutRollover},
		"two queues by device queue": {Queues: 2, Fanout: FanoutQueue},
		"promiscuous, in only":       {Promiscuous: true, Direction: DirectionIn},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			conformance.Run(t, conformance.Harness{
				Window: 128,
				Flood:  3000,
				Open: func(t *testing.T, s conformance.Setup) conformance.Rig {
					o := o
					o.BlockSize = 64 << 10
					if s.Tiny {
						o.BlockSize, o.Blocks = 4096, 4
					}
					src := w.open(o)
					return conformance.Rig{Source: src, Name: "wire", Port: 5, Dir: packet.DirIn, Send: w.send}
				},
			})
		})
	}
}

// A frame is one that a test received.
type frame struct {
	data string
	ts   int64
	wire uint32
	port uint16
	dir  packet.Dir
}

// receive receives from all queues in turn until n frames came, or none for a
// long while.
func receive(t testing.TB, s *Source, n int) []frame {
	t.Helper()
	b, err := packet.NewBatch(nil, 9000)
	if err != nil {
		t.Fatal(err)
	}
	var out []frame
	deadline := time.Now().Add(20 * time.Second)
	for len(out) < n {
		if time.Now().After(deadline) {
			t.Fatalf("%d frames came, want %d; %+v", len(out), n, s.Stats())
		}
		for _, q := range s.Queues() {
			b.N = 0
			if err := q.Recv(b, 5*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			for i := range b.N {
				out = append(out, frame{string(b.Slice(i)), b.Ts[i], b.WireLen[i], b.Port[i], packet.Dir(b.Dir[i])})
			}
		}
	}
	return out
}

// eventually waits for something that must happen.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 20 s: %s", what)
		}
	}
}

func drops(s capture.Stats, cause string) uint64 {
	for _, d := range s.Drops {
		if d.Cause == cause {
			return d.N
		}
	}
	return 0
}

func TestKernelDropsAddUpWhileTheReaderIsSlow(t *testing.T) {
	w := newWire(t)
	for _, queues := range []int{1, 2} {
		t.Run(fmt.Sprint(queues, " queues"), func(t *testing.T) {
			s := w.open(Options{Queues: queues, BlockSize: 4096, Blocks: 4})
			const n = 20000
			var frames [][]byte
			for _, f := range conformance.Frames(n, 400) {
				frames = append(frames, f.Data)
			}
			var stop atomic.Bool
			done := make(chan uint64)
			for _, q := range s.Queues() {
				go func() {
					b, err := packet.NewBatch(nil, 128)
					if err != nil {
						t.Error(err)
					}
					got := uint64(0)
					for {
						last := stop.Load()
						b.N = packet.ChunkSize - 3
						if err := q.Recv(b, 10*time.Millisecond); err != nil {
							t.Error(err)
							break
						}
						if n := b.N - (packet.ChunkSize - 3); n > 0 {
							got += uint64(n)
							time.Sleep(100 * time.Microsecond)
						} else if last {
							break
						}
					}
					done <- got
				}()
			}
			if err := w.send(frames); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the ledger adds up", func() bool {
				st := s.Stats()
				return st.Received+drops(st, "kernel_ring") == n
			})
			stop.Store(true)
			var got uint64
			for range s.Queues() {
				got += <-done
			}
			st := s.Stats()
			if got != st.Received || got+drops(st, "kernel_ring") != n {
				t.Errorf("%d delivered; %+v; want %d in all", got, st, n)
			}
			if drops(st, "kernel_ring") == 0 {
				t.Error("no drop: the reader was not slow enough for this test to show anything")
			}
			s.Close()
			if after := s.Stats(); after.Received != st.Received || drops(after, "kernel_ring") != drops(st, "kernel_ring") || drops(after, "closed") != 0 {
				t.Errorf("Stats after Close: %+v, before: %+v", after, st)
			}
		})
	}
}

func TestFramesStillInTheRingAreCountedAtClose(t *testing.T) {
	w := newWire(t)
	s := w.open(Options{Queues: 2})
	var frames [][]byte
	for _, f := range conformance.Frames(300, 400) {
		frames = append(frames, f.Data)
	}
	if err := w.send(frames); err != nil {
		t.Fatal(err)
	}
	got := len(receive(t, s, 1))
	eventually(t, "all frames are in the rings", func() bool {
		var packets uint64
		for _, r := range s.watch.rings {
			p, _, _ := r.counts()
			packets += p
		}
		return packets == 300
	})
	s.Close()
	st := s.Stats()
	if st.Received != uint64(got) || drops(st, "closed") != uint64(300-got) || st.State != "done" {
		t.Errorf("%+v, want %d received and the rest of 300 dropped by close", st, got)
	}
}
