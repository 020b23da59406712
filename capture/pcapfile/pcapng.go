package pcapfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/confluo/confluo/packet"
)

// Block types (draft-ietf-opsawg-pcapng, 11.1).
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = magicNg
)

const byteOrderMagic = 0x1a2b3c4d

// maxInterfaces bounds the interfaces of a section, which cost memory. A port
// index has 16 bits anyhow.
const maxInterfaces = 1 << 16

// nextPacketBlock reads blocks up to and including one that holds a frame.
func (d *decoder) nextPacketBlock(f *frame) error {
	for {
		if err := d.passOver(); err != nil {
			return err
		}
		h, err := d.peek(12)
		if err != nil {
			if err == io.ErrUnexpectedEOF {
				return short("a block header", len(h), 12)
			}
			return err
		}
		if binary.LittleEndian.Uint32(h) == blockSection {
			if err := d.setOrder(h[8:12]); err != nil {
				return err
			}
		}
		typ, total := d.order.Uint32(h), d.order.Uint32(h[4:])
		if total < 12 || total%4 != 0 {
			return fmt.Errorf("a block of type %#x claims a length of %d, not a multiple of 4 from 12 on", typ, total)
		}
		if total > windowSize {
			switch typ {
			case blockSection, blockInterface, blockPacket, blockSimple, blockEnhanced:
				return fmt.Errorf("a block of type %#x claims a length of %d, beyond the %d that are read", typ, total, windowSize)
			}
			d.consume(8)
			d.skip, d.trailer = int64(total)-12, total
			continue
		}
		b, err := d.peek(int(total))
		if err != nil {
			if err == io.ErrUnexpectedEOF {
				return short(fmt.Sprintf("a block of type %#x", typ), len(b), int(total))
			}
			return err
		}
		if last := d.order.Uint32(b[total-4:]); last != total {
			return fmt.Errorf("a block of type %#x has length %d at its beginning and %d at its end", typ, total, last)
		}
		done, err := d.block(typ, b[8:total-4], f)
		if err != nil {
			return err
		}
		d.consume(int(total))
		if done {
			return nil
		}
	}
}

// setOrder takes the byte order of a section from its byte-order magic.
func (d *decoder) setOrder(magic []byte) error {
	switch {
	case binary.LittleEndian.Uint32(magic) == byteOrderMagic:
		d.order = binary.LittleEndian
	case binary.BigEndian.Uint32(magic) == byteOrderMagic:
		d.order = binary.BigEndian
	default:
		return fmt.Errorf("the byte-order magic of a section is % x", magic)
	}
	return nil
}

// passOver finishes a block that is larger than the window.
func (d *decoder) passOver() error {
	for d.skip > 0 {
		n, err := d.r.Discard(int(min(d.skip, math.MaxInt32)))
		d.skip -= int64(n)
		d.off += int64(n)
		if err == io.EOF {
			return fmt.Errorf("a block of length %d ends %d bytes early: %w", d.trailer, d.skip+4, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
	}
	if d.trailer == 0 {
		return nil
	}
	b, err := d.peek(4)
	if err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return short("the length at the end of a block", len(b), 4)
		}
		return err
	}
	if last := d.order.Uint32(b); last != d.trailer {
		return fmt.Errorf("a block has length %d at its beginning and %d at its end", d.trailer, last)
	}
	d.consume(4)
	d.trailer = 0
	return nil
}

// block reads the body of one block, and reports whether it held a frame.
func (d *decoder) block(typ uint32, body []byte, f *frame) (bool, error) {
	switch typ {
	case blockSection:
		return false, d.section(body)
	case blockInterface:
		return false, d.interfaceBlock(body)
	case blockEnhanced:
		if len(body) < 20 {
			return false, fmt.Errorf("an enhanced packet block has a body of %d bytes, under 20", len(body))
		}
		return true, d.packet(f, d.order.Uint32(body), body)
	case blockPacket: // two bytes of interface, two of a drop count, then the same
		if len(body) < 20 {
			return false, fmt.Errorf("a packet block has a body of %d bytes, under 20", len(body))
		}
		return true, d.packet(f, uint32(d.order.Uint16(body)), body)
	case blockSimple:
		return true, d.simple(f, body)
	}
	return false, nil
}

// section reads a section header block (4.1); what an earlier section said
// about interfaces no longer holds.
func (d *decoder) section(body []byte) error {
	if len(body) < 16 {
		return fmt.Errorf("a section header has a body of %d bytes, under 16", len(body))
	}
	if major, minor := d.order.Uint16(body[4:]), d.order.Uint16(body[6:]); major != 1 {
		return fmt.Errorf("pcapng version %d.%d is not known, only 1.x is", major, minor)
	}
	d.ifaces = d.ifaces[:0]
	return nil
}

// Options (3.5, 4.2, 4.3).
const (
	optEnd        = 0
	optName       = 2  // of an interface
	optResolution = 9  // of an interface
	optOffset     = 14 // of an interface
	optFlags      = 2  // of a packet
)

// option returns the first option of a list and the rest of the list; false
// at the end, which need not be marked.
func (d *decoder) option(list []byte) (code uint16, value, rest []byte, ok bool, err error) {
	if len(list) < 4 {
		return 0, nil, nil, false, nil
	}
	code = d.order.Uint16(list)
	n := int(d.order.Uint16(list[2:]))
	if code == optEnd {
		return 0, nil, nil, false, nil
	}
	padded := (n + 3) &^ 3
	if 4+padded > len(list) {
		return 0, nil, nil, false, fmt.Errorf("option %d claims %d bytes, its block has %d left", code, n, len(list)-4)
	}
	return code, list[4 : 4+n], list[4+padded:], true, nil
}

// interfaceBlock reads an interface description block (4.2).
func (d *decoder) interfaceBlock(body []byte) error {
	if len(body) < 8 {
		return fmt.Errorf("an interface description has a body of %d bytes, under 8", len(body))
	}
	if len(d.ifaces) == maxInterfaces {
		return fmt.Errorf("a section has more than %d interfaces", maxInterfaces)
	}
	ifc := &iface{
		name:  fmt.Sprint(len(d.ifaces)),
		link:  linkType(d.order.Uint16(body)),
		snap:  d.order.Uint32(body[4:]),
		ticks: 1e6,
	}
	for list := body[8:]; ; {
		code, value, rest, ok, err := d.option(list)
		if err != nil {
			return fmt.Errorf("interface %d: %w", len(d.ifaces), err)
		}
		if !ok {
			break
		}
		list = rest
		switch {
		case code == optName && len(value) > 0:
			ifc.name = string(value)
		case code == optResolution && len(value) == 1:
			if ifc.ticks, ok = ticks(value[0]); !ok {
				return fmt.Errorf("interface %d: time resolution %#x is finer than 64 bits can count", len(d.ifaces), value[0])
			}
		case code == optOffset && len(value) == 8:
			ifc.offset = int64(d.order.Uint64(value))
		}
	}
	d.ifaces = append(d.ifaces, ifc)
	return nil
}

// ticks returns the ticks in a second of a clock with the given if_tsresol: a
// negative power of 2 when the top bit is set, else of 10.
func ticks(resolution uint8) (uint64, bool) {
	exp := resolution & 0x7f
	if resolution&0x80 != 0 {
		return 1 << exp, exp < 64
	}
	n := uint64(1)
	for range min(exp, 19) {
		n *= 10
	}
	return n, exp <= 19
}

// packet reads the body of an enhanced packet block (4.3) or of an obsolete
// packet block (A).
func (d *decoder) packet(f *frame, id uint32, body []byte) error {
	if uint64(id) >= uint64(len(d.ifaces)) {
		return fmt.Errorf("packet %d is of interface %d, but its section has %d", d.n+1, id, len(d.ifaces))
	}
	kept := d.order.Uint32(body[12:])
	if kept > maxFrame {
		return fmt.Errorf("packet %d claims %d captured bytes, more than the %d that any capture keeps", d.n+1, kept, maxFrame)
	}
	padded := (int(kept) + 3) &^ 3
	if 20+padded > len(body) {
		return fmt.Errorf("packet %d claims %d captured bytes, its block has room for %d", d.n+1, kept, len(body)-20)
	}
	f.iface = d.ifaces[id]
	f.ts = f.iface.time(uint64(d.order.Uint32(body[4:]))<<32 | uint64(d.order.Uint32(body[8:])))
	f.wire = d.order.Uint32(body[16:])
	f.data = body[20 : 20+kept]
	f.dir = packet.DirUnknown
	for list := body[20+padded:]; len(list) >= 4; {
		code, value, rest, ok, err := d.option(list)
		if err != nil || !ok {
			// The frame is whole: options that contradict themselves do not
			// lose it.
			break
		}
		list = rest
		if code == optFlags && len(value) == 4 {
			switch d.order.Uint32(value) & 3 {
			case 1:
				f.dir = packet.DirIn
			case 2:
				f.dir = packet.DirOut
			}
		}
	}
	return nil
}

// simple reads the body of a simple packet block (4.4): a frame of the first
// interface without a time.
func (d *decoder) simple(f *frame, body []byte) error {
	if len(d.ifaces) == 0 {
		return fmt.Errorf("packet %d is in a section without interfaces", d.n+1)
	}
	if len(body) < 4 {
		return fmt.Errorf("a simple packet block has a body of %d bytes, under 4", len(body))
	}
	f.iface = d.ifaces[0]
	f.ts, f.dir = 0, packet.DirUnknown
	f.wire = d.order.Uint32(body)
	kept := f.wire
	if s := f.iface.snap; s != 0 {
		kept = min(kept, s)
	}
	if kept > maxFrame || (int(kept)+3)&^3 > len(body)-4 {
		return fmt.Errorf("packet %d must have %d captured bytes, its block has room for %d", d.n+1, kept, len(body)-4)
	}
	f.data = body[4 : 4+kept]
	return nil
}

// time converts a time of the interface's clock to ns since the epoch. What
// an int64 cannot hold becomes the nearest that it can.
func (i *iface) time(t uint64) int64 {
	sec, frac := t/i.ticks, t%i.ticks
	hi, lo := bits.Mul64(frac, 1e9)
	ns, _ := bits.Div64(hi, lo, i.ticks) // hi < ticks, since frac < ticks and 1e9 < 2^64
	const maxSec = math.MaxInt64 / 1_000_000_000
	if sec > math.MaxInt64-uint64(max(i.offset, 0)) {
		return math.MaxInt64
	}
	s := int64(sec) + i.offset
	switch {
	case s >= maxSec:
		return math.MaxInt64
	case s <= -maxSec:
		return math.MinInt64
	}
	return s*1e9 + int64(ns)
}
