package bench

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/confluo/confluo/packet"
)

// flows is the number of flows, and of frames that are built beforehand.
const flows = 1 << 16

// A pool holds frames that are built once and given out again and again, in
// rows as a batch has them.
type pool struct {
	packet.Frames
	stride int
}

// ports are destination ports with how often they occur, in per mille; the rest
// is spread over 1024..65535.
var commonPorts = []struct {
	port uint16
	of   int
}{{443, 330}, {80, 150}, {53, 100}, {22, 40}, {3306, 20}, {6379, 10}, {8443, 5}, {5432, 2}, {179, 1}}

// rarePort occurs in no frame of a pool.
const rarePort = 9

// newPool builds frames of a mix. The same arguments give the same frames.
func newPool(m Mix, stride int) *pool {
	p := &pool{stride: stride}
	p.Data, p.Stride = make([]byte, flows*stride), stride
	p.Ts = make([]int64, flows)
	p.WireLen = make([]uint32, flows)
	p.CapLen = make([]uint16, flows)
	p.Port = make([]uint16, flows)
	p.Dir = make([]uint8, flows)
	r := rand.New(rand.NewPCG(1, uint64(m)))
	zipf := rand.NewZipf(r, 1.1, 1, flows-1)
	least := 64
	if m == IPv6 {
		least = 14 + 40 + 20
	}
	var buf [128]byte
	for i := range flows {
		flow := uint32(i)
		switch m {
		case Zipf:
			flow = uint32(zipf.Uint64())
		case Elephant:
			if r.IntN(5) > 0 {
				flow = 0
			}
		}
		wire := least + r.IntN(1515-least)
		switch r.IntN(10) { // acknowledgements and full segments
		case 0, 1, 2, 3:
			wire = least + r.IntN(32)
		case 4, 5, 6, 7:
			wire = 1514
		}
		frame := buildFrame(buf[:], flow, m == IPv6, uint32(wire), r)
		row := p.Data[i*stride : (i+1)*stride]
		kept := min(wire, stride)
		copy(row[:kept], frame)
		for j := min(len(frame), kept); j < kept; j++ {
			row[j] = byte(r.Uint32())
		}
		p.Ts[i] = int64(i) // as good as any for choosing filters
		p.WireLen[i], p.CapLen[i], p.Dir[i] = uint32(wire), uint16(kept), uint8(packet.DirIn)
	}
	return p
}

// buildFrame writes the headers of a frame of a flow to buf and returns them.
func buildFrame(buf []byte, flow uint32, ip6 bool, wire uint32, r *rand.Rand) []byte {
	clear(buf)
	// What a flow is follows from its number.
	f := rand.New(rand.NewPCG(uint64(flow), 2))
	proto, transport := byte(6), 20
	if f.IntN(5) == 0 {
		proto, transport = 17, 8
	}
	dport := uint16(1024 + f.IntN(64512))
	at := f.IntN(1000)
	for _, c := range commonPorts {
		if at -= c.of; at < 0 {
			dport = c.port
			break
		}
	}
	sport := uint16(32768 + f.IntN(28232))
	src, dst := 0x0a000000|uint32(f.IntN(1<<14)), 0x0a010000|uint32(f.IntN(1<<12))
	b := buf
	copy(b, []byte{2, 0, byte(dst >> 8), byte(dst), 0, 1, 2, 0, byte(src >> 8), byte(src), 0, 2})
	var l4 []byte
	if ip6 {
		binary.BigEndian.PutUint16(b[12:], 0x86dd)
		ip := b[14:]
		ip[0] = 0x60
		binary.BigEndian.PutUint16(ip[4:], uint16(wire-14-40))
		ip[6], ip[7] = proto, byte(40+f.IntN(25))
		copy(ip[8:], []byte{0x20, 0x01, 0x0d, 0xb8})
		copy(ip[24:], []byte{0x20, 0x01, 0x0d, 0xb8, 0, 1})
		binary.BigEndian.PutUint32(ip[20:], src)
		binary.BigEndian.PutUint32(ip[36:], dst)
		l4 = ip[40:]
	} else {
		binary.BigEndian.PutUint16(b[12:], 0x0800)
		ip := b[14:]
		ip[0] = 0x45
		binary.BigEndian.PutUint16(ip[2:], uint16(wire-14))
		binary.BigEndian.PutUint16(ip[4:], uint16(r.Uint32()))
		ip[8], ip[9] = byte(40+f.IntN(25)), proto
		binary.BigEndian.PutUint32(ip[12:], src)
		binary.BigEndian.PutUint32(ip[16:], dst)
		l4 = ip[20:]
	}
	binary.BigEndian.PutUint16(l4, sport)
	binary.BigEndian.PutUint16(l4[2:], dport)
	if proto == 6 {
		binary.BigEndian.PutUint32(l4[4:], r.Uint32())
		binary.BigEndian.PutUint32(l4[8:], r.Uint32())
		l4[12] = 5 << 4
		l4[13] = []byte{0x10, 0x10, 0x10, 0x18, 0x18, 0x02, 0x12, 0x11}[r.IntN(8)]
		binary.BigEndian.PutUint16(l4[14:], uint16(r.Uint32()))
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(int(wire)-(len(buf)-len(l4))))
	}
	return buf[:len(buf)-len(l4)+transport]
}

// dstPortAt returns where the destination port of a frame of the mix stands.
func dstPortAt(m Mix) int {
	if m == IPv6 {
		return 14 + 40 + 2
	}
	return 14 + 20 + 2
}

// parse returns the attributes of all frames.
func (p *pool) parse(ports *packet.PortTable) *packet.Columns {
	c := packet.NewColumns(flows)
	c.Data, c.Stride = p.Data, p.stride
	parser := packet.NewParser(ports)
	var w packet.Columns
	for lo := 0; lo < flows; lo += packet.ChunkSize {
		c.Window(lo, packet.ChunkSize, &w)
		parser.Parse(&p.Frames, lo, packet.ChunkSize, &w)
	}
	return c
}
