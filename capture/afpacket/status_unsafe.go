package afpacket

import (
	"sync/atomic"
	"unsafe"
)

// status returns the status word of a block: the one word that the kernel and
// the receiver both write. The kernel stores TP_STATUS_USER into it after all
// else in the block, when it hands the block over; the receiver stores
// TP_STATUS_KERNEL after its last read of the block, when it gives it back.
// Go's atomics order both: a load that sees the one bit sees the block, and no
// read of the block comes after the store.
//
// Block must be mapped, 8-byte aligned and as long as a block header.
func status(block []byte) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&block[offStatus : offStatus+4 : len(block)][0]))
}
