package ethdev

/*
#include <rte_ethdev.h>
*/
import "C"

import "unsafe"

// Stats is DPDK's struct rte_eth_stats.
type Stats C.struct_rte_eth_stats

// GoStats are the counters of a port.
type GoStats struct {
	Ipackets uint64 // frames received
	Opackets uint64 // frames sent
	Ibytes   uint64 // bytes received
	Obytes   uint64 // bytes sent
	Imissed  uint64 // frames that the device dropped because no queue had room
	Ierrors  uint64 // frames received with an error
	Oerrors  uint64 // frames that could not be sent
	RxNoMbuf uint64 // times that no mbuf could be had
}

// rte_eth_stats begins with these eight counters, in this order.
var _ = [1]struct{}{}[unsafe.Offsetof(Stats{}.rx_nombuf)-unsafe.Offsetof(GoStats{}.RxNoMbuf)]

// Cast gives access to the counters, without a copy.
func (s *Stats) Cast() *GoStats { return (*GoStats)(unsafe.Pointer(s)) }

// StatsGet reads the counters of the port.
func (p Port) StatsGet(stats *Stats) error {
	return errno(C.rte_eth_stats_get(C.uint16_t(p), (*C.struct_rte_eth_stats)(stats)))
}

// StatsReset sets the counters of the port to zero.
func (p Port) StatsReset() error { return errno(C.rte_eth_stats_reset(C.uint16_t(p))) }

// An Xstat is one of the driver's own counters.
type Xstat struct {
	Index uint64 // of its name in what XstatNames returns
	Value uint64
}

var _ = [1]struct{}{}[unsafe.Sizeof(Xstat{})-unsafe.Sizeof(C.struct_rte_eth_xstat{})]

// XstatName is DPDK's struct rte_eth_xstat_name.
type XstatName C.struct_rte_eth_xstat_name

// String returns the name.
func (n *XstatName) String() string { return C.GoString(&n.name[0]) }

// XstatNames returns the names of the driver's own counters.
func (p Port) XstatNames() ([]XstatName, error) {
	n := C.rte_eth_xstats_get_names(C.uint16_t(p), nil, 0)
	if n <= 0 {
		return nil, errno(n)
	}
	names := make([]XstatName, n)
	n = C.rte_eth_xstats_get_names(C.uint16_t(p), (*C.struct_rte_eth_xstat_name)(&names[0]), C.uint(len(names)))
	if err := errno(n); err != nil {
		return nil, err
	}
	return names[:min(int(n), len(names))], nil
}

// XstatsGet reads the driver's own counters. When it returns more than
// len(out), nothing was read and out must be that long.
func (p Port) XstatsGet(out []Xstat) (int, error) {
	n := C.rte_eth_xstats_get(C.uint16_t(p),
		(*C.struct_rte_eth_xstat)(unsafe.Pointer(unsafe.SliceData(out))), C.uint(len(out)))
	return int(max(n, 0)), errno(n)
}
