package pcapfile

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcap"

	"github.com/confluo/confluo/packet"
)

// A record is a frame as anyone read it.
type record struct {
	ts        int64
	wire, cap int
	sum       string // MD5 of the bytes
	dir       packet.Dir
}

func sum(data []byte) string {
	s := md5.Sum(data)
	return hex.EncodeToString(s[:])
}

// read reads a whole file through a Source, and cuts its frames to a length.
func read(t testing.TB, path string, cut int) ([]record, error) {
	t.Helper()
	src, err := Open(Options{Name: "test", Paths: []string{path}, Port: onePort(0)})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	b, err := packet.NewBatch(nil, maxStride)
	if err != nil {
		t.Fatal(err)
	}
	var out []record
	for {
		b.N = 0
		err := src.Queues()[0].Recv(b, time.Second)
		for i := range b.N {
			kept := b.Slice(i)
			kept = kept[:min(len(kept), cut)]
			out = append(out, record{b.Ts[i], int(b.WireLen[i]), len(kept), sum(kept), packet.Dir(b.Dir[i])})
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// captures returns the paths of the capture files to test with: those of
// CONFLUO_CAPTURES, or of ../shared/captures beside the repository, or files
// that the test makes.
func captures(t testing.TB) map[string]string {
	t.Helper()
	dir := os.Getenv("CONFLUO_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "captures")
	}
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(filepath.Ext(path), "cap") {
			return err
		}
		name, err := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = path
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return madeCaptures(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no capture file", dir)
	}
	return out
}

// Why a file is read otherwise than by another program. The value is the
// reason; a file is listed only while it does differ.
var (
	notAsTshark = map[string]string{
		"malformed/tcpdump__timestamp_invalid_nano.pcap":                   "nanoseconds beyond a second: tshark computes with 32 bits",
		"malformed/tcpdump__atm-heapoverflow.pcap":                         "tshark takes the 4-byte pseudo-header of ATM off the frame",
		"malformed/tcpdump__atm-oam-heapoverflow.pcap":                     "tshark takes the 4-byte pseudo-header of ATM off the frame",
		"request-response/deepflow__flow_generator__nats__nats-nrpc1.pcap": "tshark does not tell the direction in a modified pcap record",
	}
	notAsLibpcap = map[string]string{
		"malformed/tcpdump__timestamp_invalid_nano.pcap": "nanoseconds beyond a second: gopacket computes with 32 bits",
		"malformed/tcpdump__time_2038_overflow.pcap":     "seconds beyond 2038: gopacket computes with 32 bits",
	}
)

// maxStride is the longest slice that a batch takes; longer frames are cut.
const maxStride = 65535

func TestFramesEqualTsharks(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		skip(t, "this machine has no tshark: %v", err)
	}
	slots := make(chan struct{}, runtime.NumCPU())
	for name, path := range captures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			want, refused := tshark(t, path)
			if refused != "" {
				t.Logf("tshark reads nothing: %s", refused)
				return
			}
			got, err := read(t, path, maxStride)
			if err != nil {
				t.Fatal(err)
			}
			for i := range min(len(got), len(want)) {
				if want[i].cap > maxStride { // the bytes are compared with libpcap's
					want[i].cap, want[i].sum = maxStride, got[i].sum
				}
			}
			compare(t, got, want, notAsTshark[name])
		})
	}
}

func compare(t *testing.T, got, want []record, accepted string) {
	t.Helper()
	diff := ""
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			diff = fmt.Sprintf("packet %d: %+v, want %+v", i+1, got[i], want[i])
			break
		}
	}
	if len(got) != len(want) {
		diff = fmt.Sprintf("%d packets, want %d", len(got), len(want))
	}
	switch {
	case diff != "" && accepted == "":
		t.Error(diff)
	case diff == "" && accepted != "":
		t.Errorf("no difference any more, so it need not be accepted: %s", accepted)
	}
}

// tshark returns what tshark reads of a file, or why it reads nothing.
func tshark(t *testing.T, path string) (recs []record, refused string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("tshark", "-n", "-r", path, "-o", "frame.generate_md5_hash:TRUE", "-T", "fields",
		"-e", "frame.number", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len",
		"-e", "frame.md5_hash", "-e", "frame.packet_flags_direction", "-e", "frame.cb_pen")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && out.Len() == 0 && strings.Contains(errs.String(), "support") {
		return nil, strings.TrimSpace(errs.String())
	} else if err != nil {
		t.Fatalf("tshark: %v: %s", err, errs.String())
	}
	for line := range strings.Lines(out.String()) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 7 {
			t.Fatalf("tshark: %q", line)
		}
		if f[6] != "" {
			continue // tshark counts custom blocks as packets
		}
		r := record{sum: f[4]} // no time in a simple packet block
		if f[1] != "" {
			sec, nsec, _ := strings.Cut(f[1], ".")
			s, err1 := strconv.ParseInt(sec, 10, 64)
			n, err2 := strconv.ParseInt(nsec, 10, 64)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			r.ts = s*1e9 + n
		}
		var err1, err2 error
		r.wire, err1 = strconv.Atoi(f[2])
		r.cap, err2 = strconv.Atoi(f[3])
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		switch f[5] {
		case "1", "0x00000001":
			r.dir = packet.DirIn
		case "2", "0x00000002":
			r.dir = packet.DirOut
		}
		recs = append(recs, r)
	}
	return recs, ""
}

func TestFramesEqualLibpcaps(t *testing.T) {
	compared := 0
	for name, path := range captures(t) {
		t.Run(name, func(t *testing.T) {
			want, snap, stopped := libpcap(path)
			got, err := read(t, path, snap)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].dir = packet.DirUnknown // not told by libpcap
			}
			if len(want) < len(got) && stopped != nil {
				// Several link types, no interface, a section with the other
				// byte order: libpcap reads on to there only.
				t.Logf("libpcap reads %d of %d packets: %v", len(want), len(got), stopped)
				got = got[:len(want)]
			}
			compared += len(want)
			compare(t, got, want, notAsLibpcap[name])
		})
	}
	if compared == 0 {
		t.Error("libpcap read nothing")
	}
}

// libpcap returns what libpcap reads of a file, and the snap length of the
// file, to which it cuts what is longer.
func libpcap(path string) (out []record, snap int, err error) {
	h, err := pcap.OpenOffline(path)
	if err != nil {
		return nil, maxStride, err
	}
	defer h.Close()
	snap = maxStride
	if n := h.SnapLen(); n > 0 {
		snap = min(snap, n)
	}
	for {
		data, ci, err := h.ReadPacketData()
		if err == io.EOF {
			return out, snap, nil
		}
		if err != nil {
			return out, snap, err
		}
		data = data[:min(len(data), snap)]
		out = append(out, record{ts: ci.Timestamp.UnixNano(), wire: ci.Length, cap: len(data), sum: sum(data)})
	}
}

// skip skips the test for want of something on the machine, or fails it if the
// environment has CONFLUO_TEST_STRICT=1.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CONFLUO_TEST_STRICT") == "1" {
		t.Fatalf("CONFLUO_TEST_STRICT=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// madeCaptures makes files of each format, for a machine without any.
func madeCaptures(t testing.TB) map[string]string {
	t.Helper()
	dir := t.TempDir()
	out := make(map[string]string)
	for name, o := range map[string]WriterOptions{
		"nano.pcap":   {Format: FormatPcap},
		"micro.pcap":  {Format: FormatPcap, Microseconds: true},
		"two.pcapng":  {Format: FormatPcapng},
		"auto.pcap":   {},
		"auto.pcapng": {Last: maxPcapTime},
	} {
		o.Ports = []packet.Port{{Name: "a", Link: packet.LinkEthernet}, {Name: "b", Link: packet.LinkEthernet}}
		var buf bytes.Buffer
		w, err := NewWriter(&buf, o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 600 {
			data := bytes.Repeat([]byte{byte(i)}, 60+i)
			if err := w.Write(data, 1700000000123456000+int64(i)*1000, uint32(len(data)+i), uint16(i%2), packet.Dir(i%3)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out[name] = path
	}
	return out
}
