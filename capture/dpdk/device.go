//go:build dpdk

package dpdk

/*
#cgo pkg-config: libdpdk

#include <stdlib.h>
#include <string.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

// What of rte_eth_dev_info decides how a port is configured.
struct port_info {
	uint32_t if_index;
	uint16_t max_rx_queues, max_tx_queues;
	uint16_t desc_max, desc_min, desc_align;
	uint16_t min_mtu, max_mtu;
	uint8_t hash_key_size;
	uint64_t rss, offloads;
};

static int get_port_info(uint16_t port, struct port_info *out)
{
	struct rte_eth_dev_info i;
	int rc;

	memset(&i, 0, sizeof(i));
	rc = rte_eth_dev_info_get(port, &i);
	if (rc != 0)
		return rc;
	*out = (struct port_info){
		.if_index = i.if_index,
		.max_rx_queues = i.max_rx_queues, .max_tx_queues = i.max_tx_queues,
		.desc_max = i.rx_desc_lim.nb_max, .desc_min = i.rx_desc_lim.nb_min,
		.desc_align = i.rx_desc_lim.nb_align,
		.min_mtu = i.min_mtu, .max_mtu = i.max_mtu,
		.hash_key_size = i.hash_key_size,
		.rss = i.flow_type_rss_offloads, .offloads = i.rx_offload_capa,
	};
	return 0;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"github.com/yerden/go-dpdk/ethdev"
)

// Bits of rte_ethdev.h.
const (
	offloadTimestamp = uint64(C.RTE_ETH_RX_OFFLOAD_TIMESTAMP)
	mqRSS            = uint(C.RTE_ETH_MQ_RX_RSS)
	rssFields        = uint64(C.RTE_ETH_RSS_IP | C.RTE_ETH_RSS_TCP | C.RTE_ETH_RSS_UDP | C.RTE_ETH_RSS_SCTP)
)

// portInfo is what a port's driver says of it.
type portInfo struct {
	driver                        string
	ifIndex                       int // of the kernel's interface it is bound to, or 0
	maxRxQueues, maxTxQueues      int
	descMin, descMax, descAlign   int
	minMTU, maxMTU                int
	hashKeySize                   int
	rssFields, offloads           uint64
	bothDirections, makesOwnInput bool
}

func infoOf(p ethdev.Port) (portInfo, error) {
	var info ethdev.DevInfo
	if err := p.InfoGet(&info); err != nil {
		return portInfo{}, fmt.Errorf("port information: %w", err)
	}
	var c C.struct_port_info
	if err := rteError(C.get_port_info(C.uint16_t(p), &c)); err != nil {
		return portInfo{}, fmt.Errorf("port information: %w", err)
	}
	driver := info.DriverName()
	return portInfo{
		driver: driver, ifIndex: int(c.if_index),
		maxRxQueues: int(c.max_rx_queues), maxTxQueues: int(c.max_tx_queues),
		descMin: int(c.desc_min), descMax: int(c.desc_max), descAlign: max(1, int(c.desc_align)),
		minMTU: int(c.min_mtu), maxMTU: int(c.max_mtu),
		hashKeySize: int(c.hash_key_size),
		rssFields:   uint64(c.rss), offloads: uint64(c.offloads),
		bothDirections: driver == "net_af_packet" || driver == "net_pcap",
		makesOwnInput:  driver == "net_null" || driver == "net_pcap",
	}, nil
}

// attach finds the port of a device, or creates the device. Created tells
// which: a created device is the caller's to remove.
func attach(device string) (p ethdev.Port, created bool, err error) {
	name, args := deviceName(device)
	if p, err := ethdev.GetPortByName(name); err == nil {
		if args != "" {
			return 0, false, fmt.Errorf("device %s exists already, so its arguments %q cannot be given", name, args)
		}
		return p, false, nil
	}
	cbus, cname, cargs := C.CString(busOf(name)), C.CString(name), C.CString(args)
	defer C.free(unsafe.Pointer(cbus))
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(cargs))
	if err := rteError(C.rte_eal_hotplug_add(cbus, cname, cargs)); err != nil {
		return 0, false, fmt.Errorf("create device %s: %w (EAL's messages say more)", device, err)
	}
	if p, err = ethdev.GetPortByName(name); err != nil {
		return 0, false, errors.Join(fmt.Errorf("device %s has no Ethernet port: %w", device, err), detach(name))
	}
	return p, true, nil
}

// detach removes a device by its name, and closes its port.
func detach(name string) error {
	cbus, cname := C.CString(busOf(name)), C.CString(name)
	defer C.free(unsafe.Pointer(cbus))
	defer C.free(unsafe.Pointer(cname))
	if err := rteError(C.rte_eal_hotplug_remove(cbus, cname)); err != nil {
		return fmt.Errorf("remove device %s: %w", name, err)
	}
	return nil
}

func busOf(name string) string {
	if pciAddress.MatchString(name) {
		return "pci"
	}
	return "vdev"
}

// promiscuous reports whether the port receives frames for any address.
func promiscuous(p ethdev.Port) bool { return C.rte_eth_promiscuous_get(C.uint16_t(p)) == 1 }

func promiscuousOff(p ethdev.Port) error {
	return rteError(C.rte_eth_promiscuous_disable(C.uint16_t(p)))
}

// removed reports whether the hardware of a port is gone.
func removed(p ethdev.Port) bool { return C.rte_eth_dev_is_removed(C.uint16_t(p)) == 1 }

// fitDescriptors returns the number of receive descriptors nearest to n that
// the port takes.
func fitDescriptors(p ethdev.Port, n uint16) (uint16, error) {
	rx, tx := C.uint16_t(n), C.uint16_t(n)
	err := rteError(C.rte_eth_dev_adjust_nb_rx_tx_desc(C.uint16_t(p), &rx, &tx))
	return uint16(rx), err
}

// rteError turns DPDK's 0 or negative errno into an error.
func rteError(rc C.int) error {
	if rc >= 0 {
		return nil
	}
	return syscall.Errno(-rc)
}
