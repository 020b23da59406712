package packet

import "encoding/binary"

// maxHeaders is how many headers of one frame are read: a bound on the work
// that a hostile frame can cause. Every link header, tag, label, IP header and
// extension header is one; a tunnel takes as many as the packet within.
const maxHeaders = 64

// The protocol numbers and EtherTypes that the parser acts upon.
const (
	protoHopByHop = 0
	protoICMP     = 1
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAH       = 51
	protoICMPv6   = 58
	protoNoNext   = 59
	protoDestOpts = 60
	protoSCTP     = 132
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140

	etherIPv4     = 0x0800
	etherARP      = 0x0806
	etherERSPAN3  = 0x22eb
	etherTEB      = 0x6558 // transparent Ethernet bridging
	etherVLAN     = 0x8100
	etherIPv6     = 0x86dd
	etherMPLS     = 0x8847
	etherMPLSUp   = 0x8848
	etherPPP      = 0x880b
	etherWCCP     = 0x883e
	etherPPPoE    = 0x8864
	etherQinQ     = 0x88a8
	etherERSPAN   = 0x88be
	etherPBB      = 0x88e7
	etherRARP     = 0x8035
	etherNSH      = 0x894f
	etherOldQinQ  = 0x9100
	etherMinValue = 0x0600 // smaller numbers are lengths (IEEE 802.3)
)

// v4Prefix is the upper half of Lo of an IPv4 address as ::ffff:a.b.c.d.
const v4Prefix = 0xffff << 32

// A step names the header that is read next.
type step uint8

const (
	stepDone step = iota
	stepEthernet
	stepSLL
	stepSLL2
	stepNull
	stepPPPLink // PPP with or without HDLC address and control
	stepCHDLC
	stepUnknownLink
	stepType // what walk.typ says, an EtherType
	stepLLC
	stepMPLS
	stepNSH
	stepPPP // PPP protocol field
	stepIP  // version by the nibble
	stepIPv4
	stepIPv6
)

// firstStep returns the first header of frames of a link type.
func firstStep(l LinkType) step {
	switch l {
	case LinkEthernet:
		return stepEthernet
	case LinkSLL:
		return stepSLL
	case LinkSLL2:
		return stepSLL2
	case LinkNull, LinkLoop:
		return stepNull
	case LinkPPP:
		return stepPPPLink
	case LinkCHDLC:
		return stepCHDLC
	case LinkRaw, 12, 14: // 12 and 14 are DLT_RAW where the file's writer did not map it
		return stepIP
	case LinkIPv4:
		return stepIPv4
	case LinkIPv6:
		return stepIPv6
	}
	return stepUnknownLink
}

// A header holds the attributes of one frame that come from its bytes.
type header struct {
	src, dst           Value
	outerSrc, outerDst Value
	srcMAC, dstMAC     uint64
	layers             Layers
	seq, ack           uint32
	ipID               uint32
	vni                uint32
	srcPort, dstPort   uint16
	flags, window      uint16
	frag               uint16
	typ, vlan          uint16
	proto, ttl, tos    uint8
	tunnel             TunnelKind
	reason             ReasonCode
}

// A walk reads a frame header by header. All positions are offsets from the
// start of the frame.
type walk struct {
	header
	b       []byte // the slice, cut to the frame's length on the wire
	off     int    // the header that is read next
	limit   int    // where the bytes of the enclosing packet end on the wire
	end     int    // where the packet ends by its own length; past limit only if open
	payload int    // what follows the innermost transport header
	budget  int    // headers that may still be read
	open    bool   // within a first fragment: lengths inside may pass limit
	port    *portEntry
}

// frame reads the attributes of a frame of which b was kept and that was wire
// bytes long.
func (w *walk) frame(b []byte, wire int, port *portEntry) {
	w.header = header{}
	w.b = b[:min(len(b), wire)]
	w.off, w.payload = 0, 0
	w.limit, w.end = wire, wire
	w.budget = maxHeaders
	w.open = false
	w.port = port
	for next := port.start; next != stepDone && w.spend(); {
		next = w.read(next)
	}
}

// spend takes one header off the budget, and reports whether there was one.
func (w *walk) spend() bool {
	w.budget--
	if w.budget < 0 {
		w.bad(ReasonDepth)
		return false
	}
	return true
}

// read reads one header and returns the one that follows.
func (w *walk) read(next step) step {
	switch next {
	case stepEthernet:
		return w.ethernet()
	case stepType:
		return w.etherType()
	case stepIP:
		return w.ip()
	case stepIPv4:
		return w.ipv4()
	case stepIPv6:
		return w.ipv6()
	case stepMPLS:
		return w.mpls()
	case stepNSH:
		return w.nsh()
	case stepLLC:
		return w.llc()
	case stepSLL:
		return w.cooked(16, 14)
	case stepSLL2:
		return w.cooked(20, 0)
	case stepNull:
		return w.null()
	case stepPPPLink:
		return w.pppLink()
	case stepPPP:
		return w.ppp()
	case stepCHDLC:
		return w.chdlc()
	default:
		w.bad(ReasonLinkType)
		return stepDone
	}
}

// has reports whether the next n bytes are there.
func (w *walk) has(n int) bool { return w.off+n <= len(w.b) && w.off+n <= w.limit }

// need reports whether the next n bytes are there, and notes why if not.
func (w *walk) need(n int) bool {
	if w.has(n) {
		return true
	}
	w.missing(n)
	return false
}

// missing notes why the next n bytes are not there.
func (w *walk) missing(n int) {
	if w.off+n > w.limit {
		w.bad(ReasonShort)
		return
	}
	w.layers |= LayerTruncated
	if w.reason == ReasonNone {
		w.reason = ReasonTruncated
	}
}

// bad marks the frame malformed. The first reason stays.
func (w *walk) bad(r ReasonCode) {
	w.layers |= LayerMalformed
	if w.reason == ReasonNone {
		w.reason = r
	}
}

// bound says that the packet under way ends at end, and reports whether the
// enclosing one is long enough for that.
func (w *walk) bound(end int) bool {
	w.end = end
	if end <= w.limit {
		w.limit = end
		return true
	}
	if !w.open {
		w.end = w.limit
	}
	return w.open
}

func (w *walk) u8(at int) uint8   { return w.b[w.off+at] }
func (w *walk) u16(at int) uint16 { return binary.BigEndian.Uint16(w.b[w.off+at:]) }
func (w *walk) u32(at int) uint32 { return binary.BigEndian.Uint32(w.b[w.off+at:]) }
func (w *walk) u64(at int) uint64 { return binary.BigEndian.Uint64(w.b[w.off+at:]) }

// Bits that speak of one packet, and are cleared when its tunnel is stripped.
const packetLayers = LayerARP | LayerIPv4 | LayerIPv6 | LayerTCP | LayerUDP | LayerSCTP |
	LayerICMP | LayerICMPv6 | LayerPorts | LayerFrag | LayerOptions

// strip moves the packet read so far outside: it carries a tunnel of the
// given kind, whose payload begins n bytes from here.
func (w *walk) strip(kind TunnelKind, n int) {
	h := &w.header
	h.outerSrc, h.outerDst = h.src, h.dst
	h.src, h.dst = Value{}, Value{}
	h.srcPort, h.dstPort, h.frag = 0, 0, 0
	h.ipID = 0
	h.proto, h.ttl, h.tos = 0, 0, 0
	h.tunnel, h.vni = kind, 0
	h.layers = h.layers&^(packetLayers|LayerVNI) | LayerTunnel
	w.off += n
}

// setVNI sets the number that the tunnel just stripped carries.
func (w *walk) setVNI(v uint32) {
	w.vni = v
	w.layers |= LayerVNI
}

// store writes the attributes into row i of c, which has every column.
func (w *walk) store(i int, c *Columns) {
	h := &w.header
	c.SrcIPHi[i], c.SrcIPLo[i] = h.src.Hi, h.src.Lo
	c.DstIPHi[i], c.DstIPLo[i] = h.dst.Hi, h.dst.Lo
	c.SrcPort[i], c.DstPort[i] = h.srcPort, h.dstPort
	c.Proto[i] = h.proto
	c.TCPFlags[i], c.TCPSeq[i], c.TCPAck[i], c.TCPWindow[i] = h.flags, h.seq, h.ack, h.window
	c.IPID[i] = h.ipID
	c.TTL[i], c.DSCP[i], c.ECN[i] = h.ttl, h.tos>>2, h.tos&3
	c.Frag[i] = h.frag
	c.PayloadLen[i] = 0
	if h.layers&(LayerIPv4|LayerIPv6) != 0 && w.end > w.payload {
		c.PayloadLen[i] = uint32(w.end - w.payload)
	}
	c.EthType[i] = h.typ
	c.SrcMAC[i], c.DstMAC[i] = h.srcMAC, h.dstMAC
	c.VLAN[i] = h.vlan
	c.VNI[i], c.Tunnel[i] = h.vni, uint8(h.tunnel)
	c.OuterSrcHi[i], c.OuterSrcLo[i] = h.outerSrc.Hi, h.outerSrc.Lo
	c.OuterDstHi[i], c.OuterDstLo[i] = h.outerDst.Hi, h.outerDst.Lo
	c.Layers[i], c.Reason[i] = h.layers, uint8(h.reason)
}
