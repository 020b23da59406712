package pcapfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/google/gopacket/pcapgo"

	"github.com/confluo/confluo/packet"
)

// FuzzPcapFile reads arbitrary bytes as a capture file. They must end in
// io.EOF or a DamageError, in memory that does not depend on what lengths they
// state; and what is read of a pcap file must be what gopacket reads of it.
func FuzzPcapFile(f *testing.F) {
	for _, format := range []string{FormatPcap, FormatPcapng} {
		data := trace(f, format, 3)
		f.Add(data)
		f.Add(data[:len(data)-5])
		f.Add(gzipped(f, data))
		f.Add(zstded(f, data))
	}
	old := trace(f, FormatPcap, 2)
	old[6] = 2 // version, with lengths swapped
	f.Add(old)
	modified := append([]byte(nil), old[:24]...)
	copy(modified, []byte{0xa1, 0xb2, 0xcd, 0x34, 0, 2, 0, 4})
	f.Add(append(modified, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 8, 0, 4, 0, 0xaa))
	f.Add([]byte("\n\r\r\n\x00\x00\x00\x1c\x1a\x2b\x3c\x4d\x00\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x1c" + // big endian
		"\x00\x00\x00\x01\x00\x00\x00\x1c\x00\x01\x00\x00\x00\x00\x00\x40\x00\x09\x00\x01\x8a\x00\x00\x00\x00\x00\x00\x1c" + // 2^-10 s
		"\x00\x00\x00\x03\x00\x00\x00\x14\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x14" + // simple packet
		"\x00\x00\x00\x02\x00\x00\x00\x24\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00\x02\x00\x00\x00\x09ab\x00\x00\x00\x00\x00\x24")) // packet block
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		in := &input{raw: bufio.NewReader(bytes.NewReader(data))}
		d := newDecoder(in, "fuzz")
		oracle := gopacketOracle(data)
		var fr frame
		var err error
		n := 0
		for ; err == nil; n++ {
			if err = d.next(&fr); err != nil {
				break
			}
			if len(fr.data) > maxFrame || fr.iface == nil || fr.dir > packet.DirOut {
				t.Fatalf("frame %d: %d bytes, direction %d", n, len(fr.data), fr.dir)
			}
			if oracle != nil && !oracle(t, n, &fr) {
				oracle = nil
			}
		}
		var damage *DamageError
		if err != io.EOF && (!errors.As(err, &damage) || damage.Frames != uint64(n)) {
			t.Fatalf("%d frames, then %v", n, err)
		}
		if in.closer != nil {
			in.closer()
			return // the decompressor has a bound of its own
		}
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(2*windowSize+64<<10+32*len(data)); oracle == nil && got > limit+2*maxFrame {
			t.Errorf("%d bytes allocated for a file of %d", got, len(data))
		}
	})
}

// gopacketOracle reads the same file by gopacket, as far as that goes. The
// function that it returns compares the next frame, and reports whether
// gopacket can go on.
func gopacketOracle(data []byte) func(*testing.T, int, *frame) bool {
	if len(data) < 24 || data[0] == 0x1f || data[0] == '\n' {
		return nil
	}
	r, err := pcapgo.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	r.SetSnaplen(maxFrame)
	return func(t *testing.T, n int, f *frame) bool {
		got, ci, err := r.ReadPacketData()
		if err != nil {
			return false // refuses frames that are longer than they were on the wire
		}
		// It computes nanoseconds with 32 bits, which matters where they are
		// beyond a second.
		sameTime := (ci.Timestamp.UnixNano()-f.ts)%(1<<32) == 0
		if !bytes.Equal(got, f.data) || ci.Length != int(f.wire) || !sameTime {
			t.Errorf("frame %d: %d bytes of %d at %d, gopacket reads %d of %d at %v", n, len(f.data), f.wire, f.ts, len(got), ci.Length, ci.Timestamp.UnixNano())
		}
		return true
	}
}
