package pcapfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/confluo/confluo/capture/conformance"
	"github.com/confluo/confluo/packet"
)

func TestConformance(t *testing.T) {
	for _, format := range []string{FormatPcap, FormatPcapng} {
		t.Run(format, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Recorded: true,
				MaxFrame: 9000,
				Open: func(t *testing.T, s conformance.Setup) conformance.Rig {
					path := filepath.Join(t.TempDir(), "trace")
					writeFrames(t, path, format, s.Frames)
					src, err := Open(Options{Name: "replay", Paths: []string{path}, Port: onePort(42)})
					if err != nil {
						t.Fatal(err)
					}
					dir := packet.DirUnknown
					if format == FormatPcapng {
						dir = packet.DirOut
					}
					return conformance.Rig{Source: src, Name: "replay", Port: 42, Dir: dir}
				},
			})
		})
	}
}

func onePort(n uint16) func(string, packet.LinkType) (uint16, error) {
	return func(string, packet.LinkType) (uint16, error) { return n, nil }
}

// writeFrames writes a capture file with this package's writer.
func writeFrames(t testing.TB, path, format string, frames []conformance.Frame) {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, WriterOptions{Format: format, Ports: []packet.Port{{Name: "p0", Link: packet.LinkEthernet}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.Write(f.Data, f.Time.UnixNano(), uint32(len(f.Data)), 0, packet.DirOut); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
