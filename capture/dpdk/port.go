//go:build dpdk

package dpdk

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/confluo/confluo/packet"
	"github.com/yerden/go-dpdk/ethdev"
	"github.com/yerden/go-dpdk/mempool"
)

// A port is one DPDK port of an open source. Its methods are called by one
// goroutine at a time: the one in Open or Close, or the source's watcher.
type port struct {
	opt     Port
	pool    Mempool
	name    string // of the device
	created bool   // the device is ours to remove
	queues  []*queue

	ifName    string // of the kernel interface that it is bound to, or empty
	swappable bool   // the device is ours to remove and create again

	// Valid while attached.
	attached    bool
	id          ethdev.Port
	info        portInfo
	descriptors uint16
	pools       []*mempool.Mempool
	promiscOff  bool // the port was not promiscuous before

	note     string // what an operator should know of the configuration
	trouble  string // why the device could not be created again
	counters counters
}

// poolNumber makes the names of mempools unique in the process.
var poolNumber atomic.Uint64

// attach creates or finds the device, configures and starts the port, and
// binds the queues to it. On an error everything is as before.
func (p *port) attach() (err error) {
	sockets, err := packetSockets()
	if err != nil {
		return err
	}
	p.id, p.created, err = attach(p.opt.Device)
	if err != nil {
		return err
	}
	p.counters.rebase()
	if err := p.start(); err != nil {
		return errors.Join(err, p.release())
	}
	if p.info.driver == "net_af_packet" {
		if err := p.counters.kernel.follow(p.info.ifIndex, sockets); err != nil {
			p.id.Stop()
			return errors.Join(err, p.release())
		}
	}
	for _, q := range p.queues {
		q.bind(uint16(p.id), &p.info)
	}
	p.attached, p.swappable = true, p.created
	return nil
}

func (p *port) start() error {
	var err error
	if p.info, err = infoOf(p.id); err != nil {
		return err
	}
	if err := p.configure(); err != nil {
		return err
	}
	if err := p.setMTU(); err != nil {
		return err
	}
	if err := p.setUpQueues(); err != nil {
		return err
	}
	if err := p.id.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if !p.opt.NoPromiscuous && !promiscuous(p.id) {
		// A port without a filter of its own says ENOTSUP: it receives all anyway.
		if err := p.id.PromiscEnable(); err != nil && !errors.Is(err, syscall.ENOTSUP) {
			p.id.Stop()
			return fmt.Errorf("promiscuous mode: %w", err)
		}
		p.promiscOff = true
	}
	return nil
}

func (p *port) configure() error {
	rxq, info := len(p.queues), &p.info
	if rxq > info.maxRxQueues {
		return fmt.Errorf("queues %d: driver %s has at most %d here", rxq, info.driver, info.maxRxQueues)
	}
	if info.driver == "net_af_packet" && rxq != info.maxRxQueues {
		// The kernel spreads frames over all of them.
		return fmt.Errorf("queues %d: the device has qpairs=%d, and frames of a queue that is not received would be lost", rxq, info.maxRxQueues)
	}
	// A capture port never sends, but several drivers want a transmit queue.
	txq := min(1, info.maxTxQueues)
	mode := ethdev.RxMode{MTU: uint32(p.opt.MTU), Offloads: info.offloads & offloadTimestamp}
	var opts []ethdev.Option
	fields := info.rssFields & rssFields
	p.note = ""
	switch {
	case p.opt.RSS == RSSOn && fields == 0:
		return fmt.Errorf("rss on: driver %s has no RSS over IP addresses or ports; use auto or off", info.driver)
	case p.opt.RSS == RSSOff, p.opt.RSS != RSSOn && rxq == 1:
	case fields == 0:
		p.note = fmt.Sprintf("%d queues without RSS (driver %s has none)", rxq, info.driver)
	default:
		mode.MqMode = mqRSS
		opts = append(opts, ethdev.OptRss(ethdev.RssConf{Key: symmetricKey(info.hashKeySize), Hf: fields}))
	}
	opts = append(opts, ethdev.OptRxMode(mode))
	if err := p.id.DevConfigure(uint16(rxq), uint16(txq), opts...); err != nil {
		return fmt.Errorf("configure %d queues: %w", rxq, err)
	}
	if txq == 1 {
		if err := p.id.TxqSetup(0, 512, ethdev.OptSocket(p.id.SocketID())); err != nil {
			return fmt.Errorf("transmit queue: %w", err)
		}
	}
	return nil
}

// symmetricKey is the Toeplitz key whose hash is equal for both directions of a
// connection (Woo and Park, "Scalable TCP Session Monitoring with Symmetric
// Receive-side Scaling", KAIST 2012). Nil, the driver's own key, where the
// driver takes none.
func symmetricKey(size int) []byte {
	if size == 0 {
		return nil
	}
	return bytes.Repeat([]byte{0x6d, 0x5a}, (size+1)/2)[:size]
}

func (p *port) setMTU() error {
	mtu := p.opt.MTU
	if mtu == 0 {
		return nil
	}
	if mtu < p.info.minMTU || p.info.maxMTU != 0 && mtu > p.info.maxMTU {
		return fmt.Errorf("mtu %d is not within the device's %d..%d", mtu, p.info.minMTU, p.info.maxMTU)
	}
	if err := p.id.SetMTU(uint16(mtu)); err != nil {
		return fmt.Errorf("mtu %d: driver %s cannot set it: %w", mtu, p.info.driver, err)
	}
	return nil
}

func (p *port) setUpQueues() error {
	if err := p.chooseDescriptors(); err != nil {
		return err
	}
	mbufs := p.pool.Mbufs
	if mbufs == 0 {
		mbufs = int(p.descriptors) + 2*packet.ChunkSize
	}
	room := p.pool.DataRoom
	if room == 0 {
		room = max(defaultDataRoom, p.opt.MTU+linkOverhead)
	}
	socket := p.id.SocketID()
	for i := range p.queues {
		mp, err := mempool.CreateMbufPool(fmt.Sprintf("confluo_rx_%d", poolNumber.Add(1)), uint32(mbufs),
			uint16(room+mbufHeadroom), mempool.OptSocket(socket))
		if err != nil {
			return fmt.Errorf("mempool of %d mbufs of %d bytes for queue %d: %w (EAL's memory, or fewer mbufs or descriptors, are what can change)",
				mbufs, room, i, err)
		}
		p.pools = append(p.pools, mp)
		if err := p.id.RxqSetup(uint16(i), p.descriptors, mp, ethdev.OptSocket(socket)); err != nil {
			return fmt.Errorf("receive queue %d of %d descriptors: %w", i, p.descriptors, err)
		}
	}
	return nil
}

func (p *port) chooseDescriptors() error {
	want, i := p.opt.Descriptors, &p.info
	if want == 0 {
		n, err := fitDescriptors(p.id, defaultDescriptors)
		if err != nil {
			return fmt.Errorf("receive descriptors: %w", err)
		}
		p.descriptors = n
		return nil
	}
	if want < i.descMin || i.descMax != 0 && want > i.descMax || want%i.descAlign != 0 {
		return fmt.Errorf("descriptors %d: driver %s takes %d..%d in steps of %d", want, i.driver, i.descMin, i.descMax, i.descAlign)
	}
	p.descriptors = uint16(want)
	return nil
}

// drainLimit bounds drain where frames keep coming: more than any device's
// ring holds.
const drainLimit = 1 << 16

// drain takes off the held queues what the device had received and nobody will
// ask for any more, and counts it. A device that makes its frames when it is
// polled has none waiting.
func (p *port) drain() {
	if !p.attached || p.info.makesOwnInput {
		return
	}
	for _, q := range p.queues {
		p.counters.closed += q.discard(drainLimit)
	}
}

// detach stops the port, whose queues are held, and removes the device if it
// is ours.
func (p *port) detach() error {
	if !p.attached {
		return nil
	}
	p.attached = false
	p.readCounters()
	p.id.Stop()
	return p.release()
}

// release gives back what attach took of a stopped port.
func (p *port) release() error {
	if p.promiscOff {
		// An interface that is gone has no mode to restore.
		_ = promiscuousOff(p.id)
		p.promiscOff = false
	}
	err := p.counters.kernel.leave()
	if p.created {
		err = errors.Join(err, detach(p.name))
		p.created = false
	}
	for _, mp := range p.pools {
		if n := mp.InUseCount(); n != 0 {
			// Freeing it would leave the driver with pointers to nothing.
			err = errors.Join(err, fmt.Errorf("device %s still has %d mbufs, so their pool stays", p.name, n))
			continue
		}
		mp.Free()
	}
	p.pools = nil
	return err
}
