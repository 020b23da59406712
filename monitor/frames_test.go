package monitor

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A header is what a test's frame is made from.
type header struct {
	off   uint64
	ts    int64
	src   byte // last byte of 10.0.0.x
	dport uint16
	udp   bool
	flags byte
	wire  uint32
}

func (h *header) frame(b []byte) []byte {
	clear(b)
	b = b[:54]
	b[12], b[14] = 0x08, 0x45
	binary.BigEndian.PutUint16(b[16:], uint16(h.wire-14))
	b[22], b[23] = 64, 6
	copy(b[26:], []byte{10, 0, 0, h.src, 11, 0, 0, 1})
	binary.BigEndian.PutUint16(b[34:], 1024)
	binary.BigEndian.PutUint16(b[36:], h.dport)
	if h.udp {
		b[23] = 17
		binary.BigEndian.PutUint16(b[38:], uint16(h.wire-34))
		return b[:42]
	}
	b[46], b[47] = 5<<4, h.flags
	return b
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func newLog(t fataler) *multilog.Log {
	t.Helper()
	ports := new(packet.PortTable)
	if _, err := ports.Add(packet.Port{Name: "eth7", Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	l, err := multilog.New(multilog.Options{Ports: ports, SnapLen: 64, Segments: 8, SegmentHeaders: 4096})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// publish puts hs into the log and their offsets into hs.
func publish(t fataler, l *multilog.Log, hs ...*header) {
	t.Helper()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	var buf [64]byte
	for len(hs) > 0 {
		n := min(len(hs), packet.ChunkSize)
		base, ok := l.Claim(n)
		if !ok {
			t.Fatal("the log is full")
		}
		b.N, b.Base = 0, base
		for i, h := range hs[:n] {
			h.off = base + uint64(i)
			b.Append(h.frame(buf[:]), h.ts, h.wire, 0, packet.DirIn)
		}
		l.Lane(0).Append(b)
		hs = hs[n:]
	}
}

func newMonitor(t testing.TB, o Options) (*Monitor, *multilog.Log) {
	t.Helper()
	l := newLog(t)
	m, err := New(l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, l
}

func mustTrigger(t fataler, text string) *expr.Trigger {
	t.Helper()
	tr, err := expr.ParseTrigger(text)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func mustExpr(t fataler, text string) *expr.Expr {
	t.Helper()
	e, err := expr.Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func install(t testing.TB, m *Monitor, name, text string) {
	t.Helper()
	if _, err := m.InstallTrigger(TriggerSpec{Name: name, Trigger: mustTrigger(t, text)}); err != nil {
		t.Fatal(err)
	}
}

// ms is a capture time, in milliseconds of a day in 2026.
func ms(n float64) int64 {
	return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano() + int64(n*1e6)
}

// at is the same by the clock.
func at(n float64) time.Time { return time.Unix(0, ms(n)) }
