package afpacket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/net/bpf"

	"github.com/confluo/confluo/capture/conformance"
	"github.com/confluo/confluo/internal/nettest"
	"github.com/confluo/confluo/packet"
)

// some returns n frames of the suite's.
func some(n int) [][]byte {
	var out [][]byte
	for _, f := range conformance.Frames(n, 600) {
		out = append(out, f.Data)
	}
	return out
}

func TestDirectionSelectsWhatIsSeen(t *testing.T) {
	w := newWire(t)
	out := w.socket(w.here, w.rx)
	for _, queues := range []int{1, 2} {
		for direction, want := range map[string]map[packet.Dir]int{
			"":            {packet.DirIn: 20, packet.DirOut: 30},
			DirectionBoth: {packet.DirIn: 20, packet.DirOut: 30},
			DirectionIn:   {packet.DirIn: 20},
			DirectionOut:  {packet.DirOut: 30},
		} {
			t.Run(fmt.Sprintf("%d queues, %q", queues, direction), func(t *testing.T) {
				s := w.open(Options{Direction: direction, Queues: queues})
				defer s.Close()
				if err := w.send(some(20)); err != nil {
					t.Fatal(err)
				}
				if err := sendOn(out, some(30)); err != nil {
					t.Fatal(err)
				}
				got := make(map[packet.Dir]int)
				for _, f := range receive(t, s, want[packet.DirIn]+want[packet.DirOut]) {
					got[f.dir]++
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("directions %v, want %v", got, want)
				}
				// What was refused has passed the same sockets before what came.
				s.Close()
				if st := s.Stats(); st.Received != uint64(want[packet.DirIn]+want[packet.DirOut]) || drops(st, "closed") != 0 {
					t.Errorf("%+v", st)
				}
			})
		}
	}
}

// The kernel takes VLAN tags off and tells of them beside the frame. What is
// captured must be what was sent.
func TestVLANTagsArePutBack(t *testing.T) {
	w := newWire(t)
	plain := conformance.Frames(3, 300)[2].Data
	tag := func(f []byte, tpid, tci uint16) []byte {
		out := append([]byte(nil), f[:12]...)
		out = binary.BigEndian.AppendUint16(out, tpid)
		out = binary.BigEndian.AppendUint16(out, tci)
		return append(out, f[12:]...)
	}
	frames := [][]byte{
		plain,
		tag(plain, 0x8100, 0x6064),
		tag(plain, 0x88a8, 0x0fff),
		tag(tag(plain, 0x8100, 7), 0x88a8, 0xe001), // QinQ
		tag(plain, 0x8100, 0),                      // priority tag
	}
	s := w.open(Options{})
	if err := w.send(frames); err != nil {
		t.Fatal(err)
	}
	for i, f := range receive(t, s, len(frames)) {
		if f.data != string(frames[i]) || int(f.wire) != len(frames[i]) {
			t.Errorf("frame %d: % x (%d on the wire), want % x", i, f.data, f.wire, frames[i])
		}
	}

	// A short stride cuts a tagged frame where it cuts any other.
	for _, stride := range []int{4, 12, 14, 16, 17, 60} {
		if err := w.send(frames[1:2]); err != nil {
			t.Fatal(err)
		}
		b, err := packet.NewBatch(nil, stride)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "a frame", func() bool {
			if err := s.Queues()[0].Recv(b, time.Millisecond); err != nil {
				t.Fatal(err)
			}
			return b.N == 1
		})
		if !bytes.Equal(b.Slice(0), frames[1][:stride]) || int(b.WireLen[0]) != len(frames[1]) {
			t.Errorf("stride %d: % x, want % x", stride, b.Slice(0), frames[1][:stride])
		}
	}
}

func TestSnapLengthAndFilterAreAppliedByTheKernel(t *testing.T) {
	w := newWire(t)
	// ldb [23] (IP protocol) of frame; accept what tcpdump would, "all" bytes,
	// if the source port is one of the even flows.
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 34, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 1, SkipTrue: 1},
		bpf.RetConstant{Val: 262144},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, direction := range []string{DirectionBoth, DirectionIn} {
		s := w.open(Options{SnapLen: 80, Filter: filter, Direction: direction})
		frames := some(40)
		if err := w.send(frames); err != nil {
			t.Fatal(err)
		}
		got := receive(t, s, 20)
		for i, f := range got {
			want := frames[2*i]
			if f.data != string(want[:min(80, len(want))]) || int(f.wire) != len(want) {
				t.Errorf("frame %d: %d bytes kept of %d, want the first 80 of %d", i, len(f.data), f.wire, len(want))
			}
		}
		s.Close()
		if st := s.Stats(); st.Received != 20 || drops(st, "closed")+drops(st, "kernel_ring") != 0 {
			t.Errorf("refused frames count: %+v", st)
		}
	}
}

func TestPromiscuousModeIsSetWhileTheSourceIsOpen(t *testing.T) {
	w := newWire(t)
	promiscuous := func() bool {
		return strings.Contains(string(w.here.Run(t, "ip", "-d", "link", "show", w.rx)), "promiscuity 1")
	}
	s := w.open(Options{Promiscuous: true})
	if !promiscuous() {
		t.Error("not promiscuous")
	}
	s.Close()
	if promiscuous() {
		t.Error("promiscuous after Close")
	}
}

func TestInterfaceDownIsWaitedOut(t *testing.T) {
	w := newWire(t)
	for _, queues := range []int{1, 2} {
		s := w.open(Options{Queues: queues})
		if st := s.Stats(); st.State != "up" {
			t.Errorf("state %q (%s), want up", st.State, st.Detail)
		}
		if err := w.send(some(10)); err != nil {
			t.Fatal(err)
		}
		receive(t, s, 10)
		w.here.SetLink(t, w.rx, false)
		eventually(t, "state is down", func() bool { return s.Stats().State == "down" })
		b, err := packet.NewBatch(nil, 128)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			for _, q := range s.Queues() {
				if err := q.Recv(b, time.Millisecond); err != nil || b.N != 0 {
					t.Errorf("Recv while down: %d frames, %v", b.N, err)
				}
			}
		}
		w.here.SetLink(t, w.rx, true)
		eventually(t, "state is up", func() bool { return s.Stats().State == "up" })
		if err := w.send(some(10)); err != nil {
			t.Fatal(err)
		}
		receive(t, s, 10)
		s.Close()
		if st := s.Stats(); st.Received != 20 || drops(st, "closed")+drops(st, "kernel_ring") != 0 {
			t.Errorf("%+v, want 20 received", st)
		}
	}
}

func TestOpenOnAnInterfaceThatIsDown(t *testing.T) {
	w := newWire(t)
	w.here.SetLink(t, w.rx, false)
	for _, queues := range []int{1, 2} {
		s := w.open(Options{Queues: queues})
		if st := s.Stats(); st.State != "down" {
			t.Errorf("state %q, want down", st.State)
		}
		w.here.SetLink(t, w.rx, true)
		eventually(t, "state is up", func() bool { return s.Stats().State == "up" })
		if err := w.send(some(10)); err != nil {
			t.Fatal(err)
		}
		receive(t, s, 10)
		s.Close()
		w.here.SetLink(t, w.rx, false)
	}
}

func TestInterfaceThatIsRemovedAndReturnsGoesOnWithNothingLost(t *testing.T) {
	for _, queues := range []int{1, 3} {
		t.Run(fmt.Sprint(queues, " queues"), func(t *testing.T) {
			w := newWire(t)
			s := w.open(Options{Queues: queues, BlockTimeout: 50 * time.Millisecond})
			total := 0
			for round := range 3 {
				// These are still in the ring when the interface goes.
				if err := w.send(some(25)); err != nil {
					t.Fatal(err)
				}
				before := s.Stats()
				w.here.DelLink(t, w.rx)
				eventually(t, "state is gone", func() bool { return s.Stats().State == "gone" })
				if round == 1 { // come back before the ring is read
					w.plug()
					eventually(t, "state is up", func() bool { return s.Stats().State == "up" })
				}
				if got := receive(t, s, 25); len(got) != 25 {
					t.Errorf("%d frames came", len(got))
				}
				total += 25
				if round != 1 {
					w.plug()
					eventually(t, "state is up", func() bool { return s.Stats().State == "up" })
				}
				if err := w.send(some(10)); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, s, 10); len(got) != 10 {
					t.Errorf("%d frames came after the return", len(got))
				}
				total += 10
				after := s.Stats()
				if after.Received < before.Received || after.Received != uint64(total) || drops(after, "kernel_ring")+drops(after, "closed") != 0 {
					t.Errorf("%+v, want %d received", after, total)
				}
			}
			s.Close()
			if st := s.Stats(); st.Received != uint64(total) || drops(st, "closed")+drops(st, "kernel_ring") != 0 {
				t.Errorf("after Close: %+v, want %d", st, total)
			}
		})
	}
}

func TestInterfaceThatReturnsTwiceUnreadLosesNoCount(t *testing.T) {
	w := newWire(t)
	s := w.open(Options{Queues: 2})
	for range 4 {
		if err := w.send(some(10)); err != nil {
			t.Fatal(err)
		}
		w.here.DelLink(t, w.rx)
		eventually(t, "state is gone", func() bool { return s.Stats().State == "gone" })
		w.plug()
		eventually(t, "state is up", func() bool { return s.Stats().State == "up" })
	}
	if err := w.send(some(10)); err != nil {
		t.Fatal(err)
	}
	receive(t, s, 10)
	s.Close()
	if st := s.Stats(); st.Received != 10 || drops(st, "closed") != 40 || drops(st, "kernel_ring") != 0 {
		t.Errorf("%+v, want 10 received, and 40 dropped with the rings that nobody read", st)
	}
}

func TestInterfaceThatReturnsWithAnotherLinkTypeHasAnotherPort(t *testing.T) {
	w := newWire(t)
	ports := make(chan string, 10)
	n := uint16(0)
	s := w.open(Options{Port: func(name string, l packet.LinkType) (uint16, error) {
		ports <- fmt.Sprintf("%s %d", name, l)
		n++
		return n, nil
	}})
	w.here.DelLink(t, w.rx)
	eventually(t, "state is gone", func() bool { return s.Stats().State == "gone" })
	w.here.Run(t, "ip", "tuntap", "add", "dev", w.rx, "mode", "tun") // bare IP
	w.here.Run(t, "ip", "link", "set", w.rx, "up")
	for _, want := range []string{"rx0 1", "rx0 101"} {
		select {
		case got := <-ports:
			if got != want {
				t.Errorf("port %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("port %q was not entered", want)
		}
	}
}

// Frames of "any" come with a Linux cooked header, which gopacket does not
// know; it is read by hand, and what follows by gopacket.
func TestAnyCapturesAllInterfacesWithACookedHeader(t *testing.T) {
	w := newWire(t)
	w.lab.Veth(nettest.End{NS: w.here, Name: "rx1"}, nettest.End{NS: w.there, Name: "tx1"})
	for _, queues := range []int{1, 2} {
		var typ packet.LinkType
		s := w.open(Options{Interface: Any, Queues: queues, Port: func(_ string, l packet.LinkType) (uint16, error) {
			typ = l
			return 9, nil
		}})
		if typ != packet.LinkSLL2 {
			t.Errorf("link type %d", typ)
		}
		plain := conformance.Frames(3, 300)[2].Data
		tagged := append(append(append([]byte(nil), plain[:12]...), 0x81, 0, 0x20, 5), plain[12:]...)
		first, second := w.sock, w.socket(w.there, "tx1")
		out := w.socket(w.here, "rx1")
		for _, send := range []struct {
			fd    int
			frame []byte
		}{{first, plain}, {second, tagged}, {out, plain}} {
			if err := sendOn(send.fd, [][]byte{send.frame}); err != nil {
				t.Fatal(err)
			}
		}
		index := func(name string) uint32 {
			var l link
			err := w.here.Do(func() (err error) {
				l, err = findLink(s.control, name)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return uint32(l.index)
		}
		type seen struct {
			proto   uint16
			ifindex uint32
			dir     packet.Dir
			kind    byte
		}
		got := make(map[seen]int)
		for _, f := range receive(t, s, 3) {
			h := []byte(f.data[:sllBytes])
			got[seen{binary.BigEndian.Uint16(h), binary.BigEndian.Uint32(h[4:]), f.dir, h[10]}]++
			rest := []byte(f.data[sllBytes:])
			want := plain[14:]
			if h[0] == 0x81 {
				want = tagged[14:]
			}
			if !bytes.Equal(rest, want) || int(f.wire) != len(want)+sllBytes || f.port != 9 {
				t.Errorf("after the header: % x, want % x", rest, want)
			}
			if hatype := binary.BigEndian.Uint16(h[8:]); hatype != 1 || h[11] != 6 || !bytes.Equal(h[12:18], plain[6:12]) {
				t.Errorf("header % x: want an Ethernet address % x", h, plain[6:12])
			}
			if h[0] != 0x81 {
				p := gopacket.NewPacket(rest, layers.LayerTypeIPv4, gopacket.Default)
				if p.ErrorLayer() != nil || p.Layer(layers.LayerTypeUDP) == nil {
					t.Errorf("gopacket: %v", p)
				}
			}
		}
		const otherHost, outgoing = 3, 4 // the frames are addressed to nobody here
		want := map[seen]int{
			{0x0800, index("rx0"), packet.DirIn, otherHost}: 1,
			{0x8100, index("rx1"), packet.DirIn, otherHost}: 1,
			{0x0800, index("rx1"), packet.DirOut, outgoing}: 1,
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		s.Close()
	}
}

func TestLoopbackFramesAreSeenOnce(t *testing.T) {
	ns := nettest.New(t).Namespace("lo")
	for _, name := range []string{"lo", Any} {
		w := &wire{t: t, here: ns, rx: name}
		s := w.open(Options{})
		ns.Run(t, "ping", "-c", "3", "-i", "0.01", "-s", "100", "127.0.0.1")
		got := receive(t, s, 6) // requests and replies
		s.Close()
		if st := s.Stats(); len(got) != 6 || st.Received != 6 || drops(st, "closed") != 0 {
			t.Errorf("%s: %d frames; %+v", name, len(got), st)
		}
	}
}

// Real TCP, captured whole: every frame that the interface counted.
func TestRealTCPIsCapturedWhole(t *testing.T) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		nettest.Skip(t, "this machine has no iperf3: %v", err)
	}
	lab := nettest.New(t)
	a, b := lab.Namespace("client"), lab.Namespace("server")
	lab.Veth(nettest.End{NS: a, Name: "va", Addr: "10.7.0.1/24"}, nettest.End{NS: b, Name: "vb", Addr: "10.7.0.2/24"})
	w := &wire{t: t, here: b, rx: "vb"}
	before := b.Counters(t, "vb")
	s := w.open(Options{Queues: 2, Blocks: 64, BlockSize: 1 << 20, SnapLen: 96})
	var got [2]struct {
		dirs  [3]uint64
		bytes [3]uint64
	}
	stop := make(chan struct{})
	done := make(chan error)
	for i, q := range s.Queues() {
		go func() {
			batch, err := packet.NewBatch(nil, 96)
			for err == nil {
				batch.N = 0
				if err = q.Recv(batch, 20*time.Millisecond); err != nil {
					break
				}
				for r := range batch.N {
					got[i].dirs[batch.Dir[r]]++
					got[i].bytes[batch.Dir[r]] += uint64(batch.WireLen[r])
				}
				if batch.N == 0 {
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
				}
			}
			done <- err
		}()
	}
	server := b.Start(t, "iperf3", "-s", "-1")
	eventually(t, "iperf3 listens", func() bool {
		return strings.Contains(string(b.Run(t, "ss", "-Hltn", "sport = :5201")), "5201")
	})
	a.Run(t, "iperf3", "-c", "10.7.0.2", "-n", "30M", "-P", "4")
	if _, errs, err := server.Wait(); err != nil {
		t.Fatalf("iperf3: %v %s", err, errs)
	}
	// The interface counts what it sends and receives without this source.
	var sum struct{ dirs, bytes [3]uint64 }
	eventually(t, "all frames are in the ledger", func() bool {
		now, st := b.Counters(t, "vb"), s.Stats()
		return st.Received+drops(st, "kernel_ring") == now.RxPackets-before.RxPackets+now.TxPackets-before.TxPackets
	})
	close(stop)
	for range s.Queues() {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	after := b.Counters(t, "vb")
	for _, g := range got {
		for d := range sum.dirs {
			sum.dirs[d] += g.dirs[d]
			sum.bytes[d] += g.bytes[d]
		}
	}
	st := s.Stats()
	if n := drops(st, "kernel_ring"); n != 0 {
		// A machine too slow to keep up with 64 MiB of ring: the ledger, which
		// added up above, is all that can be checked.
		if sum.dirs[packet.DirIn]+sum.dirs[packet.DirOut] != st.Received {
			t.Errorf("%v frames delivered, %+v", sum.dirs, st)
		}
		return
	}
	in, out := after.RxPackets-before.RxPackets, after.TxPackets-before.TxPackets
	if sum.dirs[packet.DirIn] != in || sum.dirs[packet.DirOut] != out {
		t.Errorf("%d frames in and %d out, the interface counted %d and %d", sum.dirs[packet.DirIn], sum.dirs[packet.DirOut], in, out)
	}
	if sum.bytes[packet.DirIn] != after.RxBytes-before.RxBytes || sum.bytes[packet.DirOut] != after.TxBytes-before.TxBytes {
		t.Errorf("%d bytes in and %d out, the interface counted %d and %d", sum.bytes[packet.DirIn], sum.bytes[packet.DirOut],
			after.RxBytes-before.RxBytes, after.TxBytes-before.TxBytes)
	}
}
