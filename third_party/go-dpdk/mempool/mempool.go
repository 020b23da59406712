// Package mempool makes DPDK memory pools of packet buffers.
package mempool

/*
#cgo pkg-config: libdpdk

#include <stdlib.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

// The error belongs to the thread: it is read within the call that set it, since
// the next call from Go may run on another thread.

static struct rte_mempool *create(const char *name, unsigned int n, unsigned int cache,
				  uint16_t priv, uint16_t room, int socket, const char *ops, int *err)
{
	struct rte_mempool *mp;

	rte_errno = 0;
	mp = rte_pktmbuf_pool_create_by_ops(name, n, cache, priv, room, socket, ops);
	*err = rte_errno;
	return mp;
}

static struct rte_mempool *lookup(const char *name, int *err)
{
	struct rte_mempool *mp = rte_mempool_lookup(name);

	*err = rte_errno;
	return mp;
}
*/
import "C"

import (
	"syscall"
	"unsafe"
)

// Mempool is DPDK's struct rte_mempool.
type Mempool C.struct_rte_mempool

type config struct {
	cache   uint32
	private uint32
	socket  int
	ops     string
}

// An Option changes how a pool is made.
type Option struct{ set func(*config) }

// OptCacheSize sets the number of objects in the cache of each lcore.
func OptCacheSize(size uint32) Option {
	return Option{func(c *config) { c.cache = size }}
}

// OptPrivateDataSize sets the bytes between the mbuf structure and the data
// buffer of each mbuf; a multiple of RTE_MBUF_PRIV_ALIGN (8).
func OptPrivateDataSize(size uint32) Option {
	return Option{func(c *config) { c.private = size }}
}

// OptSocket sets the NUMA socket of the memory. The default is any.
func OptSocket(socket int) Option {
	return Option{func(c *config) { c.socket = socket }}
}

// OptOpsName sets the handler that holds the free objects, such as
// "ring_mp_mc" or "stack".
func OptOpsName(name string) Option {
	return Option{func(c *config) { c.ops = name }}
}

// CreateMbufPool makes a pool of n mbufs under a name that is unique in the
// process. DataRoomSize is the size of each data buffer in bytes, with
// RTE_PKTMBUF_HEADROOM (128) in it. A power of two less one is the best n.
func CreateMbufPool(name string, n uint32, dataRoomSize uint16, opts ...Option) (*Mempool, error) {
	c := config{socket: C.SOCKET_ID_ANY}
	for _, o := range opts {
		o.set(&c)
	}
	if c.private > 0xffff {
		return nil, syscall.EINVAL
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var ops *C.char // nil: the platform's best
	if c.ops != "" {
		ops = C.CString(c.ops)
		defer C.free(unsafe.Pointer(ops))
	}
	var errno C.int
	mp := C.create(cname, C.uint(n), C.uint(c.cache),
		C.uint16_t(c.private), C.uint16_t(dataRoomSize), C.int(c.socket), ops, &errno)
	if mp == nil {
		return nil, failure(errno)
	}
	return (*Mempool)(mp), nil
}

// Lookup finds a pool by its name.
func Lookup(name string) (*Mempool, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var errno C.int
	mp := C.lookup(cname, &errno)
	if mp == nil {
		return nil, failure(errno)
	}
	return (*Mempool)(mp), nil
}

// failure is the error of a call that failed, also where it did not say why.
func failure(errno C.int) error {
	if errno == 0 {
		return syscall.ENOMEM
	}
	return syscall.Errno(errno)
}

func (mp *Mempool) c() *C.struct_rte_mempool { return (*C.struct_rte_mempool)(mp) }

// Free frees the pool. All its objects must be back in it.
func (mp *Mempool) Free() { C.rte_mempool_free(mp.c()) }

// AvailCount returns the number of objects in the pool, those in caches
// included. It walks all lcores: not for the data path.
func (mp *Mempool) AvailCount() int { return int(C.rte_mempool_avail_count(mp.c())) }

// InUseCount returns the number of objects taken from the pool. It walks all
// lcores: not for the data path.
func (mp *Mempool) InUseCount() int { return int(C.rte_mempool_in_use_count(mp.c())) }
