package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A gopacketView is what gopacket makes of a frame, followed the way the
// parser would follow it.
type gopacketView struct {
	known  bool // the walk ended at a header that both understand
	values map[Attr]Value
	have   Layers
}

func number(n uint64) Value { return Value{0, n} }

func address(ip net.IP) Value {
	b := ip.To16()
	return Value{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func hardware(m net.HardwareAddr) Value {
	return number(uint64(binary.BigEndian.Uint16(m))<<32 | uint64(binary.BigEndian.Uint32(m[2:])))
}

func flag(on bool, bit uint16) uint64 {
	if on {
		return uint64(bit)
	}
	return 0
}

// viewOf decodes a frame with gopacket. The view is not known where gopacket
// fails, or reads a protocol by other rules than the parser, each of which is
// noted where it is met.
func viewOf(link LinkType, data []byte) (v gopacketView) {
	defer func() {
		if recover() != nil {
			v = gopacketView{} // gopacket 1.1.19 panics on some malformed frames
		}
	}()
	p := gopacket.NewPacket(data, layers.LinkType(link), gopacket.Default)
	v.values = map[Attr]Value{}
	all := p.Layers()
	var proto uint64
	for i, l := range all {
		var next gopacket.Layer
		if i+1 < len(all) {
			next = all[i+1]
		}
		switch l := l.(type) {
		case *layers.Ethernet:
			v.have |= LayerEth
			v.values[SrcMAC], v.values[DstMAC] = hardware(l.SrcMAC), hardware(l.DstMAC)
			v.etherType(uint64(l.EthernetType))
			if l.EthernetType == layers.EthernetTypeLLC {
				if l.Length > 1500 { // neither length nor type
					return v
				}
				v.etherType(0)
			}
		case *layers.Dot1Q:
			if _, again := all[i-1].(*layers.Dot1Q); again {
				v.have |= LayerQinQ
			}
			v.have |= LayerVLAN
			v.values[VLAN] = number(uint64(l.VLANIdentifier))
			v.etherType(uint64(l.Type))
			if l.Type <= 1535 { // a length, which gopacket does not expect here
				return v
			}
		case *layers.LLC:
			if l.Control != 3 { // other frames than UI are not data
				return v
			}
		case *layers.SNAP:
			if oui := [3]byte(l.OrganizationalCode); oui != [3]byte{} && oui != [3]byte{0, 0, 0xf8} { // a protocol of the organisation's
				return v
			}
			v.etherType(uint64(l.Type))
		case *layers.LinuxSLL:
			if l.EthernetType < etherMinValue { // gopacket takes 0 for LLC, which is 4
				return v
			}
			v.etherType(uint64(l.EthernetType))
		case *layers.PPPoE:
			if v.values[EthType].Lo != etherPPPoE || l.Version != 1 || l.Type != 1 || l.Code != layers.PPPoECodeSession {
				return v
			}
		case *layers.PPP, *layers.Loopback:
		case *layers.MPLS:
			v.have |= LayerMPLS
			if l.StackBottom {
				switch ip := next.(type) { // gopacket guesses by the version alone
				case *layers.IPv4:
					if int(ip.Length) > len(l.Payload) {
						return v
					}
				case *layers.IPv6:
					if int(ip.Length)+40 > len(l.Payload) {
						return v
					}
				default:
					return v
				}
			}
		case *layers.ARP:
			v.packet()
			v.have |= LayerARP
			v.known = true
			return v
		case *layers.IPv4:
			v.packet()
			v.have |= LayerIPv4
			proto = uint64(l.Protocol)
			v.values[SrcIP], v.values[DstIP] = address(l.SrcIP), address(l.DstIP)
			v.values[TTL], v.values[IPID] = number(uint64(l.TTL)), number(uint64(l.Id))
			v.values[DSCP], v.values[ECN] = number(uint64(l.TOS>>2)), number(uint64(l.TOS&3))
			v.values[Proto] = number(proto)
			frag := uint64(l.FragOffset) | flag(l.Flags&layers.IPv4MoreFragments != 0, FragMore)
			v.values[Frag] = number(frag)
			if frag != 0 { // gopacket reads no transport header in a first fragment
				v.have |= LayerFrag
				v.known = l.FragOffset != 0
				return v
			}
			if !v.inIP(next, proto) {
				return v
			}
		case *layers.IPv6:
			v.packet()
			v.have |= LayerIPv6
			proto = uint64(l.NextHeader)
			v.values[SrcIP], v.values[DstIP] = address(l.SrcIP), address(l.DstIP)
			v.values[TTL] = number(uint64(l.HopLimit))
			v.values[DSCP], v.values[ECN] = number(uint64(l.TrafficClass>>2)), number(uint64(l.TrafficClass&3))
			v.values[Proto], v.values[Frag] = number(proto), number(0)
			if l.Length == 0 { // a jumbogram, read by other rules
				return v
			}
			if !v.inIP(next, proto) {
				return v
			}
		case *layers.IPv6HopByHop:
			if proto = uint64(l.NextHeader); !v.inIP(next, proto) {
				return v
			}
		case *layers.IPv6Routing:
			if proto = uint64(l.NextHeader); !v.inIP(next, proto) {
				return v
			}
		case *layers.IPv6Destination:
			if proto = uint64(l.NextHeader); !v.inIP(next, proto) {
				return v
			}
		case *layers.IPv6Fragment:
			v.have |= LayerFrag
			proto = uint64(l.NextHeader)
			v.values[Proto], v.values[IPID] = number(proto), number(uint64(l.Identification))
			v.values[Frag] = number(uint64(l.FragmentOffset) | flag(l.MoreFragments, FragMore))
			v.known = l.FragmentOffset != 0 // gopacket reads nothing behind it
			return v
		case *layers.TCP:
			v.ports(uint64(l.SrcPort), uint64(l.DstPort), LayerTCP)
			v.values[TCPSeq], v.values[TCPAck], v.values[TCPWindow] = number(uint64(l.Seq)), number(uint64(l.Ack)), number(uint64(l.Window))
			v.values[TCPFlags] = number(flag(l.FIN, TCPFin) | flag(l.SYN, TCPSyn) | flag(l.RST, TCPRst) | flag(l.PSH, TCPPsh) | flag(l.ACK, TCPAckFlag) |
				flag(l.URG, TCPUrg) | flag(l.ECE, TCPEce) | flag(l.CWR, TCPCwr) | flag(l.NS, TCPAE))
			v.known = true
			return v
		case *layers.UDP:
			v.ports(uint64(l.SrcPort), uint64(l.DstPort), LayerUDP)
			if !slices.Contains([]layers.UDPPort{4789, 4790, 6081, 2152}, l.DstPort) {
				v.known = true
				return v
			}
			switch tunnel := next.(type) {
			case *layers.VXLAN:
				if !tunnel.ValidIDFlag {
					return v
				}
				v.strip(TunnelVXLAN, uint64(tunnel.VNI), true)
			case *layers.Geneve:
				if tunnel.Version != 0 || afterEtherType(uint16(tunnel.Protocol)) == stepDone {
					return v
				}
				v.strip(TunnelGeneve, uint64(tunnel.VNI), true)
			case *layers.GTPv1U:
				if tunnel.Version != 1 || tunnel.ProtocolType != 1 || tunnel.MessageType != 255 || len(tunnel.Payload) == 0 {
					return v
				}
				if n := tunnel.Payload[0] >> 4; n != 4 && n != 6 {
					return v
				}
				v.strip(TunnelGTPU, uint64(tunnel.TEID), true)
			default:
				return v
			}
		case *layers.VXLAN, *layers.Geneve, *layers.GTPv1U: // stripped above
		case *layers.ERSPANII:
			if v.values[Tunnel] != number(uint64(TunnelERSPAN2)) { // gopacket also takes it for an EtherType
				return v
			}
		case *layers.GRE:
			if l.Version != 0 || l.AckPresent { // gopacket reads an acknowledgement in version 0, too
				return v
			}
			if tunnel, ok := next.(*layers.ERSPANII); ok {
				if !l.SeqPresent || tunnel.Version != 1 { // gopacket takes type I for type II
					return v
				}
				v.strip(TunnelERSPAN2, uint64(tunnel.SessionID), true)
				break
			}
			if afterEtherType(uint16(l.Protocol)) == stepDone {
				return v
			}
			v.strip(TunnelGRE, uint64(l.Key), l.KeyPresent)
		case *layers.SCTP:
			v.ports(uint64(l.SrcPort), uint64(l.DstPort), LayerSCTP)
			v.known = true
			return v
		case *layers.ICMPv4:
			v.have |= LayerICMP
			v.known = true
			return v
		case *layers.ICMPv6:
			v.have |= LayerICMPv6
			v.known = true
			return v
		default:
			return v
		}
	}
	return v
}

// inIP notes the upper layer, and reports whether gopacket and the parser
// agree on what such a number stands for.
func (v *gopacketView) inIP(next gopacket.Layer, proto uint64) bool {
	v.values[Proto] = number(proto)
	switch next.(type) {
	case *layers.IPv4:
		if proto != 4 {
			return false
		}
		v.strip(TunnelIPIP, 0, false)
	case *layers.IPv6:
		if proto != 41 {
			return false
		}
		kind := TunnelIPIP
		if v.have&LayerIPv4 != 0 {
			kind = Tunnel6in4
		}
		v.strip(kind, 0, false)
	case *layers.IPv6HopByHop, *layers.IPv6Routing, *layers.IPv6Destination, *layers.IPv6Fragment:
		return v.have&LayerIPv6 != 0 // they mean nothing in IPv4
	case *layers.TCP, *layers.UDP, *layers.SCTP, *layers.ICMPv4, *layers.ICMPv6, *layers.GRE:
	default:
		return false
	}
	return true
}

func (v *gopacketView) etherType(t uint64) {
	v.values[EthType] = number(t)
	v.have |= LayerEthType
	if t == 0 {
		v.have &^= LayerEthType
	}
}

func (v *gopacketView) packet() {
	for _, a := range []Attr{SrcIP, DstIP, TTL, IPID, DSCP, ECN, Proto, Frag, SrcPort, DstPort} {
		delete(v.values, a)
	}
	v.have &^= packetLayers
}

func (v *gopacketView) strip(k TunnelKind, vni uint64, hasVNI bool) {
	v.values[OuterSrc], v.values[OuterDst] = v.values[SrcIP], v.values[DstIP]
	v.values[Tunnel] = number(uint64(k))
	delete(v.values, VNI)
	v.have = v.have&^(packetLayers|LayerVNI) | LayerTunnel
	if hasVNI {
		v.values[VNI] = number(vni)
		v.have |= LayerVNI
	}
}

func (v *gopacketView) ports(src, dst uint64, l Layers) {
	v.values[SrcPort], v.values[DstPort] = number(src), number(dst)
	v.have |= LayerPorts | l
}

// compareGopacket reports whether gopacket and the parser both understood the
// frame, and fails where they then disagree.
func compareGopacket(t *testing.T, name string, link LinkType, data []byte, c *Columns) bool {
	t.Helper()
	if link > 255 || ReasonCode(c.Reason[0]) != ReasonNone {
		return false
	}
	v := viewOf(link, data)
	if !v.known {
		return false
	}
	const compared = LayerEth | LayerVLAN | LayerQinQ | LayerMPLS | LayerARP | LayerIPv4 | LayerIPv6 | LayerTCP | LayerUDP |
		LayerSCTP | LayerICMP | LayerICMPv6 | LayerPorts | LayerFrag | LayerTunnel | LayerVNI | LayerEthType
	if got, want := c.Layers[0]&compared, v.have&compared; got != want {
		t.Errorf("%s: %s but for gopacket, %s for gopacket only", name, allLayerNames(got&^want), allLayerNames(want&^got))
		return true
	}
	for a, want := range v.values {
		if got := c.Value(a, 0); c.Has(a, 0) && got != want {
			t.Errorf("%s: %s is %s, %s for gopacket", name, a, a.Format(nil, got), a.Format(nil, want))
		}
	}
	return true
}

func TestParseAgreesWithGopacketOnSeeds(t *testing.T) {
	n := 0
	for _, s := range seeds() {
		if s.wire == 0 && compareGopacket(t, s.name, s.link, s.data, parseSeed(s, allTunnels)) {
			n++
		}
	}
	if n < 40 {
		t.Errorf("gopacket was asked about %d seeds only", n)
	}
}

// fuzzLinks are the link types that FuzzParse numbers, the last of them one
// that the parser does not know.
var fuzzLinks = []LinkType{LinkNull, LinkEthernet, LinkPPP, LinkRaw, LinkCHDLC, LinkLoop, LinkSLL, LinkIPv4, LinkIPv6, LinkSLL2, 12, 14, 147}

// FuzzParse parses a frame of which missing bytes were cut off. Whatever the
// bytes: no panic, nothing read outside the slice, the fast path and the walk
// agree, shorter slices agree with longer ones, and so does gopacket where it
// understands the frame.
func FuzzParse(f *testing.F) {
	for _, s := range seeds() {
		missing := 0
		if s.wire > len(s.data) {
			missing = s.wire - len(s.data)
		}
		f.Add(s.data, uint8(slices.Index(fuzzLinks, s.link)), uint16(missing))
	}
	checker := newFrameChecker()
	f.Fuzz(func(t *testing.T, data []byte, number uint8, missing uint16) {
		if len(data) > maxFuzzed {
			return
		}
		link := fuzzLinks[int(number)%len(fuzzLinks)]
		wire := len(data) + int(missing)
		c := checker.check(t, link, data, wire)
		if missing == 0 {
			compareGopacket(t, "frame", link, data, c)
		}
		if len(data) <= 256 {
			checker.cuts(t, "frame", link, data, wire, false)
		}
	})
}

const (
	maxFuzzed    = 2048
	fuzzedStride = maxFuzzed + 64
)

// A frameChecker parses frames in the middle of poisoned memory.
type frameChecker struct {
	whole, cut     *rowTester
	parser         *Parser
	ports          map[LinkType]uint16
	table          PortTable
	poison         [3][]byte
	parsed, walked [3]*Columns
}

func newFrameChecker() *frameChecker {
	k := &frameChecker{whole: newRowTester(allTunnels), cut: newRowTester(allTunnels), ports: map[LinkType]uint16{}}
	k.parser = NewParser(&k.table)
	for i, b := range []byte{0, 0xff, 0x45} {
		k.poison[i] = bytes.Repeat([]byte{b}, 3*fuzzedStride)
		k.parsed[i], k.walked[i] = NewColumns(1), NewColumns(1)
		dirty(k.parsed[i])
	}
	return k
}

// check parses a frame between others, by the fast path and by the walk alone,
// and returns what was found.
func (k *frameChecker) check(t *testing.T, link LinkType, data []byte, wire int) *Columns {
	t.Helper()
	port, ok := k.ports[link]
	if !ok {
		var err error
		if port, err = k.table.Add(Port{Name: fmt.Sprint(link), Link: link, Decap: allTunnels}); err != nil {
			t.Fatal(err)
		}
		k.ports[link] = port
	}
	frames := Frames{Stride: fuzzedStride, Ts: make([]int64, 3), WireLen: []uint32{9, uint32(wire), 9},
		CapLen: []uint16{1, uint16(len(data)), 1}, Port: []uint16{port, port, port}, Dir: make([]uint8, 3)}
	for i, mem := range k.poison {
		row := mem[fuzzedStride : 2*fuzzedStride]
		copy(row, data)
		frames.Data = mem
		k.parser.Parse(&frames, 1, 1, k.parsed[i])
		k.parser.Parse(&frames, 1, 1, k.walked[i]) // for what does not come from the bytes
		k.parser.out = *k.walked[i]
		k.parser.slow(0, frames.Slice(1), wire, k.table.all()[port])
		flowHashes(k.walked[i], 1)
		for n := range data {
			row[n] = mem[0]
		}
	}
	first := k.parsed[0]
	for i := range k.poison {
		for a := Attr(0); int(a) < NumAttrs; a++ {
			want := first.Value(a, 0)
			if got := k.parsed[i].Value(a, 0); got != want {
				t.Fatalf("%s is %s, or %s with other bytes around", a, a.Format(nil, want), a.Format(nil, got))
			}
			if got := k.walked[i].Value(a, 0); got != want {
				t.Fatalf("%s is %s, or %s by the walk alone", a, a.Format(nil, want), a.Format(nil, got))
			}
			if !first.Has(a, 0) && want != (Value{}) {
				t.Fatalf("%s is absent and not zero", a)
			}
		}
	}
	reason, l := ReasonCode(first.Reason[0]), first.Layers[0]
	if (reason != ReasonNone) != (l&(LayerTruncated|LayerMalformed) != 0) {
		t.Fatalf("reason %s with layers %s", reason, allLayerNames(l))
	}
	return first
}

// TestParseAgreesWithGopacketOnCaptures runs the checks of FuzzParse over the
// first frames of every capture file.
func TestParseAgreesWithGopacketOnCaptures(t *testing.T) {
	root, files := captureFiles(t)
	if len(files) == 0 {
		t.Skipf("no capture files in %s; TestParse and FuzzParse make their own", root)
	}
	understood := 0
	checker := newFrameChecker()
	for _, path := range files {
		frames, _ := readCapture(path)
		for i, f := range frames[:min(len(frames), 40)] {
			data := f.data[:min(len(f.data), maxFuzzed)]
			c := checker.check(t, f.link, data, f.wire)
			name := fmt.Sprintf("%s frame %d", path, i+1)
			if len(data) == f.wire && compareGopacket(t, name, f.link, data, c) {
				understood++
			}
			checker.cuts(t, name, f.link, data[:min(len(data), 160)], f.wire, false)
		}
	}
	if understood < 1000 {
		t.Errorf("gopacket was asked about %d frames only", understood)
	}
}
