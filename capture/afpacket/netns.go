package afpacket

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// A namespace is the network namespace that a source was opened in. Sockets
// that are opened later, by another goroutine, must belong there too.
type namespace struct{ fd int }

func thisNamespace() (namespace, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return namespace{-1}, fmt.Errorf("afpacket: network namespace: %w", err)
	}
	return namespace{fd}, nil
}

// enter moves the calling goroutine's thread into the namespace, if it is not
// there. The goroutine is wired to its thread from then on, and the thread
// ends with it, so no other goroutine is ever in the wrong namespace.
func (n namespace) enter() error {
	runtime.LockOSThread()
	here, err := thisNamespace()
	if err != nil {
		return err
	}
	defer here.close()
	var a, b unix.Stat_t
	if unix.Fstat(here.fd, &a) == nil && unix.Fstat(n.fd, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino {
		runtime.UnlockOSThread()
		return nil
	}
	if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("afpacket: network namespace (requires CAP_SYS_ADMIN): %w", err)
	}
	return nil
}

func (n namespace) close() {
	if n.fd >= 0 {
		unix.Close(n.fd)
	}
}
