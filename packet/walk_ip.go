package packet

import "encoding/binary"

// ip reads an IP header of the version that its first nibble says.
func (w *walk) ip() step {
	if !w.need(1) {
		return stepDone
	}
	switch w.u8(0) >> 4 {
	case 4:
		return stepIPv4
	case 6:
		return stepIPv6
	}
	w.bad(ReasonIPVersion)
	return stepDone
}

// ipv4 reads an IPv4 header (RFC 791). One whose lengths make no sense is not
// believed in the rest either.
func (w *walk) ipv4() step {
	if !w.need(20) {
		return stepDone
	}
	h := w.b[w.off:][:20]
	if h[0]>>4 != 4 {
		w.bad(ReasonIPVersion)
		return stepDone
	}
	hdr := int(h[0]&15) * 4
	if hdr < 20 {
		w.bad(ReasonIPHeaderLen)
		return stepDone
	}
	total := int(binary.BigEndian.Uint16(h[2:]))
	if total == 0 {
		// Segmentation offload: the card would have filled it in.
		total = w.limit - w.off
	}
	if total < hdr {
		w.bad(ReasonIPTotalLen)
		return stepDone
	}
	w.layers |= LayerIPv4
	w.tos, w.ttl, w.proto = h[1], h[8], h[9]
	w.ipID = uint32(binary.BigEndian.Uint16(h[4:]))
	w.src = Value{0, v4Prefix | uint64(binary.BigEndian.Uint32(h[12:]))}
	w.dst = Value{0, v4Prefix | uint64(binary.BigEndian.Uint32(h[16:]))}
	w.frag = binary.BigEndian.Uint16(h[6:]) & (FragMore | FragOffset)
	if !w.bound(w.off + total) {
		w.bad(ReasonIPTotalLen)
	}
	w.payload = w.off + hdr
	if hdr > 20 {
		w.layers |= LayerOptions
		if !w.need(hdr) {
			return stepDone
		}
	}
	w.off += hdr
	if w.frag != 0 {
		w.layers |= LayerFrag
		if w.frag&FragOffset != 0 {
			return stepDone
		}
		w.open = true
	}
	return w.upper()
}

// ipv6 reads an IPv6 header (RFC 8200).
func (w *walk) ipv6() step {
	if !w.need(40) {
		return stepDone
	}
	h := w.b[w.off:][:40]
	first := binary.BigEndian.Uint32(h)
	if first>>28 != 6 {
		w.bad(ReasonIPVersion)
		return stepDone
	}
	w.layers |= LayerIPv6
	w.tos, w.proto, w.ttl = uint8(first>>20), h[6], h[7]
	w.src = Value{binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[16:])}
	w.dst = Value{binary.BigEndian.Uint64(h[24:]), binary.BigEndian.Uint64(h[32:])}
	// A length of zero with something behind it is a jumbogram (RFC 2675), of
	// which the hop-by-hop header tells the length, or segmentation offload.
	length := int(binary.BigEndian.Uint16(h[4:]))
	jumbo := length == 0 && w.proto != protoNoNext
	if !jumbo && !w.bound(w.off+40+length) {
		w.bad(ReasonIPTotalLen)
	}
	w.off += 40
	w.payload = w.off
	if jumbo {
		w.end = w.limit
		if w.proto == protoHopByHop {
			w.jumbogram()
		}
	}
	return w.extensions()
}

// jumbogram takes the packet's length from the jumbo payload option of the
// hop-by-hop header ahead, if that is whole and has one.
func (w *walk) jumbogram() {
	if !w.has(8) {
		return
	}
	end := 8 + int(w.u8(1))*8
	if !w.has(end) {
		return
	}
	for at := 2; at+2 <= end; {
		kind, length := w.u8(at), int(w.u8(at+1))
		if kind == 0 { // a single byte of padding
			at++
			continue
		}
		if kind == 0xc2 && length == 4 && at+6 <= end {
			if !w.bound(w.off + int(w.u32(at+2))) {
				w.bad(ReasonIPTotalLen)
			}
			return
		}
		at += 2 + length
	}
}

// extensions reads the IPv6 extension headers (RFC 8200, RFC 7045), beginning
// with the one that w.proto names, and then the upper layer.
func (w *walk) extensions() step {
	for {
		length := 0
		switch w.proto {
		default:
			return w.upper()
		case protoFragment:
			if !w.fragment() {
				return stepDone
			}
			length = 8
		case protoAH:
			return w.authentication()
		case protoMobility, protoHIP, protoShim6:
			// Extension headers in form; in practice the last ones, and then
			// they are what the packet is about.
			if !w.need(1) || w.u8(0) == protoNoNext {
				return stepDone
			}
			fallthrough
		case protoHopByHop, protoRouting, protoDestOpts:
			if !w.need(8) {
				return stepDone
			}
			length = 8 + int(w.u8(1))*8
			if !w.need(length) {
				return stepDone
			}
		}
		w.layers |= LayerOptions
		w.proto = w.u8(0)
		w.off += length
		w.payload = w.off
		if w.frag&FragOffset != 0 || !w.spend() {
			return stepDone
		}
	}
}

// fragment reads what is of interest in an IPv6 fragment header, and reports
// whether it is there.
func (w *walk) fragment() bool {
	if !w.need(8) {
		return false
	}
	w.layers |= LayerFrag
	field := w.u16(2)
	w.frag = field >> 3
	if field&1 != 0 {
		w.frag |= FragMore
		w.open = true
	}
	if w.frag == 0 {
		w.frag = FragAtomic
	}
	w.ipID = w.u32(4)
	return true
}

// authentication reads an AH header (RFC 4302), in IPv4 as in IPv6: what it
// protects is in clear text, and the upper layer.
func (w *walk) authentication() step {
	if !w.need(12) {
		return stepDone
	}
	length := (int(w.u8(1)) + 2) * 4
	if !w.need(length) {
		return stepDone
	}
	if w.layers&LayerIPv6 != 0 {
		w.layers |= LayerOptions
	}
	w.proto = w.u8(0)
	w.off += length
	w.payload = w.off
	if !w.spend() {
		return stepDone
	}
	if w.layers&LayerIPv6 != 0 {
		return w.extensions()
	}
	return w.upper()
}

// upper reads the header of the protocol w.proto, or strips the tunnel that
// it is.
func (w *walk) upper() step {
	switch w.proto {
	case protoTCP:
		w.tcp()
	case protoUDP:
		return w.udp()
	case protoSCTP:
		if !w.ports() {
			break
		}
		if w.need(12) {
			w.layers |= LayerSCTP
			w.payload = w.off + 12
		}
	case protoICMP:
		w.icmp(LayerICMP)
	case protoICMPv6:
		w.icmp(LayerICMPv6)
	case protoAH:
		if w.layers&LayerIPv4 != 0 {
			return w.authentication()
		}
	case protoIPv4, protoIPv6:
		return w.ipInIP()
	case protoGRE:
		return w.gre()
	}
	return stepDone
}

// ports reads the two port numbers that TCP, UDP and SCTP begin with.
func (w *walk) ports() bool {
	if !w.need(4) {
		return false
	}
	w.srcPort, w.dstPort = w.u16(0), w.u16(2)
	w.layers |= LayerPorts
	return true
}

// tcp reads a TCP header (RFC 9293) up to the window; nothing is taken from
// the options, so that a slice that ends among them is not truncated.
func (w *walk) tcp() {
	if !w.ports() {
		return
	}
	if !w.need(16) {
		return
	}
	h := w.b[w.off:][:16]
	w.layers |= LayerTCP
	w.seq, w.ack = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	w.flags, w.window = binary.BigEndian.Uint16(h[12:])&0x1ff, binary.BigEndian.Uint16(h[14:])
	hdr := int(h[12]>>4) * 4
	w.payload = w.off + hdr
	switch {
	case w.off+20 > w.limit:
		w.bad(ReasonShort)
	case hdr < 20:
		w.bad(ReasonTCPOffset)
		w.payload = w.off + 20
	case w.off+hdr > w.limit && !w.open:
		w.bad(ReasonTCPOffset)
	}
}

// udp reads a UDP header (RFC 768).
func (w *walk) udp() step {
	if !w.ports() || !w.need(8) {
		return stepDone
	}
	w.layers |= LayerUDP
	w.payload = w.off + 8
	length, room := int(w.u16(4)), w.end-w.off
	switch {
	case length == 0 && room > 0xffff:
		// A jumbogram (RFC 2675) or a tunnel's outer header before
		// segmentation by the card.
		length = room
	case length < 8:
		w.bad(ReasonUDPLen)
		return stepDone
	case length > room:
		if !w.open {
			w.bad(ReasonUDPLen)
		}
		length = room
	}
	if w.port.mayTunnel(w.dstPort) {
		return w.udpTunnel(length)
	}
	return stepDone
}

// icmp reads an ICMP or ICMPv6 header (RFC 792, RFC 4443), of which only type
// and code are the same in all messages. The packet quoted in an error is not
// read: it was not sent here.
func (w *walk) icmp(layer Layers) {
	if !w.need(2) {
		return
	}
	w.layers |= layer
	w.payload = w.off + 8
	if w.off+4 > w.limit {
		w.bad(ReasonShort)
	}
}
