package packet

import "slices"

// ipInIP strips IP in IP (RFC 2003, RFC 2473) and 6in4 (RFC 4213).
func (w *walk) ipInIP() step {
	kind, next := TunnelIPIP, stepIPv4
	if w.proto == protoIPv6 {
		next = stepIPv6
		if w.layers&LayerIPv4 != 0 {
			kind = Tunnel6in4
		}
	}
	if !w.port.Decap.Strips(kind) {
		return stepDone
	}
	w.strip(kind, 0)
	return next
}

// udpTunnel strips the tunnel that a datagram carries whose port is one of
// the port's tunnels, if the datagram is one indeed: others use those ports
// too. The datagram is length bytes long with its header.
func (w *walk) udpTunnel(length int) step {
	d := &w.port.Decap
	switch {
	case d.Strips(TunnelVXLAN) && slices.Contains(d.VXLAN, w.dstPort):
		return w.vxlan(length)
	case d.Strips(TunnelGeneve) && slices.Contains(d.Geneve, w.dstPort):
		return w.geneve(length)
	case d.Strips(TunnelGTPU) && slices.Contains(d.GTPU, w.dstPort):
		return w.gtpu(length)
	}
	return stepDone
}

// portVXLANGPE is the port of VXLAN's generic protocol extension.
const portVXLANGPE = 4790

// vxlan strips VXLAN (RFC 7348), whose reserved bits are ignored as it says,
// and on port 4790 its generic protocol extension (draft-ietf-nvo3-vxlan-gpe).
func (w *walk) vxlan(length int) step {
	if length < 8+8 || !w.need(8+8) {
		return stepDone
	}
	flags := w.u8(8)
	if flags&0x08 == 0 { // no VNI: not VXLAN
		return stepDone
	}
	next := stepEthernet
	if w.dstPort == portVXLANGPE && flags&0x04 != 0 {
		if next = nextProtocol(w.u8(8 + 3)); next == stepDone {
			return stepDone
		}
	}
	vni := w.u32(8+4) >> 8
	w.inside(length)
	w.strip(TunnelVXLAN, 8+8)
	w.setVNI(vni)
	return next
}

// inside bounds what is in a datagram by the datagram's length.
func (w *walk) inside(length int) { w.bound(w.off + length) }

// geneve strips Geneve (RFC 8926).
func (w *walk) geneve(length int) step {
	if length < 8+8 || !w.need(8+8) {
		return stepDone
	}
	first := w.u8(8)
	hdr := 8 + int(first&0x3f)*4
	next := afterEtherType(w.u16(8 + 2))
	if first>>6 != 0 || next == stepDone {
		return stepDone
	}
	if 8+hdr > length {
		w.bad(ReasonTunnel)
		return stepDone
	}
	if !w.need(8 + hdr) {
		return stepDone
	}
	vni := w.u32(8+4) >> 8
	w.inside(length)
	w.strip(TunnelGeneve, 8+hdr)
	w.setVNI(vni)
	return w.enter(next)
}

// afterEtherType returns the header that a tunnel's protocol type, an
// EtherType, announces, or stepDone if it is none that the parser reads.
func afterEtherType(typ uint16) step {
	switch typ {
	case etherTEB:
		return stepEthernet
	case etherIPv4:
		return stepIPv4
	case etherIPv6:
		return stepIPv6
	case etherMPLS, etherMPLSUp:
		return stepMPLS
	case etherNSH:
		return stepNSH
	case etherARP:
		return stepType
	}
	return stepDone
}

// enter goes on with the first header in a tunnel, as afterEtherType has it.
func (w *walk) enter(next step) step {
	if next == stepType {
		if w.need(8) {
			w.layers |= LayerARP
		}
		return stepDone
	}
	return next
}

// gtpu strips the user plane of GTP version 1 (3GPP TS 29.281, section 5),
// where it carries a packet (G-PDU) and the packet is IP.
func (w *walk) gtpu(length int) step {
	if length < 8+8 || !w.need(8+8) {
		return stepDone
	}
	flags := w.u8(8)
	if flags>>4 != 3 || w.u8(8+1) != 0xff { // version 1, GTP not GTP'; G-PDU
		return stepDone
	}
	teid := w.u32(8 + 4)
	at := 8 + 8
	if flags&7 != 0 {
		// One of sequence number, N-PDU number and extension headers: the
		// fields of all three are there.
		at += 4
		if at > length {
			w.bad(ReasonTunnel)
			return stepDone
		}
		if !w.need(at) {
			return stepDone
		}
		next := w.u8(at - 1)
		if flags&4 == 0 {
			next = 0
		}
		for next != 0 {
			if at >= length {
				w.bad(ReasonTunnel)
				return stepDone
			}
			if !w.need(at + 1) {
				return stepDone
			}
			size := int(w.u8(at)) * 4
			if size == 0 || at+size > length {
				w.bad(ReasonTunnel)
				return stepDone
			}
			if !w.need(at + size) {
				return stepDone
			}
			next = w.u8(at + size - 1)
			at += size
		}
	}
	if at >= length || !w.need(at+1) {
		return stepDone
	}
	var next step
	switch w.u8(at) >> 4 {
	case 4:
		next = stepIPv4
	case 6:
		next = stepIPv6
	default:
		return stepDone
	}
	w.inside(length)
	w.strip(TunnelGTPU, at)
	w.setVNI(teid)
	return next
}

// Bits of the first two bytes of GRE.
const (
	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greAck      = 0x0080
	greVersion  = 0x0007
)

// gre strips GRE (RFC 1701, RFC 2784, RFC 2890), its version 1 (PPTP, RFC
// 2637) and the ERSPAN that comes in it. GRE around something that the parser
// does not read, or around nothing (a keepalive), is not stripped.
func (w *walk) gre() step {
	const kinds = 1<<TunnelGRE | 1<<TunnelERSPAN1 | 1<<TunnelERSPAN2 | 1<<TunnelERSPAN3
	if w.port.Decap.Kinds&kinds == 0 || !w.need(4) {
		return stepDone
	}
	flags, typ := w.u16(0), w.u16(2)
	version := flags & greVersion
	if version > 1 {
		w.bad(ReasonTunnel)
		return stepDone
	}
	hdr := 4
	if flags&(greChecksum|greRouting) != 0 {
		hdr += 4
	}
	keyAt := hdr
	if flags&greKey != 0 {
		hdr += 4
	}
	if flags&greSequence != 0 {
		hdr += 4
	}
	if version == 1 && flags&greAck != 0 {
		hdr += 4
	}
	if !w.need(hdr) {
		return stepDone
	}
	if flags&greRouting != 0 {
		if hdr = w.greRoutes(hdr); hdr == 0 {
			return stepDone
		}
	}
	if w.off+hdr >= w.limit {
		return stepDone
	}
	var key uint32
	if flags&greKey != 0 {
		key = w.u32(keyAt)
		if version == 1 && typ == etherPPP {
			key &= 0xffff // the call ID, below the payload length
		}
	}
	if typ == etherERSPAN || typ == etherERSPAN3 {
		return w.erspan(typ, flags, hdr, key)
	}
	next := afterEtherType(typ)
	switch typ {
	case etherPPP:
		next = stepPPP
	case etherWCCP:
		// WCCP version 2 puts four bytes before the packet, version 1 none.
		if !w.need(hdr + 1) {
			return stepDone
		}
		next = stepIPv4
		if w.u8(hdr)>>4 != 4 {
			hdr += 4
		}
	}
	if next == stepPPP {
		// Only where there is IP inside: PPP's own protocols describe nothing.
		if !w.need(hdr + 2) {
			return stepDone
		}
		if w.u16(hdr) == 0xff03 {
			hdr += 2
		}
		inner, n := w.pppNext(hdr)
		next, hdr = inner, hdr+n
	}
	if next == stepDone || !w.port.Decap.Strips(TunnelGRE) {
		return stepDone
	}
	w.strip(TunnelGRE, hdr)
	if flags&greKey != 0 {
		w.setVNI(key)
	}
	return w.enter(next)
}

// greRoutes returns where the list of source route entries (RFC 1701) that
// begins at the given place ends, or 0 if it does not.
func (w *walk) greRoutes(at int) int {
	for {
		if !w.need(at + 4) {
			return 0
		}
		family, length := w.u16(at), int(w.u8(at+3))
		at += 4
		if family == 0 && length == 0 {
			return at
		}
		if !w.spend() {
			return 0
		}
		at += length
	}
}

// erspan strips ERSPAN (draft-foschiano-erspan): type I has no header of its
// own and no GRE sequence number, type II one of eight bytes, type III one of
// twelve and perhaps eight more for the platform. Its header begins at the
// given place.
func (w *walk) erspan(typ, flags uint16, at int, key uint32) step {
	d := &w.port.Decap
	next := stepEthernet
	if typ == etherERSPAN && flags&greSequence == 0 {
		if !d.Strips(TunnelERSPAN1) {
			return stepDone
		}
		w.strip(TunnelERSPAN1, at)
		if flags&greKey != 0 {
			w.setVNI(key)
		}
		return next
	}
	kind, version, size := TunnelERSPAN2, uint8(1), 8
	if typ == etherERSPAN3 {
		kind, version, size = TunnelERSPAN3, 2, 12
	}
	if !d.Strips(kind) || !w.need(at+size) {
		return stepDone
	}
	if w.u8(at)>>4 != version {
		w.bad(ReasonTunnel)
		return stepDone
	}
	session := uint32(w.u16(at+2) & 0x3ff)
	if kind == TunnelERSPAN3 {
		last := w.u16(at + 10)
		switch last >> 10 & 0x1f { // frame type
		case 0:
		case 2:
			next = stepIP
		default:
			return stepDone
		}
		if last&1 != 0 { // platform-specific sub-header
			size += 8
			if !w.need(at + size) {
				return stepDone
			}
		}
	}
	w.strip(kind, at+size)
	w.setVNI(session)
	return next
}
