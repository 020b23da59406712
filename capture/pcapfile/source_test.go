package pcapfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/conformance"
	"github.com/confluo/confluo/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trace is a capture file of n frames, in memory.
func trace(t testing.TB, format string, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace")
	writeFrames(t, path, format, conformance.Frames(n, 256))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

var compressions = map[string]func(testing.TB, []byte) []byte{
	"plain": func(_ testing.TB, d []byte) []byte { return d },
	"gzip":  gzipped,
	"zstd":  zstded,
}

func TestCompressedFilesReadAsPlainOnes(t *testing.T) {
	for _, format := range []string{FormatPcap, FormatPcapng} {
		data := trace(t, format, 3000)
		want, err := read(t, file(t, "plain", data), maxStride)
		if err != nil || len(want) != 3000 {
			t.Fatal(len(want), err)
		}
		for name, compress := range compressions {
			t.Run(format+" "+name, func(t *testing.T) {
				packed := compress(t, data)
				path := file(t, "whatever.name", packed)
				got, err := read(t, path, maxStride)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, got, want, "")
				info, err := Scan(path)
				if err != nil || info.Frames != 3000 {
					t.Errorf("Scan: %+v, %v", info, err)
				}
				// The same through a pipe, in pieces that do not fit the records.
				fifo := filepath.Join(t.TempDir(), "fifo")
				if err := syscall.Mkfifo(fifo, 0o600); err != nil {
					t.Fatal(err)
				}
				done := make(chan error)
				go func() {
					w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
					for at := 0; err == nil && at < len(packed); at += 1777 {
						_, err = w.Write(packed[at:min(at+1777, len(packed))])
					}
					done <- errors.Join(err, w.Close())
				}()
				got, err = read(t, fifo, maxStride)
				if err := errors.Join(err, <-done); err != nil {
					t.Fatal(err)
				}
				compare(t, got, want, "")
			})
		}
	}
}

func TestStandardInputIsReadAsAFile(t *testing.T) {
	data := trace(t, FormatPcapng, 700)
	want, err := read(t, file(t, "plain", data), maxStride)
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	for name, compress := range compressions {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := w.Write(compress(t, data))
			done <- errors.Join(err, w.Close())
		}()
		os.Stdin = r
		if _, err := Scan("-"); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("Scan of standard input: %v", err)
		}
		got, err := read(t, "-", maxStride)
		if err := errors.Join(err, <-done, r.Close()); err != nil {
			t.Fatalf("%s: %v", name, err) // Close fails if the source closed it
		}
		compare(t, got, want, "")
	}
}

// A pipe that is silent is no end: Recv returns empty after the wait, what is
// there is delivered without waiting for more, and Close ends the wait.
func TestSilentPipeIsWaitedFor(t *testing.T) {
	for name, compress := range compressions {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			data := compress(t, trace(t, FormatPcap, 2000))
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			w, err := os.OpenFile(fifo, os.O_RDWR, 0) // lets the reader open it
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			s, err := Open(Options{Name: "p", Paths: []string{fifo}, Port: onePort(0)})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b, err := packet.NewBatch(nil, 64)
			if err != nil {
				t.Fatal(err)
			}
			recv := func(wait time.Duration) (int, error) {
				b.N = 0
				err := s.Queues()[0].Recv(b, wait)
				return b.N, err
			}
			if n, err := recv(10 * time.Millisecond); n != 0 || err != nil {
				t.Fatalf("a silent pipe gives %d frames, %v", n, err)
			}
			// All but the last bytes; then nothing for a while.
			sent := make(chan error)
			go func() {
				_, err := w.Write(data[:len(data)-3])
				sent <- err
			}()
			total := 0
			for end := time.Now().Add(20 * time.Second); total == 0; {
				n, err := recv(10 * time.Millisecond)
				if total += n; err != nil || time.Now().After(end) {
					t.Fatalf("%d frames, %v", total, err)
				}
			}
			for {
				n, err := recv(300 * time.Millisecond)
				if total += n; err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			if name == "plain" && total != 1999 {
				t.Errorf("%d of 1999 whole frames came before the pipe went silent", total)
			}
			done := make(chan error)
			go func() {
				_, err := recv(time.Hour)
				for err == nil {
					_, err = recv(time.Hour)
				}
				done <- err
			}()
			time.Sleep(20 * time.Millisecond)
			s.Close()
			if err := <-done; !errors.Is(err, capture.ErrClosed) {
				t.Errorf("Recv during Close: %v", err)
			}
		})
	}
}

func TestDamagedFilesAreReadUpToTheDamage(t *testing.T) {
	const n = 10
	pcap, ng := trace(t, FormatPcap, n), trace(t, FormatPcapng, n)
	frames := conformance.Frames(n, 256)
	last := len(frames[n-1].Data)
	record := 16 + last             // length of the last pcap record
	block := 32 + (last+3)/4*4 + 12 // of the last pcapng block, with its flags
	put := func(data []byte, at int, v ...byte) []byte {
		out := append([]byte(nil), data...)
		copy(out[at:], v)
		return out
	}
	cat := func(a []byte, b ...byte) []byte { return append(append([]byte(nil), a...), b...) }
	for _, c := range []struct {
		name   string
		data   []byte
		frames uint64
		offset int
		cut    bool
		text   string
	}{
		{"pcap cut inside the last frame", pcap[:len(pcap)-1], n - 1, len(pcap) - record, true,
			fmt.Sprintf("packet 10 ends after %d of its %d bytes", last-1, last)},
		{"pcap cut right after a record header", pcap[:len(pcap)-last], n - 1, len(pcap) - record, true,
			fmt.Sprintf("packet 10 ends after 0 of its %d bytes", last)},
		{"pcap cut inside a record header", pcap[:len(pcap)-last-1], n - 1, len(pcap) - record, true,
			"the record header of packet 10 ends after 15 of its 16 bytes"},
		{"pcap with an absurd captured length", put(pcap, len(pcap)-record+8, 0xff, 0xff, 0xff, 0xff), n - 1, len(pcap) - record, false,
			"packet 10 claims 4294967295 captured bytes"},
		{"pcap followed by something", cat(pcap, 1, 2, 3), n, len(pcap), true, "ends after 3 of its 16 bytes"},
		{"gzip cut", gzipped(t, pcap)[:len(gzipped(t, pcap))-9], n, len(pcap), true, "gzip: unexpected EOF"},
		{"gzip with a wrong checksum", put(gzipped(t, pcap), len(gzipped(t, pcap))-8, 0, 0, 0, 0), n, len(pcap), false, "gzip: "},
		{"pcapng cut inside the last block", ng[:len(ng)-1], n - 1, len(ng) - block, true,
			fmt.Sprintf("a block of type 0x6 ends after %d of its %d bytes", block-1, block)},
		{"pcapng cut inside a block header", ng[:len(ng)-block+5], n - 1, len(ng) - block, true, "a block header ends after 5 of its 12 bytes"},
		{"pcapng with two lengths for a block", put(ng, len(ng)-4, 12, 0, 0, 0), n - 1, len(ng) - block, false,
			fmt.Sprintf("a block of type 0x6 has length %d at its beginning and 12 at its end", block)},
		{"pcapng with an odd length", put(ng, len(ng)-block+4, 33, 0, 0, 0), n - 1, len(ng) - block, false, "length of 33"},
		{"pcapng with a packet of no interface", put(ng, len(ng)-block+8, 7, 0, 0, 0), n - 1, len(ng) - block, false,
			"packet 10 is of interface 7, but its section has 1"},
		{"pcapng with a frame beyond its block", put(ng, len(ng)-block+20, 0, 4, 0, 0), n - 1, len(ng) - block, false,
			"packet 10 claims 1024 captured bytes"},
		{"pcapng with an enormous block of no interest, cut", cat(ng, 0xef, 0, 0, 0, 0, 0, 0, 0x40, 1, 2, 3, 4), n, len(ng), true,
			"a block of length 1073741824 ends"},
		{"pcapng of a version to come", cat(ng, 10, 13, 13, 10, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 2, 0, 0, 0,
			255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0), n, len(ng), false, "pcapng version 2.0 is not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := file(t, "trace", c.data)
			got, err := read(t, path, maxStride)
			var d *DamageError
			if !errors.As(err, &d) {
				t.Fatalf("%v, want a DamageError", err)
			}
			if len(got) != int(c.frames) || d.Frames != c.frames || d.File != path || errors.Is(err, io.ErrUnexpectedEOF) != c.cut {
				t.Errorf("%d frames, then %#v; want %d frames, cut short: %t", len(got), d, c.frames, c.cut)
			}
			if c.name != "pcapng with an enormous block of no interest, cut" && d.Offset != int64(c.offset) {
				t.Errorf("damage at %d, want %d", d.Offset, c.offset)
			}
			how := map[bool]string{true: "cut short", false: "damaged"}[c.cut]
			if text := fmt.Sprintf("pcapfile: %s: %s after %d packets", path, how, c.frames); !strings.HasPrefix(err.Error(), text) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q, want %q and %q", err, text, c.text)
			}
			if info, err := Scan(path); info.Frames != c.frames || !errors.As(err, &d) {
				t.Errorf("Scan: %+v, %v", info, err)
			}
		})
	}
}

func TestDamageMakesTheSourceFailedAndStays(t *testing.T) {
	data := trace(t, FormatPcap, 10)
	s, err := Open(Options{Name: "x", Paths: []string{file(t, "trace", data[:len(data)-1])}, Port: onePort(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Queues()[0].Recv(b, 0); err != nil || b.N != 9 {
		t.Fatalf("%d frames, %v", b.N, err)
	}
	for range 2 {
		b.N = 0
		if err := s.Queues()[0].Recv(b, 0); !errors.Is(err, io.ErrUnexpectedEOF) || b.N != 0 {
			t.Errorf("%d frames, %v", b.N, err)
		}
	}
	if st := s.Stats(); st.State != "failed" || !strings.Contains(st.Detail, "cut short after 9 packets") || st.Received != 9 {
		t.Errorf("%+v", st)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	good := file(t, "good", trace(t, FormatPcap, 1))
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Paths: []string{good}}, "name is empty"},
		{Options{Name: "x"}, "at least one file"},
		{Options{Name: "x", Paths: []string{""}}, "a file name is empty"},
		{Options{Name: "x", Paths: []string{good}, Speed: -1}, "speed -1 is not allowed"},
		{Options{Name: "x", Paths: []string{good}, Speed: math.NaN()}, "speed NaN is not allowed"},
		{Options{Name: "x", Paths: []string{"-"}, Loops: 2}, "loops 2 is not allowed with standard input"},
		{Options{Name: "x", Paths: []string{good}, Stamp: "then"}, `stamp "then" is not allowed: "recorded" or "now"`},
		{Options{Name: "x", Paths: []string{"/nonexistent"}}, "no such file"},
		{Options{Name: "x", Paths: []string{t.TempDir()}}, "is a directory"},
		{Options{Name: "x", Paths: []string{file(t, "empty", nil)}}, "the file is empty"},
		{Options{Name: "x", Paths: []string{file(t, "text", []byte("hello, world"))}}, "not a capture file: it begins with 68 65 6c 6c"},
		{Options{Name: "x", Paths: []string{file(t, "old", []byte("\xd4\xc3\xb2\xa1\x01\x00\x02\x00aaaaaaaaaaaaaaaa"))}}, "pcap version 1.2 is not known"},
		{Options{Name: "x", Paths: []string{file(t, "short", []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00"))}}, "the file header ends after 8 of its 24 bytes"},
	} {
		c.o.Port = onePort(0)
		s, err := Open(c.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestEachInterfaceOfEachFileIsAPort(t *testing.T) {
	// Two files of one base name, a pcapng one with interfaces of two link
	// types, and one that is read twice.
	a, b := file(t, "x.pcap", trace(t, FormatPcap, 2)), file(t, "x.pcap", trace(t, FormatPcap, 2))
	var ng bytes.Buffer
	w, err := NewWriter(&ng, WriterOptions{Ports: []packet.Port{
		{Name: "eth0", Link: packet.LinkEthernet}, {Name: "idle", Link: packet.LinkEthernet}, {Name: "tun0", Link: packet.LinkRaw}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range []uint16{0, 2, 0, 2} {
		if err := w.Write([]byte{1, 2, 3}, int64(1+i), 3, port, packet.DirIn); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	// A second section says the same names again, and one of them with another
	// link type.
	w, err = NewWriter(&ng, WriterOptions{Format: FormatPcapng, Ports: []packet.Port{
		{Name: "eth0", Link: packet.LinkEthernet}, {Name: "tun0", Link: packet.LinkSLL2}, {Link: packet.LinkIPv6}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, port := range []uint16{0, 1, 2} {
		if err := w.Write([]byte{4}, int64(5+i), 1, port, packet.DirOut); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	c := file(t, "c.pcapng", ng.Bytes())
	var ports []string
	s, err := Open(Options{Name: "x", Paths: []string{a, b, c, c}, Port: func(name string, l packet.LinkType) (uint16, error) {
		ports = append(ports, fmt.Sprintf("%s %d", name, l))
		return uint16(len(ports) - 1), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	batch, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Queues()[0].Recv(batch, 0); err != nil {
		t.Fatal(err)
	}
	want := []string{a + " 1", b + " 1", "c.pcapng:eth0 1", "c.pcapng:tun0 101", "c.pcapng:tun0#2 276", "c.pcapng:2 229"}
	if fmt.Sprint(ports) != fmt.Sprint(want) {
		t.Errorf("ports %q, want %q", ports, want)
	}
	if got, want := fmt.Sprint(batch.Port[:batch.N]), "[0 0 1 1 2 3 2 3 2 4 5 2 3 2 3 2 4 5]"; got != want {
		t.Errorf("frames of ports %s, want %s", got, want)
	}
}

func TestLoopsGoOnInTime(t *testing.T) {
	data := trace(t, FormatPcap, 5)
	path := file(t, "trace", data)
	s, err := Open(Options{Name: "x", Paths: []string{path, path}, Loops: 3, Port: onePort(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Queues()[0].Recv(b, 0); err != nil || b.N != 30 {
		t.Fatalf("%d frames, %v; want 30", b.N, err)
	}
	fs := conformance.Frames(5, 256)
	span := fs[4].Time.UnixNano() - fs[0].Time.UnixNano() + 1000
	for i := range b.N {
		if want := fs[i%5].Time.UnixNano() + int64(i/10)*span; b.Ts[i] != want {
			t.Errorf("frame %d: time %d, want %d", i, b.Ts[i], want)
		}
	}
	b.N = 0
	if err := s.Queues()[0].Recv(b, 0); err != io.EOF {
		t.Errorf("after the loops: %v", err)
	}
	empty := file(t, "empty", data[:24])
	e, err := Open(Options{Name: "x", Paths: []string{empty}, Loops: -1, Port: onePort(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.Queues()[0].Recv(b, 0); err != io.EOF {
		t.Errorf("endless loops over nothing: %v", err)
	}
}

func TestPaceKeepsToTheRecordedTimes(t *testing.T) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, WriterOptions{Ports: []packet.Port{{Name: "a", Link: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	const gap = 40 * time.Millisecond
	at := int64(1.7e18)
	for _, step := range []time.Duration{0, 0, gap, gap, -gap, 2 * gap} {
		at += int64(step)
		if err := w.Write([]byte{1}, at, 1, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const speed = 2
	s, err := Open(Options{Name: "x", Paths: []string{file(t, "trace", buf.Bytes())}, Speed: speed, Stamp: StampNow, Port: onePort(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	var ts []int64
	for empty := 0; ; {
		b.N = 0
		err := s.Queues()[0].Recv(b, time.Millisecond)
		now := time.Now().UnixNano()
		for _, v := range b.Ts[:b.N] {
			if v > now {
				t.Errorf("a frame is stamped %d ns in the future", v-now)
			}
			ts = append(ts, v)
		}
		if err == io.EOF {
			if empty == 0 {
				t.Error("Recv never waited")
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.N == 0 {
			empty++
		}
	}
	if len(ts) != 6 {
		t.Fatalf("%d frames, want 6", len(ts))
	}
	// A frame may be late, never early.
	for i, due := range []time.Duration{0, 0, gap, 2 * gap, 2 * gap, 3 * gap} {
		if after := time.Duration(ts[i] - ts[0]); after < due/speed-time.Microsecond {
			t.Errorf("frame %d came %v after the first, due after %v", i, after, due/speed)
		}
	}
}

func BenchmarkRecv(b *testing.B) {
	for _, format := range []string{FormatPcap, FormatPcapng} {
		b.Run(format, func(b *testing.B) {
			path := file(b, "trace", trace(b, format, 20000))
			s, err := Open(Options{Name: "x", Paths: []string{path}, Loops: -1, Port: onePort(0)})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			batch, err := packet.NewBatch(nil, 128)
			if err != nil {
				b.Fatal(err)
			}
			q := s.Queues()[0]
			b.ResetTimer()
			for n := 0; n < b.N; n += batch.N {
				batch.N = 0
				if err := q.Recv(batch, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
