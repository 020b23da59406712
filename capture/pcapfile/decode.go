package pcapfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/confluo/confluo/packet"
)

const (
	// maxFrame is the longest frame that is believed, in bytes: libpcap's
	// MAXIMUM_SNAPLEN. A record that claims more is damage.
	maxFrame = 256 << 10
	// windowSize is how much of a file is looked at at once. It holds any
	// frame with its headers and options, so that nothing in this package is
	// ever allocated by a length that a file states.
	windowSize = 1 << 20
)

// errAgain is returned by the reader of a pipe when nothing came in time. It
// may be asked again: nothing has been consumed.
var errAgain = errors.New("pcapfile: nothing to read yet")

// An iface is what the frames of one interface of a file have in common.
type iface struct {
	name string // within the file; empty in a pcap file
	link packet.LinkType

	// Of pcapng interfaces.
	snap   uint32 // longest slice in a simple packet block, 0 for no limit
	ticks  uint64 // of its clock in a second
	offset int64  // seconds to add

	port  uint16
	bound bool // port is known
}

// A frame is one record of a file. The data are valid until the next frame is
// asked for.
type frame struct {
	data  []byte
	ts    int64 // ns since the epoch; 0 when the file has no time for it
	wire  uint32
	dir   packet.Dir
	iface *iface
}

// A decoder reads the records of one file of either format. The zero format is
// not known yet. Not safe for concurrent use.
type decoder struct {
	r      *bufio.Reader
	file   string
	format format
	order  binary.ByteOrder
	off    int64  // bytes consumed
	n      uint64 // frames returned

	// Of a pcap file.
	header int    // bytes of a record header
	fracNs uint64 // ns in a unit of the fraction of a second
	minor  uint16 // version
	whole  iface

	// Of a pcapng file.
	ifaces  []*iface
	skip    int64  // bytes of an uninteresting block still to pass over
	trailer uint32 // length that must follow them; 0 when none is awaited
}

type format uint8

const (
	formatPcap format = iota + 1
	formatPcapng
)

// newDecoder returns a decoder of the uncompressed bytes that r gives. Only
// io.EOF from r is the end; errAgain is passed on.
func newDecoder(r io.Reader, file string) *decoder {
	return &decoder{r: bufio.NewReaderSize(r, windowSize), file: file}
}

// next reads one frame into f. It returns io.EOF at the end, errAgain when a
// pipe has none yet, and a *DamageError where the file cannot be read on.
func (d *decoder) next(f *frame) error {
	err := d.start()
	if err == nil {
		if d.format == formatPcap {
			err = d.nextRecord(f)
		} else {
			err = d.nextPacketBlock(f)
		}
	}
	if err == nil {
		d.n++
		return nil
	}
	if err == io.EOF || err == errAgain {
		return err
	}
	return &DamageError{d.file, d.n, d.off, err}
}

// peek returns the next n bytes without consuming them, fewer with an error:
// io.EOF when there are none, errAgain, io.ErrUnexpectedEOF, or what the
// reader found wrong. N must not exceed windowSize.
func (d *decoder) peek(n int) ([]byte, error) {
	b, err := d.r.Peek(n)
	if err == io.EOF && len(b) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

func (d *decoder) consume(n int) {
	d.r.Discard(n) // cannot fail: these bytes were peeked at
	d.off += int64(n)
}

// A magic number begins each format; read in the byte order of the file it is
// one of these.
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // longer record headers, by a patch for Linux 2.0 and 2.2
	magicNg       = 0x0a0d0d0a // the same in both orders
)

// start reads the file header, once.
func (d *decoder) start() error {
	if d.format != 0 {
		return nil
	}
	b, err := d.peek(4)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the file is empty: %w", io.ErrUnexpectedEOF)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return short("the file header", len(b), 24)
		}
		return err
	}
	if binary.LittleEndian.Uint32(b) == magicNg {
		d.format = formatPcapng
		return nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(b) {
		case magicMicro:
			d.order, d.header, d.fracNs = order, 16, 1000
		case magicNano:
			d.order, d.header, d.fracNs = order, 16, 1
		case magicModified:
			d.order, d.header, d.fracNs = order, 24, 1000
		}
	}
	if d.order == nil {
		return fmt.Errorf("not a capture file: it begins with % x, which is neither pcap nor pcapng (plain, gzip or zstd)", b)
	}
	return d.startPcap()
}
