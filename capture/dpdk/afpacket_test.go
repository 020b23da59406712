//go:build dpdk

package dpdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/internal/nettest"
	"github.com/confluo/confluo/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// etherTypeTest is the EtherType of the tests' own frames (IEEE 802, local
// experimental 1).
const etherTypeTest = 0x88b5

// A wire is a veth pair between two namespaces: frames sent from far arrive at
// near, where the source listens.
type wire struct {
	lab       *nettest.Lab
	near, far *nettest.Namespace
}

func newWire(t *testing.T) *wire {
	t.Helper()
	lab := nettest.New(t)
	w := &wire{lab: lab, near: lab.Namespace("near"), far: lab.Namespace("far")}
	w.connect()
	return w
}

func (w *wire) connect() {
	w.lab.Veth(nettest.End{NS: w.near, Name: "vnear", Addr: "10.20.0.1/24"}, nettest.End{NS: w.far, Name: "vfar", Addr: "10.20.0.2/24"})
}

// open opens a source on vnear.
func (w *wire) open(t *testing.T, args string, p Port) capture.Source {
	t.Helper()
	p.Device = fmt.Sprintf("net_af_packet%d,iface=vnear%s", poolNumber.Add(1), args)
	var s capture.Source
	if err := w.near.Do(func() error {
		s = open(t, p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// A sender sends raw frames out of vfar.
type sender struct {
	t    *testing.T
	fd   int
	addr unix.SockaddrLinklayer
}

func (w *wire) sender(t *testing.T) *sender {
	t.Helper()
	s := &sender{t: t}
	if err := w.far.Do(func() (err error) {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(s.fd) })
		link, err := netlink.LinkByName("vfar")
		s.addr.Ifindex = link.Attrs().Index
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sender) send(frames ...[]byte) {
	s.t.Helper()
	for _, f := range frames {
		if err := unix.Sendto(s.fd, f, 0, &s.addr); err != nil {
			s.t.Fatal(err)
		}
	}
}

// testFrame returns an Ethernet frame of n bytes with its number.
func testFrame(r *rand.Rand, number uint32, n int) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	b = binary.BigEndian.AppendUint16(b, etherTypeTest)
	b = binary.BigEndian.AppendUint32(b, number)
	for len(b) < n {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

func awaitState(t *testing.T, s capture.Source, want string) capture.Stats {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		st := s.Stats()
		if st.State == want {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("state is %q (%s) after 20 s, want %q", st.State, st.Detail, want)
		}
	}
}

func TestAFPacketFramesArriveOnceInOrderByteForByte(t *testing.T) {
	w := newWire(t)
	s := w.open(t, "", Port{Index: 5})
	out := w.sender(t)
	r := rand.New(rand.NewPCG(9, 10))
	const total, stride = 3000, 300
	var got []frame
	sent := make([][]byte, 0, total)
	for len(sent) < total {
		burst := make([][]byte, 100)
		for i := range burst {
			burst[i] = testFrame(r, uint32(len(sent)+i), 60+r.IntN(1455))
		}
		out.send(burst...)
		sent = append(sent, burst...)
		got = append(got, receive(t, s.Queues()[0], stride, 100)...)
	}
	expectNoMore(t, s.Queues()[0])
	if len(got) != total {
		t.Fatalf("%d frames, want %d", len(got), total)
	}
	for i, g := range got {
		if !bytes.Equal(g.data, sent[i][:min(stride, len(sent[i]))]) || int(g.wireLen) != len(sent[i]) {
			t.Fatalf("frame %d: %d bytes %x, want %d bytes %x", i, g.wireLen, g.data, len(sent[i]), sent[i])
		}
		if g.port != 5 || g.dir != packet.DirUnknown {
			t.Fatalf("frame %d: port %d, direction %d", i, g.port, g.dir)
		}
	}
	if st := s.Stats(); st.Received != total || st.State != "up" || drop(t, st, "kernel_ring") != 0 {
		t.Errorf("stats %+v, want %d received, none missed, up", st, total)
	}
}

func TestAFPacketTagsThatTheKernelStrippedArePutBack(t *testing.T) {
	w := newWire(t)
	s := w.open(t, "", Port{})
	r := rand.New(rand.NewPCG(11, 12))
	plain := testFrame(r, 1, 100)
	want := [][]byte{plain, tagged(plain, 0x8100, 0x2064), tagged(plain, 0x8100, 0x0001, 0x8100, 0x0fff), plain}
	w.sender(t).send(want...)
	for i, g := range receive(t, s.Queues()[0], 256, 4) {
		if !bytes.Equal(g.data, want[i]) || int(g.wireLen) != len(want[i]) {
			t.Errorf("frame %d: %x, want %x", i, g.data, want[i])
		}
	}
}

func TestAFPacketCountsWhatItsRingHadNoRoomFor(t *testing.T) {
	w := newWire(t)
	s := w.open(t, ",framecnt=64,blocksz=4096,framesz=2048", Port{})
	out := w.sender(t)
	r := rand.New(rand.NewPCG(13, 14))
	const total = 2000
	for i := range uint32(total) {
		out.send(testFrame(r, i, 100))
	}
	b := newBatch(t, 64)
	for {
		b.N = 0
		if err := s.Queues()[0].Recv(b, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if b.N == 0 {
			break
		}
	}
	st := s.Stats()
	missed := drop(t, st, "kernel_ring")
	if st.Received == 0 || missed == 0 || st.Received+missed != total {
		t.Errorf("received %d and missed %d of %d", st.Received, missed, total)
	}
	// The kernel's counter is reset by reading; ours stays, also after close.
	if again := drop(t, s.Stats(), "kernel_ring"); again != missed {
		t.Errorf("missed went from %d to %d", missed, again)
	}
	s.Close()
	if final := drop(t, s.Stats(), "kernel_ring"); final != missed {
		t.Errorf("missed went from %d to %d at close", missed, final)
	}
}

func TestAFPacketQueuesShareTheFrames(t *testing.T) {
	w := newWire(t)
	s := w.open(t, ",qpairs=2", Port{Queues: 2})
	if st := s.Stats(); !strings.Contains(st.Detail, "2 queues without RSS (driver net_af_packet has none)") {
		t.Errorf("detail %q does not say that there is no RSS", st.Detail)
	}
	const total = 400
	r := rand.New(rand.NewPCG(17, 18))
	out := w.sender(t)
	for i := range uint32(total) {
		out.send(testFrame(r, i, 100))
	}
	// The kernel decides which queue has which frame.
	seen := make(map[uint32]int)
	b := newBatch(t, 64)
	for end := time.Now().Add(20 * time.Second); len(seen) < total; {
		for _, q := range s.Queues() {
			b.N = 0
			if err := q.Recv(b, time.Millisecond); err != nil {
				t.Fatal(err)
			}
			for i := range b.N {
				seen[binary.BigEndian.Uint32(b.Slice(i)[14:])]++
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d frames after 20 s", len(seen), total)
		}
	}
	for n, times := range seen {
		if times != 1 || n >= total {
			t.Errorf("frame %d came %d times", n, times)
		}
	}
	if st := s.Stats(); st.Received != total {
		t.Errorf("received %d, want %d", st.Received, total)
	}
}

func TestAFPacketQueuesMustAllBeReceived(t *testing.T) {
	w := newWire(t)
	if err := w.near.Do(func() error {
		s, err := Open(Options{Name: "half", Ports: []Port{{Device: "net_af_packet_half,iface=vnear,qpairs=2"}}})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "queues 1: the device has qpairs=2") {
			t.Errorf("one queue of two: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAFPacketFollowsTheLink(t *testing.T) {
	w := newWire(t)
	s := w.open(t, "", Port{})
	awaitState(t, s, "up")
	w.far.SetLink(t, "vfar", false) // the near end loses its carrier
	st := awaitState(t, s, "down")
	if !strings.Contains(st.Detail, "is down") {
		t.Errorf("detail %q does not name the port that is down", st.Detail)
	}
	w.far.SetLink(t, "vfar", true)
	awaitState(t, s, "up")
}

func TestAFPacketReturnsWithItsInterface(t *testing.T) {
	w := newWire(t)
	s := w.open(t, "", Port{Index: 9})
	q := s.Queues()[0]
	r := rand.New(rand.NewPCG(15, 16))
	var sent uint64
	for round := range uint32(3) {
		out := w.sender(t)
		for i := range uint32(50) {
			f := testFrame(r, round<<16|i, 80)
			out.send(f)
			sent++
			g := receive(t, q, 128, 1)[0]
			if !bytes.Equal(g.data, f) || g.port != 9 {
				t.Fatalf("round %d: frame %d is %x, want %x", round, i, g.data, f)
			}
		}
		w.near.DelLink(t, "vnear")
		awaitState(t, s, "gone")
		if err := q.Recv(newBatch(t, 64), 5*time.Millisecond); err != nil {
			t.Fatalf("recv while the interface is gone: %v", err)
		}
		w.connect()
		awaitState(t, s, "up")
	}
	st := s.Stats()
	if st.Received != sent || st.Detail != "" {
		t.Errorf("stats %+v, want %d received", st, sent)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseWhileTheInterfaceIsGone(t *testing.T) {
	w := newWire(t)
	s := w.open(t, "", Port{})
	w.near.DelLink(t, "vnear")
	awaitState(t, s, "gone")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.State != "done" {
		t.Errorf("state %q, want done", st.State)
	}
}

func TestPromiscuousModeIsSetAndGivenBack(t *testing.T) {
	w := newWire(t)
	flags := func() net.Flags {
		var promisc net.Flags
		if err := w.near.Do(func() error {
			link, err := netlink.LinkByName("vnear")
			if err == nil && link.Attrs().RawFlags&unix.IFF_PROMISC != 0 {
				promisc = unix.IFF_PROMISC
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return promisc
	}
	for _, off := range []bool{false, true} {
		s := w.open(t, "", Port{NoPromiscuous: off})
		if on := flags() != 0; on == off {
			t.Errorf("no promiscuous %t: the interface is promiscuous: %t", off, on)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if flags() != 0 {
			t.Errorf("no promiscuous %t: the interface stays promiscuous", off)
		}
	}
}

func TestMTUIsSetOnTheInterface(t *testing.T) {
	w := newWire(t)
	w.open(t, "", Port{MTU: 1300})
	if err := w.near.Do(func() error {
		link, err := netlink.LinkByName("vnear")
		if err == nil && link.Attrs().MTU != 1300 {
			t.Errorf("mtu %d, want 1300", link.Attrs().MTU)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestIperfIsCapturedWhole runs real TCP between two namespaces and compares
// what the source received with the interface's own counters and with tcpdump.
func TestIperfIsCapturedWhole(t *testing.T) {
	w := newWire(t)
	s := w.open(t, ",framecnt=16384", Port{})
	before := w.near.Counters(t, "vnear")

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	frames := make(chan [3]uint64) // all, TCP, TCP wire bytes
	go func() {
		var n, tcp, bytes uint64
		b, q := newBatch(t, 64), s.Queues()[0]
		for ctx.Err() == nil || b.N != 0 {
			b.N = 0
			if err := q.Recv(b, 10*time.Millisecond); err != nil {
				t.Error(err)
				break
			}
			for i := range b.N {
				n++
				if isTCP(b.Slice(i)) {
					tcp++
					bytes += uint64(b.WireLen[i])
				}
			}
		}
		frames <- [3]uint64{n, tcp, bytes}
	}()

	dump := filepath.Join(t.TempDir(), "dump.pcap")
	tcpdump := w.near.Start(t, "tcpdump", "-i", "vnear", "-U", "-s", "64", "-B", "65536", "-w", dump, "-Z", "root")
	server := w.near.Start(t, "iperf3", "-s", "-1", "-B", "10.20.0.1", "--forceflush")
	waitListening(t, w.near, "10.20.0.1:5201")
	waitFile(t, dump)
	out := w.far.Run(t, "iperf3", "-c", "10.20.0.1", "-t", "2", "-b", "400M", "-J")
	if _, stderr, err := server.Wait(); err != nil {
		t.Fatalf("iperf3 server: %v: %s", err, stderr)
	}
	var report struct {
		End struct {
			Received struct{ Bytes uint64 } `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // the last segments of both directions
	cancel()
	got := <-frames
	awaitTCP(t, dump, got[1])
	tcpdump.Signal(syscall.SIGINT)
	_, stderr, err := tcpdump.Wait()
	if err != nil {
		t.Fatalf("tcpdump: %v: %s", err, stderr)
	}
	after := w.near.Counters(t, "vnear")
	wire := after.RxPackets - before.RxPackets + after.TxPackets - before.TxPackets
	st := s.Stats()
	t.Logf("iperf3 %d bytes; source %d frames (TCP %d, %d bytes), interface %d frames; tcpdump: %s",
		report.End.Received.Bytes, got[0], got[1], got[2], wire, strings.TrimSpace(string(stderr)))
	if missed := drop(t, st, "kernel_ring"); got[0]+missed != wire || missed != 0 {
		t.Errorf("received %d and missed %d frames, the interface counts %d", got[0], missed, wire)
	}
	if got[0] != st.Received {
		t.Errorf("received %d frames, stats say %d", got[0], st.Received)
	}
	if got[2] < report.End.Received.Bytes || report.End.Received.Bytes < 1<<20 {
		t.Errorf("%d bytes of TCP frames cannot have carried iperf3's %d", got[2], report.End.Received.Bytes)
	}
	if dumped := countTCP(t, dump); dumped != got[1] {
		t.Errorf("%d TCP frames, tcpdump saw %d: %s", got[1], dumped, stderr)
	}
}

// awaitTCP waits until tcpdump has written want TCP frames, or nothing more for
// ten seconds.
func awaitTCP(t *testing.T, path string, want uint64) {
	t.Helper()
	for last, end := uint64(0), time.Now().Add(10*time.Second); ; time.Sleep(100 * time.Millisecond) {
		tcp := countTCP(t, path)
		if tcp > last {
			last, end = tcp, time.Now().Add(10*time.Second)
		}
		if tcp >= want || time.Now().After(end) {
			return
		}
	}
}

// countTCP counts the frames of TCP over IPv4 in a capture file.
func countTCP(t *testing.T, path string) (n uint64) {
	t.Helper()
	frames, err := readPcap(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if isTCP(f.data) {
			n++
		}
	}
	return n
}

func isTCP(f []byte) bool { return f[12] == 8 && f[13] == 0 && f[23] == unix.IPPROTO_TCP }

func waitListening(t *testing.T, ns *nettest.Namespace, addr string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(string(ns.Run(t, "ss", "-Hltn")), addr) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens on %s after 10 s", addr)
		}
	}
}

// waitFile waits until tcpdump has written its file header, which it does when
// it captures.
func waitFile(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := readPcap(path); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("tcpdump wrote nothing within 10 s")
		}
	}
}
