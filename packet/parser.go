package packet

import "encoding/binary"

// A Parser reads attributes from frames, a batch at a time.
//
// Frames of the common shape, Ethernet with at most one VLAN tag, IPv4 without
// options or IPv6 without extension headers, TCP or UDP and no tunnel, are
// read by one pass over fixed offsets; all others are walked header by header
// (see walk). Both give the same attributes.
//
// A Parser is used by one goroutine at a time. It allocates only in NewParser.
type Parser struct {
	ports   *PortTable
	none    *portEntry // stands for a port that is not in the table
	scratch *Columns   // takes the columns that were not asked for
	out     Columns    // the columns of the batch under way, all of them set
	walk    walk
}

// NewParser returns a parser of frames whose Port indexes ports. Ports may be
// added later; a frame of an unknown port gets ReasonLinkType.
func NewParser(ports *PortTable) *Parser {
	return &Parser{
		ports:   ports,
		none:    &portEntry{start: stepUnknownLink},
		scratch: NewColumns(ChunkSize),
	}
}

// Parse parses rows lo..lo+n of f into rows 0..n-1 of c and sets c.N. Every
// column of c that is not nil must have n rows or more, n being at most
// ChunkSize; nil columns are not wanted and left out. Data and Stride of c
// are not touched.
//
// What a frame lacks is stored as zero, as the package comment says. A frame
// that breaks off or contradicts itself has the attributes that came before,
// and its Reason. No byte of f.Data outside the rows' slices is read.
func (p *Parser) Parse(f *Frames, lo, n int, c *Columns) {
	c.N = n
	if n == 0 {
		return
	}
	p.prepare(c, n)
	out := &p.out
	copy(out.Ts, f.Ts[lo:lo+n])
	copy(out.PktLen, f.WireLen[lo:lo+n])
	copy(out.CapLen, f.CapLen[lo:lo+n])
	copy(out.InPort, f.Port[lo:lo+n])
	copy(out.Direction, f.Dir[lo:lo+n])
	p.rows(f, lo, n)
	if c.FlowHash != nil {
		flowHashes(out, n)
	}
}

// rows fills the columns that come from frame bytes.
func (p *Parser) rows(f *Frames, lo, n int) {
	// Locals of one known length let the compiler drop the bounds checks of
	// the stores.
	var (
		out     = &p.out
		srcHi   = out.SrcIPHi[:n]
		srcLo   = out.SrcIPLo[:n]
		dstHi   = out.DstIPHi[:n]
		dstLo   = out.DstIPLo[:n]
		srcPort = out.SrcPort[:n]
		dstPort = out.DstPort[:n]
		proto   = out.Proto[:n]
		flags   = out.TCPFlags[:n]
		seq     = out.TCPSeq[:n]
		ack     = out.TCPAck[:n]
		window  = out.TCPWindow[:n]
		ipID    = out.IPID[:n]
		ttl     = out.TTL[:n]
		dscp    = out.DSCP[:n]
		ecn     = out.ECN[:n]
		payload = out.PayloadLen[:n]
		ethType = out.EthType[:n]
		srcMAC  = out.SrcMAC[:n]
		dstMAC  = out.DstMAC[:n]
		vlan    = out.VLAN[:n]
		tag     = out.Tag[:n]
		layers  = out.Layers[:n]

		capLen  = f.CapLen[lo:][:n]
		wireLen = f.WireLen[lo:][:n]
		inPort  = f.Port[lo:][:n]

		ports = p.ports.all()
		cur   = inPort[0]
		port  = p.port(ports, cur)
	)
	for i := range n {
		if inPort[i] != cur {
			cur = inPort[i]
			port = p.port(ports, cur)
		}
		tag[i] = port.Tag
		b := f.Data[(lo+i)*f.Stride:][:capLen[i]]
		wire := int(wireLen[i])
		if port.start != stepEthernet || len(b) < 14+20+8 || len(b) > wire {
			p.slow(i, b, wire, port)
			continue
		}
		dst := binary.BigEndian.Uint64(b)
		src := binary.BigEndian.Uint64(b[6:]) // with the EtherType below it
		typ := uint16(src)
		have := LayerEth | LayerEthType
		id := uint16(0)
		off := 14
		if typ == etherVLAN {
			tci := binary.BigEndian.Uint32(b[14:])
			typ = uint16(tci)
			id = uint16(tci>>16) & 0xfff
			have |= LayerVLAN
			off = 18
		}
		ip := b[off:]
		var (
			tp        []byte // transport header and what follows
			next      uint8
			total     int // bytes of the IP payload
			word, at8 uint64
		)
		switch {
		case typ == etherIPv4 && len(ip) >= 28:
			word = binary.BigEndian.Uint64(ip) // version, IHL, TOS, length, id, fragment
			at8 = binary.BigEndian.Uint64(ip[8:])
			total = int(uint16(word>>32)) - 20
			next = uint8(at8 >> 48)
			if word>>56 != 0x45 || word&0x3fff != 0 || off+20+total > wire {
				p.slow(i, b, wire, port)
				continue
			}
			tp = ip[20:]
			have |= LayerIPv4
		case typ == etherIPv6 && len(ip) >= 48:
			word = binary.BigEndian.Uint64(ip) // version, class, flow, length, next, hops
			total = int(uint16(word >> 16))
			next = uint8(word >> 8)
			if word>>60 != 6 || off+40+total > wire {
				p.slow(i, b, wire, port)
				continue
			}
			tp = ip[40:]
			have |= LayerIPv6
		default:
			p.slow(i, b, wire, port)
			continue
		}
		ends := binary.BigEndian.Uint64(tp)
		if next == protoTCP && len(tp) >= 16 {
			rest := binary.BigEndian.Uint64(tp[8:])
			hdr := int(rest>>28&15) * 4
			if hdr < 20 || hdr > total {
				p.slow(i, b, wire, port)
				continue
			}
			total -= hdr
			have |= LayerTCP | LayerPorts
			seq[i] = uint32(ends)
			ack[i] = uint32(rest >> 32)
			flags[i] = uint16(rest>>16) & 0x1ff
			window[i] = uint16(rest)
		} else if next == protoUDP {
			length := int(uint16(ends >> 16))
			if length < 8 || length > total || port.mayTunnel(uint16(ends>>32)) {
				p.slow(i, b, wire, port)
				continue
			}
			total -= 8
			have |= LayerUDP | LayerPorts
		} else {
			p.slow(i, b, wire, port)
			continue
		}
		if have&LayerIPv4 != 0 {
			srcLo[i] = v4Prefix | at8&0xffffffff
			dstLo[i] = v4Prefix | uint64(binary.BigEndian.Uint32(ip[16:]))
			ipID[i] = uint32(word >> 16 & 0xffff)
			ttl[i] = uint8(at8 >> 56)
			dscp[i] = uint8(word>>48) >> 2
			ecn[i] = uint8(word>>48) & 3
		} else {
			addr := ip[8:40]
			srcHi[i] = binary.BigEndian.Uint64(addr)
			srcLo[i] = binary.BigEndian.Uint64(addr[8:])
			dstHi[i] = binary.BigEndian.Uint64(addr[16:])
			dstLo[i] = binary.BigEndian.Uint64(addr[24:])
			ipID[i] = 0
			ttl[i] = uint8(word)
			dscp[i] = uint8(word>>52) >> 2
			ecn[i] = uint8(word>>52) & 3
		}
		srcPort[i] = uint16(ends >> 48)
		dstPort[i] = uint16(ends >> 32)
		proto[i] = next
		payload[i] = uint32(total)
		ethType[i] = typ
		srcMAC[i] = src >> 16
		dstMAC[i] = dst >> 16
		vlan[i] = id
		layers[i] = have
	}
}

func (p *Parser) port(ports []*portEntry, i uint16) *portEntry {
	if int(i) < len(ports) {
		return ports[i]
	}
	return p.none
}

// slow parses one frame header by header into row i.
func (p *Parser) slow(i int, b []byte, wire int, port *portEntry) {
	p.walk.frame(b, wire, port)
	p.walk.store(i, &p.out)
}

// prepare sets p.out: the columns of c, with scratch for those that were not
// asked for, all n rows long. Columns that the fast path does not write for
// every frame are cleared here: clearing a column in one go costs less than a
// store a row.
func (p *Parser) prepare(c *Columns, n int) {
	o, s := &p.out, p.scratch
	o.N = n
	// Copied or written for every row.
	o.Ts = rowsOf(c.Ts, s.Ts, n)
	o.PktLen = rowsOf(c.PktLen, s.PktLen, n)
	o.CapLen = rowsOf(c.CapLen, s.CapLen, n)
	o.InPort = rowsOf(c.InPort, s.InPort, n)
	o.Direction = rowsOf(c.Direction, s.Direction, n)
	o.Tag = rowsOf(c.Tag, s.Tag, n)
	o.SrcIPLo = rowsOf(c.SrcIPLo, s.SrcIPLo, n)
	o.DstIPLo = rowsOf(c.DstIPLo, s.DstIPLo, n)
	o.SrcPort = rowsOf(c.SrcPort, s.SrcPort, n)
	o.DstPort = rowsOf(c.DstPort, s.DstPort, n)
	o.Proto = rowsOf(c.Proto, s.Proto, n)
	o.IPID = rowsOf(c.IPID, s.IPID, n)
	o.TTL = rowsOf(c.TTL, s.TTL, n)
	o.DSCP = rowsOf(c.DSCP, s.DSCP, n)
	o.ECN = rowsOf(c.ECN, s.ECN, n)
	o.PayloadLen = rowsOf(c.PayloadLen, s.PayloadLen, n)
	o.EthType = rowsOf(c.EthType, s.EthType, n)
	o.SrcMAC = rowsOf(c.SrcMAC, s.SrcMAC, n)
	o.DstMAC = rowsOf(c.DstMAC, s.DstMAC, n)
	o.VLAN = rowsOf(c.VLAN, s.VLAN, n)
	o.Layers = rowsOf(c.Layers, s.Layers, n)
	o.FlowHash = rowsOf(c.FlowHash, s.FlowHash, n)
	// Written where there is something to write.
	o.SrcIPHi = zeroRowsOf(c.SrcIPHi, s.SrcIPHi, n)
	o.DstIPHi = zeroRowsOf(c.DstIPHi, s.DstIPHi, n)
	o.TCPFlags = zeroRowsOf(c.TCPFlags, s.TCPFlags, n)
	o.TCPSeq = zeroRowsOf(c.TCPSeq, s.TCPSeq, n)
	o.TCPAck = zeroRowsOf(c.TCPAck, s.TCPAck, n)
	o.TCPWindow = zeroRowsOf(c.TCPWindow, s.TCPWindow, n)
	o.Frag = zeroRowsOf(c.Frag, s.Frag, n)
	o.VNI = zeroRowsOf(c.VNI, s.VNI, n)
	o.Tunnel = zeroRowsOf(c.Tunnel, s.Tunnel, n)
	o.OuterSrcHi = zeroRowsOf(c.OuterSrcHi, s.OuterSrcHi, n)
	o.OuterSrcLo = zeroRowsOf(c.OuterSrcLo, s.OuterSrcLo, n)
	o.OuterDstHi = zeroRowsOf(c.OuterDstHi, s.OuterDstHi, n)
	o.OuterDstLo = zeroRowsOf(c.OuterDstLo, s.OuterDstLo, n)
	o.Reason = zeroRowsOf(c.Reason, s.Reason, n)
}

func rowsOf[T any](wanted, scratch []T, n int) []T {
	if wanted == nil {
		wanted = scratch
	}
	return wanted[:n:n]
}

func zeroRowsOf[T any](wanted, scratch []T, n int) []T {
	rows := rowsOf(wanted, scratch, n)
	clear(rows)
	return rows
}
