package expr

import (
	"testing"

	"golang.org/x/net/bpf"
)

// oracleRun runs a program on the machine of golang.org/x/net/bpf; ok is false
// if that does not take the program.
func oracleRun(insns []bpfInsn, data []byte) (accepted uint32, ok bool) {
	raw := make([]bpf.RawInstruction, len(insns))
	for i, in := range insns {
		raw[i] = bpf.RawInstruction{Op: in.code, Jt: in.jt, Jf: in.jf, K: in.k}
		if in.code&0xe7 == bpfLD|bpfABS && in.k >= 0xfffff000 {
			return 0, false // it takes these offsets for Linux extensions
		}
		if in.code&7 == bpfALU && in.code&0xf0 == bpfNEG {
			return 0, false // which it does not implement
		}
		if in.code == bpfLDX|bpfLEN {
			return 0, false // which it loads into the wrong register
		}
		if in.code == bpfJMP|bpfJA && int32(in.k) < 0 {
			return 0, false // nor loops
		}
	}
	prog, decoded := bpf.Disassemble(raw)
	if !decoded {
		return 0, false
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		return 0, false
	}
	n, err := vm.Run(data)
	return uint32(n), err == nil
}

// bpfInsnSize is how many bytes of fuzz input an instruction takes.
const bpfInsnSize = 8

// decodeInsns reads instructions from fuzz input, small numbers preferred.
func decodeInsns(b []byte) []bpfInsn {
	var out []bpfInsn
	for ; len(b) >= bpfInsnSize; b = b[bpfInsnSize:] {
		k := uint32(b[4]) | uint32(b[5])<<8
		if b[3]&0x80 != 0 {
			k |= uint32(b[6])<<16 | uint32(b[7])<<24
		}
		out = append(out, bpfInsn{uint16(b[0]), b[1], b[2] & 0x1f, k})
	}
	return out
}

func encodeInsns(insns []bpfInsn) []byte {
	var b []byte
	for _, in := range insns {
		var long byte
		if in.k > 0xffff {
			long = 0x80
		}
		b = append(b, byte(in.code), in.jt, in.jf, long, byte(in.k), byte(in.k>>8), byte(in.k>>16), byte(in.k>>24))
	}
	return b
}

// bpfSeeds are programs that together hold every kind of instruction.
var bpfSeeds = [][]bpfInsn{
	{{bpfLD | bpfH | bpfABS, 0, 0, 12}, {bpfJMP | bpfJEQ, 0, 1, 0x800}, {bpfRET, 0, 0, 65535}, {bpfRET, 0, 0, 0}},
	{{bpfLDX | bpfB | bpfMSH, 0, 0, 14}, {bpfLD | bpfH | bpfIND, 0, 0, 16}, {bpfJMP | bpfJGT, 0, 1, 1023}, {bpfRET, 0, 0, 1}, {bpfRET, 0, 0, 0}},
	{{bpfLD | bpfW | bpfLEN, 0, 0, 0}, {bpfST, 0, 0, 3}, {bpfLDX | bpfMEM, 0, 0, 3}, {bpfALU | bpfADD | bpfX, 0, 0, 0}, {bpfRET | bpfA, 0, 0, 0}},
	{{bpfLD | bpfIMM, 0, 0, 0xdeadbeef}, {bpfMX | bpfTAX, 0, 0, 0}, {bpfALU | bpfDIV, 0, 0, 7}, {bpfALU | bpfMOD | bpfX, 0, 0, 0},
		{bpfALU | bpfLSH, 0, 0, 40}, {bpfALU | bpfXOR, 0, 0, 9}, {bpfJMP | bpfJSET, 1, 0, 1}, {bpfMX | bpfTXA, 0, 0, 0}, {bpfRET | bpfA, 0, 0, 0}},
	{{bpfLD | bpfLEN, 0, 0, 0}, {bpfMX | bpfTAX, 0, 0, 0}, {bpfSTX, 0, 0, 15}, {bpfLD | bpfMEM, 0, 0, 15}, {bpfALU | bpfMUL, 0, 0, 3}, {bpfALU | bpfSUB | bpfX, 0, 0, 0},
		{bpfALU | bpfOR, 0, 0, 64}, {bpfALU | bpfAND, 0, 0, 0xff}, {bpfALU | bpfRSH, 0, 0, 1}, {bpfJMP | bpfJA, 0, 0, 1}, {bpfRET, 0, 0, 0}, {bpfRET | bpfA, 0, 0, 0}},
	{{bpfLDX | bpfIMM, 0, 0, 0}, {bpfLD | bpfB | bpfIND, 0, 0, 2}, {bpfALU | bpfDIV | bpfX, 0, 0, 0}, {bpfRET, 0, 0, 1}},
}

func TestBPFMachineAgreesWithXNet(t *testing.T) {
	data := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0, 80}
	for i, insns := range bpfSeeds {
		prog, err := newBPFProgram(insns)
		if err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
		for n := range len(data) + 1 {
			want, ok := oracleRun(insns, data[:n])
			if !ok {
				t.Fatalf("program %d: x/net/bpf does not take it", i)
			}
			if got := prog.run(data[:n], uint32(n)); got != want {
				t.Errorf("program %d over %d bytes: got %d, want %d", i, n, got, want)
			}
		}
	}
}

func TestBPFMachineBeyondXNet(t *testing.T) {
	for _, tt := range []struct {
		name    string
		insns   []bpfInsn
		data    []byte
		wireLen uint32
		want    uint32
	}{
		{"len is the length on the wire", []bpfInsn{{bpfLD | bpfLEN, 0, 0, 0}, {bpfRET | bpfA, 0, 0, 0}}, make([]byte, 64), 1500, 1500},
		{"len into x", []bpfInsn{{bpfLDX | bpfLEN, 0, 0, 0}, {bpfMX | bpfTXA, 0, 0, 0}, {bpfRET | bpfA, 0, 0, 0}}, make([]byte, 64), 1500, 1500},
		{"neg", []bpfInsn{{bpfLD | bpfIMM, 0, 0, 5}, {bpfALU | bpfNEG, 0, 0, 0}, {bpfRET | bpfA, 0, 0, 0}}, nil, 0, ^uint32(4)},
		{"an endless loop rejects", []bpfInsn{{bpfJMP | bpfJA, 0, 0, ^uint32(0)}, {bpfRET, 0, 0, 1}}, nil, 0, 0},
		{"an offset that wraps is outside", []bpfInsn{{bpfLDX | bpfIMM, 0, 0, ^uint32(0)}, {bpfLD | bpfB | bpfIND, 0, 0, 1}, {bpfRET, 0, 0, 1}}, make([]byte, 8), 8, 0},
		{"a loop counts up", []bpfInsn{{bpfALU | bpfADD, 0, 0, 1}, {bpfJMP | bpfJGE, 1, 0, 10}, {bpfJMP | bpfJA, 0, 0, ^uint32(2)}, {bpfRET | bpfA, 0, 0, 0}}, nil, 0, 10},
	} {
		prog, err := newBPFProgram(tt.insns)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := prog.run(tt.data, tt.wireLen); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestBPFProgramsThatCouldGoWrongAreRefused(t *testing.T) {
	ret := bpfInsn{bpfRET, 0, 0, 0}
	for name, insns := range map[string][]bpfInsn{
		"empty":               {},
		"no return":           {{bpfLD | bpfIMM, 0, 0, 0}},
		"jump past the end":   {{bpfJMP | bpfJEQ, 0, 1, 0}, ret},
		"jump before start":   {{bpfJMP | bpfJA, 0, 0, ^uint32(1)}, ret},
		"far jump":            {{bpfJMP | bpfJA, 0, 0, 1 << 30}, ret},
		"scratch word 16":     {{bpfST, 0, 0, 16}, ret},
		"load scratch 99":     {{bpfLDX | bpfMEM, 0, 0, 99}, ret},
		"division by zero":    {{bpfALU | bpfDIV, 0, 0, 0}, ret},
		"unknown load":        {{bpfLD | 0xe0, 0, 0, 0}, ret},
		"unknown alu":         {{bpfALU | 0xf0, 0, 0, 0}, ret},
		"unknown jump":        {{bpfJMP | 0xf0, 0, 0, 0}, ret},
		"unknown return":      {{bpfRET | bpfX, 0, 0, 0}},
		"unknown misc":        {{bpfMX | 0x40, 0, 0, 0}, ret},
		"code beyond a byte":  {{0x100 | bpfLD, 0, 0, 0}, ret},
		"store with a source": {{bpfST | bpfX, 0, 0, 0}, ret},
	} {
		if _, err := newBPFProgram(insns); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzBPF runs programs over frames here and on the machine of
// golang.org/x/net/bpf.
func FuzzBPF(f *testing.F) {
	for _, insns := range bpfSeeds {
		f.Add(encodeInsns(insns), []byte("0123456789ab\x08\x00\x45678901234567890123456789"))
	}
	f.Fuzz(func(t *testing.T, code, data []byte) {
		data = data[:min(len(data), 1024)]
		insns := decodeInsns(code[:min(len(code), 100*bpfInsnSize)])
		prog, err := newBPFProgram(insns)
		if err != nil {
			return
		}
		got := prog.run(data, uint32(len(data))) // must end
		if want, ok := oracleRun(insns, data); ok && got != want {
			t.Errorf("%v over %x: got %d, want %d", insns, data, got, want)
		}
	})
}
