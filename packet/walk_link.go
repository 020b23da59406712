package packet

import (
	"encoding/binary"
	"math/bits"
)

// ethernet reads an Ethernet II or IEEE 802.3 header.
func (w *walk) ethernet() step {
	// What this header lacks must not be read from one further out.
	w.typ = 0
	w.layers &^= LayerEthType
	if !w.need(14) {
		return stepDone
	}
	h := w.b[w.off:][:14]
	src := binary.BigEndian.Uint64(h[6:]) // with the EtherType below it
	w.dstMAC = binary.BigEndian.Uint64(h) >> 16
	w.srcMAC = src >> 16
	w.layers |= LayerEth
	w.off += 14
	return w.typeOrLength(uint16(src))
}

// typeOrLength goes on after the field of Ethernet and of VLAN tags that is
// an EtherType, or else a length with an LLC header behind it (IEEE 802.3).
// 1501 to 1535 is neither; it is kept as an EtherType nobody knows.
func (w *walk) typeOrLength(typ uint16) step {
	if typ > 1500 {
		w.typ = typ
		w.layers |= LayerEthType
		return w.etherType()
	}
	w.typ = 0
	w.layers &^= LayerEthType
	if end := w.off + int(typ); end < w.limit {
		w.bound(end)
	}
	return stepLLC
}

// etherType goes on with the header that w.typ names.
func (w *walk) etherType() step {
	switch w.typ {
	case etherIPv4:
		return stepIPv4
	case etherIPv6:
		return stepIPv6
	case etherVLAN, etherQinQ, etherOldQinQ:
		return w.vlanTag()
	case etherARP, etherRARP: // one format (RFC 903)
		if w.need(8) {
			w.layers |= LayerARP
		}
	case etherMPLS, etherMPLSUp:
		return stepMPLS
	case etherPPPoE:
		return w.pppoe()
	case etherPBB:
		// IEEE 802.1ah: an I-TAG, of which four bytes come before the
		// customer's Ethernet header.
		if w.need(4) {
			w.off += 4
			return stepEthernet
		}
	case etherNSH:
		return w.nsh()
	}
	return stepDone
}

// vlanTag reads a tag of IEEE 802.1Q or 802.1ad, and the tags that follow it.
func (w *walk) vlanTag() step {
	for tags := 1; ; tags++ {
		if !w.need(4) {
			return stepDone
		}
		w.vlan = w.u16(0) & 0xfff
		w.layers |= LayerVLAN
		if tags > 1 {
			w.layers |= LayerQinQ
		}
		typ := w.u16(2)
		w.off += 4
		if typ != etherVLAN && typ != etherQinQ && typ != etherOldQinQ {
			return w.typeOrLength(typ)
		}
		w.typ = typ
		if !w.spend() {
			return stepDone
		}
	}
}

// llc reads an IEEE 802.2 header and the SNAP header behind it.
func (w *walk) llc() step {
	if !w.need(3) {
		return stepDone
	}
	switch w.u16(0) {
	case 0xaaaa: // SNAP: control 3, OUI, protocol
		if !w.need(8) {
			return stepDone
		}
		// OUI 0 is for EtherTypes (RFC 1042), 0000f8 the same behind bridges
		// (IEEE 802.1H).
		if oui := w.u32(2) & 0xffffff; w.u8(2) == 3 && (oui == 0 || oui == 0xf8) {
			w.typ = w.u16(6)
			w.layers |= LayerEthType
			w.off += 8
			return stepType
		}
	case 0x0606: // IPv4 (RFC 948)
		if w.u8(2) == 3 {
			w.off += 3
			return stepIPv4
		}
	}
	return stepDone
}

// cooked reads a Linux cooked header of n bytes whose protocol field is at
// the given place.
func (w *walk) cooked(n, protocol int) step {
	if !w.need(n) {
		return stepDone
	}
	typ := w.u16(protocol)
	w.off += n
	if typ == 4 { // LINUX_SLL_P_802_2
		return stepLLC
	}
	if typ < etherMinValue {
		return stepDone
	}
	w.typ = typ
	w.layers |= LayerEthType
	return stepType
}

// null reads the address family of a BSD loopback frame, in the byte order of
// the machine that captured (LINKTYPE_NULL) or big endian (LINKTYPE_LOOP).
func (w *walk) null() step {
	if !w.need(4) {
		return stepDone
	}
	family := w.u32(0)
	if family > 0xffff {
		family = bits.ReverseBytes32(family)
	}
	w.off += 4
	switch family {
	case 2: // AF_INET everywhere
		return stepIPv4
	case 10, 24, 28, 30: // AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, Darwin
		return stepIPv6
	}
	return stepDone
}

// pppLink reads the HDLC-like framing of RFC 1662, where there is one, or the
// Cisco HDLC header that some captures have in its place.
func (w *walk) pppLink() step {
	if !w.need(2) {
		return stepDone
	}
	switch w.u16(0) {
	case 0xff03:
		w.off += 2
	case 0x0f00, 0x8f00:
		return stepCHDLC
	}
	return stepPPP
}

// ppp reads a PPP protocol field.
func (w *walk) ppp() step {
	next, n := w.pppNext(0)
	w.off += n
	return next
}

// pppNext returns what the PPP protocol field (RFC 1661) at the given place
// says comes next, and the bytes that the field takes, one or two.
func (w *walk) pppNext(at int) (step, int) {
	if !w.need(at + 1) {
		return stepDone, 0
	}
	protocol, n := uint16(w.u8(at)), 1
	if protocol&1 == 0 {
		if !w.need(at + 2) {
			return stepDone, 0
		}
		protocol, n = w.u16(at), 2
	}
	switch protocol {
	case 0x0021:
		return stepIPv4, n
	case 0x0057:
		return stepIPv6, n
	case 0x0281, 0x0283:
		return stepMPLS, n
	}
	return stepDone, n
}

// pppoe reads the header of a PPPoE session frame (RFC 2516).
func (w *walk) pppoe() step {
	if !w.need(6) || w.u8(0) != 0x11 || w.u8(1) != 0 {
		return stepDone
	}
	end := w.off + 6 + int(w.u16(4))
	w.off += 6
	if end < w.limit {
		w.bound(end)
	}
	return stepPPP
}

// chdlc reads a Cisco HDLC header: address, control, EtherType.
func (w *walk) chdlc() step {
	if !w.need(4) {
		return stepDone
	}
	w.typ = w.u16(2)
	w.layers |= LayerEthType
	w.off += 4
	if w.typ == etherRARP { // Cisco's SLARP, which has RARP's number here
		return stepDone
	}
	return stepType
}

// nsh reads a network service header (RFC 8300) and takes no notice of its
// metadata.
func (w *walk) nsh() step {
	if !w.need(4) {
		return stepDone
	}
	next := nextProtocol(w.u8(3))
	if size := int(w.u8(1)&0x3f) * 4; size >= 4 && w.need(size) {
		w.off += size
		return next
	}
	return stepDone
}

// nextProtocol returns the header that a next-protocol field of NSH (RFC 8300)
// or VXLAN-GPE announces, or stepDone if it is none that the parser reads.
func nextProtocol(n uint8) step {
	switch n {
	case 1:
		return stepIPv4
	case 2:
		return stepIPv6
	case 3:
		return stepEthernet
	case 4:
		return stepNSH
	case 5:
		return stepMPLS
	}
	return stepDone
}

// mpls reads a label stack (RFC 3032) and guesses what is below it, since no
// header says so: IP if the first nibble is its version and the length fits
// (RFC 4928), or an Ethernet pseudowire with or without control word
// (RFC 4448), told by where an EtherType makes sense.
func (w *walk) mpls() step {
	for {
		if !w.need(4) {
			return stepDone
		}
		entry := w.u32(0)
		w.layers |= LayerMPLS
		w.off += 4
		if entry>>8&1 != 0 {
			if entry>>12 == 13 { // generic associated channel (RFC 5586)
				return stepDone
			}
			break
		}
		if !w.spend() {
			return stepDone
		}
	}
	if !w.need(1) {
		return stepDone
	}
	left := w.limit - w.off
	switch w.u8(0) >> 4 {
	case 4:
		if left >= 20 && !w.need(4) {
			return stepDone
		}
		if left >= 20 && w.u8(0)&15 >= 5 && int(w.u16(2)) <= left {
			return stepIPv4
		}
	case 6:
		if left >= 40 && !w.need(6) {
			return stepDone
		}
		if left >= 40 && int(w.u16(4))+40 <= left {
			return stepIPv6
		}
	case 0:
	default:
		return stepDone
	}
	const both = 4 + 14 // control word and Ethernet header
	if left < 14 || !w.need(min(both, left)) {
		return stepDone
	}
	if w.u8(0)>>4 == 0 && w.plausibleType(4+12) {
		w.off += 4
		return stepEthernet
	}
	if w.plausibleType(12) {
		return stepEthernet
	}
	return stepDone
}

// plausibleType reports whether there is an EtherType that the parser knows
// at the given place.
func (w *walk) plausibleType(at int) bool {
	if !w.has(at + 2) {
		return false
	}
	switch w.u16(at) {
	case etherIPv4, etherIPv6, etherARP, etherVLAN, etherQinQ, etherOldQinQ, etherMPLS, etherMPLSUp, etherPPPoE:
		return true
	}
	return false
}
