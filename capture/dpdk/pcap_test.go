//go:build dpdk

package dpdk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/confluo/confluo/packet"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// readPcap reads a capture file by gopacket; an error for a file that it, or
// net_pcap, does not read as Ethernet.
func readPcap(path string) ([]frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return nil, err
	}
	if r.LinkType() != layers.LinkTypeEthernet {
		return nil, errors.New("not Ethernet")
	}
	var out []frame
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, frame{data: data, ts: ci.Timestamp.UnixNano(), wireLen: uint32(ci.Length)})
	}
}

func writePcap(t *testing.T, frames []frame) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, fr := range frames {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(0, fr.ts), Length: len(fr.data), CaptureLength: len(fr.data)}
		if err := w.WritePacket(ci, fr.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkFile receives a capture file by net_pcap and compares what came with
// what gopacket reads. Net_pcap says of a frame that was cut when it was
// captured that it was as long as what is left of it.
func checkFile(t *testing.T, path string, want []frame, stride int) {
	t.Helper()
	s := openAll(t, Options{
		Name:    "file",
		Ports:   []Port{{Device: "net_pcap_file,rx_pcap=" + path, Index: 1}},
		Mempool: Mempool{Mbufs: 1023, DataRoom: 9000},
	})
	defer s.Close()
	q := s.Queues()[0]
	got := receive(t, q, stride, len(want))
	expectNoMore(t, q)
	if len(got) != len(want) {
		t.Errorf("%d frames, want %d", len(got), len(want))
		return
	}
	last := want[0].ts
	for i, g := range got {
		w := want[i]
		if !bytes.Equal(g.data, w.data[:min(stride, len(w.data))]) || int(g.wireLen) != len(w.data) {
			t.Errorf("frame %d: %d bytes %x, want %d bytes %x", i, g.wireLen, g.data, len(w.data), w.data)
			return
		}
		if g.port != 1 || g.dir != packet.DirUnknown {
			t.Errorf("frame %d: port %d, direction %d", i, g.port, g.dir)
		}
		// The recorded time in microseconds, but never back within a burst.
		// Libpcap takes the seconds as signed, so times from 2038 on lie in 1901.
		us := w.ts / 1000 * 1000
		if sec := us / 1e9; sec > math.MaxInt32 {
			us += int64(int32(sec))*1e9 - sec*1e9
		}
		if g.ts != us && !(us < last && g.ts <= last && g.ts > us) {
			t.Errorf("frame %d: time %d, want %d", i, g.ts, us)
			return
		}
		last = max(last, us)
	}
}

func TestPcapFramesArriveOnceInOrderByteForByte(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	frames := make([]frame, 5000)
	ts := time.Date(2024, 2, 29, 23, 59, 58, 123456000, time.UTC)
	for i := range frames {
		ts = ts.Add(time.Duration(r.IntN(3000)) * time.Microsecond)
		frames[i] = frame{data: randomFrame(r, uint32(i), 14+r.IntN(8900)), ts: ts.UnixNano()}
	}
	for _, stride := range []int{64, 128, 9000} {
		checkFile(t, writePcap(t, frames), frames, stride)
	}
}

func TestPcapAgreesWithGopacketOnRealCaptures(t *testing.T) {
	dir := os.Getenv("CONFLUO_CAPTURES")
	if dir == "" {
		dir = "../../../shared/captures"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no captures: %v", err) // the test above made its own file
	}
	checked := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := readPcap(path)
		if err != nil || len(want) == 0 {
			return nil // not for net_pcap: another format or link type, or broken
		}
		largest := 0
		for _, w := range want {
			largest = max(largest, len(w.data))
		}
		if largest > 9000 {
			return nil // larger than the mbufs of this test
		}
		checked++
		t.Run(filepath.Base(path), func(t *testing.T) { checkFile(t, path, want, 256) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Errorf("only %d files were checked", checked)
	}
}
