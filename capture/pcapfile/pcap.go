package pcapfile

import (
	"fmt"
	"io"
	"math"

	"github.com/confluo/confluo/packet"
)

// startPcap reads the header of a pcap file (draft-ietf-opsawg-pcap, 4).
func (d *decoder) startPcap() error {
	b, err := d.peek(24)
	if err != nil {
		if err == io.ErrUnexpectedEOF {
			return short("the file header", len(b), 24)
		}
		return err
	}
	major, minor := d.order.Uint16(b[4:]), d.order.Uint16(b[6:])
	if major != 2 {
		return fmt.Errorf("pcap version %d.%d is not known, only 2.x is", major, minor)
	}
	// The upper bits tell the length of a frame check sequence.
	link := d.order.Uint32(b[20:]) & 0x03ffffff
	if link > math.MaxUint16 {
		return fmt.Errorf("link type %d is not known, there are none beyond %d", link, math.MaxUint16)
	}
	d.minor = minor
	d.whole.link = linkType(uint16(link))
	d.consume(24)
	d.format = formatPcap
	return nil
}

// linkType maps the numbers that some systems wrote for raw IP, their own
// DLT_RAW, to the registered one.
func linkType(l uint16) packet.LinkType {
	if l == 12 || l == 14 {
		return packet.LinkRaw
	}
	return packet.LinkType(l)
}

// nextRecord reads one packet record of a pcap file (draft-ietf-opsawg-pcap, 5).
func (d *decoder) nextRecord(f *frame) error {
	h, err := d.peek(d.header)
	if err != nil {
		if err == io.ErrUnexpectedEOF {
			return short(fmt.Sprintf("the record header of packet %d", d.n+1), len(h), d.header)
		}
		return err
	}
	sec, frac := d.order.Uint32(h), d.order.Uint32(h[4:])
	kept, wire := d.order.Uint32(h[8:]), d.order.Uint32(h[12:])
	// Up to version 2.2, and in some files of 2.3, the two lengths stood the
	// other way round.
	if d.minor < 3 || d.minor == 3 && kept > wire {
		kept, wire = wire, kept
	}
	if kept > maxFrame {
		return fmt.Errorf("packet %d claims %d captured bytes, more than the %d that any capture keeps", d.n+1, kept, maxFrame)
	}
	n := d.header + int(kept)
	b, err := d.peek(n)
	if err != nil {
		if err == io.ErrUnexpectedEOF {
			return short(fmt.Sprintf("packet %d", d.n+1), len(b)-d.header, int(kept))
		}
		return err
	}
	f.data = b[d.header:]
	f.ts = int64(uint64(sec)*1e9 + uint64(frac)*d.fracNs)
	f.wire = wire
	f.iface = &d.whole
	f.dir = packet.DirUnknown
	if d.header == 24 { // interface index, protocol, then the kind of packet
		f.dir = packet.DirIn
		if b[22] == 4 { // PACKET_OUTGOING
			f.dir = packet.DirOut
		}
	}
	d.consume(n)
	return nil
}
