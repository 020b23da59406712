//go:build cgo

package expr

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcap"

	"github.com/confluo/confluo/packet"
)

// haveLibpcap tells the text-file tests whether capture filters compile.
const haveLibpcap = true

// captureFilters are capture filters of every kind that tcpdump's manual has,
// but for names that would be looked up.
var captureFilters = []string{
	"tcp", "udp", "icmp", "icmp6", "arp", "ip", "ip6", "sctp", "not ip", "ip or ip6 or arp",
	"host 10.0.0.1", "src host 10.0.0.1", "dst net 10.0.0.0/8", "net 2001:db8::/32", "ip6 host 2001:db8::1",
	"port 80", "src port 53", "dst portrange 1000-2000", "tcp port 80 and host 10.0.0.1", "udp port 53 or tcp port 443",
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] == tcp-syn", "tcp[13] & 0x10 != 0",
	"ip[8] < 64", "ip[6:2] & 0x1fff != 0", "icmp[icmptype] == icmp-echo", "ip proto 47", "ip6 proto 58", "ip6 protochain 6", "ip protochain 17",
	"vlan", "vlan 12", "vlan and tcp", "vlan and vlan", "mpls", "pppoes", "ether proto 0x88cc",
	"greater 200", "less 100", "len > 60 and len <= 1514", "len % 2 == 0", "ip[2:2] > 100", "ip[ip[0] & 0xf] == 0",
	"ether host 02:00:00:00:00:01", "ether broadcast", "ether multicast", "ip multicast", "ip6 multicast",
	"(tcp or udp) and not port 22 and not (net 192.168.0.0/16 and greater 1000)",
	"tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420", "udp[8:4] / 3 != 7 and udp[8] << 2 > 10", "link[0] & 1 = 1",
}

// testFrames are frames of one link type, some of them cut.
func testFrames(t *testing.T, link packet.LinkType) (frames [][]byte, wireLen []uint32) {
	for _, pkt := range testPackets(t) {
		frame := append(linkHeader(link, pkt.etherType), pkt.data...)
		for _, keep := range []int{len(frame), 128, 60, 35, 14, 1} {
			if keep <= len(frame) {
				frames = append(frames, frame[:keep])
				wireLen = append(wireLen, uint32(len(frame)))
			}
		}
	}
	return frames, wireLen
}

type testPacket struct {
	etherType uint16
	data      []byte
}

func testPackets(t *testing.T) []testPacket {
	t.Helper()
	var out []testPacket
	add := func(etherType uint16, ls ...gopacket.SerializableLayer) {
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
			t.Fatal(err)
		}
		out = append(out, testPacket{etherType, append([]byte(nil), buf.Bytes()...)})
	}
	ip4 := func(proto layers.IPProtocol, src, dst string) *layers.IPv4 {
		return &layers.IPv4{Version: 4, IHL: 5, TTL: 63, Protocol: proto, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
	}
	ip6 := func(next layers.IPProtocol) *layers.IPv6 {
		return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
	}
	body := func(n int) gopacket.Payload { return gopacket.Payload(strings.Repeat("GET ", n/4)) }
	for _, n := range []int{0, 40, 1200} {
		add(0x800, ip4(6, "10.0.0.1", "10.0.0.2"), &layers.TCP{SrcPort: 40000, DstPort: 80, SYN: n == 0, ACK: n > 0}, body(n))
		add(0x800, ip4(17, "192.168.3.4", "10.0.0.1"), &layers.UDP{SrcPort: 53, DstPort: 1500}, body(n))
		add(0x86dd, ip6(17), &layers.UDP{SrcPort: 5353, DstPort: 53}, body(n))
		add(0x86dd, ip6(6), &layers.TCP{SrcPort: 443, DstPort: 2000, FIN: true, ACK: true}, body(n))
	}
	options := ip4(6, "10.0.0.1", "224.0.0.5")
	options.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	add(0x800, options, &layers.TCP{SrcPort: 22, DstPort: 22, RST: true}, body(40))
	fragment := ip4(17, "10.0.0.1", "10.0.0.2")
	fragment.FragOffset = 185
	add(0x800, fragment, body(100))
	add(0x800, ip4(1, "10.0.0.1", "10.0.0.2"), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, body(56))
	add(0x800, ip4(47, "10.0.0.1", "10.0.0.2"), body(20))
	add(0x86dd, ip6(58), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, body(56))
	add(0x86dd, ip6(0), gopacket.Payload([]byte{6, 0, 1, 4, 0, 0, 0, 0}), &layers.TCP{SrcPort: 1, DstPort: 80, ACK: true}, body(8))
	group := ip6(17)
	group.DstIP = net.ParseIP("ff02::1")
	add(0x86dd, group, &layers.UDP{SrcPort: 1, DstPort: 2})
	add(0x806, &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
		SourceHwAddress: make([]byte, 6), SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 2}})
	add(0x8100, &layers.Dot1Q{VLANIdentifier: 12, Type: 0x800}, ip4(6, "10.0.0.1", "10.0.0.2"), &layers.TCP{SrcPort: 1, DstPort: 80})
	add(0x8100, &layers.Dot1Q{VLANIdentifier: 13, Type: 0x8100}, &layers.Dot1Q{VLANIdentifier: 12, Type: 0x800}, ip4(17, "10.0.0.1", "10.0.0.2"), &layers.UDP{SrcPort: 1, DstPort: 2})
	add(0x8847, &layers.MPLS{Label: 7, StackBottom: true, TTL: 9}, ip4(17, "10.0.0.1", "10.0.0.2"), &layers.UDP{SrcPort: 1, DstPort: 2})
	add(0x88cc, body(40))
	return out
}

// linkHeader returns a link header before a packet of an EtherType.
func linkHeader(link packet.LinkType, etherType uint16) []byte {
	be := binary.BigEndian
	family := byte(2) // AF_INET; of IPv6 the number differs by system, this is Linux's
	if etherType == 0x86dd {
		family = 10
	}
	ppp := uint16(0x21)
	if etherType == 0x86dd {
		ppp = 0x57
	}
	switch link {
	case packet.LinkEthernet:
		dst := []byte{2, 0, 0, 0, 0, 1}
		if etherType == 0x806 {
			dst = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
		return be.AppendUint16(append(dst, 2, 0, 0, 0, 0, 2), etherType)
	case packet.LinkSLL:
		return be.AppendUint16([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0}, etherType)
	case packet.LinkSLL2:
		return append(be.AppendUint16(nil, etherType), 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0)
	case packet.LinkNull:
		return []byte{family, 0, 0, 0}
	case packet.LinkLoop:
		return []byte{0, 0, 0, family}
	case packet.LinkPPP:
		return be.AppendUint16([]byte{0xff, 3}, ppp)
	case packet.LinkCHDLC:
		return be.AppendUint16([]byte{0x0f, 0}, etherType)
	}
	return nil
}

// oneLink is a port table of which every port has one link type.
type oneLink struct {
	Names
	link packet.LinkType
}

func (l oneLink) PortLink(uint16) packet.LinkType { return l.link }

// frameColumns are the columns that capture filters read.
func frameColumns(frames [][]byte, wireLen []uint32, stride int) *packet.Columns {
	c := &packet.Columns{N: len(frames), Stride: stride, Data: make([]byte, len(frames)*stride)}
	for i, f := range frames {
		copy(c.Data[i*stride:], f)
		c.PktLen = append(c.PktLen, wireLen[i])
		c.CapLen = append(c.CapLen, uint16(len(f)))
		c.InPort = append(c.InPort, 0)
	}
	return c
}

// parseOnce keeps what it parsed, for the next file.
func parseOnce(filter string, link packet.LinkType) (*Expr, error) {
	key := parseKey{filter, link}
	if e, ok := parsed[key]; ok {
		return e, nil
	}
	e, err := Parse(capturePrefix+filter, oneLink{link: link})
	if err == nil {
		parsed[key] = e
	}
	return e, err
}

type parseKey struct {
	filter string
	link   packet.LinkType
}

var parsed = map[parseKey]*Expr{}

// checkAgainstLibpcap compares a capture filter with libpcap's own matching
// over up to ChunkSize frames.
func checkAgainstLibpcap(t *testing.T, h *pcap.Handle, link packet.LinkType, filter string, frames [][]byte, wireLen []uint32) (matched int) {
	t.Helper()
	oracle, err := h.NewBPF(filter)
	if err != nil { // such as ether host of raw IP: matches nothing here
		oracle = nil
	}
	e, err := parseOnce(filter, link)
	if err != nil {
		if oracle != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		return 0
	}
	c := frameColumns(frames, wireLen, 512)
	var out [1]packet.Bitmap
	s := NewSet([]*Expr{e})
	s.Eval(c, s.NewScratch(), out[:])
	for i, f := range frames {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(f), Length: int(wireLen[i])}
		want := oracle != nil && oracle.Matches(ci, f)
		if out[0].Has(i) != want || e.Match(c, i) != want {
			t.Errorf("%s, link type %d, frame %d (%d of %d bytes): Eval %v, Match %v, libpcap %v",
				filter, link, i, len(f), wireLen[i], out[0].Has(i), e.Match(c, i), want)
		}
		if want {
			matched++
		}
	}
	return matched
}

func TestCaptureFiltersAgreeWithLibpcapOnEveryLinkType(t *testing.T) {
	matched := map[string]int{}
	for _, link := range append(captureLinks, 127) { // 127: 802.11 with radiotap, which is compiled late
		h, err := openEmptyCapture(link)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		frames, wireLen := testFrames(t, link)
		for _, filter := range captureFilters {
			for at := 0; at < len(frames); at += 200 {
				end := min(at+200, len(frames))
				var cut [][]byte
				for _, f := range frames[at:end] {
					cut = append(cut, f[:min(len(f), 512)])
				}
				matched[filter] += checkAgainstLibpcap(t, h, link, filter, cut, wireLen[at:end])
			}
		}
	}
	for _, filter := range captureFilters {
		if matched[filter] == 0 && filter != "pppoes" && filter != "sctp" {
			t.Errorf("%s matches none of the test's frames", filter)
		}
	}
}

// captureFiles lists the capture files of CONFLUO_CAPTURES, or of the folder
// beside the repository.
func captureFiles(t *testing.T) []string {
	dir := os.Getenv("CONFLUO_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "captures")
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(filepath.Base(path), "cap") {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// framesPerFile is how many frames of each capture file are looked at.
const framesPerFile = 256

func TestCaptureFiltersAgreeWithLibpcapOnCaptureFiles(t *testing.T) {
	files := captureFiles(t)
	if len(files) == 0 { // one of our own then
		files = []string{writeCapture(t)}
	}
	frameCount, matched := 0, 0
	for _, file := range files {
		h, err := pcap.OpenOffline(file)
		if err != nil {
			continue // a format that this libpcap does not read
		}
		var frames [][]byte
		var wireLen []uint32
		for len(frames) < framesPerFile {
			data, ci, err := h.ReadPacketData()
			if errors.Is(err, io.EOF) || err != nil {
				break
			}
			if len(data) == 0 {
				continue // gopacket's matching takes none without bytes
			}
			frames = append(frames, data[:min(len(data), 128)])
			wireLen = append(wireLen, uint32(ci.Length))
		}
		link := packet.LinkType(h.LinkType())
		if link == 12 { // DLT_RAW of Linux
			link = packet.LinkRaw
		}
		if len(frames) > 0 && h.LinkType() != 20 { // SLL2, whose number gopacket cuts to 8 bits
			for _, filter := range captureFilters {
				matched += checkAgainstLibpcap(t, h, link, filter, frames, wireLen)
			}
			frameCount += len(frames)
		}
		h.Close()
	}
	t.Logf("%d files, %d frames, %d matches of %d filters", len(files), frameCount, matched, len(captureFilters))
	if frameCount == 0 || matched == 0 {
		t.Errorf("%d frames and %d matches in %d files", frameCount, matched, len(files))
	}
}

// writeCapture writes the test's Ethernet frames to a capture file.
func writeCapture(t *testing.T) string {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(le.AppendUint16(b, 2), 4)
	for _, v := range []uint32{0, 0, 65535, uint32(packet.LinkEthernet)} {
		b = le.AppendUint32(b, v)
	}
	frames, wireLen := testFrames(t, packet.LinkEthernet)
	for i, f := range frames {
		for _, v := range []uint32{1, uint32(i), uint32(len(f)), wireLen[i]} {
			b = le.AppendUint32(b, v)
		}
		b = append(b, f...)
	}
	path := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCaptureFilterEvalAllocatesNothing(t *testing.T) {
	frames, wireLen := testFrames(t, packet.LinkEthernet)
	for i, f := range frames {
		frames[i] = f[:min(len(f), 512)]
	}
	c := frameColumns(frames[:200%len(frames)], wireLen, 512)
	for i := range c.InPort {
		c.InPort[i] = uint16(i % 3) // port 2 is Linux cooked v2
	}
	e, err := Parse("bpf:tcp port 80 or vlan", testPorts{})
	if err != nil {
		t.Fatal(err)
	}
	s := NewSet([]*Expr{e, e})
	sc, out := s.NewScratch(), make([]packet.Bitmap, 2)
	if got := testing.AllocsPerRun(20, func() { s.Eval(c, sc, out) }); got != 0 {
		t.Errorf("Eval allocates %v times", got)
	}
	if out[0].Count() == 0 || out[0] != out[1] {
		t.Errorf("matches %v and %v", out[0], out[1])
	}
}

func TestCaptureFilterLimits(t *testing.T) {
	for _, src := range []string{
		"bpf:" + strings.Repeat("tcp or ", 200) + "udp",
		"bpf:tcp\x00udp",
		"bpf:" + strings.Repeat("(", 500),
	} {
		if _, err := Parse(src, nil); err == nil {
			t.Errorf("%.30q: accepted", src)
		} else {
			checkError(t, src, err)
		}
	}
}
