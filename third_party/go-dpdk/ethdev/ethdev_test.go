package ethdev_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/yerden/go-dpdk/eal"
	"github.com/yerden/go-dpdk/ethdev"
	"github.com/yerden/go-dpdk/mbuf"
	"github.com/yerden/go-dpdk/mempool"
)

var pool *mempool.Mempool

func TestMain(m *testing.M) {
	_, err := eal.InitCmd("test --no-huge -m 128 --no-pci --no-shconf --no-telemetry -l 0" +
		" --vdev net_ring0 --vdev net_null0,size=100")
	if err != nil {
		log.Fatalf("eal: %v", err)
	}
	if pool, err = mempool.CreateMbufPool("ethdev", 4095, 2048+128); err != nil {
		log.Fatalf("pool: %v", err)
	}
	code := m.Run()
	eal.Cleanup()
	os.Exit(code)
}

func start(t *testing.T, name string, rxq, txq uint16, opts ...ethdev.Option) ethdev.Port {
	t.Helper()
	p, err := ethdev.GetPortByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := p.DevConfigure(rxq, txq, opts...); err != nil {
		t.Fatalf("configure %s: %v", name, err)
	}
	for q := range rxq {
		if err := p.RxqSetup(q, 512, pool, ethdev.OptSocket(-1)); err != nil {
			t.Fatalf("receive queue %d of %s: %v", q, name, err)
		}
	}
	for q := range txq {
		if err := p.TxqSetup(q, 512); err != nil {
			t.Fatalf("transmit queue %d of %s: %v", q, name, err)
		}
	}
	if err := p.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(p.Stop)
	return p
}

func TestPortsAreFoundByName(t *testing.T) {
	if n := ethdev.CountAvail(); n != 2 {
		t.Errorf("%d ports, want 2", n)
	}
	for _, name := range []string{"net_ring0", "net_null0"} {
		p, err := ethdev.GetPortByName(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := p.Name(); err != nil || got != name {
			t.Errorf("name of port %d: %q, %v, want %q", p, got, err, name)
		}
		if !p.IsValid() || !slices.Contains(ethdev.ValidPorts(), p) {
			t.Errorf("port %d (%s) is not among the valid ports %v", p, name, ethdev.ValidPorts())
		}
		if s := p.SocketID(); s < -1 || s > 8 {
			t.Errorf("socket of %s: %d", name, s)
		}
		var info ethdev.DevInfo
		if err := p.InfoGet(&info); err != nil || info.DriverName() != name[:len(name)-1] || info.InterfaceName() != "" {
			t.Errorf("info of %s: driver %q, interface %q, %v", name, info.DriverName(), info.InterfaceName(), err)
		}
	}
	if _, err := ethdev.GetPortByName("nowhere"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("nowhere: %v, want %v", err, syscall.ENODEV)
	}
	const none = ethdev.Port(31)
	if _, err := none.Name(); err == nil || none.IsValid() {
		t.Errorf("port 31: valid %t, name error %v", none.IsValid(), err)
	}
}

func TestWhatARingSendsItReceives(t *testing.T) {
	p := start(t, "net_ring0", 1, 1)
	if err := p.StatsReset(); err != nil {
		t.Fatal(err)
	}
	out := make([]*mbuf.Mbuf, 40)
	if err := mbuf.PktMbufAllocBulk(pool, out); err != nil {
		t.Fatal(err)
	}
	frame := func(i int) []byte {
		return binary.BigEndian.AppendUint32(bytes.Repeat([]byte{byte(i)}, 60+i), uint32(i))
	}
	for i, m := range out {
		if err := m.PktMbufAppend(frame(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.TxBurst(0, out); n != 40 {
		t.Fatalf("sent %d of 40", n)
	}
	in := make([]*mbuf.Mbuf, 64)
	n := p.RxBurst(0, in)
	if n != 40 {
		t.Fatalf("received %d of 40", n)
	}
	for i, m := range in[:n] {
		if !bytes.Equal(m.Data(), frame(i)) {
			t.Errorf("frame %d: %x, want %x", i, m.Data(), frame(i))
		}
	}
	mbuf.PktMbufFreeBulk(in[:n])
	if n := p.RxBurst(0, nil) + p.TxBurst(0, nil); n != 0 {
		t.Errorf("bursts of none moved %d", n)
	}

	var s ethdev.Stats
	if err := p.StatsGet(&s); err != nil {
		t.Fatal(err)
	}
	if g := s.Cast(); g.Ipackets != 40 || g.Opackets != 40 || g.Imissed+g.Ierrors+g.Oerrors+g.RxNoMbuf != 0 {
		t.Errorf("counters %+v, want 40 in and out", *g)
	}
	names, err := p.XstatNames()
	if err != nil {
		t.Fatal(err)
	}
	if need, err := p.XstatsGet(nil); err != nil || need != len(names) {
		t.Errorf("extended counters: %d, %v, want %d", need, err, len(names))
	}
	xs := make([]ethdev.Xstat, len(names))
	got, err := p.XstatsGet(xs)
	if err != nil || got != len(names) {
		t.Fatalf("extended counters: %d, %v, want %d", got, err, len(names))
	}
	found := false
	for _, x := range xs[:got] {
		if names[x.Index].String() == "rx_good_packets" {
			found = true
			if x.Value != 40 {
				t.Errorf("rx_good_packets is %d, want 40", x.Value)
			}
		}
	}
	if !found {
		t.Error("no extended counter rx_good_packets")
	}
	if err := p.StatsReset(); err != nil {
		t.Fatal(err)
	}
	if p.StatsGet(&s); s.Cast().Ipackets != 0 {
		t.Errorf("%d packets after reset", s.Cast().Ipackets)
	}
}

func TestRingLinkFollowsStartAndStop(t *testing.T) {
	p := start(t, "net_ring0", 1, 1)
	for _, up := range []bool{true, false} {
		if !up {
			p.Stop()
		}
		l, err := p.EthLinkGetNowait()
		if err != nil || l.Status() != up {
			t.Errorf("link up=%t, %v, want %t", l.Status(), err, up)
		}
	}
	if err := p.PromiscEnable(); err != nil {
		t.Errorf("promiscuous: %v", err)
	}
	if mtu, err := p.GetMTU(); err != nil || mtu != 1500 {
		t.Errorf("mtu %d, %v, want 1500", mtu, err)
	}
	// net_ring has no way to set it.
	if err := p.SetMTU(1400); !errors.Is(err, syscall.ENOTSUP) {
		t.Errorf("set mtu: %v, want %v", err, syscall.ENOTSUP)
	}
}

const (
	mqRSS     = 1         // RTE_ETH_MQ_RX_RSS
	hashIP    = 0x1 << 2  // RTE_ETH_RSS_IPV4
	offloadTS = 0x1 << 14 // RTE_ETH_RX_OFFLOAD_TIMESTAMP
)

func TestRSSIsConfiguredWhereTheDriverHasIt(t *testing.T) {
	p := start(t, "net_null0", 4, 1,
		ethdev.OptRxMode(ethdev.RxMode{MqMode: mqRSS}), ethdev.OptRss(ethdev.RssConf{Hf: hashIP}))
	in := make([]*mbuf.Mbuf, 32)
	for q := range uint16(4) {
		n := p.RxBurst(q, in)
		if n != 32 || in[0].PktLen() != 100 {
			t.Errorf("queue %d: %d frames of %d bytes, want 32 of 100", q, n, in[0].PktLen())
		}
		mbuf.PktMbufFreeBulk(in[:n])
	}
	p.Stop()
	if err := p.DevConfigure(1, 1, ethdev.OptRss(ethdev.RssConf{Key: make([]byte, 40), Hf: 1 << 63})); err == nil {
		t.Error("a hash over unknown fields was accepted")
	}
	ring, err := ethdev.GetPortByName("net_ring0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.DevConfigure(1, 1, ethdev.OptRxMode(ethdev.RxMode{Offloads: offloadTS})); err == nil {
		t.Error("an offload that net_ring does not have was accepted")
	}
	if err := ring.RxqSetup(0, 64, nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("receive queue without a pool: %v, want %v", err, syscall.EINVAL)
	}
}

func TestClosedPortIsGone(t *testing.T) {
	p := start(t, "net_null0", 1, 1)
	p.Stop()
	p.Close()
	if p.IsValid() {
		t.Error("port is valid after close")
	}
}
