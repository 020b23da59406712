package diagnoser

import "github.com/confluo/confluo/packet"

// newColumns makes columns of the attributes in need for n rows, with slices of
// stride bytes if stride is not zero.
func newColumns(need packet.AttrSet, n, stride int) *packet.Columns {
	c := &packet.Columns{N: n}
	for _, a := range need.Attrs() {
		var src packet.Columns
		switch w := a.Info().Width; {
		case a == packet.Ts:
			src.Ts = make([]int64, n)
		case a == packet.LayerBits:
			src.Layers = make([]packet.Layers, n)
		case w == packet.W8:
			v := make([]uint8, n)
			src.Proto, src.TTL, src.DSCP, src.ECN, src.Tunnel, src.Direction, src.Reason = v, v, v, v, v, v, v
		case w == packet.W16:
			v := make([]uint16, n)
			src.SrcPort, src.DstPort, src.TCPFlags, src.TCPWindow, src.Frag = v, v, v, v, v
			src.EthType, src.VLAN, src.InPort, src.CapLen = v, v, v, v
		case w == packet.W32:
			v := make([]uint32, n)
			src.TCPSeq, src.TCPAck, src.IPID, src.PktLen, src.PayloadLen, src.VNI, src.Tag = v, v, v, v, v, v, v
		case w == packet.W64:
			v := make([]uint64, n)
			src.SrcMAC, src.DstMAC, src.FlowHash = v, v, v
		default:
			hi, lo := make([]uint64, n), make([]uint64, n)
			src.SrcIPHi, src.DstIPHi, src.OuterSrcHi, src.OuterDstHi = hi, hi, hi, hi
			src.SrcIPLo, src.DstIPLo, src.OuterSrcLo, src.OuterDstLo = lo, lo, lo, lo
		}
		c.Share(&src, packet.SetOf(a))
	}
	if stride > 0 {
		c.Data, c.Stride = make([]byte, n*stride), stride
	}
	return c
}

// rowBytes returns the memory that a row of those attributes and that stride
// takes.
func rowBytes(attrs []packet.Attr, stride int) int {
	n := stride
	for _, a := range attrs {
		n += int(a.Info().Width) / 8
	}
	return n
}

// copyRows copies, of the attributes attrs and of the slice if dst has one, row
// from[i] of src to row to[i] of dst. Where both are the same columns, a row
// must not be read after it was written.
func copyRows(dst *packet.Columns, to []uint32, src *packet.Columns, from []uint32, attrs []packet.Attr) {
	if len(from) == 0 {
		return
	}
	for _, a := range attrs {
		switch w := a.Info().Width; {
		case a == packet.Ts:
			move(dst.Ts, to, src.Ts, from)
		case a == packet.LayerBits:
			move(dst.Layers, to, src.Layers, from)
		case w == packet.W8:
			move(dst.U8(a), to, src.U8(a), from)
		case w == packet.W16:
			move(dst.U16(a), to, src.U16(a), from)
		case w == packet.W32:
			move(dst.U32(a), to, src.U32(a), from)
		case w == packet.W64:
			move(dst.U64(a), to, src.U64(a), from)
		default:
			dhi, dlo := dst.U128(a)
			shi, slo := src.U128(a)
			move(dhi, to, shi, from)
			move(dlo, to, slo, from)
		}
	}
	if dst.Stride == 0 {
		return
	}
	for i, r := range from {
		kept := int(src.CapLen[r])
		copy(dst.Data[int(to[i])*dst.Stride:][:kept], src.Data[int(r)*src.Stride:])
	}
}

func move[T any](dst []T, to []uint32, src []T, from []uint32) {
	to = to[:len(from)]
	for i, r := range from {
		dst[to[i]] = src[r]
	}
}
