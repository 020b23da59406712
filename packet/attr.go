package packet

import "math/bits"

// An Attr names one attribute of a header. The zero Attr is Ts.
type Attr uint8

// The attributes, in schema order. Widths and units are in [Attr.Info].
const (
	Ts         Attr = iota // capture time, ns since the Unix epoch
	SrcIP                  // innermost IP source; an IPv4 address as ::ffff:a.b.c.d
	DstIP                  // innermost IP destination
	SrcPort                // TCP, UDP or SCTP source port
	DstPort                // TCP, UDP or SCTP destination port
	Proto                  // IP protocol of the upper layer (after IPv6 extension headers)
	TCPFlags               // the nine flag bits of RFC 9293 and RFC 3540 (AE/NS is 0x100)
	TCPSeq                 // raw sequence number
	TCPAck                 // raw acknowledgement number
	TCPWindow              // window as in the header, unscaled
	IPID                   // IPv4 identification, or the identification of an IPv6 fragment header
	TTL                    // IPv4 TTL or IPv6 hop limit
	DSCP                   // upper six bits of the IPv4 TOS or IPv6 traffic class
	ECN                    // lower two bits of the same
	Frag                   // see FragOffset, FragMore, FragAtomic; 0 when not a fragment
	PktLen                 // bytes of the whole frame on the wire
	PayloadLen             // bytes after the innermost transport header, by the IP length
	EthType                // EtherType of the innermost link header, after VLAN tags
	SrcMAC                 // last Ethernet source seen on the way in (48 bits, big endian in the low bits)
	DstMAC                 // last Ethernet destination seen on the way in
	VLAN                   // VLAN id of the last 802.1Q/802.1ad tag seen on the way in
	VNI                    // VXLAN or Geneve VNI, GRE key, ERSPAN session, GTP-U TEID of the last tunnel stripped
	Tunnel                 // kind of the last tunnel stripped, a TunnelKind
	OuterSrc               // IP source of the last tunnel stripped
	OuterDst               // IP destination of the last tunnel stripped
	InPort                 // number of the port in the agent's port table
	Direction              // a Dir
	FlowHash               // symmetric hash of VNI and innermost 5-tuple
	Tag                    // resource tag
	LayerBits              // a Layers value
	Reason                 // a ReasonCode: why parsing stopped early
	CapLen                 // bytes of the slice that is kept

	NumAttrs = int(CapLen) + 1
)

// Width is the storage width of an attribute, in bits.
type Width uint8

// The widths there are. W128 is a pair of 64-bit columns (Hi, Lo).
const (
	W8   Width = 8
	W16  Width = 16
	W32  Width = 32
	W64  Width = 64
	W128 Width = 128
)

// A Kind says how a value is written and read by people.
type Kind uint8

// The kinds.
const (
	KindUint Kind = iota // decimal, or 0x hexadecimal
	KindTime             // RFC 3339 with nanoseconds
	KindIP
	KindMAC
	KindEnum // a name from a table (protocols, EtherTypes, tunnels, directions) or a number
	KindPort // name or number of an entry in the agent's port table
)

// Info is what is known about an attribute without looking at a header.
type Info struct {
	Name    string // as in expressions, fields and JSON
	Width   Width
	Kind    Kind
	Present Layers // present when any of these bits is set; zero: always present
	Unit    string // "bytes", "ns" or empty
	Doc     string // one line for help texts and docs
}

var infos = [NumAttrs]Info{
	Ts:         {"ts", W64, KindTime, 0, "ns", "capture time"},
	SrcIP:      {"src_ip", W128, KindIP, LayerIPv4 | LayerIPv6, "", "innermost IP source address, IPv4 and IPv6 alike"},
	DstIP:      {"dst_ip", W128, KindIP, LayerIPv4 | LayerIPv6, "", "innermost IP destination address"},
	SrcPort:    {"src_port", W16, KindUint, LayerPorts, "", "TCP, UDP or SCTP source port"},
	DstPort:    {"dst_port", W16, KindUint, LayerPorts, "", "TCP, UDP or SCTP destination port"},
	Proto:      {"proto", W8, KindEnum, LayerIPv4 | LayerIPv6, "", "IP protocol of the upper layer"},
	TCPFlags:   {"tcp_flags", W16, KindUint, LayerTCP, "", "TCP flag bits; each also by name: tcp.syn, tcp.ack, ..."},
	TCPSeq:     {"tcp_seq", W32, KindUint, LayerTCP, "", "raw TCP sequence number"},
	TCPAck:     {"tcp_ack", W32, KindUint, LayerTCP, "", "raw TCP acknowledgement number"},
	TCPWindow:  {"tcp_window", W16, KindUint, LayerTCP, "", "TCP window as in the header, unscaled"},
	IPID:       {"ip_id", W32, KindUint, LayerIPv4 | LayerFrag, "", "IPv4 identification, or that of an IPv6 fragment header"},
	TTL:        {"ttl", W8, KindUint, LayerIPv4 | LayerIPv6, "", "IPv4 TTL or IPv6 hop limit"},
	DSCP:       {"dscp", W8, KindUint, LayerIPv4 | LayerIPv6, "", "differentiated services code point"},
	ECN:        {"ecn", W8, KindUint, LayerIPv4 | LayerIPv6, "", "explicit congestion notification bits"},
	Frag:       {"frag", W16, KindUint, LayerIPv4 | LayerIPv6, "", "0 when not a fragment; offset/8 in the low 13 bits, 0x2000 more fragments, 0x8000 IPv6 atomic fragment"},
	PktLen:     {"pkt_len", W32, KindUint, 0, "bytes", "length of the frame on the wire"},
	PayloadLen: {"payload_len", W32, KindUint, LayerIPv4 | LayerIPv6, "bytes", "bytes after the innermost transport header, by the IP length"},
	EthType:    {"eth_type", W16, KindEnum, LayerEthType, "", "EtherType of the innermost link header, after VLAN tags"},
	SrcMAC:     {"src_mac", W64, KindMAC, LayerEth, "", "innermost Ethernet source address"},
	DstMAC:     {"dst_mac", W64, KindMAC, LayerEth, "", "innermost Ethernet destination address"},
	VLAN:       {"vlan", W16, KindUint, LayerVLAN, "", "VLAN id of the innermost tag"},
	VNI:        {"vni", W32, KindUint, LayerVNI, "", "VXLAN/Geneve VNI, GRE key, ERSPAN session or GTP TEID of the stripped tunnel"},
	Tunnel:     {"tunnel", W8, KindEnum, LayerTunnel, "", "kind of the stripped tunnel: vxlan, geneve, gre, erspan1, erspan2, erspan3, ipip, 6in4, gtpu"},
	OuterSrc:   {"outer_src", W128, KindIP, LayerTunnel, "", "IP source of the stripped tunnel"},
	OuterDst:   {"outer_dst", W128, KindIP, LayerTunnel, "", "IP destination of the stripped tunnel"},
	InPort:     {"in_port", W16, KindPort, 0, "", "port of the agent that the frame came from"},
	Direction:  {"direction", W8, KindEnum, 0, "", "in, out or unknown, as the port saw it"},
	FlowHash:   {"flow_hash", W64, KindUint, LayerIPv4 | LayerIPv6, "", "symmetric hash of VNI and innermost 5-tuple"},
	Tag:        {"tag", W32, KindUint, 0, "", "resource tag of the port"},
	LayerBits:  {"layers", W32, KindUint, 0, "", "which layers were read; each also by name: ip, ip6, tcp, udp, arp, ..."},
	Reason:     {"reason", W8, KindEnum, 0, "", "why parsing stopped early: none, truncated, bad_ip_version, ..."},
	CapLen:     {"cap_len", W16, KindUint, 0, "bytes", "bytes of the slice that is kept"},
}

// Info returns the schema entry of a.
func (a Attr) Info() *Info { return &infos[a] }

// String returns the attribute's name.
func (a Attr) String() string {
	if int(a) >= NumAttrs {
		return "attr?"
	}
	return infos[a].Name
}

// Present returns the layer bits of which at least one must be set for a
// header to have the attribute; zero means that every header has it.
func (a Attr) Present() Layers { return infos[a].Present }

var byName = func() map[string]Attr {
	m := make(map[string]Attr, NumAttrs)
	for i := range infos {
		m[infos[i].Name] = Attr(i)
	}
	return m
}()

// AttrByName finds an attribute by its name.
func AttrByName(name string) (Attr, bool) {
	a, ok := byName[name]
	return a, ok
}

// An AttrSet is a set of attributes, one bit each.
type AttrSet uint64

// AllAttrs holds every attribute.
const AllAttrs AttrSet = 1<<NumAttrs - 1

// SetOf returns the set of the given attributes.
func SetOf(as ...Attr) AttrSet {
	var s AttrSet
	for _, a := range as {
		s |= 1 << a
	}
	return s
}

// Has reports whether a is in s.
func (s AttrSet) Has(a Attr) bool { return s>>a&1 != 0 }

// Len returns the number of attributes in s.
func (s AttrSet) Len() int { return bits.OnesCount64(uint64(s)) }

// Attrs returns the members of s in schema order.
func (s AttrSet) Attrs() []Attr {
	out := make([]Attr, 0, s.Len())
	for ; s != 0; s &= s - 1 {
		out = append(out, Attr(bits.TrailingZeros64(uint64(s))))
	}
	return out
}

// Bits of the Frag attribute.
const (
	FragOffset uint16 = 0x1fff // offset of the fragment, in units of 8 bytes
	FragMore   uint16 = 0x2000 // more fragments follow
	FragAtomic uint16 = 0x8000 // IPv6 fragment header that fragments nothing (RFC 6946)
)

// Bits of the TCPFlags attribute.
const (
	TCPFin uint16 = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAckFlag
	TCPUrg
	TCPEce
	TCPCwr
	TCPAE // accurate ECN, formerly the nonce sum (NS)
)

// A Dir is the direction of a frame as its port saw it.
type Dir uint8

// The directions.
const (
	DirUnknown Dir = iota
	DirIn          // received by the port
	DirOut         // sent by the port
)

// Layers tells which layers of a header were read.
type Layers uint32

// The layer bits. Unless noted, a bit speaks of the innermost packet.
const (
	LayerEth       Layers = 1 << iota // an Ethernet header was read (at any depth)
	LayerVLAN                         // a VLAN tag was read (at any depth)
	LayerQinQ                         // two or more VLAN tags in a row were read (at any depth)
	LayerMPLS                         // an MPLS label was read (at any depth)
	LayerARP                          // ARP or RARP
	LayerIPv4                         // IPv4 fixed header read
	LayerIPv6                         // IPv6 fixed header read
	LayerTCP                          // TCP header read at least up to the window
	LayerUDP                          // UDP header read
	LayerSCTP                         // SCTP common header read
	LayerICMP                         // ICMP type and code read
	LayerICMPv6                       // ICMPv6 type and code read
	LayerPorts                        // source and destination port read
	LayerFrag                         // IPv4 fragment, or an IPv6 fragment header
	LayerTunnel                       // at least one tunnel was stripped
	LayerVNI                          // the last tunnel stripped carried a VNI, key, session or TEID
	LayerOptions                      // IPv4 options or IPv6 extension headers
	LayerEthType                      // an EtherType is known
	LayerTruncated                    // the slice ended inside a header (snap length); TCP options do not count
	LayerMalformed                    // the bytes contradict the protocol; see Reason
)

// A ReasonCode says why the parser stopped before the end of the headers.
type ReasonCode uint8

// The reasons. All but ReasonNone and ReasonTruncated set LayerMalformed.
const (
	ReasonNone        ReasonCode = iota
	ReasonTruncated              // the slice is shorter than the frame was, and ended inside a header
	ReasonShort                  // the frame itself ended inside a header
	ReasonIPVersion              // IP version is neither 4 nor 6, or contradicts the EtherType
	ReasonIPHeaderLen            // IPv4 IHL under 5
	ReasonIPTotalLen             // IP length shorter than its header, or longer than the frame
	ReasonTCPOffset              // TCP data offset under 5 or past the segment
	ReasonUDPLen                 // UDP length under 8 or past the packet
	ReasonTunnel                 // a tunnel header that contradicts its specification
	ReasonDepth                  // more nested headers than the parser follows
	ReasonLinkType               // link type that the parser does not read
	NumReasons        = int(ReasonLinkType) + 1
)

// A TunnelKind is the kind of a stripped tunnel.
type TunnelKind uint8

// The tunnel kinds.
const (
	TunnelNone TunnelKind = iota
	TunnelVXLAN
	TunnelGeneve
	TunnelGRE
	TunnelERSPAN1
	TunnelERSPAN2
	TunnelERSPAN3
	TunnelIPIP // IPv4 or IPv6 in IPv4 or IPv6, except 6in4
	Tunnel6in4
	TunnelGTPU
	NumTunnels = int(TunnelGTPU) + 1
)
