// Package eal starts and stops DPDK's Environment Abstraction Layer.
package eal

/*
#cgo pkg-config: libdpdk

#include <stdlib.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

static int last_errno(void) { return rte_errno; }
*/
import "C"

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// main is the thread that became the main lcore. EAL binds it to that lcore's
// CPUs, so it is never given back to the Go scheduler: it waits for Cleanup.
var main struct {
	sync.Mutex
	cleanup chan chan error // nil when EAL is not initialised
}

// Init initialises EAL as rte_eal_init does. Args is the whole command line,
// args[0] the name of the program. It returns the number of arguments that EAL
// consumed; those after a "--" belong to the program.
//
// EAL can be initialised once in a process: a second call returns
// syscall.EALREADY.
func Init(args []string) (n int, err error) {
	main.Lock()
	defer main.Unlock()
	if main.cleanup != nil {
		return 0, syscall.EALREADY
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	cleanup := make(chan chan error)
	go func() {
		runtime.LockOSThread() // without unlock: the thread ends with the goroutine
		n, err := initialise(args)
		done <- result{n, err}
		if err != nil {
			return
		}
		reply := <-cleanup
		reply <- errno(C.rte_eal_cleanup())
	}()
	r := <-done
	if r.err == nil {
		main.cleanup = cleanup
	}
	return r.n, r.err
}

func initialise(args []string) (int, error) {
	// EAL permutes argv and keeps pointers into it: it is C memory, never freed.
	argv := (*[1 << 16]*C.char)(C.calloc(C.size_t(len(args)+1), C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	for i, a := range args {
		argv[i] = C.CString(a)
	}
	n := C.rte_eal_init(C.int(len(args)), &argv[0])
	if n < 0 {
		return 0, syscall.Errno(C.last_errno())
	}
	return int(n), nil
}

// InitCmd is Init for a command line in one string, split at white space.
// Single and double quotes group; a backslash takes the next character
// literally, except within single quotes.
func InitCmd(input string) (int, error) {
	args, err := split(input)
	if err != nil {
		return 0, err
	}
	return Init(args)
}

// Cleanup releases what Init took, on the thread of the main lcore. EAL cannot
// be initialised again afterwards in this process.
func Cleanup() error {
	main.Lock()
	defer main.Unlock()
	if main.cleanup == nil {
		return syscall.EINVAL
	}
	reply := make(chan error)
	main.cleanup <- reply
	main.cleanup = nil
	return <-reply
}

// HasHugePages reports whether EAL uses huge pages.
func HasHugePages() bool { return C.rte_eal_has_hugepages() != 0 }

// HasPCI reports whether EAL uses the PCI bus.
func HasPCI() bool { return C.rte_eal_has_pci() != 0 }

// LcoreCount returns the number of lcores that EAL configured.
func LcoreCount() uint { return uint(C.rte_lcore_count()) }

// LcoreToSocket returns the NUMA socket of an lcore.
func LcoreToSocket(id uint) uint { return uint(C.rte_lcore_to_socket_id(C.uint(id))) }

// errno turns DPDK's 0 or negative errno into an error.
func errno(rc C.int) error {
	if rc >= 0 {
		return nil
	}
	return syscall.Errno(-rc)
}
