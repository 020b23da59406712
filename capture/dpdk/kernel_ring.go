//go:build dpdk

package dpdk

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The net_af_packet driver of DPDK 22.11 does not say how many frames the
// kernel dropped because the driver's ring was full, and it keeps its sockets
// to itself. They are found among the descriptors of the process, and asked by
// PACKET_STATISTICS (packet(7)), which the driver never does.

// packetSockets returns the descriptors of the process's packet sockets of
// TPACKET_V2, the version that net_af_packet uses.
func packetSockets() (map[int]bool, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("descriptors of the process: %w", err)
	}
	found := make(map[int]bool)
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// The descriptor may be closed by now, or be no socket: an error then.
		if d, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || d != unix.AF_PACKET {
			continue
		}
		if v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION); err == nil && v == unix.TPACKET_V2 {
			found[fd] = true
		}
	}
	return found, nil
}

// A kernelRing counts what the kernel dropped at the sockets of one port.
type kernelRing struct {
	fds []int // duplicates of the driver's descriptors
	sum uint64
}

// follow takes up the packet sockets on interface ifIndex that are not in
// before.
func (k *kernelRing) follow(ifIndex int, before map[int]bool) error {
	now, err := packetSockets()
	if err != nil {
		return err
	}
	for fd := range now {
		if before[fd] {
			continue
		}
		addr, err := unix.Getsockname(fd)
		if ll, ok := addr.(*unix.SockaddrLinklayer); err != nil || !ok || ll.Ifindex != ifIndex {
			continue
		}
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return errors.Join(fmt.Errorf("duplicate a descriptor: %w", err), k.leave())
		}
		k.fds = append(k.fds, own)
	}
	return nil
}

// read adds the drops since the last read: the kernel's counter is set to zero
// by reading.
func (k *kernelRing) read() {
	for _, fd := range k.fds {
		if s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			k.sum += uint64(s.Drops)
		}
	}
}

// leave closes the sockets' duplicates, so that the driver's close ends them.
func (k *kernelRing) leave() error {
	var errs []error
	for _, fd := range k.fds {
		errs = append(errs, unix.Close(fd))
	}
	k.fds = nil
	return errors.Join(errs...)
}
