package multilog_test

import (
	"encoding/binary"
	"testing"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// A header is what the model knows of a frame: the fields that the frame was
// made from, not what a parser made of it.
type header struct {
	ts       int64
	src, dst uint32
	sport    uint16
	dport    uint16
	proto    uint8
	flags    uint8
	ttl      uint8
	wire     uint32
}

// frame writes the first bytes of h's Ethernet frame.
func (h *header) frame(buf []byte) []byte {
	clear(buf)
	b := buf[:54]
	b[12], b[13] = 0x08, 0x00
	b[14] = 0x45
	binary.BigEndian.PutUint16(b[16:], uint16(h.wire-14))
	b[22], b[23] = h.ttl, h.proto
	binary.BigEndian.PutUint32(b[26:], h.src)
	binary.BigEndian.PutUint32(b[30:], h.dst)
	binary.BigEndian.PutUint16(b[34:], h.sport)
	binary.BigEndian.PutUint16(b[36:], h.dport)
	if h.proto == 6 {
		b[46], b[47] = 5<<4, h.flags
		return b
	}
	binary.BigEndian.PutUint16(b[38:], uint16(h.wire-34)) // UDP length
	return b[:42]
}

func ethernetPorts(t testing.TB) *packet.PortTable {
	t.Helper()
	ports := new(packet.PortTable)
	if _, err := ports.Add(packet.Port{Name: "test0", Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	return ports
}

func newLog(t testing.TB, o multilog.Options) *multilog.Log {
	t.Helper()
	if o.Ports == nil {
		o.Ports = ethernetPorts(t)
	}
	if o.SnapLen == 0 {
		o.SnapLen = 64
	}
	l, err := multilog.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newBatch(t testing.TB, stride int) *packet.Batch {
	t.Helper()
	b, err := packet.NewBatch(nil, stride)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill puts the frames of hs into b.
func fill(b *packet.Batch, hs []header) {
	var buf [64]byte
	b.N = 0
	for i := range hs {
		b.Append(hs[i].frame(buf[:]), hs[i].ts, hs[i].wire, 0, packet.DirIn)
	}
}
