package packet

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tsharkFields are the fields that TestParseAgreesWithTshark asks for; every
// occurrence of each, so that the one that belongs to a header can be chosen.
var tsharkFields = []string{
	"_ws.col.Protocol", "frame.len", "frame.cap_len", "frame.protocols",
	"eth.src", "eth.dst", "eth.type", "vlan.id", "vlan.etype", "ieee8021ad.id", "ieee8021ad.svid", "ieee8021ad.cvid", "ieee8021ah.etype",
	"llc.type", "sll.etype", "chdlc.protocol", "mpls.label", "arp.opcode",
	"ip.src", "ip.dst", "ip.proto", "ip.ttl", "ip.len", "ip.hdr_len", "ipv6.plen", "tcp.hdr_len", "ieee8021ah.cdst", "ieee8021ah.csrc", "ip.id", "ip.flags.mf", "ip.frag_offset", "ip.dsfield.dscp", "ip.dsfield.ecn",
	"ipv6.src", "ipv6.dst", "ipv6.nxt", "ipv6.hlim", "ipv6.tclass.dscp", "ipv6.tclass.ecn",
	"ipv6.fraghdr.offset", "ipv6.fraghdr.more", "ipv6.fraghdr.ident",
	"tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value", "tcp.len",
	"udp.srcport", "udp.dstport", "udp.length", "sctp.srcport", "sctp.dstport", "icmp.type", "icmpv6.type",
	"vxlan.vni", "geneve.vni", "gre.flags.key", "gre.key", "gre.key.call_id", "erspan.spanid", "gtp.teid", "gtp.message",
}

// A tsharkRow is one frame as tshark sees it: the values of each field.
type tsharkRow map[string][]string

// expectation is what tshark says of the attributes of one frame.
type expectation map[Attr]string

// expect follows the protocols that tshark found up to the first one that the
// parser does not enter, the way the parser would, and picks the occurrence
// of each field that belongs to the header at hand. So the packet quoted in
// an ICMP error, what is in protocols above UDP and TCP and in tunnels that
// the parser does not know are left out on both sides.
func expect(r tsharkRow) (e expectation, have, absent Layers) {
	e = expectation{}
	seen := map[string]int{}
	var transportSeen bool
	var tunnel TunnelKind
	take := func(field string, n int) (string, bool) {
		if n < len(r[field]) && r[field][n] != "" {
			return r[field][n], true
		}
		return "", false
	}
	set := func(a Attr, field string, n int) {
		delete(e, a)
		if v, ok := take(field, n); ok {
			e[a] = v
		}
	}
	dropIP := func() {
		for _, a := range []Attr{SrcIP, DstIP, Proto, TTL, DSCP, ECN, IPID, Frag, SrcPort, DstPort, TCPFlags, TCPSeq, TCPAck, TCPWindow, PayloadLen} {
			delete(e, a)
		}
		have &^= packetLayers
		transportSeen = false
	}
	strip := func(k TunnelKind, vni string, n int) {
		tunnel = k
		e[Tunnel] = k.String()
		delete(e, OuterSrc)
		delete(e, OuterDst)
		if s, ok := e[SrcIP]; ok {
			e[OuterSrc], e[OuterDst] = s, e[DstIP]
		}
		delete(e, VNI)
		if vni != "" {
			set(VNI, vni, n)
		}
		dropIP()
		have |= LayerTunnel
	}
	tokens := strings.Split(strings.Join(r["frame.protocols"], ":"), ":")
	erspans := 0
	ipLen := -1 // bytes of the IP payload, where it begins with the upper layer
walk:
	for i, token := range tokens {
		n := seen[token]
		seen[token]++
		prev := ""
		if i > 0 {
			prev = tokens[i-1]
		}
		next := ""
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		switch token {
		case "eth":
			have |= LayerEth
			set(SrcMAC, "eth.src", n)
			set(DstMAC, "eth.dst", n)
			delete(e, EthType)
			have &^= LayerEthType
		case "ethertype":
			field := map[string]string{"eth": "eth.type", "vlan": "vlan.etype", "sll": "sll.etype", "chdlc": "chdlc.protocol", "ieee8021ad": "vlan.etype", "ieee8021ah": "ieee8021ah.etype"}[prev]
			set(EthType, field, seen["type of "+prev])
			seen["type of "+prev]++
		case "ieee8021ad": // has fields of its own, which 4.0 fills only for two tags
			have |= LayerVLAN
			delete(e, VLAN)
		case "vlan":
			have |= LayerVLAN
			set(VLAN, "vlan.id", n)
			if prev == "ethertype" && i > 1 && (tokens[i-2] == "vlan" || tokens[i-2] == "ieee8021ad") {
				have |= LayerQinQ
			}
		case "ieee8021ah":
			set(SrcMAC, "ieee8021ah.csrc", n)
			set(DstMAC, "ieee8021ah.cdst", n)
		case "sll", "raw", "ppp", "pppoes", "chdlc", "null", "pwethheuristic", "pwethcw", "ppp_hdlc":
		case "nsh":
			if prev == "udp" { // in VXLAN-GPE, which has no name of its own there
				strip(TunnelVXLAN, "vxlan.vni", seen["vxlan"])
				seen["vxlan"]++
			}
		case "llc":
			set(EthType, "llc.type", n)
		case "mpls":
			have |= LayerMPLS
		case "arp":
			dropIP()
			have |= LayerARP
			break walk
		case "ip", "ipv6":
			if transportSeen { // IP right above UDP or TCP: some tunnel over a protocol of its own
				break walk
			}
			if (prev == "ip" || prev == "ipv6" || strings.HasPrefix(prev, "ipv6.")) && have&(LayerIPv4|LayerIPv6) != 0 {
				kind := TunnelIPIP
				if _, v4 := e[IPID]; v4 && token == "ipv6" && have&LayerIPv4 != 0 {
					kind = Tunnel6in4
				}
				strip(kind, "", 0)
			}
			dropIP()
			if token == "ip" {
				if _, ok := take("ip.src", n); !ok {
					if next == "ipv6" {
						continue // not IPv4 at all, and tshark goes on with IPv6
					}
					break walk // tshark, too, does not believe the header
				}
				have |= LayerIPv4
				ipLen = minus(r, "ip.len", n, "ip.hdr_len", n)
				set(SrcIP, "ip.src", n)
				set(DstIP, "ip.dst", n)
				set(Proto, "ip.proto", n)
				set(TTL, "ip.ttl", n)
				set(IPID, "ip.id", n)
				set(DSCP, "ip.dsfield.dscp", n)
				set(ECN, "ip.dsfield.ecn", n)
				if off, ok := take("ip.frag_offset", n); ok {
					v, _ := strconv.ParseUint(off, 0, 32)
					if mf, _ := take("ip.flags.mf", n); mf == "1" {
						v |= uint64(FragMore)
					}
					e[Frag] = fmt.Sprint(v)
				}
			} else {
				if _, ok := take("ipv6.dst", n); !ok {
					break walk
				}
				have |= LayerIPv6
				ipLen = minus(r, "ipv6.plen", n, "", 0)
				set(SrcIP, "ipv6.src", n)
				set(DstIP, "ipv6.dst", n)
				set(TTL, "ipv6.hlim", n)
				set(DSCP, "ipv6.tclass.dscp", n)
				set(ECN, "ipv6.tclass.ecn", n)
				if !strings.HasPrefix(next, "ipv6.") && next != "ah" {
					set(Proto, "ipv6.nxt", n)
					e[Frag] = "0"
				}
			}
		case "ipv6.hopopts", "ipv6.dstopts", "ipv6.routing":
			ipLen = -1
			have |= LayerOptions
			e[Frag] = "0"
		case "ah":
			delete(e, Proto) // of IPv4: the upper layer for us
			ipLen = -1
		case "ipv6.fraghdr":
			if have&LayerIPv4 != 0 {
				break walk // IPv6's fragment header means nothing in IPv4
			}
			ipLen = -1
			have |= LayerFrag
			if off, ok := take("ipv6.fraghdr.offset", n); ok {
				v, _ := strconv.ParseUint(off, 0, 32)
				if more, _ := take("ipv6.fraghdr.more", n); more == "1" {
					v |= uint64(FragMore)
				}
				if v == 0 {
					v = uint64(FragAtomic)
				}
				e[Frag] = fmt.Sprint(v)
			}
			set(IPID, "ipv6.fraghdr.ident", n)
		case "tcp":
			transportSeen = true
			have |= LayerTCP | LayerPorts
			set(SrcPort, "tcp.srcport", n)
			set(DstPort, "tcp.dstport", n)
			set(TCPSeq, "tcp.seq_raw", n)
			set(TCPAck, "tcp.ack_raw", n)
			set(TCPWindow, "tcp.window_size_value", n)
			set(PayloadLen, "tcp.len", n)
			if hdr, err := strconv.Atoi(first(r, "tcp.hdr_len", n)); err == nil && ipLen > 0 {
				e[PayloadLen] = fmt.Sprint(max(ipLen-hdr, 0))
			}
			if s, ok := take("tcp.flags", n); ok {
				v, _ := strconv.ParseUint(s, 0, 16)
				e[TCPFlags] = fmt.Sprint(v & 0x1ff)
			}
		case "udp":
			transportSeen = true
			have |= LayerUDP | LayerPorts
			set(SrcPort, "udp.srcport", n)
			set(DstPort, "udp.dstport", n)
			delete(e, PayloadLen)
			if ipLen > 0 {
				e[PayloadLen] = fmt.Sprint(max(ipLen-8, 0))
			}
		case "sctp":
			have |= LayerSCTP | LayerPorts
			set(SrcPort, "sctp.srcport", n)
			set(DstPort, "sctp.dstport", n)
			break walk
		case "icmp":
			have |= LayerICMP
			break walk
		case "icmpv6":
			have |= LayerICMPv6
			break walk
		case "vxlan":
			strip(TunnelVXLAN, "vxlan.vni", n)
		case "geneve":
			strip(TunnelGeneve, "geneve.vni", n)
		case "gtp":
			if m, _ := take("gtp.message", n); m != "0xff" && m != "255" {
				break walk
			}
			if next != "ip" && next != "ipv6" {
				break walk
			}
			strip(TunnelGTPU, "gtp.teid", n)
		case "gre":
			if prev != "ip" && prev != "ipv6" && !strings.HasPrefix(prev, "ipv6.") {
				break walk
			}
			switch next {
			case "eth", "ip", "ipv6", "mpls", "arp":
				field := ""
				if k, _ := take("gre.flags.key", n); k == "1" || k == "True" {
					field = "gre.key"
				}
				strip(TunnelGRE, field, n)
			case "ppp":
				if i+2 >= len(tokens) || tokens[i+2] != "ip" && tokens[i+2] != "ipv6" {
					break walk
				}
				field := ""
				if k, _ := take("gre.flags.key", n); k == "1" || k == "True" {
					field = "gre.key.call_id"
				}
				strip(TunnelGRE, field, n)
			case "erspan":
			default:
				break walk
			}
		case "erspan":
			if next == "" || next == "data" {
				break walk
			}
			field := ""
			if _, ok := take("erspan.spanid", erspans); ok {
				field = "erspan.spanid"
			}
			strip(TunnelERSPAN1, field, erspans)
			if field != "" {
				erspans++
				e[Tunnel] = "erspan2|erspan3"
			}
		default:
			break walk
		}
	}
	if tunnel == TunnelNone {
		e[Tunnel] = "none"
	}
	const compared = LayerEth | LayerVLAN | LayerQinQ | LayerMPLS | LayerARP | LayerIPv4 | LayerIPv6 | LayerTCP |
		LayerUDP | LayerSCTP | LayerICMP | LayerICMPv6 | LayerPorts | LayerTunnel
	return e, have & compared, compared &^ have
}

// first returns occurrence n of a field, or nothing.
func first(r tsharkRow, field string, n int) string {
	if n < len(r[field]) {
		return r[field][n]
	}
	return ""
}

// minus returns one field less another (or less nothing), or -1.
func minus(r tsharkRow, a string, na int, b string, nb int) int {
	x, err := strconv.Atoi(first(r, a, na))
	if err != nil || x == 0 {
		return -1
	}
	if b == "" {
		return x
	}
	y, err := strconv.Atoi(first(r, b, nb))
	if err != nil {
		return -1
	}
	return x - y
}

// sameText compares a value with what tshark prints of it.
func sameText(a Attr, v Value, text string) bool {
	for _, s := range strings.Split(text, "|") {
		if a == Proto || a == EthType { // always numbers
			if n, err := strconv.ParseUint(s, 0, 32); err == nil && n == v.Lo {
				return true
			}
			continue
		}
		if w, err := a.ParseValue(s); err == nil && w == v {
			return true
		}
	}
	return false
}

// A difference is one attribute of one frame on which tshark and the parser do
// not agree.
type difference struct {
	file   string
	frame  int
	attr   string // or "file" when the file could not be compared at all
	reason ReasonCode
	text   string
}

// acceptedDifferences is every way in which the parser may differ from tshark,
// and why. An entry that no file needs fails the test.
var acceptedDifferences = []struct {
	file    string // path.Match pattern, empty for every file
	attr    string // empty for every attribute
	reasons []ReasonCode
	text    string // part of the difference's text
	why     string
}{
	{"", "layers", []ReasonCode{ReasonTruncated, ReasonShort}, "not found",
		"tshark names a protocol as soon as one byte of its header is there; a layer bit says that the fixed header was read"},
	{"", "payload_len", []ReasonCode{ReasonIPTotalLen}, "",
		"the IP length passes the frame's end: the parser counts the bytes that the frame has"},
	{"", "payload_len", []ReasonCode{ReasonTruncated}, "",
		"the slice ends inside the transport header, whose length is not taken off"},
	{"", "layers", []ReasonCode{ReasonIPVersion}, "not found",
		"IP version 6 where link type or EtherType say IPv4: tshark follows the version, the parser calls it malformed"},
	{"fragments-ext/suricata__ipv6-evasion__ipv6-malformed-fragments-1[12]__*", "", []ReasonCode{ReasonDepth}, "",
		"more fragment headers in one packet than the parser follows"},
	{"offload-gso/tcpdump__bigtcp-*", "", nil, "",
		"UDP length 0 around a segment over 64 KiB: tshark 4.0 stops there, tcpdump and the parser go on"},
	{"malformed/*", "file", nil, "network type", "tshark does not know the link type"},
	{"", "payload_len", []ReasonCode{ReasonTCPOffset}, "",
		"the TCP header has no believable length: the parser takes off 20 bytes, tshark none"},
}

// accept returns the index of the entry that accepts d, or -1.
func accept(d difference) int {
	for i, a := range acceptedDifferences {
		if a.file != "" {
			if ok, err := path.Match(a.file, d.file); err != nil || !ok {
				continue
			}
		}
		if a.attr != "" && a.attr != d.attr || a.reasons != nil && !slices.Contains(a.reasons, d.reason) || !strings.Contains(d.text, a.text) {
			continue
		}
		return i
	}
	return -1
}

// vxlanOn8472 is the file for which tshark must be told of Linux' first port.
const vxlanOn8472 = "tunnel-overlay/tcpdump__vxlan_port_8472.pcap"

func TestParseAgreesWithTshark(t *testing.T) {
	root, files := captureFiles(t)
	if len(files) == 0 {
		t.Skipf("no capture files in %s; TestParse and FuzzParse make their own", root)
	}
	tshark := requireTool(t, "tshark")
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		queue  = make(chan string)
		frames int
		used   = make([]int, len(acceptedDifferences))
	)
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for path := range queue {
				name, _ := filepath.Rel(root, path)
				n, differences := compareFile(tshark, path, name)
				mu.Lock()
				frames += n
				for _, d := range differences {
					if i := accept(d); i >= 0 {
						used[i]++
					} else {
						t.Errorf("%s frame %d: %s: %s", d.file, d.frame, d.attr, d.text)
					}
				}
				mu.Unlock()
			}
		}()
	}
	for _, f := range files {
		queue <- f
	}
	close(queue)
	wg.Wait()
	for i, a := range acceptedDifferences {
		t.Logf("%d differences accepted: %s", used[i], a.why)
		if used[i] == 0 {
			t.Errorf("no file shows this accepted difference any more: %s", a.why)
		}
	}
	t.Logf("%d frames of %d files compared", frames, len(files))
	if frames == 0 {
		t.Error("no frame was compared")
	}
}

// compareFile compares every frame of a file. It returns how many there were.
func compareFile(tshark, path, name string) (int, []difference) {
	var out []difference
	fileError := func(err error) (int, []difference) {
		return 0, []difference{{name, 0, "file", ReasonNone, err.Error()}}
	}
	decap := allTunnels
	var extra []string
	if filepath.ToSlash(name) == vxlanOn8472 {
		decap.VXLAN = []uint16{8472}
		extra = []string{"-d", "udp.port==8472,vxlan"}
	}
	rows, err := runTshark(tshark, path, extra...)
	if err != nil {
		return fileError(err)
	}
	frames, err := readCapture(path)
	if len(frames) != len(rows) {
		// A format that gopacket does not read, or not to its end.
		var again error
		if frames, again = rewrittenCapture(tshark, path); len(frames) != len(rows) {
			return fileError(fmt.Errorf("%d frames, %d for tshark: %v, %v", len(frames), len(rows), err, again))
		}
	}
	tester := newRowTester(decap)
	for i, f := range frames {
		c := tester.parse(f.link, f.data, f.wire)
		reason := ReasonCode(c.Reason[0])
		proto := strings.Join(rows[i]["frame.protocols"], ":")
		differs := func(a Attr, format string, args ...any) {
			out = append(out, difference{name, i + 1, a.String(), reason,
				fmt.Sprintf(format, args...) + fmt.Sprintf(" (%s, link type %d, reason %s)", proto, f.link, reason)})
		}
		if firstStep(f.link) == stepUnknownLink {
			if reason != ReasonLinkType {
				differs(Reason, "an unknown link type is read")
			}
			continue
		}
		want, have, absent := expect(rows[i])
		got := c.Layers[0]
		if miss := have &^ got; miss != 0 {
			differs(LayerBits, "%s not found", layerNames(miss))
		}
		if extra := absent & got; extra != 0 {
			differs(LayerBits, "%s found", layerNames(extra))
		}
		want[PktLen], want[CapLen] = first(rows[i], "frame.len", 0), first(rows[i], "frame.cap_len", 0)
		for _, a := range AllAttrs.Attrs() {
			text, ok := want[a]
			if !ok || !c.Has(a, 0) {
				continue // told by the layers
			}
			if v := c.Value(a, 0); !sameText(a, v, text) {
				differs(a, "%s, tshark has %s", a.Format(nil, v), text)
			}
		}
	}
	return len(frames), out
}

// rewrittenCapture reads a file that tshark has turned into plain pcapng.
func rewrittenCapture(tshark, path string) ([]capturedFrame, error) {
	dir, err := os.MkdirTemp("", "confluo-packet")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "copy.pcapng")
	if out, err := exec.Command(tshark, "-r", path, "-F", "pcapng", "-w", copied).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("tshark -w: %w: %s", err, out)
	}
	return readCapture(copied)
}

func layerNames(l Layers) string {
	var names []string
	seen := Layers(0)
	for _, b := range boolNames {
		if m := Layers(b.Mask); b.Attr == LayerBits && l&m != 0 && seen&m == 0 {
			seen |= m
			names = append(names, b.Name)
		}
	}
	if l&LayerPorts != 0 {
		names = append(names, "ports")
	}
	return strings.Join(names, ",")
}

func runTshark(tshark, path string, extra ...string) ([]tsharkRow, error) {
	args := []string{"-r", path, "-n", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
		"-o", "tcp.desegment_tcp_streams:FALSE", "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t", "-E", "aggregator=;"}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(tshark, append(args, extra...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && len(out) == 0 && !strings.Contains(stderr.String(), "cut short") {
		return nil, fmt.Errorf("tshark: %v: %s", err, stderr.String())
	}
	var rows []tsharkRow
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		row := tsharkRow{}
		for i, v := range strings.Split(sc.Text(), "\t") {
			if v != "" && i < len(tsharkFields) {
				row[tsharkFields[i]] = strings.Split(v, ";")
			}
		}
		if first(row, "_ws.col.Protocol", 0) == "PCAPNG" {
			continue // a custom block of the file, which tshark lists among the frames
		}
		rows = append(rows, row)
	}
	return rows, sc.Err()
}
