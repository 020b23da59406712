package afpacket

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/net/bpf"

	"github.com/confluo/confluo/packet"
)

// Any is the name that stands for all interfaces.
const Any = "any"

// Options are the settings of a source. Zero values mean the defaults.
type Options struct {
	// Name is the name of the source in the configuration.
	Name string

	// Interface is the name of a network interface, or Any for all of them,
	// also those that appear later. Frames of Any, and of interfaces whose link
	// layer the parser does not read, are of link type LinkSLL2: the kernel
	// takes the link header off, and a Linux cooked one is put in its place.
	Interface string

	// Queues is the number of sockets, and of rings, that share the frames. 0 is 1.
	Queues int

	// Fanout is how they share them, if there are several: FanoutHash
	// (default), FanoutLoadBalance, FanoutCPU, FanoutRollover or FanoutQueue.
	Fanout string

	// BlockSize is the size of a ring's block in bytes: a multiple of the page
	// size. It bounds the longest frame too. 0 is 256 KiB.
	BlockSize int

	// Blocks is the number of blocks of a ring. 0 is 64.
	Blocks int

	// BlockTimeout is after how long a block that is not full is handed over,
	// and so the longest delay of a frame on a quiet interface; in whole
	// milliseconds. 0 is 10 ms.
	BlockTimeout time.Duration

	// Promiscuous asks the interface for frames that are not addressed to it.
	// It has no effect on Any.
	Promiscuous bool

	// Direction is DirectionBoth (default), DirectionIn or DirectionOut. The
	// other frames are refused by the kernel, uncounted. On the loopback
	// interface, where every frame is seen on its way out and again on its way
	// in, both means in.
	Direction string

	// SnapLen is how many bytes of a frame the kernel keeps in the ring, 1 to
	// 65535; the stride of a batch may cut it further. 0 is 65535.
	SnapLen int

	// Filter is a classic BPF program; frames that it refuses are not counted.
	// It must have been compiled for the link type that Port is told, or for
	// LinkRaw where that is LinkSLL2: the kernel shows it such frames without
	// a link header. VLAN tags are not in the frame but in the kernel's
	// ancillary data when it runs. Nil takes all.
	Filter []bpf.RawInstruction

	// Port enters a port in the agent's port table and returns its index. It is
	// called by Open, and again (from another goroutine) if an interface comes
	// back with another link type.
	Port func(name string, link packet.LinkType) (uint16, error)
}

// The settings of Options.Fanout: what decides which queue a frame goes to.
const (
	FanoutHash        = "hash"     // its flow, both directions alike
	FanoutLoadBalance = "lb"       // round robin
	FanoutCPU         = "cpu"      // the CPU that received it
	FanoutRollover    = "rollover" // the first queue until its ring is full, then the next
	FanoutQueue       = "qm"       // the receive queue of the device
)

// The settings of Options.Direction.
const (
	DirectionBoth = "both"
	DirectionIn   = "in"
	DirectionOut  = "out"
)

const (
	maxQueues    = 256 // of a fanout group, PACKET_FANOUT_MAX before Linux 5.13
	maxRingBytes = 1 << 32
	maxSnapLen   = 65535
)

// Validate says what is wrong with the options, if anything.
func (o *Options) Validate() error {
	page := os.Getpagesize()
	d := o.withDefaults()
	_, fanout := fanoutModes[d.Fanout]
	switch {
	case d.Name == "":
		return fmt.Errorf("afpacket: name is empty")
	case d.Interface == "" || len(d.Interface) > 15:
		return fmt.Errorf("afpacket: interface %q is not allowed: the name of an interface, of 1 to 15 bytes, or %q", d.Interface, Any)
	case d.Queues < 1 || d.Queues > maxQueues:
		return fmt.Errorf("afpacket: queues %d is not within 1..%d", d.Queues, maxQueues)
	case !fanout:
		return fmt.Errorf("afpacket: fanout %q is not allowed: %q, %q, %q, %q or %q", d.Fanout,
			FanoutHash, FanoutLoadBalance, FanoutCPU, FanoutRollover, FanoutQueue)
	case d.BlockSize < page || d.BlockSize%page != 0 || d.BlockSize > 1<<30:
		return fmt.Errorf("afpacket: block size %d is not a multiple of the page size (%d) up to 1 GiB", d.BlockSize, page)
	case d.Blocks < 2:
		return fmt.Errorf("afpacket: blocks %d is under 2", d.Blocks)
	case int64(d.BlockSize)*int64(d.Blocks) > maxRingBytes:
		return fmt.Errorf("afpacket: %d blocks of %d bytes are more than the 4 GiB that a ring may have", d.Blocks, d.BlockSize)
	case d.BlockTimeout < time.Millisecond || d.BlockTimeout > time.Minute || d.BlockTimeout%time.Millisecond != 0:
		return fmt.Errorf("afpacket: block timeout %v is not a whole number of milliseconds within 1ms..1m", d.BlockTimeout)
	case d.Direction != DirectionBoth && d.Direction != DirectionIn && d.Direction != DirectionOut:
		return fmt.Errorf("afpacket: direction %q is not allowed: %q, %q or %q", d.Direction, DirectionIn, DirectionOut, DirectionBoth)
	case d.SnapLen < 1 || d.SnapLen > maxSnapLen:
		return fmt.Errorf("afpacket: snap length %d is not within 1..%d", d.SnapLen, maxSnapLen)
	case d.Port == nil:
		return fmt.Errorf("afpacket: no port table is given")
	}
	_, err := d.program(false)
	return err
}

func (o *Options) withDefaults() Options {
	d := *o
	if d.Queues == 0 {
		d.Queues = 1
	}
	if d.Fanout == "" {
		d.Fanout = FanoutHash
	}
	if d.BlockSize == 0 {
		d.BlockSize = 256 << 10
	}
	if d.Blocks == 0 {
		d.Blocks = 64
	}
	if d.BlockTimeout == 0 {
		d.BlockTimeout = 10 * time.Millisecond
	}
	if d.Direction == "" {
		d.Direction = DirectionBoth
	}
	if d.SnapLen == 0 {
		d.SnapLen = maxSnapLen
	}
	return d
}
