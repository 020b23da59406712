package afpacket

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Loads from these offsets give what the kernel knows of a frame beside its
// bytes (linux/filter.h).
const (
	adOffset  = 0xfffff000 // SKF_AD_OFF
	adPktType = adOffset + 4
	adIfindex = adOffset + 8
)

const (
	loopbackIndex = 1    // in every network namespace
	maxProgram    = 4096 // BPF_MAXINSNS
)

// refuseAll is attached while sockets are set up and when they are shut: no
// frame passes, and none is counted.
var refuseAll = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}}

// program returns the filter of a socket: first the direction, then the
// operator's program or, without one, everything; frames are cut at the snap
// length. Jumps of classic BPF are relative, so programs can be put together.
func (o *Options) program(loopback bool) ([]bpf.RawInstruction, error) {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	var p []bpf.RawInstruction
	direction := o.Direction
	if loopback && direction == DirectionBoth {
		direction = DirectionIn
	}
	switch {
	case direction == DirectionIn:
		p = []bpf.RawInstruction{
			{Op: load, K: adPktType},
			{Op: equal, K: unix.PACKET_OUTGOING, Jt: 0, Jf: 1},
			{Op: ret},
		}
	case direction == DirectionOut:
		p = []bpf.RawInstruction{
			{Op: load, K: adPktType},
			{Op: equal, K: unix.PACKET_OUTGOING, Jt: 1, Jf: 0},
			{Op: ret},
		}
	case o.Interface == Any: // all but what leaves the loopback interface
		p = []bpf.RawInstruction{
			{Op: load, K: adIfindex},
			{Op: equal, K: loopbackIndex, Jt: 0, Jf: 3},
			{Op: load, K: adPktType},
			{Op: equal, K: unix.PACKET_OUTGOING, Jt: 0, Jf: 1},
			{Op: ret},
		}
	}
	if o.Filter == nil {
		return append(p, bpf.RawInstruction{Op: ret, K: uint32(o.SnapLen)}), nil
	}
	if n := len(p) + len(o.Filter); len(o.Filter) == 0 || n > maxProgram {
		return nil, fmt.Errorf("afpacket: a filter of %d instructions is not allowed: 1 to %d", len(o.Filter), maxProgram-len(p))
	}
	for _, in := range o.Filter {
		// A program says how much of a frame to keep; compilers say "all".
		if in.Op == ret && in.K != 0 {
			in.K = min(in.K, uint32(o.SnapLen))
		}
		p = append(p, in)
	}
	return p, nil
}

func attach(fd int, p []bpf.RawInstruction) error {
	f := make([]unix.SockFilter, len(p))
	for i, in := range p {
		f[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]})
	if err != nil {
		return fmt.Errorf("attach a filter of %d instructions: %w", len(p), err)
	}
	return nil
}
