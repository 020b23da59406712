package packet

import (
	"encoding/hex"
	"net"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A seed is a frame with what must be read of it.
type seed struct {
	name   string
	link   LinkType
	data   []byte
	wire   int    // bytes on the wire, if not all are in data
	want   string // attribute=value, or attribute alone if it must be absent
	layers string // exactly those
}

// frame serialises layers with lengths and checksums as they should be.
func frame(ls ...gopacket.SerializableLayer) []byte {
	var network gopacket.NetworkLayer
	for _, l := range ls {
		switch l := l.(type) {
		case gopacket.NetworkLayer:
			network = l
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.ICMPv6:
			l.SetNetworkLayerForChecksum(network)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err)
	}
	return append([]byte(nil), buf.Bytes()...)
}

// raw is a header that gopacket does not write, in hexadecimal.
func raw(s string) gopacket.Payload {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return gopacket.Payload(b)
}

func eth(n byte, typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, n, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, n, 2}, EthernetType: typ}
}

func dot1q(id uint16, typ layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: id, Type: typ}
}

// ip4 is 10.n.0.1 to 10.n.0.2.
func ip4(n byte, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, TTL: 60 + n, TOS: 0xb9, Id: 0x1200 + uint16(n), Protocol: proto,
		SrcIP: net.IP{10, n, 0, 1}, DstIP: net.IP{10, n, 0, 2}}
}

// ip6 is fd00:n::1 to fd00:n::2.
func ip6(n byte, proto layers.IPProtocol) *layers.IPv6 {
	src, dst := net.ParseIP("fd00::1"), net.ParseIP("fd00::2")
	src[3], dst[3] = n, n
	return &layers.IPv6{Version: 6, HopLimit: 60 + n, TrafficClass: 0xb9, FlowLabel: 0xabcde, NextHeader: proto, SrcIP: src, DstIP: dst}
}

func tcpHeader() *layers.TCP {
	return &layers.TCP{SrcPort: 1000, DstPort: 443, Seq: 0x11223344, Ack: 0x55667788, Window: 5000, SYN: true, ACK: true, NS: true}
}

func udpHeader(src, dst layers.UDPPort) *layers.UDP { return &layers.UDP{SrcPort: src, DstPort: dst} }

var tenBytes = gopacket.Payload("0123456789")

const (
	ethIPv4 = layers.EthernetTypeIPv4
	ethIPv6 = layers.EthernetTypeIPv6
	ipTCP   = layers.IPProtocolTCP
	ipUDP   = layers.IPProtocolUDP
	ipGRE   = layers.IPProtocolGRE
	ipIPv4  = layers.IPProtocolIPv4
	ipIPv6  = layers.IPProtocolIPv6
)

// What ip4(1) and tcpHeader() and tenBytes are read as, and the same for IPv6.
const (
	want4   = "src_ip=10.1.0.1 dst_ip=10.1.0.2 ttl=61 ip_id=0x1201 dscp=46 ecn=1 frag=0 "
	want6   = "src_ip=fd00:1::1 dst_ip=fd00:1::2 ttl=61 ip_id dscp=46 ecn=1 frag=0 "
	wantTCP = "proto=tcp src_port=1000 dst_port=443 tcp_flags=0x112 tcp_seq=0x11223344 tcp_ack=0x55667788 tcp_window=5000 payload_len=10 "
	wantUDP = "proto=udp src_port=1001 dst_port=53 tcp_flags tcp_seq tcp_ack tcp_window payload_len=10 "
	wantMAC = "src_mac=02:00:00:00:01:01 dst_mac=02:00:00:00:01:02 "
	plain   = "vlan vni tunnel outer_src outer_dst "
	// The tunnel packet around has n = 2.
	outer4 = "outer_src=10.2.0.1 outer_dst=10.2.0.2 "
	outer6 = "outer_src=fd00:2::1 outer_dst=fd00:2::2 "
)

// innerTCP is an Ethernet frame to put in a tunnel.
func innerTCP() []gopacket.SerializableLayer {
	return []gopacket.SerializableLayer{eth(1, ethIPv4), ip4(1, ipTCP), tcpHeader(), tenBytes}
}

// with serialises some layers before others.
func with(rest []gopacket.SerializableLayer, first ...gopacket.SerializableLayer) []byte {
	return frame(append(first, rest...)...)
}

// over4 puts layers above an IPv4 packet of the given protocol.
func over4(proto layers.IPProtocol, ls ...gopacket.SerializableLayer) []byte {
	return with(ls, eth(2, ethIPv4), ip4(2, proto))
}

func icmpEcho() *layers.ICMPv4 {
	return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1}
}

// tail gives the upper half of a packet: a TCP header and ten bytes.
func tail() gopacket.Payload {
	b := frame(ip4(1, ipTCP), tcpHeader(), tenBytes)
	return gopacket.Payload(b[20:])
}

// set changes bytes of a frame.
func set(b []byte, at int, v ...byte) []byte {
	copy(b[at:], v)
	return b
}

func fragment4(flags layers.IPv4Flag, offset uint16) *layers.IPv4 {
	ip := ip4(1, ipTCP)
	ip.Flags, ip.FragOffset = flags, offset
	return ip
}

// seeds returns a frame of every protocol and tunnel that the parser reads.
func seeds() []seed {
	all := linkSeeds()
	all = append(all, networkSeeds()...)
	all = append(all, tunnelSeeds()...)
	return append(all, brokenSeeds()...)
}

func linkSeeds() []seed {
	const tcp4 = "ip,tcp,ports"
	body := frame(ip4(1, ipTCP), tcpHeader(), tenBytes)
	body6 := frame(ip6(1, ipUDP), udpHeader(1001, 53), tenBytes)
	on := func(header string, b []byte) []byte { return append(append([]byte(nil), raw(header)...), b...) }
	padded := append(with(nil, eth(1, ethIPv4), ip4(1, ipUDP), udpHeader(1001, 53), gopacket.Payload("x")), make([]byte, 20)...)
	return []seed{
		{"ethernet ipv4 tcp", LinkEthernet, frame(innerTCP()...), 0,
			want4 + wantTCP + wantMAC + plain + "eth_type=ipv4 reason=none", "eth,ethtype," + tcp4},
		{"ethernet ipv4 udp", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, ipUDP), udpHeader(1001, 53), tenBytes), 0,
			want4 + wantUDP + wantMAC + plain + "eth_type=ipv4 reason=none", "eth,ethtype,ip,udp,ports"},
		{"ethernet ipv6 tcp", LinkEthernet, frame(eth(1, ethIPv6), ip6(1, ipTCP), tcpHeader(), tenBytes), 0,
			want6 + wantTCP + wantMAC + plain + "eth_type=ipv6", "eth,ethtype,ip6,tcp,ports"},
		{"ethernet ipv6 udp", LinkEthernet, frame(eth(1, ethIPv6), ip6(1, ipUDP), udpHeader(1001, 53), tenBytes), 0,
			want6 + wantUDP + wantMAC + plain, "eth,ethtype,ip6,udp,ports"},
		{"padding is not payload", LinkEthernet, padded, 0, "payload_len=1", "eth,ethtype,ip,udp,ports"},
		{"vlan", LinkEthernet, frame(eth(1, layers.EthernetTypeDot1Q), dot1q(7, ethIPv4), ip4(1, ipTCP), tcpHeader(), tenBytes), 0,
			want4 + wantTCP + wantMAC + "vlan=7 eth_type=ipv4", "eth,ethtype,vlan," + tcp4},
		{"vlan ipv6", LinkEthernet, frame(eth(1, layers.EthernetTypeDot1Q), dot1q(4095, ethIPv6), ip6(1, ipUDP), udpHeader(1001, 53), tenBytes), 0,
			want6 + wantUDP + wantMAC + "vlan=4095 eth_type=ipv6", "eth,ethtype,vlan,ip6,udp,ports"},
		{"qinq", LinkEthernet, frame(eth(1, layers.EthernetTypeQinQ), dot1q(100, layers.EthernetTypeDot1Q), dot1q(7, ethIPv4), ip4(1, ipTCP), tcpHeader(), tenBytes), 0,
			want4 + wantTCP + "vlan=7 eth_type=ipv4", "eth,ethtype,vlan,qinq," + tcp4},
		{"qinq 0x9100", LinkEthernet, frame(eth(1, 0x9100), dot1q(100, 0x9100), dot1q(7, ethIPv4), ip4(1, ipTCP), tcpHeader(), tenBytes), 0,
			want4 + wantTCP + "vlan=7 eth_type=ipv4", "eth,ethtype,vlan,qinq," + tcp4},
		{"snap", LinkEthernet, with([]gopacket.SerializableLayer{raw("aaaa03 000000 0800"), gopacket.Payload(body)}, eth(1, layers.EthernetType(8+len(body)))), 0,
			want4 + wantTCP + wantMAC + "eth_type=ipv4", "eth,ethtype," + tcp4},
		{"snap behind vlan", LinkEthernet, with([]gopacket.SerializableLayer{raw("aaaa03 0000f8 0800"), gopacket.Payload(body)}, eth(1, 0x8100), dot1q(9, layers.EthernetType(8+len(body)))), 0,
			want4 + wantTCP + "vlan=9 eth_type=ipv4", "eth,ethtype,vlan," + tcp4},
		{"spanning tree", LinkEthernet, append(with(nil, eth(1, 38), raw("424203 0000 0000")), make([]byte, 50)...), 0,
			wantMAC + "eth_type src_ip payload_len reason=none", "eth"},
		{"ip in llc", LinkEthernet, with([]gopacket.SerializableLayer{raw("060603"), gopacket.Payload(body)}, eth(1, layers.EthernetType(3+len(body)))), 0,
			want4 + wantTCP + "eth_type", "eth," + tcp4},
		{"lldp", LinkEthernet, append(with(nil, eth(1, 0x88cc)), 2, 7, 4), 0, wantMAC + "eth_type=lldp reason=none src_ip", "eth,ethtype"},
		{"provider backbone bridge", LinkEthernet, with(innerTCP(), eth(2, 0x88e7), raw("00012345")), 0,
			want4 + wantTCP + wantMAC + plain + "eth_type=ipv4", "eth,ethtype," + tcp4},
		{"pppoe", LinkEthernet, with([]gopacket.SerializableLayer{raw("1100 1234 0038 0021"), gopacket.Payload(body)}, eth(1, 0x8864)), 0,
			want4 + wantTCP + "eth_type=pppoe", "eth,ethtype," + tcp4},
		{"service header", LinkEthernet, with([]gopacket.SerializableLayer{raw("0fc60101 00000aff 00000000000000000000000000000000"), gopacket.Payload(body)}, eth(1, 0x894f)), 0,
			want4 + wantTCP + "eth_type=nsh", "eth,ethtype," + tcp4},
		{"mpls", LinkEthernet, with([]gopacket.SerializableLayer{raw("0001 403f 0002 413f"), gopacket.Payload(body)}, eth(1, 0x8847)), 0,
			want4 + wantTCP + "eth_type=mpls", "eth,ethtype,mpls," + tcp4},
		{"mpls ipv6", LinkEthernet, with([]gopacket.SerializableLayer{raw("0002 413f"), gopacket.Payload(body6)}, eth(1, 0x8847)), 0,
			want6 + wantUDP + "eth_type=mpls", "eth,ethtype,mpls,ip6,udp,ports"},
		{"pseudowire with control word", LinkEthernet, with(innerTCP(), eth(2, 0x8847), raw("0002 413f 00000000")), 0,
			want4 + wantTCP + wantMAC + plain + "eth_type=ipv4", "eth,ethtype,mpls," + tcp4},
		{"pseudowire without control word", LinkEthernet, with(innerTCP(), eth(2, 0x8847), raw("0002 413f")), 0,
			want4 + wantTCP + wantMAC + plain + "eth_type=ipv4", "eth,ethtype,mpls," + tcp4},
		{"mpls associated channel", LinkEthernet, with([]gopacket.SerializableLayer{raw("0000 d13f 1000 0007"), tenBytes}, eth(1, 0x8847)), 0,
			"src_ip reason=none eth_type=mpls", "eth,ethtype,mpls"},
		{"arp", LinkEthernet, frame(eth(1, layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: 1, SourceHwAddress: make([]byte, 6), SourceProtAddress: []byte{10, 0, 0, 1}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 2}}), 0,
			wantMAC + "eth_type=arp src_ip dst_ip proto ttl payload_len", "eth,ethtype,arp"},
		{"cooked", LinkSLL, on("0000 0001 0006 020000000101 0000 0800", body), 0, want4 + wantTCP + "eth_type=ipv4 src_mac dst_mac", "ethtype," + tcp4},
		{"cooked vlan", LinkSLL, on("0004 0001 0006 020000000101 0000 8100 0007 86dd", body6), 0, want6 + wantUDP + "eth_type=ipv6 vlan=7", "ethtype,vlan,ip6,udp,ports"},
		{"cooked llc", LinkSLL, on("0000 0001 0006 020000000101 0000 0004 aaaa03 000000 0800", body), 0, want4 + wantTCP + "eth_type=ipv4", "ethtype," + tcp4},
		{"cooked v2", LinkSLL2, on("86dd 0000 00000003 0001 00 06 020000000101 0000", body6), 0, want6 + wantUDP + "eth_type=ipv6", "ethtype,ip6,udp,ports"},
		{"raw ip of version 4", LinkRaw, body, 0, want4 + wantTCP + "eth_type", tcp4},
		{"raw ip of version 6", LinkRaw, body6, 0, want6 + wantUDP, "ip6,udp,ports"},
		{"dlt_raw 12", 12, body, 0, want4 + wantTCP, tcp4},
		{"dlt_raw 14", 14, body6, 0, want6 + wantUDP, "ip6,udp,ports"},
		{"raw ipv4", LinkIPv4, body, 0, want4 + wantTCP, tcp4},
		{"raw ipv6", LinkIPv6, body6, 0, want6 + wantUDP, "ip6,udp,ports"},
		{"null little endian", LinkNull, on("02000000", body), 0, want4 + wantTCP, tcp4},
		{"null big endian ipv6", LinkNull, on("0000001e", body6), 0, want6 + wantUDP, "ip6,udp,ports"},
		{"loop", LinkLoop, on("00000002", body), 0, want4 + wantTCP, tcp4},
		{"ppp", LinkPPP, on("0021", body), 0, want4 + wantTCP + "eth_type", tcp4},
		{"ppp with hdlc framing", LinkPPP, on("ff03 0057", body6), 0, want6 + wantUDP, "ip6,udp,ports"},
		{"ppp with a short protocol field", LinkPPP, on("ff03 21", body), 0, want4 + wantTCP, tcp4},
		{"ppp mpls", LinkPPP, on("0281 0002413f", body), 0, want4 + wantTCP, "mpls," + tcp4},
		{"ppp link control", LinkPPP, on("ff03 c021", make([]byte, 10)), 0, "src_ip reason=none", ""},
		{"cisco hdlc", LinkCHDLC, on("0f00 0800", body), 0, want4 + wantTCP + "eth_type=ipv4", "ethtype," + tcp4},
		{"cisco slarp", LinkCHDLC, on("8f00 8035", make([]byte, 18)), 0, "eth_type=rarp src_ip", "ethtype"},
		{"unknown link", 147, body, 0, "reason=link_type src_ip", "malformed"},
	}
}

func networkSeeds() []seed {
	const head4, head6 = "eth,ethtype,ip", "eth,ethtype,ip6"
	options := ip4(1, ipTCP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	quoted := frame(ip4(9, ipUDP), udpHeader(7, 8), tenBytes)
	v6 := func(first layers.IPProtocol, ls ...gopacket.SerializableLayer) []byte {
		return with(ls, eth(1, ethIPv6), ip6(1, first))
	}
	tso := frame(innerTCP()...)
	tso6 := v6(ipTCP, tail())
	sctp := raw("03e8 01bb 00000001 00000000 00 03 0010 00000000 00000000")
	return []seed{
		{"ipv4 options", LinkEthernet, frame(eth(1, ethIPv4), options, tcpHeader(), tenBytes), 0, want4 + wantTCP, head4 + ",tcp,ports,options"},
		{"first fragment", LinkEthernet, frame(eth(1, ethIPv4), fragment4(layers.IPv4MoreFragments, 0), tail()), 0,
			"frag=0x2000 " + wantTCP, head4 + ",tcp,ports,fragment"},
		{"middle fragment has no ports", LinkEthernet, frame(eth(1, ethIPv4), fragment4(layers.IPv4MoreFragments, 3), tail()), 0,
			"frag=0x2003 proto=tcp src_port dst_port tcp_flags payload_len=30", head4 + ",fragment"},
		{"last fragment has no ports", LinkEthernet, frame(eth(1, ethIPv4), fragment4(0, 185), tail()), 0,
			"frag=185 proto=tcp src_port payload_len=30", head4 + ",fragment"},
		{"do not fragment is not a fragment", LinkEthernet, frame(eth(1, ethIPv4), fragment4(layers.IPv4DontFragment, 0), tail()), 0,
			want4 + wantTCP, head4 + ",tcp,ports"},
		{"fragment too small for its tcp header", LinkEthernet, frame(eth(1, ethIPv4), fragment4(layers.IPv4MoreFragments, 0), tail()[:8]), 0,
			"frag=0x2000 src_port=1000 dst_port=443 tcp_seq reason=short payload_len=8", head4 + ",ports,fragment,malformed"},
		{"icmp", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, layers.IPProtocolICMPv4), icmpEcho(), tenBytes), 0,
			want4 + "proto=icmp src_port payload_len=10", head4 + ",icmp"},
		{"packet quoted in an icmp error is not read", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)}, gopacket.Payload(quoted)), 0,
			want4 + "proto=icmp src_port dst_port", head4 + ",icmp"},
		{"icmpv6", LinkEthernet, frame(eth(1, ethIPv6), ip6(1, layers.IPProtocolICMPv6),
			&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, raw("00010001"), tenBytes), 0,
			want6 + "proto=icmpv6 src_port payload_len=10", head6 + ",icmp6"},
		{"sctp", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, layers.IPProtocolSCTP), sctp), 0,
			want4 + "proto=sctp src_port=1000 dst_port=443 payload_len=12 tcp_flags", head4 + ",sctp,ports"},
		{"igmp", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, layers.IPProtocolIGMP), raw("11000000 00000000")), 0,
			want4 + "proto=igmp payload_len=8 reason=none", head4},
		{"authentication header", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, layers.IPProtocolAH), raw("06 04 0000 00000001 00000002 000000000000000000000000"), tail()), 0,
			want4 + wantTCP, head4 + ",tcp,ports"},
		{"segmentation offload", LinkEthernet, set(tso, 14+2, 0, 0), 0, want4 + wantTCP, head4 + ",tcp,ports"},
		{"segmentation offload ipv6", LinkEthernet, set(tso6, 14+4, 0, 0), 0, want6 + wantTCP, head6 + ",tcp,ports"},
		{"hop-by-hop", LinkEthernet, v6(0, raw("06 00 01 04 00000000"), tail()), 0, want6 + wantTCP, head6 + ",tcp,ports,options"},
		{"routing", LinkEthernet, v6(43, raw("06 02 00 01 00000000 00000000000000000000000000000000"), tail()), 0, want6 + wantTCP, head6 + ",tcp,ports,options"},
		{"destination options", LinkEthernet, v6(60, raw("06 00 01 04 00000000"), tail()), 0, want6 + wantTCP, head6 + ",tcp,ports,options"},
		{"authentication header ipv6", LinkEthernet, v6(51, raw("06 04 0000 00000001 00000002 000000000000000000000000"), tail()), 0,
			want6 + wantTCP, head6 + ",tcp,ports,options"},
		{"hop-by-hop, routing, destination", LinkEthernet, v6(0, raw("2b 00 01 04 00000000  3c 00 00 00 00000000  06 01 01 0c 00000000 00000000 00000000"), tail()), 0,
			want6 + wantTCP, head6 + ",tcp,ports,options"},
		{"mobility", LinkEthernet, v6(135, raw("3b 00 00 00 0000 0000")), 0, want6 + "proto=mobility payload_len=8", head6},
		{"shim6 payload", LinkEthernet, v6(140, raw("06 00 8000 00000001"), tail()), 0, want6 + wantTCP, head6 + ",tcp,ports,options"},
		{"host identity", LinkEthernet, v6(139, raw("3b 04 01 11 0000 0000"), gopacket.Payload(make([]byte, 32))), 0, want6 + "proto=hip", head6},
		{"no next header", LinkEthernet, append(v6(59), 1, 2, 3), 0, want6 + "proto=59 payload_len=0", head6},
		{"ipv6 first fragment", LinkEthernet, v6(44, raw("06 00 0001 0000abcd"), tail()), 0,
			"frag=0x2000 ip_id=0xabcd " + wantTCP, head6 + ",tcp,ports,options,fragment"},
		{"ipv6 last fragment has no ports", LinkEthernet, v6(44, raw("06 00 05c8 0000abcd"), tail()), 0,
			"frag=185 ip_id=0xabcd proto=tcp src_port payload_len=30", head6 + ",options,fragment"},
		{"ipv6 atomic fragment", LinkEthernet, v6(44, raw("06 00 0000 0000abcd"), tail()), 0,
			"frag=0x8000 ip_id=0xabcd " + wantTCP, head6 + ",tcp,ports,options,fragment"},
		{"jumbogram", LinkEthernet, set(append(v6(0, raw("06 00 c2 04 00000026"), tail()), 9, 9, 9), 14+4, 0, 0), 0,
			want6 + wantTCP, head6 + ",tcp,ports,options"},
	}
}

func tunnelSeeds() []seed {
	const tcp4, tcp6 = "ip,tcp,ports", "ip6,tcp,ports"
	const tunnel, vni = "eth,ethtype,tunnel,", "eth,ethtype,tunnel,vni,"
	inner := innerTCP()
	body := frame(ip4(1, ipTCP), tcpHeader(), tenBytes)
	body6 := frame(ip6(1, ipTCP), tcpHeader(), tenBytes)
	pay4, pay6 := gopacket.Payload(body), gopacket.Payload(body6)
	arp := raw("ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002")
	vxlan := &layers.VXLAN{ValidIDFlag: true, VNI: 0x123456}
	over6 := func(proto layers.IPProtocol, ls ...gopacket.SerializableLayer) []byte {
		return with(ls, eth(2, ethIPv6), ip6(2, proto))
	}
	udp4 := func(port layers.UDPPort, ls ...gopacket.SerializableLayer) []byte {
		return with(ls, eth(2, ethIPv4), ip4(2, ipUDP), udpHeader(50000, port))
	}
	in := func(header string, ls ...gopacket.SerializableLayer) []gopacket.SerializableLayer {
		return append([]gopacket.SerializableLayer{raw(header)}, ls...)
	}
	nested := with(inner, eth(3, ethIPv4), ip4(3, ipUDP), udpHeader(50001, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: 77})
	return []seed{
		{"vxlan", LinkEthernet, with(inner, eth(2, ethIPv4), ip4(2, ipUDP), udpHeader(50000, 4789), vxlan), 0,
			want4 + wantTCP + wantMAC + outer4 + "vni=0x123456 tunnel=vxlan eth_type=ipv4", vni + tcp4},
		{"vxlan over ipv6 and vlans", LinkEthernet, with(in("020000000102 020000000101 8100 0007 86dd", pay6), eth(2, 0x8100), dot1q(5, ethIPv6), ip6(2, ipUDP), udpHeader(50000, 4789), vxlan), 0,
			want6 + wantTCP + wantMAC + outer6 + "vni=0x123456 tunnel=vxlan vlan=7 eth_type=ipv6", vni + "vlan," + tcp6},
		{"vxlan with arp", LinkEthernet, udp4(4789, vxlan, arp), 0,
			outer4 + "vni=0x123456 src_ip dst_ip proto src_port ttl payload_len eth_type=arp src_mac=02:00:00:00:00:01", vni + "arp"},
		{"vxlan without a vni is left alone", LinkEthernet, udp4(4789, in("00000000 12345600", pay4)...), 0,
			"src_ip=10.2.0.1 dst_port=4789 payload_len=58 reason=none tunnel", "eth,ethtype,ip,udp,ports"},
		{"vxlan generic protocol extension", LinkEthernet, udp4(4790, in("0c000001 12345600", pay4)...), 0,
			want4 + wantTCP + outer4 + "vni=0x123456 tunnel=vxlan", vni + tcp4},
		{"datagram from the port of vxlan is left alone", LinkEthernet, frame(eth(1, ethIPv4), ip4(1, ipUDP), udpHeader(4789, 53), tenBytes), 0,
			want4 + "proto=udp src_port=4789 dst_port=53 tunnel", "eth,ethtype,ip,udp,ports"},
		{"geneve with options", LinkEthernet, udp4(6081, in("02 00 6558 abcdef00 0102800111223344", inner...)...), 0,
			want4 + wantTCP + wantMAC + outer4 + "vni=0xabcdef tunnel=geneve", vni + tcp4},
		{"geneve with ipv6", LinkEthernet, udp4(6081, in("00 00 86dd abcdef00", pay6)...), 0,
			want6 + wantTCP + outer4 + "vni=0xabcdef tunnel=geneve src_mac=02:00:00:00:02:01 eth_type=ipv4", vni + tcp6},
		{"geneve with arp", LinkEthernet, udp4(6081, in("00 00 0806 abcdef00", arp[14:])...), 0, "src_ip vni=0xabcdef tunnel=geneve", vni + "arp"},
		{"geneve with something else is left alone", LinkEthernet, udp4(6081, in("00 00 1234 abcdef00", pay6)...), 0,
			"dst_port=6081 tunnel reason=none", "eth,ethtype,ip,udp,ports"},
		{"gre", LinkEthernet, over4(ipGRE, in("0000 0800", pay4)...), 0, want4 + wantTCP + outer4 + "vni tunnel=gre", tunnel + tcp4},
		{"gre over ipv6 options", LinkEthernet, over6(60, in("2f 00 01 04 00000000 0000 86dd", pay6)...), 0, want6 + wantTCP + outer6 + "vni tunnel=gre", tunnel + tcp6},
		{"gre key", LinkEthernet, over4(ipGRE, in("2000 86dd 01020304", pay6)...), 0, want6 + wantTCP + outer4 + "vni=0x01020304 tunnel=gre", vni + tcp6},
		{"gre checksum, key, sequence", LinkEthernet, over4(ipGRE, in("b000 6558 dead0000 01020304 00000001", inner...)...), 0,
			want4 + wantTCP + wantMAC + outer4 + "vni=0x01020304 tunnel=gre", vni + tcp4},
		{"gre with everything", LinkEthernet, over4(ipGRE, in("f000 0800 dead0000 01020304 00000001  0800 00 08 0a000001 0a000002  0000 00 00", pay4)...), 0,
			want4 + wantTCP + outer4 + "vni=0x01020304", vni + tcp4},
		{"gre routing without checksum", LinkEthernet, over4(ipGRE, in("4000 0800 00000000 0000 00 00", pay4)...), 0, want4 + wantTCP + "vni", tunnel + tcp4},
		{"gre mpls", LinkEthernet, over4(ipGRE, in("0000 8847 0002 413f", pay4)...), 0, want4 + wantTCP + "tunnel=gre", tunnel + "mpls," + tcp4},
		{"pptp", LinkEthernet, over4(ipGRE, in("3081 880b 003c 0042 00000001 00000002 ff03 0021", pay4)...), 0, want4 + wantTCP + "vni=0x42 tunnel=gre", vni + tcp4},
		{"pptp link control is left alone", LinkEthernet, over4(ipGRE, in("3001 880b 000e 0042 00000001 ff03 c021", tenBytes)...), 0,
			"src_ip=10.2.0.1 proto=gre tunnel reason=none", "eth,ethtype,ip"},
		{"gre keepalive is left alone", LinkEthernet, over4(ipGRE, raw("0000 0000")), 0, "src_ip=10.2.0.1 proto=gre payload_len=4 tunnel reason=none", "eth,ethtype,ip"},
		{"gre cache protocol 2", LinkEthernet, over4(ipGRE, in("0000 883e 00000000", pay4)...), 0, want4 + wantTCP + "tunnel=gre", tunnel + tcp4},
		{"erspan 1", LinkEthernet, over4(ipGRE, in("0000 88be", inner...)...), 0, want4 + wantTCP + wantMAC + outer4 + "vni tunnel=erspan1", tunnel + tcp4},
		{"erspan 2", LinkEthernet, over4(ipGRE, in("1000 88be 00000001 1005 0123 00000000", inner...)...), 0,
			want4 + wantTCP + wantMAC + outer4 + "vni=0x123 tunnel=erspan2", vni + tcp4},
		{"erspan 3", LinkEthernet, over4(ipGRE, in("1000 22eb 00000001 2005 0123 00000000 0000 0000", inner...)...), 0,
			want4 + wantTCP + wantMAC + outer4 + "vni=0x123 tunnel=erspan3", vni + tcp4},
		{"erspan 3 with platform sub-header", LinkEthernet, over4(ipGRE, in("1000 22eb 00000001 2005 0123 00000000 0000 0001 0000000000000000", inner...)...), 0,
			want4 + wantTCP + wantMAC + outer4 + "vni=0x123 tunnel=erspan3", vni + tcp4},
		{"erspan 3 with ip", LinkEthernet, over4(ipGRE, in("1000 22eb 00000001 2005 0123 00000000 0000 0800", pay6)...), 0, want6 + wantTCP + "vni=0x123 tunnel=erspan3", vni + tcp6},
		{"ip in ip", LinkEthernet, over4(ipIPv4, pay4), 0, want4 + wantTCP + outer4 + "vni tunnel=ipip", tunnel + tcp4},
		{"ipv4 in ipv6", LinkEthernet, over6(ipIPv4, pay4), 0, want4 + wantTCP + outer6 + "tunnel=ipip", tunnel + tcp4},
		{"ipv6 in ipv6", LinkEthernet, over6(ipIPv6, pay6), 0, want6 + wantTCP + outer6 + "tunnel=ipip", tunnel + tcp6},
		{"ipv6 in ipv4", LinkEthernet, over4(ipIPv6, pay6), 0, want6 + wantTCP + outer4 + "tunnel=6in4", tunnel + tcp6},
		{"gtp-u", LinkEthernet, udp4(2152, in("30 ff 0032 01020304", pay4)...), 0, want4 + wantTCP + outer4 + "vni=0x01020304 tunnel=gtpu", vni + tcp4},
		{"gtp-u sequence number", LinkEthernet, udp4(2152, in("32 ff 0036 01020304 0001 00 00", pay6)...), 0, want6 + wantTCP + "vni=0x01020304", vni + tcp6},
		{"gtp-u n-pdu number", LinkEthernet, udp4(2152, in("31 ff 0036 01020304 0000 07 c0", pay4)...), 0, want4 + wantTCP + "vni=0x01020304", vni + tcp4},
		{"gtp-u extension headers", LinkEthernet, udp4(2152, in("34 ff 003e 01020304 0000 00 85  01 1000 c0  01 1234 00", pay4)...), 0,
			want4 + wantTCP + "vni=0x01020304 tunnel=gtpu", vni + tcp4},
		{"gtp-u echo is left alone", LinkEthernet, udp4(2152, raw("32 01 0004 00000000 0001 00 00")), 0, "dst_port=2152 tunnel reason=none", "eth,ethtype,ip,udp,ports"},
		{"gtp prime is left alone", LinkEthernet, udp4(2152, in("20 ff 0032 01020304", pay4)...), 0, "dst_port=2152 tunnel reason=none", "eth,ethtype,ip,udp,ports"},
		{"erspan around vxlan", LinkEthernet, over4(ipGRE, raw("1000 88be 00000001 1005 0123 00000000"), gopacket.Payload(nested)), 0,
			want4 + wantTCP + "outer_src=10.3.0.1 outer_dst=10.3.0.2 vni=77 tunnel=vxlan", vni + tcp4},
		{"gre without key in vxlan forgets the vni", LinkEthernet, udp4(4789, vxlan, eth(3, ethIPv4), ip4(3, ipGRE), raw("0000 0800"), pay4), 0,
			want4 + wantTCP + "outer_src=10.3.0.1 vni tunnel=gre src_mac=02:00:00:00:03:01", tunnel + tcp4},
		{"tunnel in a first fragment", LinkEthernet, func() []byte {
			outer := ip4(2, ipGRE)
			outer.Flags = layers.IPv4MoreFragments
			return with([]gopacket.SerializableLayer{raw("0000 0800"), gopacket.Payload(body[:44])}, eth(2, ethIPv4), outer)
		}(), 0, want4 + wantTCP + outer4 + "reason=none", tunnel + tcp4},
	}
}

func brokenSeeds() []seed {
	whole := frame(innerTCP()...)
	udp := frame(eth(1, ethIPv4), ip4(1, ipUDP), udpHeader(1001, 53), tenBytes)
	change := func(b []byte, at int, v ...byte) []byte { return set(append([]byte(nil), b...), at, v...) }
	const head = "eth,ethtype,ip,"
	deep := frame(ip4(1, ipTCP), tcpHeader(), tenBytes)
	for range maxHeaders {
		deep = frame(ip4(2, ipIPv4), gopacket.Payload(deep))
	}
	return []seed{
		{"empty", LinkEthernet, nil, 0, "reason=short src_mac eth_type", "malformed"},
		{"cut in ethernet", LinkEthernet, whole[:13], len(whole), "reason=truncated src_mac", "truncated"},
		{"cut in ipv4", LinkEthernet, whole[:33], len(whole), "reason=truncated eth_type=ipv4 src_ip", "eth,ethtype,truncated"},
		{"cut before the window", LinkEthernet, whole[:49], len(whole), "reason=truncated src_port=1000 tcp_seq payload_len=30", head + "ports,truncated"},
		{"cut after the window", LinkEthernet, whole[:50], len(whole), want4 + wantTCP + "reason=none", head + "tcp,ports"},
		{"ended in tcp", LinkEthernet, whole[:49], 0, "reason=bad_ip_total_len src_port=1000", head + "ports,malformed"},
		{"ip version 5", LinkEthernet, change(whole, 14, 0x55), 0, "reason=bad_ip_version src_ip eth_type=ipv4", "eth,ethtype,malformed"},
		{"ip version 5 on a raw link", LinkRaw, change(whole[14:], 0, 0x55), 0, "reason=bad_ip_version src_ip", "malformed"},
		{"ip version against ethertype", LinkEthernet, change(whole, 12, 0x86, 0xdd), 0, "reason=bad_ip_version src_ip", "eth,ethtype,malformed"},
		{"ihl 4", LinkEthernet, change(whole, 14, 0x44), 0, "reason=bad_ip_header_len src_ip", "eth,ethtype,malformed"},
		{"total length 19", LinkEthernet, change(whole, 16, 0, 19), 0, "reason=bad_ip_total_len src_ip", "eth,ethtype,malformed"},
		{"total length past the frame", LinkEthernet, change(whole, 16, 1, 0), 0, want4 + wantTCP + "reason=bad_ip_total_len", head + "tcp,ports,malformed"},
		{"total length past the slice only", LinkEthernet, change(whole, 16, 1, 0), 14 + 256, "payload_len=216 reason=none", head + "tcp,ports"},
		{"tcp offset 4", LinkEthernet, change(whole, 46, 0x41), 0, "reason=bad_tcp_offset src_port=1000 tcp_flags=0x112 payload_len=10", head + "tcp,ports,malformed"},
		{"tcp offset past the segment", LinkEthernet, change(whole, 46, 0xf1), 0, "reason=bad_tcp_offset src_port=1000 payload_len=0", head + "tcp,ports,malformed"},
		{"udp length 7", LinkEthernet, change(udp, 38, 0, 7), 0, want4 + wantUDP + "reason=bad_udp_len", head + "udp,ports,malformed"},
		{"udp length past the packet", LinkEthernet, change(udp, 38, 0, 99), 0, want4 + wantUDP + "reason=bad_udp_len", head + "udp,ports,malformed"},
		{"gre version 2", LinkEthernet, over4(ipGRE, raw("0002 0800"), tenBytes), 0, "reason=bad_tunnel proto=gre src_ip=10.2.0.1", head + "malformed"},
		{"erspan 2 of version 0", LinkEthernet, over4(ipGRE, raw("1000 88be 00000001 0005 0123 00000000"), tenBytes), 0, "reason=bad_tunnel proto=gre", head + "malformed"},
		{"geneve options past the datagram", LinkEthernet, with([]gopacket.SerializableLayer{raw("3f 00 6558 00000100"), tenBytes}, eth(2, ethIPv4), ip4(2, ipUDP), udpHeader(1, 6081)), 0,
			"reason=bad_tunnel dst_port=6081 tunnel", head + "udp,ports,malformed"},
		{"gtp-u extension of no length", LinkEthernet, with([]gopacket.SerializableLayer{raw("34 ff 0032 01020304 0000 00 85 00 1000 c0"), tenBytes}, eth(2, ethIPv4), ip4(2, ipUDP), udpHeader(1, 2152)), 0,
			"reason=bad_tunnel dst_port=2152 tunnel", head + "udp,ports,malformed"},
		{"tunnels nested too deep", LinkRaw, deep, 0, "reason=depth tunnel=ipip", "tunnel,malformed"},
		{"slice longer than the frame", LinkEthernet, append(append([]byte(nil), whole...), 1, 2, 3), len(whole), want4 + wantTCP + "reason=none", head + "tcp,ports"},
	}
}
