package agent

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/internal/nettest"
)

// A wire is a veth pair: frames sent from far arrive at near.
type wire struct {
	lab       *nettest.Lab
	near, far *nettest.Namespace
	fd        int
}

func newWire(t *testing.T) *wire {
	t.Helper()
	lab := nettest.New(t)
	w := &wire{lab: lab, near: lab.Namespace("near"), far: lab.Namespace("far"), fd: -1}
	t.Cleanup(func() { unix.Close(w.fd) })
	w.plug(t)
	return w
}

// plug joins the ends, anew if they were unplugged.
func (w *wire) plug(t *testing.T) {
	t.Helper()
	w.lab.Veth(nettest.End{NS: w.near, Name: "vnear"}, nettest.End{NS: w.far, Name: "vfar"})
	unix.Close(w.fd)
	err := w.far.Do(func() (err error) {
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		link, err := netlink.LinkByName("vfar")
		if err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *wire) unplug(t *testing.T) { w.near.DelLink(t, "vnear") }

// send sends frames with the numbers from..to-1.
func (w *wire) send(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := unix.Write(w.fd, frame(i)); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
}

// startAt runs an agent in the namespace of the near end.
func (w *wire) startAt(t *testing.T, yaml string) *Agent {
	t.Helper()
	a := New(configure(t, yaml), Options{Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	if err := w.near.Do(func() error { return a.Start(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.State() == "running" {
			stop(t, a)
		}
	})
	return a
}

// interfaceSources are configurations of one source on vnear; the build tag
// dpdk adds one.
var interfaceSources = map[string]string{
	"afpacket": `
sources: [{name: nic, afpacket: {interface: vnear, queues: 2}}]
multilog: {memory: 16MiB}
`,
}

func TestLedgerIsExactAfterAnInterfaceWasRemovedAndReturned(t *testing.T) {
	for name, yaml := range interfaceSources {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			a := w.startAt(t, yaml)
			watchLedger(t, a)
			state := func() string { return a.Status().Sources[0].State }
			const n = 3000
			for round := range 3 {
				waitFor(t, "the interface is up", func() bool { return state() == "up" })
				w.send(t, round*n, (round+1)*n)
				waitFor(t, "what was sent is accounted for", func() bool { return a.Ledger().Received >= uint64((round+1)*n) })
				w.unplug(t)
				waitFor(t, "the interface is gone", func() bool { return state() == "gone" })
				w.plug(t)
			}
			waitFor(t, "all is stored", func() bool { return a.Ledger().InFlight == 0 })
			held := numbers(t, a)
			l := stop(t, a)
			if l.Received != 3*n || l.Stored != uint64(len(held)) || l.Stored+lost(l) != 3*n {
				t.Errorf("sent %d, held %d, ledger %+v", 3*n, len(held), l)
			}
			seen := map[uint32]bool{}
			for _, k := range held {
				if seen[k] || k >= 3*n {
					t.Fatalf("frame %d came twice, or was never sent", k)
				}
				seen[k] = true
			}
		})
	}
}

func TestLedgerIsExactWhenAnInterfaceGoesInTheMiddleOfABurst(t *testing.T) {
	for name, yaml := range interfaceSources {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			a := w.startAt(t, yaml)
			watchLedger(t, a)
			var sent atomic.Uint64
			var wg sync.WaitGroup
			fd := w.fd
			wg.Go(func() {
				for i := 0; ; i++ {
					_, err := unix.Write(fd, frame(i))
					if errors.Is(err, unix.ENOBUFS) {
						continue
					}
					if err != nil {
						return // the interface is gone
					}
					sent.Add(1)
				}
			})
			waitFor(t, "frames come", func() bool { return a.Ledger().Received > 1000 })
			w.unplug(t)
			wg.Wait()
			waitFor(t, "the interface is gone", func() bool { return a.Status().Sources[0].State == "gone" })
			if err := a.Ready(); err != nil {
				t.Errorf("an agent whose interface is gone for a while is not ready: %v", err)
			}
			l := stop(t, a)
			// What was on the wire when it was cut nobody saw.
			if l.Received > sent.Load() || l.Received < 1000 {
				t.Errorf("sent %d, ledger %+v", sent.Load(), l)
			}
		})
	}
}

func TestStopInTheMiddleOfABurstFromAnInterface(t *testing.T) {
	for name, yaml := range interfaceSources {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			a := w.startAt(t, yaml)
			quit := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-quit:
						return
					default:
					}
					if _, err := unix.Write(w.fd, frame(i)); err != nil && !errors.Is(err, unix.ENOBUFS) {
						t.Error(err)
						return
					}
				}
			})
			waitFor(t, "frames come", func() bool { return a.Ledger().Received > 1000 })
			time.Sleep(time.Millisecond)
			l := stop(t, a)
			close(quit)
			wg.Wait()
			if l.Stored != a.log.WriteTail() || l.Stored == 0 {
				t.Errorf("ledger %+v, %d claimed", l, a.log.WriteTail())
			}
		})
	}
}
