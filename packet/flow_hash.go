package packet

import "math/bits"

// Odd constants with about half their bits set, for flowHashes.
const (
	hashA = 0x9e3779b97f4a7c15
	hashB = 0xc2b2ae3d27d4eb4f
	hashC = 0x165667b19e3779f9
	hashD = 0xd6e8feb86659fd93
)

// flowHashes fills the FlowHash column of n rows from their VNI, innermost
// addresses, ports and protocol; a frame without IP gets zero. The hash is the
// same for both directions of a flow, and the same on every agent of a fleet:
// it has no random seed, hence no defence against chosen collisions.
//
// Each end of the flow is mixed by one wide multiplication folded to 64 bits
// (the step of wyhash), the two ends are joined by operations that do not
// know their order, and the result is mixed once more.
func flowHashes(c *Columns, n int) {
	var (
		srcHi   = c.SrcIPHi[:n]
		srcLo   = c.SrcIPLo[:n]
		dstHi   = c.DstIPHi[:n]
		dstLo   = c.DstIPLo[:n]
		srcPort = c.SrcPort[:n]
		dstPort = c.DstPort[:n]
		proto   = c.Proto[:n]
		vni     = c.VNI[:n]
		layers  = c.Layers[:n]
		hash    = c.FlowHash[:n]
	)
	for i := range n {
		a := fold(srcHi[i]^hashA+uint64(srcPort[i]), srcLo[i]^hashB)
		b := fold(dstHi[i]^hashA+uint64(dstPort[i]), dstLo[i]^hashB)
		h := fold(a+b^hashC^(uint64(vni[i])<<8|uint64(proto[i])), a^b^hashD)
		if layers[i]&(LayerIPv4|LayerIPv6) == 0 {
			h = 0
		}
		hash[i] = h
	}
}

func fold(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}
