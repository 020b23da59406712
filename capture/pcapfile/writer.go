package pcapfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/confluo/confluo/packet"
)

// WriterOptions are the settings of a Writer.
type WriterOptions struct {
	// Ports is the port table that the frames' port indices point into.
	Ports []packet.Port

	// Format is "pcap", "pcapng", or "auto" (the default, also when empty):
	// pcap if that can hold all ports and times, which it can if the ports
	// have one link type and the times lie between 1970 and 2106.
	Format string

	// First and Last are the earliest and latest time that will be written, ns
	// since the epoch, if that is known. Auto goes by them.
	First, Last int64

	// Microseconds writes the times of a pcap file in microseconds, for
	// programs that do not know the nanosecond format; finer ones are cut.
	// Pcapng has nanoseconds always.
	Microseconds bool

	// SnapLen is what the file says that frames were cut to, in bytes; 0: 262144.
	SnapLen int
}

// What the setting Format may be.
const (
	FormatAuto   = "auto"
	FormatPcap   = "pcap"
	FormatPcapng = "pcapng"
)

// Validate says what is wrong with the options, if anything.
func (o *WriterOptions) Validate() error {
	switch o.Format {
	case "", FormatAuto, FormatPcapng:
	case FormatPcap:
		for _, p := range o.Ports {
			if p.Link != o.Ports[0].Link {
				return fmt.Errorf("pcapfile: format %q is not possible: ports %s and %s have link types %d and %d; %q holds several",
					o.Format, o.Ports[0].Name, p.Name, o.Ports[0].Link, p.Link, FormatPcapng)
			}
		}
	default:
		return fmt.Errorf("pcapfile: format %q is not allowed: %q, %q or %q", o.Format, FormatAuto, FormatPcap, FormatPcapng)
	}
	if o.SnapLen < 0 || o.SnapLen > maxFrame {
		return fmt.Errorf("pcapfile: snap length %d is not within 0..%d", o.SnapLen, maxFrame)
	}
	return nil
}

// maxPcapTime is the first time, in ns, that 32 bits of seconds cannot hold.
const maxPcapTime = (math.MaxUint32 + 1) * 1_000_000_000

// A Writer writes a capture file. Not safe for concurrent use.
type Writer struct {
	w     *bufio.Writer
	o     WriterOptions
	ng    bool
	ifs   []int32 // pcapng interface of each port, -1 when not written yet
	next  int32   // number of the next interface
	block []byte
}

// NewWriter begins a capture file on w: little endian, with every frame as it
// is given.
func NewWriter(w io.Writer, o WriterOptions) (*Writer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.SnapLen == 0 {
		o.SnapLen = maxFrame
	}
	fw := &Writer{w: bufio.NewWriterSize(w, 256<<10), o: o, ng: o.Format == FormatPcapng}
	if o.Format != FormatPcap {
		for _, p := range o.Ports {
			fw.ng = fw.ng || p.Link != o.Ports[0].Link
		}
		fw.ng = fw.ng || o.First < 0 || o.Last >= maxPcapTime
	}
	le := binary.LittleEndian
	if !fw.ng {
		magic, link := uint32(magicNano), packet.LinkEthernet
		if o.Microseconds {
			magic = magicMicro
		}
		if len(o.Ports) > 0 {
			link = o.Ports[0].Link
		}
		h := le.AppendUint32(nil, magic)
		h = le.AppendUint16(h, 2)
		h = le.AppendUint16(h, 4)
		h = le.AppendUint64(h, 0)
		h = le.AppendUint32(h, uint32(o.SnapLen))
		h = le.AppendUint32(h, uint32(link))
		_, err := fw.w.Write(h)
		return fw, err
	}
	fw.ifs = make([]int32, len(o.Ports))
	for i := range fw.ifs {
		fw.ifs[i] = -1
	}
	fw.begin(blockSection)
	fw.block = le.AppendUint32(fw.block, byteOrderMagic)
	fw.block = le.AppendUint16(fw.block, 1)
	fw.block = le.AppendUint16(fw.block, 0)
	fw.block = le.AppendUint64(fw.block, math.MaxUint64) // the section's length is not told
	fw.option(4, []byte("Confluo"))                      // shb_userappl
	fw.option(optEnd, nil)
	return fw, fw.end()
}

// Pcapng reports whether the file is a pcapng file.
func (w *Writer) Pcapng() bool { return w.ng }

// Write appends a frame: the bytes kept of it, when it was captured (ns since
// the epoch), its length on the wire, and the index of its port. A pcapng file
// keeps the direction too.
func (w *Writer) Write(slice []byte, ts int64, wireLen uint32, port uint16, dir packet.Dir) error {
	if int(port) >= len(w.o.Ports) {
		return fmt.Errorf("pcapfile: port %d is not in the port table of %d", port, len(w.o.Ports))
	}
	if w.ng {
		return w.writeNg(slice, ts, wireLen, port, dir)
	}
	if ts < 0 || ts >= maxPcapTime {
		return fmt.Errorf("pcapfile: time %d ns is before 1970 or after 2106, which %q cannot hold; %q can", ts, FormatPcap, FormatPcapng)
	}
	frac := ts % 1e9
	if w.o.Microseconds {
		frac /= 1000
	}
	le := binary.LittleEndian
	h := le.AppendUint32(w.block[:0], uint32(ts/1e9))
	h = le.AppendUint32(h, uint32(frac))
	h = le.AppendUint32(h, uint32(len(slice)))
	h = le.AppendUint32(h, wireLen)
	w.block = h
	if _, err := w.w.Write(h); err != nil {
		return err
	}
	_, err := w.w.Write(slice)
	return err
}

func (w *Writer) writeNg(slice []byte, ts int64, wireLen uint32, port uint16, dir packet.Dir) error {
	if ts < 0 {
		return fmt.Errorf("pcapfile: time %d ns is before 1970, which no capture file can hold", ts)
	}
	if w.ifs[port] < 0 {
		if err := w.addInterface(port); err != nil {
			return err
		}
	}
	le := binary.LittleEndian
	w.begin(blockEnhanced)
	w.block = le.AppendUint32(w.block, uint32(w.ifs[port]))
	w.block = le.AppendUint32(w.block, uint32(uint64(ts)>>32))
	w.block = le.AppendUint32(w.block, uint32(ts))
	w.block = le.AppendUint32(w.block, uint32(len(slice)))
	w.block = le.AppendUint32(w.block, wireLen)
	w.block = append(w.block, slice...)
	w.pad()
	if dir == packet.DirIn || dir == packet.DirOut {
		flags := byte(1)
		if dir == packet.DirOut {
			flags = 2
		}
		w.option(optFlags, []byte{flags, 0, 0, 0})
		w.option(optEnd, nil)
	}
	return w.end()
}

func (w *Writer) addInterface(port uint16) error {
	p := &w.o.Ports[port]
	le := binary.LittleEndian
	w.begin(blockInterface)
	w.block = le.AppendUint16(w.block, uint16(p.Link))
	w.block = le.AppendUint16(w.block, 0)
	w.block = le.AppendUint32(w.block, uint32(w.o.SnapLen))
	if n := min(len(p.Name), math.MaxUint16&^3); n > 0 {
		w.option(optName, []byte(p.Name[:n]))
	}
	w.option(optResolution, []byte{9})
	w.option(optEnd, nil)
	w.ifs[port] = w.next
	w.next++
	return w.end()
}

// begin starts a block in w.block, whose length end fills in.
func (w *Writer) begin(typ uint32) {
	w.block = binary.LittleEndian.AppendUint32(w.block[:0], typ)
	w.block = append(w.block, 0, 0, 0, 0)
}

func (w *Writer) option(code uint16, value []byte) {
	w.block = binary.LittleEndian.AppendUint16(w.block, code)
	w.block = binary.LittleEndian.AppendUint16(w.block, uint16(len(value)))
	w.block = append(w.block, value...)
	w.pad()
}

func (w *Writer) pad() {
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
}

func (w *Writer) end() error {
	n := uint32(len(w.block) + 4)
	binary.LittleEndian.PutUint32(w.block[4:], n)
	w.block = binary.LittleEndian.AppendUint32(w.block, n)
	_, err := w.w.Write(w.block)
	return err
}

// Flush writes out what is buffered. It must be called at the end; the file
// underneath is the caller's to close.
func (w *Writer) Flush() error { return w.w.Flush() }
