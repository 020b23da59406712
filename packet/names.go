package packet

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A BoolName is a name that stands for one bit of an attribute: tcp.syn is bit
// 0x02 of TCPFlags, udp is LayerUDP of LayerBits. As an expression the name is
// true when the header has the attribute and the bit is set.
//
// Some layers share the name of an attribute (vlan, vni, tunnel): there the
// BoolName is the meaning of the bare name, "the header has one".
type BoolName struct {
	Name string
	Attr Attr
	Mask uint64
}

var boolNames = []BoolName{
	{"tcp.fin", TCPFlags, uint64(TCPFin)},
	{"tcp.syn", TCPFlags, uint64(TCPSyn)},
	{"tcp.rst", TCPFlags, uint64(TCPRst)},
	{"tcp.psh", TCPFlags, uint64(TCPPsh)},
	{"tcp.ack", TCPFlags, uint64(TCPAckFlag)},
	{"tcp.urg", TCPFlags, uint64(TCPUrg)},
	{"tcp.ece", TCPFlags, uint64(TCPEce)},
	{"tcp.cwr", TCPFlags, uint64(TCPCwr)},
	{"tcp.ae", TCPFlags, uint64(TCPAE)},
	{"tcp.ns", TCPFlags, uint64(TCPAE)},
	{"eth", LayerBits, uint64(LayerEth)},
	{"vlan", LayerBits, uint64(LayerVLAN)},
	{"qinq", LayerBits, uint64(LayerQinQ)},
	{"mpls", LayerBits, uint64(LayerMPLS)},
	{"arp", LayerBits, uint64(LayerARP)},
	{"ip", LayerBits, uint64(LayerIPv4)},
	{"ip4", LayerBits, uint64(LayerIPv4)},
	{"ipv4", LayerBits, uint64(LayerIPv4)},
	{"ip6", LayerBits, uint64(LayerIPv6)},
	{"ipv6", LayerBits, uint64(LayerIPv6)},
	{"tcp", LayerBits, uint64(LayerTCP)},
	{"udp", LayerBits, uint64(LayerUDP)},
	{"sctp", LayerBits, uint64(LayerSCTP)},
	{"icmp", LayerBits, uint64(LayerICMP)},
	{"icmp6", LayerBits, uint64(LayerICMPv6)},
	{"icmpv6", LayerBits, uint64(LayerICMPv6)},
	{"fragment", LayerBits, uint64(LayerFrag)},
	{"tunnel", LayerBits, uint64(LayerTunnel)},
	{"vni", LayerBits, uint64(LayerVNI)},
	{"options", LayerBits, uint64(LayerOptions)},
	{"truncated", LayerBits, uint64(LayerTruncated)},
	{"malformed", LayerBits, uint64(LayerMalformed)},
}

// BoolNames returns every name that stands for a bit: the TCP flags and the
// layers. The first name of a bit is the preferred one. The slice is the
// caller's.
func BoolNames() []BoolName { return append([]BoolName(nil), boolNames...) }

// A named is one entry of an enumeration; the first name of a value is how it
// is written, the later ones are read as well.
type named struct {
	value uint64
	name  string
}

// enum is a table of names, both ways.
type enum struct {
	names  map[uint64]string
	values map[string]uint64
	kind   string // what a value is called in errors
}

func newEnum(kind string, table []named) *enum {
	e := &enum{make(map[uint64]string, len(table)), make(map[string]uint64, len(table)), kind}
	for _, t := range table {
		if _, ok := e.names[t.value]; !ok {
			e.names[t.value] = t.name
		}
		e.values[t.name] = t.value
	}
	return e
}

// IP protocol numbers, the names of the IANA registry in lower case (underscores
// for dashes) where they are in use, with tcpdump's shorter ones beside them.
var protocols = newEnum("protocol", []named{
	{0, "hopopt"}, {1, "icmp"}, {2, "igmp"}, {3, "ggp"}, {4, "ipip"}, {4, "ipv4"}, {5, "st"}, {6, "tcp"},
	{8, "egp"}, {9, "igp"}, {12, "pup"}, {17, "udp"}, {22, "xns_idp"}, {27, "rdp"}, {33, "dccp"},
	{41, "ipv6"}, {43, "ipv6_route"}, {44, "ipv6_frag"}, {45, "idrp"}, {46, "rsvp"}, {47, "gre"},
	{48, "dsr"}, {50, "esp"}, {51, "ah"}, {55, "mobile"}, {58, "icmpv6"}, {58, "icmp6"},
	{59, "ipv6_nonxt"}, {60, "ipv6_opts"}, {88, "eigrp"}, {89, "ospf"}, {94, "ipip_old"}, {97, "etherip"},
	{98, "encap"}, {103, "pim"}, {108, "ipcomp"}, {112, "vrrp"}, {112, "carp"}, {113, "pgm"}, {115, "l2tp"},
	{124, "isis"}, {132, "sctp"}, {133, "fc"}, {134, "rsvp_e2e_ignore"}, {135, "mobility"},
	{136, "udplite"}, {137, "mpls_in_ip"}, {138, "manet"}, {139, "hip"}, {140, "shim6"}, {141, "wesp"},
	{142, "rohc"}, {143, "ethernet"}, {145, "nsh"}, {255, "raw"},
})

// EtherTypes, from the IEEE registry.
var etherTypes = newEnum("EtherType", []named{
	{0x0800, "ipv4"}, {0x0800, "ip"}, {0x0806, "arp"}, {0x0842, "wol"}, {0x22f3, "trill"}, {0x22ea, "srp"},
	{0x6002, "dec_mop"}, {0x6003, "decnet"}, {0x6004, "dec_lat"}, {0x6558, "teb"}, {0x8035, "rarp"},
	{0x809b, "appletalk"}, {0x80f3, "aarp"}, {0x8100, "vlan"}, {0x8137, "ipx"}, {0x86dd, "ipv6"},
	{0x86dd, "ip6"}, {0x8808, "pause"}, {0x8809, "slow"}, {0x8847, "mpls"}, {0x8848, "mpls_upstream"},
	{0x8863, "pppoe_discovery"}, {0x8864, "pppoe"}, {0x8870, "jumbo"}, {0x888e, "eapol"},
	{0x8892, "profinet"}, {0x88a2, "aoe"}, {0x88a4, "ethercat"}, {0x88a8, "qinq"}, {0x88b5, "local1"},
	{0x88b6, "local2"}, {0x88be, "erspan"}, {0x88cc, "lldp"}, {0x88e1, "homeplug"}, {0x88e5, "macsec"},
	{0x88e7, "pbb"}, {0x88f5, "mvrp"}, {0x88f6, "mmrp"}, {0x88f7, "ptp"}, {0x88fb, "prp"}, {0x8902, "cfm"},
	{0x8906, "fcoe"}, {0x890d, "tdls"}, {0x8914, "fip"}, {0x8915, "roce"}, {0x892f, "hsr"},
	{0x894f, "nsh"}, {0x9000, "loopback"}, {0x9100, "qinq_9100"}, {0x22eb, "erspan3"}, {0xf1c1, "rtag"},
})

var tunnels = newEnum("tunnel", []named{
	{uint64(TunnelNone), "none"}, {uint64(TunnelVXLAN), "vxlan"}, {uint64(TunnelGeneve), "geneve"},
	{uint64(TunnelGRE), "gre"}, {uint64(TunnelERSPAN1), "erspan1"}, {uint64(TunnelERSPAN2), "erspan2"},
	{uint64(TunnelERSPAN3), "erspan3"}, {uint64(TunnelIPIP), "ipip"}, {uint64(Tunnel6in4), "6in4"},
	{uint64(TunnelGTPU), "gtpu"},
})

var directions = newEnum("direction", []named{
	{uint64(DirUnknown), "unknown"}, {uint64(DirIn), "in"}, {uint64(DirOut), "out"},
})

var reasons = newEnum("reason", []named{
	{uint64(ReasonNone), "none"}, {uint64(ReasonTruncated), "truncated"}, {uint64(ReasonShort), "short"},
	{uint64(ReasonIPVersion), "bad_ip_version"}, {uint64(ReasonIPHeaderLen), "bad_ip_header_len"},
	{uint64(ReasonIPTotalLen), "bad_ip_total_len"}, {uint64(ReasonTCPOffset), "bad_tcp_offset"},
	{uint64(ReasonUDPLen), "bad_udp_len"}, {uint64(ReasonTunnel), "bad_tunnel"},
	{uint64(ReasonDepth), "depth"}, {uint64(ReasonLinkType), "link_type"},
})

// String returns the tunnel's name, or its number if it has none.
func (k TunnelKind) String() string { return tunnels.name(uint64(k)) }

// String returns the direction's name, or its number if it has none.
func (d Dir) String() string { return directions.name(uint64(d)) }

// String returns the reason's name, or its number if it has none.
func (r ReasonCode) String() string { return reasons.name(uint64(r)) }

func (e *enum) name(v uint64) string {
	if s, ok := e.names[v]; ok {
		return s
	}
	return strconv.FormatUint(v, 10)
}

// enumOf returns the table of names of an attribute of KindEnum.
func enumOf(a Attr) *enum {
	switch a {
	case Proto:
		return protocols
	case EthType:
		return etherTypes
	case Tunnel:
		return tunnels
	case Direction:
		return directions
	case Reason:
		return reasons
	}
	return nil
}

// EnumNames returns the names that values of a can be written with, aliases
// included, or nil if a has none. The map is the caller's.
func EnumNames(a Attr) map[string]uint64 {
	if e := enumOf(a); e != nil {
		return maps.Clone(e.values)
	}
	return nil
}

// Format appends the text of v, a value of a, to dst: decimal for numbers
// (also for in_port: names of ports are in the port table), the enum's name or
// else its number, addresses as [netip.Addr] and [net.HardwareAddr] write
// them, times as RFC 3339 in UTC with nanoseconds. An IPv4 address is written
// as such. It allocates only to grow dst.
func (a Attr) Format(dst []byte, v Value) []byte {
	switch a.Info().Kind {
	case KindTime:
		return time.Unix(0, int64(v.Lo)).UTC().AppendFormat(dst, time.RFC3339Nano)
	case KindIP:
		return v.Addr().AppendTo(dst)
	case KindMAC:
		return appendMAC(dst, v.Lo)
	case KindEnum:
		if s, ok := enumOf(a).names[v.Lo]; ok {
			return append(dst, s...)
		}
	}
	return strconv.AppendUint(dst, v.Lo, 10)
}

func appendMAC(dst []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 44; shift >= 0; shift -= 8 {
		dst = append(dst, digits[v>>shift&15], digits[v>>(shift-4)&15])
		if shift > 4 {
			dst = append(dst, ':')
		}
	}
	return dst
}

// ParseValue reads what Format writes and a little more: names of enums in
// any case, numbers also in hexadecimal (0x), octal (0o) and binary (0b),
// times also as integer nanoseconds since the Unix epoch, MAC addresses with
// colons, dashes or dots. The error says what is allowed.
func (a Attr) ParseValue(s string) (Value, error) {
	if int(a) >= NumAttrs {
		return Value{}, fmt.Errorf("packet: no attribute %d", a)
	}
	in := a.Info()
	switch in.Kind {
	case KindTime:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
			return Value{0, uint64(n)}, nil
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || t.Before(time.Unix(0, 0)) || t.Year() > 2261 {
			return Value{}, fmt.Errorf("%s: %q is not a time: want RFC 3339 (2006-01-02T15:04:05.999999999Z) between 1970 and 2261, or nanoseconds since 1970", in.Name, s)
		}
		return Value{0, uint64(t.UnixNano())}, nil
	case KindIP:
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.Zone() != "" {
			return Value{}, fmt.Errorf("%s: %q is not an IP address: want IPv4 (192.0.2.1) or IPv6 (2001:db8::1) without a zone", in.Name, s)
		}
		return ValueOfAddr(ip), nil
	case KindMAC:
		m, err := net.ParseMAC(s)
		if err != nil || len(m) != 6 {
			return Value{}, fmt.Errorf("%s: %q is not a MAC address: want six bytes such as 02:00:5e:10:00:01", in.Name, s)
		}
		return Value{0, uint64(binary.BigEndian.Uint16(m))<<32 | uint64(binary.BigEndian.Uint32(m[2:]))}, nil
	case KindEnum:
		if v, ok := enumOf(a).values[strings.ToLower(s)]; ok {
			return Value{0, v}, nil
		}
	}
	v, err := strconv.ParseUint(s, 0, int(in.Width))
	if err == nil {
		return Value{0, v}, nil
	}
	if in.Kind == KindEnum {
		return Value{}, fmt.Errorf("%s: %q is not a known %s: want a name such as %s, or a number within 0..%d",
			in.Name, s, enumOf(a).kind, enumOf(a).examples(), maxOf(in.Width))
	}
	return Value{}, fmt.Errorf("%s: %q is not a number within 0..%d", in.Name, s, maxOf(in.Width))
}

func maxOf(w Width) uint64 { return ^uint64(0) >> (64 - w) }

// examples lists the whole of a short enum, and a few names of a long one.
func (e *enum) examples() string {
	if len(e.names) > 12 {
		switch e {
		case protocols:
			return "tcp, udp, icmp, icmpv6, sctp, gre"
		default:
			return "ipv4, ipv6, arp, mpls, lldp"
		}
	}
	var list []string
	for v := uint64(0); len(list) < len(e.names); v++ {
		if s, ok := e.names[v]; ok {
			list = append(list, s)
		}
	}
	return strings.Join(list, ", ")
}

// Addr returns the address that v, a value of SrcIP, DstIP, OuterSrc or
// OuterDst, stands for: ::ffff:a.b.c.d is the IPv4 address a.b.c.d.
func (v Value) Addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.Hi)
	binary.BigEndian.PutUint64(b[8:], v.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// ValueOfAddr returns the value that stands for ip, which must be valid: an
// IPv4 address as ::ffff:a.b.c.d. A zone is left out.
func ValueOfAddr(ip netip.Addr) Value {
	b := ip.As16()
	return Value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}
