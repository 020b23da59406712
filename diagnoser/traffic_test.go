package diagnoser_test

import (
	"encoding/binary"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A header is what the tests know of a frame: what it was made from, not what a
// parser made of it.
type header struct {
	ts           int64
	src, dst     uint32
	sport, dport uint16
	flags        uint8
	wire         uint32
}

// frame writes the Ethernet frame of h, a TCP segment, to buf.
func (h *header) frame(buf *[64]byte) []byte {
	*buf = [64]byte{}
	b := buf[:54]
	b[11] = byte(h.dst) // source MAC
	b[12] = 0x08
	b[14] = 0x45
	binary.BigEndian.PutUint16(b[16:], uint16(h.wire-14))
	b[22], b[23] = 64, 6
	binary.BigEndian.PutUint32(b[26:], h.src)
	binary.BigEndian.PutUint32(b[30:], h.dst)
	binary.BigEndian.PutUint16(b[34:], h.sport)
	binary.BigEndian.PutUint16(b[36:], h.dport)
	b[46], b[47] = 5<<4, h.flags
	return b
}

const epoch = 1_700_000_000_000_000_000

// traffic returns n headers, 10 µs apart: common and rare values, some spread
// evenly and some in one place.
func traffic(n int) []header {
	hs := make([]header, n)
	for i := range hs {
		h := &hs[i]
		r := uint32(i) * 2654435761 >> 7 // Fibonacci hashing: no pattern that a sample could fall in with
		*h = header{
			ts: epoch + int64(i)*10_000, src: 0x0a000000 + r%13 + uint32(i/1024%4)*100, dst: 0x0b000000 + uint32(i/8),
			sport: uint16(1024 + i/1500), dport: []uint16{53, 80, 443, 8080}[r>>5%4],
			flags: []uint8{2, 18, 16, 24}[r>>9%4], wire: 64 + r%1400,
		}
		if i%5000 == 1234 {
			h.dport = 9
		}
	}
	return hs
}

// The ways in which headers may come out of order.
var disorders = map[string]func(hs []header){
	"in order": func([]header) {},
	"some late": func(hs []header) {
		for i := 3; i < len(hs); i += 7 {
			hs[i].ts -= 3_000_000
		}
	},
	"two clocks": func(hs []header) { // a port whose clock is behind, by 40 ms
		for i := range hs {
			if i/64%2 == 1 {
				hs[i].ts -= 40_000_000
			}
		}
	},
	"clock set back": func(hs []header) {
		for i := len(hs) / 2; i < len(hs); i++ {
			hs[i].ts -= int64(len(hs)/3) * 10_000
		}
	},
	"backwards": func(hs []header) {
		for i := range hs {
			hs[i].ts = epoch - int64(i)*10_000
		}
	},
	"one moment": func(hs []header) {
		for i := range hs {
			hs[i].ts = epoch
		}
	},
}

// A question is an expression with the same condition written in Go.
type question struct {
	text string
	is   func(h *header) bool
}

var questions = []question{
	{"", func(*header) bool { return true }},
	{"dst_port == 443", func(h *header) bool { return h.dport == 443 }},
	{"dst_port == 9", func(h *header) bool { return h.dport == 9 }},
	{"dst_ip in 11.0.1.0/24", func(h *header) bool { return h.dst>>8 == 0x0b0001 }},
	{"src_port == 1027 && dst_port == 443", func(h *header) bool { return h.sport == 1027 && h.dport == 443 }},
	{"src_port in {1025, 1030} || dst_port == 9 && src_port > 1029", func(h *header) bool {
		return h.sport == 1025 || h.sport == 1030 || h.dport == 9 && h.sport > 1029
	}},
	{"src_ip in 10.0.0.100..10.0.0.112 && src_port in 1024..1027", func(h *header) bool { return h.src-0x0a000064 <= 12 && h.sport <= 1027 }},
	{"tcp.syn && !tcp.ack", func(h *header) bool { return h.flags&2 != 0 && h.flags&16 == 0 }},
	{"dst_port == 7", func(h *header) bool { return false }},
	{"dst_port == 443 && dst_port == 80", func(h *header) bool { return false }},
	{"pkt_len > 700 && ts >= 1700000000050000000 && ts < 1700000000060000000", func(h *header) bool {
		return h.wire > 700 && h.ts >= epoch+50_000_000 && h.ts < epoch+60_000_000
	}},
	{"src_mac == 00:00:00:00:00:07 && dst_port != 80", func(h *header) bool { return h.dst&0xff == 7 && h.dport != 80 }}, // not stored
}

func parse(t rapid.TB, text string) *expr.Expr {
	t.Helper()
	e, err := expr.Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func openLog(t rapid.TB, o multilog.Options) *multilog.Log {
	t.Helper()
	o.Ports, o.SnapLen = new(packet.PortTable), 64
	if _, err := o.Ports.Add(packet.Port{Name: "test0", Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	l, err := multilog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newLog(t testing.TB, o multilog.Options) *multilog.Log {
	l := openLog(t, o)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// write appends hs to l, waiting for retention where it is behind.
func write(t rapid.TB, l *multilog.Log, hs []header) {
	t.Helper()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	var buf [64]byte
	for len(hs) > 0 {
		n := min(200, len(hs))
		base, ok := l.Claim(n)
		for deadline := time.Now().Add(10 * time.Second); !ok; base, ok = l.Claim(n) {
			if time.Now().After(deadline) {
				t.Fatal("memory stays full")
			}
			time.Sleep(20 * time.Microsecond)
		}
		b.N, b.Base = 0, base
		for i := range hs[:n] {
			b.Append(hs[i].frame(&buf), hs[i].ts, hs[i].wire, 0, packet.DirIn)
		}
		l.Lane(0).Append(b)
		hs = hs[n:]
	}
}

// waitSorted waits until the indexes have all whole blocks.
func waitSorted(t rapid.TB, l *multilog.Log) {
	t.Helper()
	block := uint64(min(1<<16, l.Options().SegmentHeaders))
	deadline := time.Now().Add(10 * time.Second)
	for _, x := range l.Indexes() {
		for x.Sorted()/block < l.ReadTail()/block {
			if time.Now().After(deadline) {
				t.Fatalf("index on %s: sorted to %d of %d", x.Attr(), x.Sorted(), l.ReadTail())
			}
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// settle waits until retention rests, so that what is held is known.
func settle(t rapid.TB, l *multilog.Log) {
	t.Helper()
	o := l.Options()
	// As in multilog.Options.ahead: the segments that retention keeps free.
	ahead := 1 + 2*packet.ChunkSize/o.SegmentHeaders
	if o.Segments >= 16*ahead {
		ahead++
	}
	oldest := int(l.ReadTail())/o.SegmentHeaders + ahead + 1 - o.Segments
	for deadline := time.Now().Add(10 * time.Second); l.First() < uint64(max(oldest, 0)*o.SegmentHeaders); {
		if time.Now().After(deadline) {
			t.Fatalf("retention has come to %d, and not to segment %d", l.First(), oldest)
		}
		time.Sleep(50 * time.Microsecond)
	}
}
