package expr

import (
	"encoding/binary"
	"fmt"
)

// The classic BPF machine, after McCanne and Jacobson, "The BSD Packet Filter:
// A New Architecture for User-level Packet Capture" (USENIX Winter 1993),
// section 3.3, with the instruction encoding of bpf(4). It differs from the
// one in golang.org/x/net/bpf in that it knows the length on the wire apart
// from the bytes at hand, which the filter's "len" asks for, and in that it
// runs the encoded program as it is.

// A bpfInsn is one encoded instruction.
type bpfInsn struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Fields of an instruction code.
const (
	bpfLD, bpfLDX, bpfST, bpfSTX  = 0x00, 0x01, 0x02, 0x03
	bpfALU, bpfJMP, bpfRET, bpfMX = 0x04, 0x05, 0x06, 0x07 // MX: tax, txa

	bpfW, bpfH, bpfB                               = 0x00, 0x08, 0x10
	bpfIMM, bpfABS, bpfIND, bpfMEM, bpfLEN, bpfMSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xa0
	bpfADD, bpfSUB, bpfMUL, bpfDIV, bpfOR, bpfAND  = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50
	bpfLSH, bpfRSH, bpfNEG, bpfMOD, bpfXOR         = 0x60, 0x70, 0x80, 0x90, 0xa0
	bpfJA, bpfJEQ, bpfJGT, bpfJGE, bpfJSET         = 0x00, 0x10, 0x20, 0x30, 0x40
	bpfK, bpfX, bpfA                               = 0x00, 0x08, 0x10
	bpfTAX, bpfTXA                                 = 0x00, 0x80
	bpfMemWords                                    = 16
	bpfMaxInsns                                    = 1 << 15 // more than any filter that Parse accepts
)

// A bpfProgram is a checked program: every jump stays inside, the last
// instruction returns, scratch words exist, constants do not divide by zero.
//
// Jumps go forward, but for the unconditional one: libpcap compiles protochain
// to a loop over extension headers, with a negative offset. maxLoops bounds how
// often run goes back, so every program ends, whatever the frame.
type bpfProgram []bpfInsn

// maxLoops returns how often a program may go back over n bytes. An extension
// header has at least 8, and MaxCaptureFilter has room for fewer than 64
// protochains.
func maxLoops(n int) int { return 64 * (n/8 + 1) }

func newBPFProgram(insns []bpfInsn) (bpfProgram, error) {
	if len(insns) == 0 || len(insns) > bpfMaxInsns {
		return nil, fmt.Errorf("bpf: program of %d instructions, not 1..%d", len(insns), bpfMaxInsns)
	}
	for i, in := range insns {
		if err := checkInsn(in, i, len(insns)-1-i); err != nil {
			return nil, fmt.Errorf("bpf: instruction %d (code 0x%02x): %w", i, in.code, err)
		}
	}
	if insns[len(insns)-1].code&7 != bpfRET {
		return nil, fmt.Errorf("bpf: the last instruction does not return")
	}
	return insns, nil
}

// checkInsn checks one instruction with before and after others around it.
func checkInsn(in bpfInsn, before, after int) error {
	bad := fmt.Errorf("not an instruction")
	switch in.code & 7 {
	case bpfLD:
		switch in.code {
		case bpfLD | bpfIMM, bpfLD | bpfLEN,
			bpfLD | bpfABS | bpfW, bpfLD | bpfABS | bpfH, bpfLD | bpfABS | bpfB,
			bpfLD | bpfIND | bpfW, bpfLD | bpfIND | bpfH, bpfLD | bpfIND | bpfB:
			return nil
		case bpfLD | bpfMEM:
			return checkMem(in.k)
		}
		return bad
	case bpfLDX:
		switch in.code {
		case bpfLDX | bpfIMM, bpfLDX | bpfLEN, bpfLDX | bpfMSH | bpfB:
			return nil
		case bpfLDX | bpfMEM:
			return checkMem(in.k)
		}
		return bad
	case bpfST, bpfSTX:
		if in.code&^7 != 0 {
			return bad
		}
		return checkMem(in.k)
	case bpfALU:
		op := in.code & 0xf0
		if op > bpfXOR || in.code > 0xff {
			return bad
		}
		if in.code&bpfX == 0 && in.k == 0 && (op == bpfDIV || op == bpfMOD) {
			return fmt.Errorf("division by zero")
		}
		return nil
	case bpfJMP:
		op := in.code & 0xf0
		if op > bpfJSET || in.code > 0xff {
			return bad
		}
		outside := max(int(in.jt), int(in.jf)) >= after
		if op == bpfJA {
			outside = int(int32(in.k)) >= after || int(int32(in.k)) < -before-1
		}
		if outside {
			return fmt.Errorf("jump out of the program")
		}
		return nil
	case bpfRET:
		if in.code != bpfRET|bpfK && in.code != bpfRET|bpfA {
			return bad
		}
		return nil
	default:
		if in.code != bpfMX|bpfTAX && in.code != bpfMX|bpfTXA {
			return bad
		}
		return nil
	}
}

func checkMem(k uint32) error {
	if k >= bpfMemWords {
		return fmt.Errorf("no scratch word %d", k)
	}
	return nil
}

// run executes the program over the first bytes of a frame of wireLen bytes
// and returns what it returns: 0 rejects the frame. A load past the bytes, a
// division by zero and too many loops reject it too.
func (p bpfProgram) run(data []byte, wireLen uint32) uint32 {
	var a, x uint32
	var mem [bpfMemWords]uint32
	loops := maxLoops(len(data))
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		switch in.code & 7 {
		case bpfLD:
			switch in.code &^ (7 | bpfH | bpfB) {
			case bpfIMM:
				a = in.k
			case bpfLEN:
				a = wireLen
			case bpfMEM:
				a = mem[in.k&(bpfMemWords-1)]
			default:
				at := uint64(in.k)
				if in.code&bpfIND != 0 {
					at += uint64(x)
				}
				if at >= uint64(len(data)) {
					return 0
				}
				b := data[at:]
				switch {
				case in.code&bpfB != 0:
					a = uint32(b[0])
				case in.code&bpfH != 0:
					if len(b) < 2 {
						return 0
					}
					a = uint32(binary.BigEndian.Uint16(b))
				default:
					if len(b) < 4 {
						return 0
					}
					a = binary.BigEndian.Uint32(b)
				}
			}
		case bpfLDX:
			switch in.code &^ (7 | bpfB) {
			case bpfIMM:
				x = in.k
			case bpfLEN:
				x = wireLen
			case bpfMEM:
				x = mem[in.k&(bpfMemWords-1)]
			default: // MSH, the length of an IPv4 header
				if uint64(in.k) >= uint64(len(data)) {
					return 0
				}
				x = uint32(data[in.k]&15) * 4
			}
		case bpfST:
			mem[in.k&(bpfMemWords-1)] = a
		case bpfSTX:
			mem[in.k&(bpfMemWords-1)] = x
		case bpfALU:
			v := in.k
			if in.code&bpfX != 0 {
				v = x
			}
			switch in.code & 0xf0 {
			case bpfADD:
				a += v
			case bpfSUB:
				a -= v
			case bpfMUL:
				a *= v
			case bpfDIV:
				if v == 0 {
					return 0
				}
				a /= v
			case bpfMOD:
				if v == 0 {
					return 0
				}
				a %= v
			case bpfOR:
				a |= v
			case bpfAND:
				a &= v
			case bpfXOR:
				a ^= v
			case bpfLSH:
				a <<= v
			case bpfRSH:
				a >>= v
			case bpfNEG:
				a = -a
			}
		case bpfJMP:
			v := in.k
			if in.code&bpfX != 0 {
				v = x
			}
			var yes bool
			switch in.code & 0xf0 {
			case bpfJA:
				pc += int(int32(in.k))
				if int32(in.k) < 0 {
					if loops--; loops < 0 {
						return 0
					}
				}
				continue
			case bpfJEQ:
				yes = a == v
			case bpfJGT:
				yes = a > v
			case bpfJGE:
				yes = a >= v
			case bpfJSET:
				yes = a&v != 0
			}
			if yes {
				pc += int(in.jt)
			} else {
				pc += int(in.jf)
			}
		case bpfRET:
			if in.code&bpfA != 0 {
				return a
			}
			return in.k
		default:
			if in.code&bpfTXA != 0 {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}
