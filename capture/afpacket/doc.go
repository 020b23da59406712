// Package afpacket captures from a Linux network interface through AF_PACKET
// sockets with TPACKET_V3 receive rings, as described in the kernel's
// Documentation/networking/packet_mmap.rst. It needs CAP_NET_RAW, and
// CAP_NET_ADMIN for promiscuous mode.
//
// # The ring
//
// A ring is memory that the kernel and this process both map: a row of blocks,
// each a header followed by frames. The kernel fills one block at a time and
// hands it over when it is full, or when the block timeout has passed and it
// is not empty, by setting bit TP_STATUS_USER of the block's status word. It
// writes to that block no more until this process gives it back by storing
// TP_STATUS_KERNEL. So the status word is the only word that both sides write,
// never at the same time: the kernel while the bit is clear, the receiver
// while it is set. When the next block to fill has not been given back, the
// kernel drops frames and counts them.
//
// # The ledger
//
// The kernel counts every frame that passed the socket's filter, kept or
// dropped. Each of them is delivered by Recv, or counted under one of:
//
//	kernel_ring  no free block: the reader was too slow
//	closed       still in the ring when the source was closed (or in one that
//	             nobody read from the interface's return to its next removal)
//
// # Interfaces that come and go
//
// A source follows its interface by name. When the interface is removed, what
// is in the ring is still delivered; when one of that name is back and up,
// whatever its index and link type, new sockets are opened on it.
package afpacket
