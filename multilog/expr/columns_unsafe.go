package expr

import (
	"unsafe"

	"github.com/confluo/confluo/packet"
)

// column32 returns the column of a 32-bit attribute. Layers differs from
// uint32 in name only.
func column32(c *packet.Columns, a packet.Attr) []uint32 {
	if a == packet.LayerBits {
		return unsafe.Slice((*uint32)(unsafe.SliceData(c.Layers[:c.N])), c.N)
	}
	return c.U32(a)[:c.N]
}

// column64 returns the column of a 64-bit attribute; times as the bits of
// their signed numbers, as Columns.Value has them.
func column64(c *packet.Columns, a packet.Attr) []uint64 {
	if a == packet.Ts {
		return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(c.Ts[:c.N]))), c.N)
	}
	return c.U64(a)[:c.N]
}
