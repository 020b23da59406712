package packet

import "math/bits"

// ChunkSize is the largest number of rows that move, are evaluated or are
// scanned at once: a burst, a [Batch], a [Bitmap].
const ChunkSize = 256

// Columns holds the attributes of up to ChunkSize consecutive headers, one
// slice an attribute (two for addresses), all of length N or more. A slice
// whose attribute was not asked for may be nil. The slices may lie in memory
// outside the Go heap; who hands out a Columns says how long it may be used.
//
// Not safe for concurrent use.
type Columns struct {
	N int

	Ts                     []int64
	SrcIPHi, SrcIPLo       []uint64
	DstIPHi, DstIPLo       []uint64
	SrcPort, DstPort       []uint16
	Proto                  []uint8
	TCPFlags               []uint16
	TCPSeq, TCPAck         []uint32
	TCPWindow              []uint16
	IPID                   []uint32
	TTL, DSCP, ECN         []uint8
	Frag                   []uint16
	PktLen, PayloadLen     []uint32
	EthType                []uint16
	SrcMAC, DstMAC         []uint64
	VLAN                   []uint16
	VNI                    []uint32
	Tunnel                 []uint8
	OuterSrcHi, OuterSrcLo []uint64
	OuterDstHi, OuterDstLo []uint64
	InPort                 []uint16
	Direction              []uint8
	FlowHash               []uint64
	Tag                    []uint32
	Layers                 []Layers
	Reason                 []uint8
	CapLen                 []uint16

	// The slices themselves, for capture-filter (bpf:) predicates and export:
	// row i is Data[i*Stride:][:CapLen[i]].
	Data   []byte
	Stride int
}

// NewColumns allocates columns for n rows of every attribute on the Go heap,
// without slices (Data is nil).
func NewColumns(n int) *Columns {
	return &Columns{
		N: n, Ts: make([]int64, n),
		SrcIPHi: make([]uint64, n), SrcIPLo: make([]uint64, n),
		DstIPHi: make([]uint64, n), DstIPLo: make([]uint64, n),
		SrcPort: make([]uint16, n), DstPort: make([]uint16, n),
		Proto: make([]uint8, n), TCPFlags: make([]uint16, n),
		TCPSeq: make([]uint32, n), TCPAck: make([]uint32, n), TCPWindow: make([]uint16, n),
		IPID: make([]uint32, n), TTL: make([]uint8, n), DSCP: make([]uint8, n), ECN: make([]uint8, n),
		Frag: make([]uint16, n), PktLen: make([]uint32, n), PayloadLen: make([]uint32, n),
		EthType: make([]uint16, n), SrcMAC: make([]uint64, n), DstMAC: make([]uint64, n),
		VLAN: make([]uint16, n), VNI: make([]uint32, n), Tunnel: make([]uint8, n),
		OuterSrcHi: make([]uint64, n), OuterSrcLo: make([]uint64, n),
		OuterDstHi: make([]uint64, n), OuterDstLo: make([]uint64, n),
		InPort: make([]uint16, n), Direction: make([]uint8, n), FlowHash: make([]uint64, n),
		Tag: make([]uint32, n), Layers: make([]Layers, n), Reason: make([]uint8, n), CapLen: make([]uint16, n),
	}
}

// Window makes dst the n rows of c from row lo on: the same memory, no copy.
// Columns that are nil in c are nil in dst.
func (c *Columns) Window(lo, n int, dst *Columns) {
	hi := lo + n
	dst.N = n
	dst.Ts = sub(c.Ts, lo, hi)
	dst.SrcIPHi, dst.SrcIPLo = sub(c.SrcIPHi, lo, hi), sub(c.SrcIPLo, lo, hi)
	dst.DstIPHi, dst.DstIPLo = sub(c.DstIPHi, lo, hi), sub(c.DstIPLo, lo, hi)
	dst.SrcPort, dst.DstPort = sub(c.SrcPort, lo, hi), sub(c.DstPort, lo, hi)
	dst.Proto, dst.TCPFlags = sub(c.Proto, lo, hi), sub(c.TCPFlags, lo, hi)
	dst.TCPSeq, dst.TCPAck, dst.TCPWindow = sub(c.TCPSeq, lo, hi), sub(c.TCPAck, lo, hi), sub(c.TCPWindow, lo, hi)
	dst.IPID, dst.TTL, dst.DSCP, dst.ECN = sub(c.IPID, lo, hi), sub(c.TTL, lo, hi), sub(c.DSCP, lo, hi), sub(c.ECN, lo, hi)
	dst.Frag, dst.PktLen, dst.PayloadLen = sub(c.Frag, lo, hi), sub(c.PktLen, lo, hi), sub(c.PayloadLen, lo, hi)
	dst.EthType, dst.SrcMAC, dst.DstMAC = sub(c.EthType, lo, hi), sub(c.SrcMAC, lo, hi), sub(c.DstMAC, lo, hi)
	dst.VLAN, dst.VNI, dst.Tunnel = sub(c.VLAN, lo, hi), sub(c.VNI, lo, hi), sub(c.Tunnel, lo, hi)
	dst.OuterSrcHi, dst.OuterSrcLo = sub(c.OuterSrcHi, lo, hi), sub(c.OuterSrcLo, lo, hi)
	dst.OuterDstHi, dst.OuterDstLo = sub(c.OuterDstHi, lo, hi), sub(c.OuterDstLo, lo, hi)
	dst.InPort, dst.Direction, dst.FlowHash = sub(c.InPort, lo, hi), sub(c.Direction, lo, hi), sub(c.FlowHash, lo, hi)
	dst.Tag, dst.Layers, dst.Reason, dst.CapLen = sub(c.Tag, lo, hi), sub(c.Layers, lo, hi), sub(c.Reason, lo, hi), sub(c.CapLen, lo, hi)
	dst.Data, dst.Stride = sub(c.Data, lo*c.Stride, hi*c.Stride), c.Stride
}

func sub[T any](s []T, lo, hi int) []T {
	if s == nil {
		return nil
	}
	return s[lo:hi:hi]
}

// Keep sets the columns of attributes outside want to nil.
func (c *Columns) Keep(want AttrSet) {
	for a := Attr(0); int(a) < NumAttrs; a++ {
		if !want.Has(a) {
			c.set(a, nil)
		}
	}
}

// Share makes the columns of the attributes in want those of src: the same
// memory, at least c.N rows of it.
func (c *Columns) Share(src *Columns, want AttrSet) {
	for ; want != 0; want &= want - 1 {
		c.set(Attr(bits.TrailingZeros64(uint64(want))), src)
	}
}

// set makes the column of a that of src, or nil when src is nil.
func (c *Columns) set(a Attr, src *Columns) {
	if src == nil {
		src = &noColumns
	}
	switch w := a.Info().Width; {
	case a == Ts:
		c.Ts = src.Ts
	case a == LayerBits:
		c.Layers = src.Layers
	case w == W8:
		*c.u8(a) = *src.u8(a)
	case w == W16:
		*c.u16(a) = *src.u16(a)
	case w == W32:
		*c.u32(a) = *src.u32(a)
	case w == W64:
		*c.u64(a) = *src.u64(a)
	default:
		hi, lo := c.u128(a)
		shi, slo := src.u128(a)
		*hi, *lo = *shi, *slo
	}
}

var noColumns Columns

// A Value is one attribute value, wide enough for every attribute: Hi is zero
// unless the attribute is an address. Values of one attribute order as the
// 128-bit number Hi<<64|Lo.
type Value struct{ Hi, Lo uint64 }

// Less reports whether v orders before w.
func (v Value) Less(w Value) bool { return v.Hi < w.Hi || v.Hi == w.Hi && v.Lo < w.Lo }

// A Range is a closed interval of values.
type Range struct{ Min, Max Value }

// Value returns the value of attribute a in row i.
func (c *Columns) Value(a Attr, i int) Value {
	switch a {
	case SrcIP:
		return Value{c.SrcIPHi[i], c.SrcIPLo[i]}
	case DstIP:
		return Value{c.DstIPHi[i], c.DstIPLo[i]}
	case OuterSrc:
		return Value{c.OuterSrcHi[i], c.OuterSrcLo[i]}
	case OuterDst:
		return Value{c.OuterDstHi[i], c.OuterDstLo[i]}
	case Ts:
		return Value{0, uint64(c.Ts[i])}
	case LayerBits:
		return Value{0, uint64(c.Layers[i])}
	}
	switch a.Info().Width {
	case W8:
		return Value{0, uint64(c.U8(a)[i])}
	case W16:
		return Value{0, uint64(c.U16(a)[i])}
	case W32:
		return Value{0, uint64(c.U32(a)[i])}
	default:
		return Value{0, c.U64(a)[i]}
	}
}

// Has reports whether row i has attribute a.
func (c *Columns) Has(a Attr, i int) bool {
	p := a.Present()
	return p == 0 || c.Layers[i]&p != 0
}

// U8 returns the column of an 8-bit attribute. It panics for any other.
func (c *Columns) U8(a Attr) []uint8 { return *c.u8(a) }

// U16 returns the column of a 16-bit attribute. It panics for any other.
func (c *Columns) U16(a Attr) []uint16 { return *c.u16(a) }

// U32 returns the column of a 32-bit attribute other than LayerBits. It
// panics for any other.
func (c *Columns) U32(a Attr) []uint32 { return *c.u32(a) }

// U64 returns the column of a 64-bit attribute other than Ts. It panics for
// any other.
func (c *Columns) U64(a Attr) []uint64 { return *c.u64(a) }

// U128 returns the two columns of an address attribute. It panics for any
// other.
func (c *Columns) U128(a Attr) (hi, lo []uint64) {
	h, l := c.u128(a)
	return *h, *l
}

func (c *Columns) u8(a Attr) *[]uint8 {
	switch a {
	case Proto:
		return &c.Proto
	case TTL:
		return &c.TTL
	case DSCP:
		return &c.DSCP
	case ECN:
		return &c.ECN
	case Tunnel:
		return &c.Tunnel
	case Direction:
		return &c.Direction
	case Reason:
		return &c.Reason
	}
	panic("packet: " + a.String() + " is not an 8-bit attribute")
}

func (c *Columns) u16(a Attr) *[]uint16 {
	switch a {
	case SrcPort:
		return &c.SrcPort
	case DstPort:
		return &c.DstPort
	case TCPFlags:
		return &c.TCPFlags
	case TCPWindow:
		return &c.TCPWindow
	case Frag:
		return &c.Frag
	case EthType:
		return &c.EthType
	case VLAN:
		return &c.VLAN
	case InPort:
		return &c.InPort
	case CapLen:
		return &c.CapLen
	}
	panic("packet: " + a.String() + " is not a 16-bit attribute")
}

func (c *Columns) u32(a Attr) *[]uint32 {
	switch a {
	case TCPSeq:
		return &c.TCPSeq
	case TCPAck:
		return &c.TCPAck
	case IPID:
		return &c.IPID
	case PktLen:
		return &c.PktLen
	case PayloadLen:
		return &c.PayloadLen
	case VNI:
		return &c.VNI
	case Tag:
		return &c.Tag
	}
	panic("packet: " + a.String() + " is not a 32-bit attribute")
}

func (c *Columns) u64(a Attr) *[]uint64 {
	switch a {
	case SrcMAC:
		return &c.SrcMAC
	case DstMAC:
		return &c.DstMAC
	case FlowHash:
		return &c.FlowHash
	}
	panic("packet: " + a.String() + " is not a 64-bit attribute")
}

func (c *Columns) u128(a Attr) (hi, lo *[]uint64) {
	switch a {
	case SrcIP:
		return &c.SrcIPHi, &c.SrcIPLo
	case DstIP:
		return &c.DstIPHi, &c.DstIPLo
	case OuterSrc:
		return &c.OuterSrcHi, &c.OuterSrcLo
	case OuterDst:
		return &c.OuterDstHi, &c.OuterDstLo
	}
	panic("packet: " + a.String() + " is not an address")
}
