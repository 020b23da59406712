package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// requireTool skips the test on a machine without the program, or fails it
// where the machine is meant to have everything.
func requireTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		skipOrFail(t, "%s is not installed", name)
	}
	return path
}

func skipOrFail(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CONFLUO_TEST_STRICT") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// captureFiles returns the capture files of the captures folder, nil if there
// is no such folder.
func captureFiles(t *testing.T) (root string, files []string) {
	t.Helper()
	root = os.Getenv("CONFLUO_CAPTURES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "captures")
	}
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".tsv") {
			files = append(files, path)
		}
		return nil
	})
	return root, files
}

// A capturedFrame is one frame of a file with the link type of its interface.
type capturedFrame struct {
	link LinkType
	data []byte
	wire int
}

// readCapture reads a pcap or pcapng file with gopacket. It returns the frames
// before an error along with it.
func readCapture(path string) ([]capturedFrame, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var read func() ([]byte, gopacket.CaptureInfo, error)
	link := func(int) LinkType { return 0 }
	if len(raw) >= 24 && binary.LittleEndian.Uint32(raw) != 0x0a0d0d0a {
		r, err := pcapgo.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		r.SetSnaplen(1 << 20)
		read = r.ReadPacketData
		// gopacket keeps eight bits of the link type.
		var order binary.ByteOrder = binary.LittleEndian
		if raw[0] == 0xa1 {
			order = binary.BigEndian
		}
		kind := LinkType(order.Uint32(raw[20:]))
		link = func(int) LinkType { return kind }
	} else {
		r, err := pcapgo.NewNgReader(bytes.NewReader(raw), pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return nil, err
		}
		read = r.ReadPacketData
		link = func(i int) LinkType {
			intf, err := r.Interface(i)
			if err != nil {
				return 0
			}
			if intf.LinkType == layers.LinkType(LinkSLL2&0xff) {
				return LinkSLL2
			}
			return LinkType(intf.LinkType)
		}
	}
	var frames []capturedFrame
	for {
		data, info, err := read()
		if err == io.EOF {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, capturedFrame{link(info.InterfaceIndex), data, info.Length})
	}
}

// allTunnels strips every tunnel on the ports where tshark looks for it.
var allTunnels = Decap{Kinds: 1<<NumTunnels - 2, VXLAN: []uint16{4789, 4790}, Geneve: []uint16{6081}, GTPU: []uint16{2152}}

// A rowTester parses single frames into row 0 of its columns.
type rowTester struct {
	table  PortTable
	parser *Parser
	ports  map[LinkType]uint16
	decap  Decap
	c      *Columns
}

func newRowTester(d Decap) *rowTester {
	r := &rowTester{ports: map[LinkType]uint16{}, c: NewColumns(1), decap: d}
	r.parser = NewParser(&r.table)
	return r
}

func (r *rowTester) parse(link LinkType, data []byte, wire int) *Columns {
	port, ok := r.ports[link]
	if !ok {
		var err error
		if port, err = r.table.Add(Port{Name: fmt.Sprint("link", link), Link: link, Decap: r.decap}); err != nil {
			panic(err)
		}
		r.ports[link] = port
	}
	data = data[:min(len(data), 65535)]
	f := Frames{Data: data, Stride: len(data), Ts: []int64{0}, WireLen: []uint32{uint32(wire)}, CapLen: []uint16{uint16(len(data))}, Port: []uint16{port}, Dir: []uint8{0}}
	r.parser.Parse(&f, 0, 1, r.c)
	return r.c
}
