// Package offheap holds memory outside the garbage collector's heap: reserved
// in one piece, touched before first use so that no page fault is left for the
// hot path, and counted.
//
// Memory from here holds no Go pointers.
package offheap

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HugePages says which pages back a region.
type HugePages uint8

// The choices.
const (
	Auto HugePages = iota // transparent huge pages where the kernel grants them
	On                    // 2 MiB pages of hugetlbfs, or an error
	Off                   // 4 KiB pages
)

const hugePage = 2 << 20

var reserved atomic.Int64

// Reserved returns the bytes now held by all regions.
func Reserved() int64 { return reserved.Load() }

// A Region is a piece of memory, handed out front to back by Carve and given
// back as a whole by Free. Carve and Free are not safe for concurrent use.
type Region struct {
	mem  []byte
	used int
}

// Map reserves size bytes of zeroed memory and touches every page.
func Map(size int, pages HugePages) (*Region, error) {
	if size <= 0 {
		return nil, fmt.Errorf("offheap: size %d is not positive", size)
	}
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	round := unix.Getpagesize()
	if pages == On {
		flags |= unix.MAP_HUGETLB
		round = hugePage
	}
	size = (size + round - 1) / round * round
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		if pages == On && errors.Is(err, unix.ENOMEM) {
			return nil, fmt.Errorf("offheap: %d huge pages of 2 MiB are not free (write the number to /proc/sys/vm/nr_hugepages, or set hugepages: auto): %w", size/hugePage, err)
		}
		return nil, fmt.Errorf("offheap: reserve %d bytes: %w", size, err)
	}
	if pages == Auto {
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // a kernel without THP serves 4 KiB pages
	}
	if err := populate(mem); err != nil {
		_ = unix.Munmap(mem)
		return nil, err
	}
	reserved.Add(int64(size))
	return &Region{mem: mem}, nil
}

// populate faults every page in. MADV_POPULATE_WRITE (Linux 5.14) reports a
// machine without memory as an error; touching pages would be a fatal signal.
func populate(mem []byte) error {
	err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL): // older kernel
		for i := 0; i < len(mem); i += 4096 {
			mem[i] = 0
		}
		return nil
	default:
		return fmt.Errorf("offheap: not enough memory to back %d bytes: %w", len(mem), err)
	}
}

// Free returns the region to the operating system. Nothing carved from it may
// be used afterwards.
func (r *Region) Free() error {
	if r == nil || r.mem == nil {
		return nil
	}
	reserved.Add(-int64(len(r.mem)))
	mem := r.mem
	r.mem = nil
	if err := unix.Munmap(mem); err != nil {
		return fmt.Errorf("offheap: unmap: %w", err)
	}
	return nil
}

// Size returns the bytes of the region.
func (r *Region) Size() int { return len(r.mem) }

// Carve takes the next n elements of T from r, aligned to a cache line. T must
// hold no pointers. It panics when the region is too small: sizes are computed
// with Bytes before the region is mapped.
func Carve[T any](r *Region, n int) []T {
	var z T
	size := n * int(unsafe.Sizeof(z))
	if r.used+size > len(r.mem) {
		panic(fmt.Sprintf("offheap: %d bytes asked of a region with %d left", size, len(r.mem)-r.used))
	}
	if n == 0 {
		return nil
	}
	p := unsafe.Pointer(&r.mem[r.used])
	r.used = min(len(r.mem), r.used+align(size))
	return unsafe.Slice((*T)(p), n)
}

// Bytes returns what Carve takes of a region for n elements of the given size.
func Bytes(n, elem int) int { return align(n * elem) }

func align(n int) int { return (n + 63) &^ 63 }
