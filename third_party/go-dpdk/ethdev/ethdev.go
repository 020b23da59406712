// Package ethdev configures and uses DPDK's Ethernet ports.
package ethdev

/*
#cgo pkg-config: libdpdk

#include <stdlib.h>
#include <string.h>
#include <net/if.h>
#include <rte_ethdev.h>

// rte_eth_link without bit fields, which cgo cannot read.
struct plain_link {
	uint32_t speed;
	uint8_t duplex, autoneg, status;
};

static int link_get_nowait(uint16_t port, struct plain_link *out)
{
	struct rte_eth_link l;
	int rc;

	memset(&l, 0, sizeof(l));
	rc = rte_eth_link_get_nowait(port, &l);
	out->speed = l.link_speed;
	out->duplex = l.link_duplex;
	out->autoneg = l.link_autoneg;
	out->status = l.link_status;
	return rc;
}

static uint16_t rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **ms, uint16_t n)
{
	return rte_eth_rx_burst(port, queue, ms, n);
}

static uint16_t tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **ms, uint16_t n)
{
	return rte_eth_tx_burst(port, queue, ms, n);
}
*/
import "C"

import (
	"math"
	"syscall"
	"unsafe"

	"github.com/yerden/go-dpdk/mbuf"
)

// A Port is the number of an Ethernet port.
type Port uint16

// CountAvail returns the number of usable ports.
func CountAvail() int { return int(C.rte_eth_dev_count_avail()) }

// ValidPorts returns the attached ports, those owned by others included.
func ValidPorts() []Port {
	var ports []Port
	for p := C.rte_eth_find_next(0); p < C.RTE_MAX_ETHPORTS; p = C.rte_eth_find_next(p + 1) {
		ports = append(ports, Port(p))
	}
	return ports
}

// GetPortByName finds a port by the name of its device: a PCI address or the
// name of a virtual device.
func GetPortByName(name string) (Port, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var p C.uint16_t
	err := errno(C.rte_eth_dev_get_port_by_name(cname, &p))
	return Port(p), err
}

// Name returns the name of the port's device.
func (p Port) Name() (string, error) {
	var name [C.RTE_ETH_NAME_MAX_LEN]C.char
	if err := errno(C.rte_eth_dev_get_name_by_port(C.uint16_t(p), &name[0])); err != nil {
		return "", err
	}
	return C.GoString(&name[0]), nil
}

// IsValid reports whether the port is attached.
func (p Port) IsValid() bool { return C.rte_eth_dev_is_valid_port(C.uint16_t(p)) != 0 }

// Start starts the port: its queues receive and send.
func (p Port) Start() error { return errno(C.rte_eth_dev_start(C.uint16_t(p))) }

// Stop stops the port, which can be started again.
func (p Port) Stop() { C.rte_eth_dev_stop(C.uint16_t(p)) }

// Close closes a stopped port for good and frees its number.
func (p Port) Close() { C.rte_eth_dev_close(C.uint16_t(p)) }

// PromiscEnable lets the port receive frames for any address.
func (p Port) PromiscEnable() error { return errno(C.rte_eth_promiscuous_enable(C.uint16_t(p))) }

// GetMTU returns the port's MTU in bytes.
func (p Port) GetMTU() (uint16, error) {
	var mtu C.uint16_t
	err := errno(C.rte_eth_dev_get_mtu(C.uint16_t(p), &mtu))
	return uint16(mtu), err
}

// SetMTU sets the port's MTU in bytes.
func (p Port) SetMTU(mtu uint16) error {
	return errno(C.rte_eth_dev_set_mtu(C.uint16_t(p), C.uint16_t(mtu)))
}

// SocketID returns the NUMA socket of the port, or -1 when it is not known.
func (p Port) SocketID() int { return int(C.rte_eth_dev_socket_id(C.uint16_t(p))) }

// RxBurst receives up to len(pkts) packets and returns how many. They belong
// to the caller. One thread at a time may use a queue.
func (p Port) RxBurst(qid uint16, pkts []*mbuf.Mbuf) uint16 {
	if len(pkts) == 0 {
		return 0
	}
	return uint16(C.rx_burst(C.uint16_t(p), C.uint16_t(qid), first(pkts), burst(pkts)))
}

// TxBurst sends packets and returns how many; those then belong to the port,
// the others still to the caller. One thread at a time may use a queue.
func (p Port) TxBurst(qid uint16, pkts []*mbuf.Mbuf) uint16 {
	if len(pkts) == 0 {
		return 0
	}
	return uint16(C.tx_burst(C.uint16_t(p), C.uint16_t(qid), first(pkts), burst(pkts)))
}

func first(pkts []*mbuf.Mbuf) **C.struct_rte_mbuf {
	return (**C.struct_rte_mbuf)(unsafe.Pointer(&pkts[0]))
}

func burst(pkts []*mbuf.Mbuf) C.uint16_t { return C.uint16_t(min(len(pkts), math.MaxUint16)) }

// An EthLink is the state of a port's link.
type EthLink C.struct_plain_link

// Status reports whether the link is up.
func (l *EthLink) Status() bool { return l.status != 0 }

// EthLinkGetNowait returns the state of the link without waiting for
// negotiation to end.
func (p Port) EthLinkGetNowait() (EthLink, error) {
	var l EthLink
	err := errno(C.link_get_nowait(C.uint16_t(p), (*C.struct_plain_link)(&l)))
	return l, err
}

// DevInfo is DPDK's struct rte_eth_dev_info.
type DevInfo C.struct_rte_eth_dev_info

// InfoGet fills in what the driver says of the port.
func (p Port) InfoGet(info *DevInfo) error {
	return errno(C.rte_eth_dev_info_get(C.uint16_t(p), (*C.struct_rte_eth_dev_info)(info)))
}

// DriverName returns the name of the port's driver, such as net_af_packet.
func (i *DevInfo) DriverName() string { return C.GoString(i.driver_name) }

// InterfaceName returns the name of the kernel's interface that the port is
// bound to, or an empty string.
func (i *DevInfo) InterfaceName() string {
	if i.if_index == 0 {
		return ""
	}
	var name [C.IF_NAMESIZE]C.char
	if C.if_indextoname(i.if_index, &name[0]) == nil {
		return ""
	}
	return C.GoString(&name[0])
}

// errno turns DPDK's 0 or negative errno into an error.
func errno(rc C.int) error {
	if rc >= 0 {
		return nil
	}
	return syscall.Errno(-rc)
}
