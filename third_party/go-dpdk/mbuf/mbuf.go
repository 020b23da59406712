// Package mbuf handles DPDK packet buffers.
package mbuf

/*
#cgo pkg-config: libdpdk

#include <string.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

// Static inline functions of DPDK, given names that cgo can link to.

static uint16_t mbuf_data_len(const struct rte_mbuf *m) { return rte_pktmbuf_data_len(m); }

static void *mbuf_data(struct rte_mbuf *m) { return rte_pktmbuf_mtod(m, void *); }

static struct rte_mbuf *mbuf_next(struct rte_mbuf *m) { return m->next; }

static uint32_t mbuf_pkt_len(const struct rte_mbuf *m) { return rte_pktmbuf_pkt_len(m); }

static void mbuf_free(struct rte_mbuf *m) { rte_pktmbuf_free(m); }

static void mbuf_reset(struct rte_mbuf *m) { rte_pktmbuf_reset(m); }

static int mbuf_alloc_bulk(struct rte_mempool *p, struct rte_mbuf **ms, unsigned int n)
{
	return rte_pktmbuf_alloc_bulk(p, ms, n);
}

static int mbuf_append(struct rte_mbuf *m, const void *data, uint16_t n)
{
	char *tail = rte_pktmbuf_append(m, n);

	if (tail == NULL)
		return -ENOSPC;
	memcpy(tail, data, n);
	return 0;
}
*/
import "C"

import (
	"syscall"
	"unsafe"

	"github.com/yerden/go-dpdk/mempool"
)

// Mbuf is DPDK's struct rte_mbuf.
type Mbuf C.struct_rte_mbuf

func (m *Mbuf) c() *C.struct_rte_mbuf { return (*C.struct_rte_mbuf)(m) }

func bulk(ms []*Mbuf) (**C.struct_rte_mbuf, C.uint) {
	return (**C.struct_rte_mbuf)(unsafe.Pointer(unsafe.SliceData(ms))), C.uint(len(ms))
}

// PktMbufAllocBulk fills ms with empty mbufs from the pool, all or none.
func PktMbufAllocBulk(p *mempool.Mempool, ms []*Mbuf) error {
	if len(ms) == 0 {
		return nil
	}
	first, n := bulk(ms)
	return errno(C.mbuf_alloc_bulk((*C.struct_rte_mempool)(unsafe.Pointer(p)), first, n))
}

// PktMbufFreeBulk frees packets, each with all its segments, into the pools
// that they came from.
func PktMbufFreeBulk(ms []*Mbuf) {
	if len(ms) == 0 {
		return
	}
	first, n := bulk(ms)
	C.rte_pktmbuf_free_bulk(first, n)
}

// Data returns the bytes of this segment. They belong to the mbuf.
func (m *Mbuf) Data() []byte {
	return unsafe.Slice((*byte)(C.mbuf_data(m.c())), int(C.mbuf_data_len(m.c())))
}

// PktLen returns the bytes of the packet that starts with this segment.
func (m *Mbuf) PktLen() uint32 { return uint32(C.mbuf_pkt_len(m.c())) }

// Next returns the next segment of the packet, or nil.
func (m *Mbuf) Next() *Mbuf { return (*Mbuf)(C.mbuf_next(m.c())) }

// PktMbufFree frees the packet with all its segments.
func (m *Mbuf) PktMbufFree() { C.mbuf_free(m.c()) }

// PktMbufReset makes the mbuf an empty packet of one segment again.
func (m *Mbuf) PktMbufReset() { C.mbuf_reset(m.c()) }

// PktMbufAppend copies data behind the last segment's bytes. It returns an
// error when there is no room.
func (m *Mbuf) PktMbufAppend(data []byte) error {
	if len(data) > 0xffff {
		return syscall.ENOSPC
	}
	return errno(C.mbuf_append(m.c(), unsafe.Pointer(unsafe.SliceData(data)), C.uint16_t(len(data))))
}

// errno turns DPDK's 0 or negative errno into an error.
func errno(rc C.int) error {
	if rc >= 0 {
		return nil
	}
	return syscall.Errno(-rc)
}
