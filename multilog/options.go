package multilog

import (
	"fmt"
	"math/bits"

	"github.com/confluo/confluo/multilog/offheap"
	"github.com/confluo/confluo/packet"
)

// Options say how large a Log is and what it keeps of a header. The zero value
// of each field but Ports, SnapLen and Memory or Segments has a default.
type Options struct {
	Ports   *packet.PortTable // what in_port means; required
	SnapLen int               // bytes of slice kept a header; the stride of every batch
	Lanes   int               // streams of batches that are appended in parallel, one a ring (default 1)

	Memory         int64 // bytes for segments; the number of segments follows
	Segments       int   // the number of segments itself; overrides Memory
	SegmentHeaders int   // headers a segment: a power of two from 256 (default 1 Mi, less if Memory asks for it)

	Columns  packet.AttrSet // attributes stored as columns; the rest is read from the slice when asked for (default DefaultColumns)
	LogBytes int            // bytes a header reserved for filter and aggregate logs (default 16)

	HugePages offheap.HugePages

	block int // headers a block of an index; only tests set it
}

// slack is the number of offsets that claims made at the same moment may take
// beyond the check that each passed.
func (o *Options) slack() uint64 { return uint64(o.Lanes * packet.ChunkSize) }

// ahead is the number of segments that retention keeps free: room for the slack
// and the next claim, so that a refused claim always finds retention at work,
// and one more where segments are many.
func (o *Options) ahead() int {
	n := 1 + (int(o.slack())+packet.ChunkSize)/o.SegmentHeaders
	if o.Segments >= 16*n {
		n++
	}
	return n
}

// neededColumns are the inputs of the parser and of every query; they are
// always stored.
var neededColumns = packet.SetOf(packet.Ts, packet.PktLen, packet.CapLen, packet.InPort, packet.Direction, packet.LayerBits)

// DefaultColumns are the attributes that operators filter and group by most.
var DefaultColumns = neededColumns | packet.SetOf(packet.SrcIP, packet.DstIP, packet.SrcPort, packet.DstPort,
	packet.Proto, packet.TCPFlags, packet.TTL, packet.PayloadLen, packet.VLAN, packet.VNI)

const (
	defaultSegmentHeaders = 1 << 20
	defaultLogBytes       = 16
	blockHeaders          = 1 << 16 // headers a block, where the segment is that large
)

// withDefaults fills in defaults and checks o.
func (o Options) withDefaults() (Options, error) {
	if o.Ports == nil {
		return o, fmt.Errorf("multilog: no port table")
	}
	if o.SnapLen < 1 || o.SnapLen > 65535 {
		return o, fmt.Errorf("multilog: snap length %d is not within 1..65535", o.SnapLen)
	}
	if o.Lanes == 0 {
		o.Lanes = 1
	}
	if o.Lanes < 0 {
		return o, fmt.Errorf("multilog: %d lanes", o.Lanes)
	}
	if o.LogBytes == 0 {
		o.LogBytes = defaultLogBytes
	}
	if o.Columns == 0 {
		o.Columns = DefaultColumns
	}
	o.Columns |= neededColumns
	if o.SegmentHeaders == 0 {
		o.SegmentHeaders = defaultSegmentHeaders
		// A small memory gets smaller segments, so that retention gives up a
		// sixteenth of the history at a time, not a third.
		for o.Segments == 0 && o.SegmentHeaders > 4096 && o.Memory/int64(o.segmentBytes()) < 16 {
			o.SegmentHeaders /= 2
		}
	}
	if n := o.SegmentHeaders; n < packet.ChunkSize || n&(n-1) != 0 || n > 1<<28 {
		return o, fmt.Errorf("multilog: %d headers a segment: must be a power of two from %d to %d", n, packet.ChunkSize, 1<<28)
	}
	if o.block == 0 {
		o.block = min(blockHeaders, o.SegmentHeaders)
	}
	if o.Segments == 0 {
		o.Segments = int(o.Memory / int64(o.segmentBytes()))
	}
	if least := o.ahead() + 2; o.Segments < least {
		return o, fmt.Errorf("multilog: memory %d holds %d segments of %d headers (%d bytes each); at least %d are needed: give it more memory or smaller segments",
			o.Memory, o.Segments, o.SegmentHeaders, o.segmentBytes(), least)
	}
	return o, nil
}

// segmentBytes returns what newSegment carves for one segment.
func (o *Options) segmentBytes() int {
	n := o.SegmentHeaders
	total := 0
	for _, a := range o.Columns.Attrs() {
		if w := a.Info().Width; w == packet.W128 {
			total += 2 * offheap.Bytes(n, 8)
		} else {
			total += offheap.Bytes(n, int(w)/8)
		}
	}
	total += offheap.Bytes(n*o.SnapLen, 1)
	total += offheap.Bytes(n/2, 4)                        // marks
	total += 2 * offheap.Bytes(n/packet.ChunkSize, 8)     // time bounds
	total += offheap.Bytes(o.arenaChunks()*chunkWords, 4) // filter and aggregate logs
	return total
}

// arenaChunks returns the chunks of a segment's arena.
func (o *Options) arenaChunks() int {
	return max(1, o.SegmentHeaders*o.LogBytes/(chunkWords*4))
}

// BytesPerHeader returns the memory that one header takes, everything but
// indexes included.
func (o Options) BytesPerHeader() (float64, error) {
	o, err := o.withDefaults()
	if err != nil {
		return 0, err
	}
	return float64(o.segmentBytes()) / float64(o.SegmentHeaders), nil
}

func log2(n int) uint { return uint(bits.TrailingZeros64(uint64(n))) }
