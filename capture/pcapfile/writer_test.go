package pcapfile

import (
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"

	"github.com/confluo/confluo/packet"
)

// export reads a capture through a Source and writes it again.
func export(t *testing.T, path string) (out []byte, ng bool) {
	t.Helper()
	info, err := Scan(path)
	if err != nil {
		t.Fatal(err)
	}
	var ports []packet.Port
	s, err := Open(Options{Name: "x", Paths: []string{path}, Port: func(name string, l packet.LinkType) (uint16, error) {
		ports = append(ports, packet.Port{Name: name, Link: l})
		return uint16(len(ports) - 1), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var batches []*packet.Batch
	for err == nil {
		b, e := packet.NewBatch(nil, maxStride)
		if e != nil {
			t.Fatal(e)
		}
		err = s.Queues()[0].Recv(b, 0)
		batches = append(batches, b)
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w, err := NewWriter(&buf, WriterOptions{Ports: ports, First: info.First, Last: info.Last, Microseconds: !info.Nanoseconds})
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, b := range batches {
		for i := range b.N {
			if err := w.Write(b.Slice(i), b.Ts[i], b.WireLen[i], b.Port[i], packet.Dir(b.Dir[i])); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if n != info.Frames {
		t.Errorf("%d frames, Scan counted %d", n, info.Frames)
	}
	return buf.Bytes(), w.Pcapng()
}

func TestExportedFilesReadBackEqual(t *testing.T) {
	_, noTshark := exec.LookPath("tshark")
	ngs := 0
	files := captures(t)
	for name, path := range files {
		data, ng := export(t, path)
		if ng {
			ngs++
		}
		back := file(t, "export", data)
		want, err := read(t, path, maxStride)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(t, back, maxStride)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !ng { // which keeps no direction
			for i := range want {
				want[i].dir = packet.DirUnknown
			}
		}
		t.Run(name, func(t *testing.T) {
			compare(t, got, want, "")
			if !ng {
				theirs, _, err := libpcap(back)
				if err != nil || len(theirs) != len(want) {
					t.Errorf("libpcap reads %d packets, %v; want %d", len(theirs), err, len(want))
				}
			}
			// tshark takes its time; the odd files are what matters.
			if ng || filepath.Dir(name) == "l2-encap" || filepath.Dir(name) == "pcapng-format" || !strings.Contains(name, "/") {
				if noTshark != nil {
					skip(t, "this machine has no tshark: %v", noTshark)
				}
				theirs, refused := tshark(t, back)
				if refused != "" {
					t.Fatal(refused)
				}
				compare(t, theirs, want, "")
			}
		})
	}
	if ngs == 0 && len(files) > len(madeCaptures(t)) { // real captures are there
		t.Error("no capture needed pcapng")
	}
}

func TestWriterChoosesTheFormatThatCanHoldTheFrames(t *testing.T) {
	eth, raw := packet.Port{Name: "a", Link: 1}, packet.Port{Name: "b", Link: 101}
	for _, c := range []struct {
		o    WriterOptions
		ng   bool
		fail string
	}{
		{WriterOptions{}, false, ""},
		{WriterOptions{Ports: []packet.Port{eth, eth}}, false, ""},
		{WriterOptions{Ports: []packet.Port{eth, raw}}, true, ""},
		{WriterOptions{Ports: []packet.Port{eth}, Format: FormatPcapng}, true, ""},
		{WriterOptions{Ports: []packet.Port{eth}, Last: maxPcapTime}, true, ""},
		{WriterOptions{Ports: []packet.Port{eth}, Last: maxPcapTime - 1}, false, ""},
		{WriterOptions{Ports: []packet.Port{eth, raw}, Format: FormatPcap}, false, `format "pcap" is not possible: ports a and b have link types 1 and 101`},
		{WriterOptions{Format: "snoop"}, false, `format "snoop" is not allowed: "auto", "pcap" or "pcapng"`},
		{WriterOptions{SnapLen: -1}, false, "snap length -1 is not within"},
	} {
		w, err := NewWriter(io.Discard, c.o)
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%+v: %v, want %q", c.o, err, c.fail)
			}
			continue
		}
		if err != nil || w.Pcapng() != c.ng {
			t.Errorf("%+v: %v, pcapng %t", c.o, err, !c.ng)
		}
	}
}

func TestWriterRefusesWhatTheFormatCannotHold(t *testing.T) {
	w, err := NewWriter(io.Discard, WriterOptions{Ports: []packet.Port{{Name: "a", Link: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"after 2106":       w.Write(nil, maxPcapTime, 0, 0, 0),
		"before 1970":      w.Write(nil, -1, 0, 0, 0),
		"port 1 is not in": w.Write(nil, 1, 0, 1, 0),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// An export without a frame is a capture file all the same.
func TestEmptyExportIsACaptureFile(t *testing.T) {
	for _, format := range []string{FormatPcap, FormatPcapng} {
		var buf bytes.Buffer
		w, err := NewWriter(&buf, WriterOptions{Format: format})
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, file(t, "empty", buf.Bytes()), maxStride); err != nil || len(got) != 0 {
			t.Errorf("%s: %d frames, %v", format, len(got), err)
		}
		if format == FormatPcap {
			_, err = pcapgo.NewReader(&buf)
		} else {
			_, err = pcapgo.NewNgReader(&buf, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		}
		if err != nil {
			t.Errorf("%s: gopacket: %v", format, err)
		}
	}
}

func TestWriteAllocatesNothing(t *testing.T) {
	for _, format := range []string{FormatPcap, FormatPcapng} {
		w, err := NewWriter(io.Discard, WriterOptions{Format: format, Ports: []packet.Port{{Name: "a", Link: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		slice := make([]byte, 128)
		n := testing.AllocsPerRun(1000, func() {
			if err := w.Write(slice, 1, 1500, 0, packet.DirIn); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a frame", format, n)
		}
	}
}
