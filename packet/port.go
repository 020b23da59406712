package packet

// A LinkType is the link layer of a port, numbered as in capture files
// (the LINKTYPE_ values of the pcap registry).
type LinkType uint16

// The link types that the parser reads.
const (
	LinkNull     LinkType = 0   // BSD loopback
	LinkEthernet LinkType = 1   // Ethernet
	LinkPPP      LinkType = 9   // PPP
	LinkRaw      LinkType = 101 // IPv4 or IPv6, by the version nibble
	LinkCHDLC    LinkType = 104 // Cisco HDLC
	LinkLoop     LinkType = 108 // OpenBSD loopback
	LinkSLL      LinkType = 113 // Linux cooked v1
	LinkIPv4     LinkType = 228 // raw IPv4
	LinkIPv6     LinkType = 229 // raw IPv6
	LinkSLL2     LinkType = 276 // Linux cooked v2
)

// Decap says which tunnels the parser strips, and on which UDP ports. The zero
// Decap strips none.
type Decap struct {
	Kinds  uint16   // bit k set: strip TunnelKind k
	VXLAN  []uint16 // UDP destination ports of VXLAN; on 4790 it is VXLAN-GPE
	Geneve []uint16 // UDP destination ports of Geneve
	GTPU   []uint16 // UDP destination ports of GTP-U
}

// Strips reports whether tunnels of kind k are stripped.
func (d *Decap) Strips(k TunnelKind) bool { return d.Kinds>>k&1 != 0 }

// A Port is one entry of the agent's port table: what every frame of that port
// has in common. A frame carries the index of its entry (attribute in_port).
type Port struct {
	Name  string // unique in the agent, as shown for in_port
	Link  LinkType
	Decap Decap
	Tag   uint32 // resource tag of every header of this port
}
