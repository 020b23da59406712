// Package dpdk is the capture backend for ports that DPDK drives: network
// cards by their PCI address and software ports (virtual devices) such as
// net_af_packet, net_virtio_user, net_pcap, net_ring and net_null.
//
// The package is built in two forms. With the build tag dpdk it uses libdpdk by
// cgo; without it [InitEAL] and [Open] return [ErrNotBuilt], and nothing of
// DPDK is needed to build or run.
//
// # EAL
//
// DPDK's Environment Abstraction Layer is initialised once in a process and
// serves all sources: call [InitEAL] first, then [Open] for each source. Open
// creates the devices that do not exist yet and Source.Close removes those
// again, so sources may come and go while EAL stays.
//
// # Data path
//
// Recv is one cgo call: the C function receives a burst of up to a batch's
// room, copies the slices with lengths and time stamps into the batch and frees
// the mbufs. An idle port is polled within that call too, so waiting costs no
// further calls (see [Idle]). Slices never share memory with DPDK.
//
// A frame's time is the device's own where the driver gives one that can be
// told in Unix time (net_pcap gives the recorded time in microseconds; of other
// drivers a stamp is taken when, read as nanoseconds, it lies within a day of
// the system clock), else the system clock read once a burst. Within a burst
// time does not go back. VLAN tags that the device stripped are put back, as
// EtherType 0x88a8 for the outer of two and 0x8100 otherwise.
//
// Direction is DirIn, except that drivers which see both directions of an
// interface without telling them apart (net_af_packet, net_pcap) give
// DirUnknown.
//
// # Limits of DPDK 22.11 that show
//
// net_af_packet cuts frames at its frame size (device argument framesz, 2048
// unless given) and reports the length that is left, so switch segmentation and
// receive offloads of the interface off. It also cannot tell an 802.1ad tag that
// the kernel stripped from an 802.1Q one. net_pcap does not say that its file
// has ended: its source never returns io.EOF.
package dpdk

import "errors"

// ErrNotBuilt is returned by InitEAL and Open of a build without DPDK.
var ErrNotBuilt = errors.New("this build has no DPDK (built without -tags dpdk)")
