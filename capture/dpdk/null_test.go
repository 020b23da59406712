//go:build dpdk

package dpdk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/confluo/confluo/packet"
)

func TestNullFramesAreCounted(t *testing.T) {
	s := open(t, Port{Device: "net_null_count,size=777", Index: 3})
	b := newBatch(t, 128)
	var frames, bytes uint64
	for range 100 {
		b.N = 0
		if err := s.Queues()[0].Recv(b, time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range b.N {
			if b.WireLen[i] != 777 || b.CapLen[i] != 128 || b.Port[i] != 3 {
				t.Fatalf("row %d: wire %d, kept %d, port %d", i, b.WireLen[i], b.CapLen[i], b.Port[i])
			}
		}
		frames += uint64(b.N)
		bytes += uint64(b.N) * 777
	}
	if frames != 100*packet.ChunkSize {
		t.Errorf("%d frames in 100 bursts, want %d", frames, 100*packet.ChunkSize)
	}
	st := s.Stats()
	if st.Received != frames || st.Bytes != bytes || st.State != "up" || st.Detail != "" {
		t.Errorf("stats %+v, want %d frames and %d bytes", st, frames, bytes)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Received != frames || drop(t, st, "closed") != 0 {
		t.Errorf("stats after close %+v, want %d frames, none dropped", st, frames)
	}
}

func TestQueuesOfSeveralPortsComeInTheOrderOfTheOptions(t *testing.T) {
	s := openAll(t, Options{Name: "several", Ports: []Port{
		{Device: "net_null_a,size=100", Index: 10, Queues: 3},
		{Device: "net_null_b,size=200", Index: 11},
		{Device: "net_null_c,size=300", Index: 12, Queues: 2},
	}})
	want := []struct{ size, port int }{{100, 10}, {100, 10}, {100, 10}, {200, 11}, {300, 12}, {300, 12}}
	if len(s.Queues()) != len(want) {
		t.Fatalf("%d queues, want %d", len(s.Queues()), len(want))
	}
	for i, q := range s.Queues() {
		b := newBatch(t, 64)
		if err := q.Recv(b, time.Second); err != nil || b.N == 0 {
			t.Fatalf("queue %d: %d frames, %v", i, b.N, err)
		}
		if int(b.WireLen[0]) != want[i].size || int(b.Port[0]) != want[i].port {
			t.Errorf("queue %d: %d bytes from port %d, want %+v", i, b.WireLen[0], b.Port[0], want[i])
		}
	}
}

func TestRSSIsUsedWhereTheDriverHasIt(t *testing.T) {
	// net_null has RSS, net_ring none.
	for _, rss := range []RSS{"", RSSAuto, RSSOn, RSSOff} {
		s := open(t, Port{Device: "net_null_rss", Queues: 2, RSS: rss})
		if d := s.Stats().Detail; d != "" {
			t.Errorf("rss %q of net_null: detail %q, want none", rss, d)
		}
		s.Close()
	}
	_, err := Open(Options{Name: "hash", Ports: []Port{{Device: "net_ring_rss", Queues: 2, RSS: RSSOn}}})
	if err == nil || !strings.Contains(err.Error(), "source hash: port net_ring_rss: rss on: driver net_ring has no RSS") {
		t.Errorf("rss on of net_ring: %v", err)
	}
	s := open(t, Port{Device: "net_ring_rss", Queues: 2, RSS: RSSOff})
	if d := s.Stats().Detail; d != "" {
		t.Errorf("rss off of net_ring: detail %q, want none", d)
	}
}

func TestSourceOpensAgainAfterClose(t *testing.T) {
	for i := range 20 {
		s, err := Open(Options{Name: "again", Ports: []Port{{Device: fmt.Sprintf("net_null_again,size=%d", 100+i), Queues: 2}}})
		if err != nil {
			t.Fatalf("open %d: %v", i, err)
		}
		b := newBatch(t, 64)
		if err := s.Queues()[1].Recv(b, time.Second); err != nil || b.N == 0 || b.WireLen[0] != uint32(100+i) {
			t.Fatalf("open %d: %d frames of %d bytes, %v", i, b.N, b.WireLen[0], err)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close %d: %v", i, err)
		}
	}
}

func TestCountersOfAPortNeverGoBack(t *testing.T) {
	var c climber
	sum := uint64(0)
	for _, step := range []struct{ v, add uint64 }{{5, 5}, {5, 0}, {9, 4}, {2, 2}, {0, 0}, {3, 3}} {
		c.see(step.v)
		if sum += step.add; c.sum != sum {
			t.Errorf("after %d: %d, want %d", step.v, c.sum, sum)
		}
	}
}

func TestOnlyReceiveLossesOfTheDriverAreShown(t *testing.T) {
	for name, want := range map[string]bool{
		"rx_good_packets": false, "tx_errors": false, "tx_dropped": false,
		"rx_missed_errors": false, "rx_errors": false, "rx_mbuf_allocation_errors": false, // in StatsGet
		"rx_out_of_buffer": true, "rx_phy_discard_packets": true, "rx_q0_errors": true, "mac_local_errors": true, "rx_fifo_overrun": true,
	} {
		if got := reportsLoss(name); got != want {
			t.Errorf("%s: %t, want %t", name, got, want)
		}
	}
}

func TestRecvAllocatesNothing(t *testing.T) {
	full := open(t, Port{Device: "net_null_alloc"}).Queues()[0]
	empty := open(t, Port{Device: "net_ring_alloc"}).Queues()[0]
	b := newBatch(t, 128)
	n := testing.AllocsPerRun(200, func() {
		b.N = 0
		if full.Recv(b, time.Second) != nil || !b.Full() {
			t.Fatal("no full batch")
		}
		b.N = 0
		if empty.Recv(b, 100*time.Microsecond) != nil || b.N != 0 {
			t.Fatal("no empty batch")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a Recv", n)
	}
}

// BenchmarkRecv measures a burst of 256 frames from net_null: DPDK's receive
// function, the cgo call, the copy of the slices and the free of the mbufs.
func BenchmarkRecv(b *testing.B) {
	for _, stride := range []int{64, 128} {
		b.Run(fmt.Sprintf("stride=%d", stride), func(b *testing.B) {
			s := open(b, Port{Device: "net_null_bench,size=512"})
			q := s.Queues()[0]
			batch := newBatch(b, stride)
			frames := 0
			for b.Loop() {
				batch.N = 0
				if err := q.Recv(batch, time.Second); err != nil {
					b.Fatal(err)
				}
				frames += batch.N
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(frames), "ns/header")
		})
	}
}
