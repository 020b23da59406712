package ethdev

/*
#include <stdlib.h>
#include <rte_ethdev.h>
*/
import "C"

import (
	"syscall"
	"unsafe"

	"github.com/yerden/go-dpdk/mempool"
)

type config struct {
	conf C.struct_rte_eth_conf
	free []unsafe.Pointer // C memory that conf refers to
}

// An Option changes how a port is configured.
type Option struct{ set func(*config) }

// RxMode is the configuration of a port's receive side.
type RxMode struct {
	MqMode       uint   // RTE_ETH_MQ_RX_ value: how frames are spread over queues
	MTU          uint32 // bytes; 0 leaves the driver's
	SplitHdrSize uint16 // of no effect with DPDK 22.11, which dropped header split
	Offloads     uint64 // RTE_ETH_RX_OFFLOAD_ bits
}

// OptRxMode sets the configuration of the receive side.
func OptRxMode(mode RxMode) Option {
	return Option{func(c *config) {
		c.conf.rxmode.mq_mode = uint32(mode.MqMode)
		c.conf.rxmode.mtu = C.uint32_t(mode.MTU)
		c.conf.rxmode.offloads = C.uint64_t(mode.Offloads)
	}}
}

// RssConf is the configuration of receive side scaling.
type RssConf struct {
	Key []byte // hash key; empty: the driver's own
	Hf  uint64 // RTE_ETH_RSS_ bits: the header fields that are hashed
}

// OptRss sets the hash of receive side scaling. It is used when the RxMode's
// MqMode has the RSS flag.
func OptRss(rss RssConf) Option {
	return Option{func(c *config) {
		out := &c.conf.rx_adv_conf.rss_conf
		out.rss_hf = C.uint64_t(rss.Hf)
		out.rss_key, out.rss_key_len = nil, 0
		if len(rss.Key) == 0 {
			return
		}
		key := C.CBytes(rss.Key)
		c.free = append(c.free, key)
		out.rss_key, out.rss_key_len = (*C.uint8_t)(key), C.uint8_t(len(rss.Key))
	}}
}

// DevConfigure configures a stopped port with numbers of receive and transmit
// queues.
func (p Port) DevConfigure(nrxq, ntxq uint16, opts ...Option) error {
	var c config
	defer func() {
		for _, m := range c.free {
			C.free(m)
		}
	}()
	for _, o := range opts {
		o.set(&c)
	}
	return errno(C.rte_eth_dev_configure(C.uint16_t(p), C.uint16_t(nrxq), C.uint16_t(ntxq), &c.conf))
}

type queueConfig struct{ socket int }

// A QueueOption changes how a queue is set up.
type QueueOption struct{ set func(*queueConfig) }

// OptSocket sets the NUMA socket of the queue's memory. The default is any.
func OptSocket(socket int) QueueOption {
	return QueueOption{func(c *queueConfig) { c.socket = socket }}
}

func queueSocket(opts []QueueOption) C.uint {
	c := queueConfig{socket: C.SOCKET_ID_ANY}
	for _, o := range opts {
		o.set(&c)
	}
	return C.uint(c.socket)
}

// RxqSetup sets up receive queue qid with nDesc descriptors, which takes its
// mbufs from mp.
func (p Port) RxqSetup(qid, nDesc uint16, mp *mempool.Mempool, opts ...QueueOption) error {
	if mp == nil {
		return syscall.EINVAL
	}
	return errno(C.rte_eth_rx_queue_setup(C.uint16_t(p), C.uint16_t(qid), C.uint16_t(nDesc),
		queueSocket(opts), nil, (*C.struct_rte_mempool)(unsafe.Pointer(mp))))
}

// TxqSetup sets up transmit queue qid with nDesc descriptors.
func (p Port) TxqSetup(qid, nDesc uint16, opts ...QueueOption) error {
	return errno(C.rte_eth_tx_queue_setup(C.uint16_t(p), C.uint16_t(qid), C.uint16_t(nDesc),
		queueSocket(opts), nil))
}
