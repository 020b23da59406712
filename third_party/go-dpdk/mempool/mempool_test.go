package mempool_test

import (
	"errors"
	"log"
	"os"
	"syscall"
	"testing"

	"github.com/yerden/go-dpdk/eal"
	"github.com/yerden/go-dpdk/mbuf"
	"github.com/yerden/go-dpdk/mempool"
)

func TestMain(m *testing.M) {
	if _, err := eal.InitCmd("test --no-huge -m 64 --no-pci --no-shconf --no-telemetry -l 0"); err != nil {
		log.Fatalf("eal: %v", err)
	}
	code := m.Run()
	eal.Cleanup()
	os.Exit(code)
}

func TestPoolCountsWhatIsTakenAndGivenBack(t *testing.T) {
	mp, err := mempool.CreateMbufPool("counted", 255, 2048+128,
		mempool.OptCacheSize(16), mempool.OptPrivateDataSize(64), mempool.OptSocket(-1), mempool.OptOpsName("stack"))
	if err != nil {
		t.Fatal(err)
	}
	defer mp.Free()
	if n := mp.AvailCount(); n != 255 {
		t.Errorf("a new pool of 255 has %d", n)
	}
	ms := make([]*mbuf.Mbuf, 100)
	if err := mbuf.PktMbufAllocBulk(mp, ms); err != nil {
		t.Fatal(err)
	}
	if a, u := mp.AvailCount(), mp.InUseCount(); a != 155 || u != 100 {
		t.Errorf("100 of 255 taken: %d available, %d in use", a, u)
	}
	mbuf.PktMbufFreeBulk(ms)
	if a, u := mp.AvailCount(), mp.InUseCount(); a != 255 || u != 0 {
		t.Errorf("all given back: %d available, %d in use", a, u)
	}
}

func TestPoolIsFoundByName(t *testing.T) {
	mp, err := mempool.CreateMbufPool("named", 63, 256)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := mempool.Lookup("named"); err != nil || got != mp {
		t.Errorf("lookup: %p, %v, want %p", got, err, mp)
	}
	if _, err := mempool.CreateMbufPool("named", 63, 256); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("second pool of the same name: %v, want %v", err, syscall.EEXIST)
	}
	mp.Free()
	if _, err := mempool.Lookup("named"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("lookup after free: %v, want %v", err, syscall.ENOENT)
	}
}

func TestPoolThatCannotBeIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		n    uint32
		room uint16
		opts []mempool.Option
		want error
	}{
		"misaligned private data": {63, 256, []mempool.Option{mempool.OptPrivateDataSize(3)}, syscall.EINVAL},
		"private data too large":  {63, 256, []mempool.Option{mempool.OptPrivateDataSize(1 << 16)}, syscall.EINVAL},
		"cache too large":         {63, 256, []mempool.Option{mempool.OptCacheSize(1 << 12)}, syscall.EINVAL},
		"unknown handler":         {63, 256, []mempool.Option{mempool.OptOpsName("nowhere")}, syscall.EINVAL},
		"more than memory":        {1 << 20, 2048, nil, syscall.ENOMEM},
	} {
		mp, err := mempool.CreateMbufPool("refused", c.n, c.room, c.opts...)
		if err == nil {
			mp.Free()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
