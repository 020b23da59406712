package mbuf_test

import (
	"bytes"
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

func pool(t *testing.T, n uint32) *mempool.Mempool {
	t.Helper()
	mp, err := mempool.CreateMbufPool("mbuf", n, 256+128)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mp.Free)
	return mp
}

func TestAppendedBytesAreThePacket(t *testing.T) {
	mp := pool(t, 15)
	ms := make([]*mbuf.Mbuf, 1)
	if err := mbuf.PktMbufAllocBulk(mp, ms); err != nil {
		t.Fatal(err)
	}
	m := ms[0]
	if m.PktLen() != 0 || len(m.Data()) != 0 || m.Next() != nil {
		t.Errorf("new mbuf: length %d, data %x, next %p", m.PktLen(), m.Data(), m.Next())
	}
	a, b := []byte("first "), bytes.Repeat([]byte{0xa5}, 200)
	for _, d := range [][]byte{a, b, nil} {
		if err := m.PktMbufAppend(d); err != nil {
			t.Fatal(err)
		}
	}
	want := append(a, b...)
	if !bytes.Equal(m.Data(), want) || m.PktLen() != uint32(len(want)) {
		t.Errorf("data %x, length %d, want %x", m.Data(), m.PktLen(), want)
	}
	for _, n := range []int{51, 1 << 16} { // 256 bytes of room, 206 used
		if err := m.PktMbufAppend(make([]byte, n)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("append of %d bytes: %v, want %v", n, err, syscall.ENOSPC)
		}
	}
	m.PktMbufReset()
	if m.PktLen() != 0 || len(m.Data()) != 0 {
		t.Errorf("after reset: length %d, data %x", m.PktLen(), m.Data())
	}
	m.PktMbufFree()
	if n := mp.InUseCount(); n != 0 {
		t.Errorf("%d mbufs in use after free", n)
	}
}

func TestAllocBulkIsAllOrNothing(t *testing.T) {
	mp := pool(t, 15)
	if err := mbuf.PktMbufAllocBulk(mp, nil); err != nil {
		t.Errorf("none: %v", err)
	}
	if err := mbuf.PktMbufAllocBulk(mp, make([]*mbuf.Mbuf, 16)); err == nil {
		t.Error("16 of 15 were given")
	}
	if n := mp.InUseCount(); n != 0 {
		t.Errorf("%d mbufs in use after a refused bulk", n)
	}
	ms := make([]*mbuf.Mbuf, 15)
	if err := mbuf.PktMbufAllocBulk(mp, ms); err != nil {
		t.Fatal(err)
	}
	mbuf.PktMbufFreeBulk(ms)
	mbuf.PktMbufFreeBulk(nil)
	if n := mp.InUseCount(); n != 0 {
		t.Errorf("%d mbufs in use after the free of a bulk", n)
	}
}
