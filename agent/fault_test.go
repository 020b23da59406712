package agent

import (
	"bufio"
	"context"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/confluo/confluo/api"
)

// busySource delivers one file over and over, as fast as it is taken.
const busySource = `
sources:
  - {name: busy, pcapfile: {paths: [$pcap], loops: -1}}
multilog: {memory: 16MiB, segment_headers: 4096}
indexes: [src_ip]
`

func TestLedgerIsExactWhenRingsAreFull(t *testing.T) {
	a := start(t, configure(t, busySource+"spray: {ring_batches: 2}\n", "$pcap", captureFile(t, 20_000)))
	watchLedger(t, a)
	waitFor(t, "a ring was full", func() bool { return a.Ledger().Dropped[ringFull] > 100_000 })
	l := stop(t, a)
	received := a.pipe.Ledger().Sources[0].Stats.Received
	if l.Received != received || l.Stored != a.log.WriteTail() || lost(l) == 0 {
		t.Errorf("ledger %+v: the source delivered %d, %d were claimed", l, received, a.log.WriteTail())
	}
}

func TestDroppedFramesAreThoseThatAreNotStored(t *testing.T) {
	// A finite file, more than rings have room for and less than memory.
	const n = 60_000
	for range 50 {
		a := start(t, configure(t, strings.Replace(fileSource, "block", "drop, ring_batches: 2", 1), "$pcap", captureFile(t, n)))
		<-a.Ended()
		held := numbers(t, a)
		seen := make(map[uint32]bool, n)
		for i, k := range held {
			if seen[k] || i > 0 && k < held[i-1] {
				t.Fatalf("frame %d came twice or late", k)
			}
			seen[k] = true
		}
		l := stop(t, a)
		if l.Received != n || uint64(len(held)) != l.Stored || l.Dropped[ringFull] != n-l.Stored {
			t.Fatalf("of %d frames %d are held; ledger %+v", n, len(held), l)
		}
		if l.Stored < n {
			return // some were dropped: that is what was to be seen
		}
	}
	t.Error("no ring was ever full")
}

func TestLedgerIsExactWhenMemoryIsFull(t *testing.T) {
	a := start(t, configure(t, busySource, "$pcap", captureFile(t, 20_000)))
	watchLedger(t, a)
	hold := a.log.Hold(0)
	waitFor(t, "memory was full", func() bool { return a.Ledger().Dropped[memoryFull] > 100_000 })
	full := a.Ledger()
	if full.Evicted != 0 {
		t.Errorf("%d headers were evicted from under a hold", full.Evicted)
	}
	hold.Release()
	waitFor(t, "retention goes on", func() bool { return a.Ledger().Evicted > full.Stored })
	l := stop(t, a)
	if l.Stored <= full.Stored {
		t.Errorf("stored %d after memory was free again, %d before", l.Stored, full.Stored)
	}
}

func TestAReaderThatNeverReadsHoldsNothingUp(t *testing.T) {
	a := start(t, configure(t, busySource+"spray: {on_full: block}\n", "$pcap", captureFile(t, 20_000)))
	watchLedger(t, a)
	waitFor(t, "memory was used once", func() bool { return a.Ledger().Evicted > 0 })
	var conns []net.Conn
	for range 5 {
		conn, err := net.Dial("unix", a.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		body := `{"fields": ["all"]}`
		req := "POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		if _, err := conn.Write([]byte(req)); err != nil {
			t.Fatal(err)
		}
		// Only the head of the answer is read, never its body.
		line, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
		if err != nil || !strings.Contains(line, "200") {
			t.Fatalf("answer %q, %v", line, err)
		}
	}
	before := a.Ledger()
	waitFor(t, "memory was used ten times more", func() bool { return a.Ledger().Evicted > before.Evicted+10*a.log.Capacity() })
	if after := a.Ledger(); lost(after) != 0 {
		t.Errorf("%v dropped beside readers that do not read", after.Dropped)
	}
	// The readers are cut off when the agent stops.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l, _ := a.Stop(ctx)
	checkLedger(t, l)
	if l.InFlight != 0 {
		t.Errorf("%d headers are in flight", l.InFlight)
	}
	for _, c := range conns {
		c.Close()
	}
}

func TestStopInTheMiddleOfABurst(t *testing.T) {
	path := captureFile(t, 20_000)
	for _, policy := range []string{"drop", "block"} {
		for i := range 10 {
			a := start(t, configure(t, busySource+"spray: {ring_batches: 4, on_full: "+policy+"}\nwriters: {count: 2}\n", "$pcap", path))
			for deadline := time.Now().Add(time.Duration(i) * time.Millisecond); time.Now().Before(deadline); {
				runtime.Gosched()
			}
			l := stop(t, a)
			if l.Stored != a.log.WriteTail() || l.Received != a.pipe.Ledger().Sources[0].Stats.Received {
				t.Fatalf("ledger %+v, %d claimed", l, a.log.WriteTail())
			}
			if policy == "block" && lost(l) != 0 {
				t.Errorf("%v dropped although spray blocks", l.Dropped)
			}
		}
	}
}

func TestStopGivesUpWaitingForMemoryWhenItsContextEnds(t *testing.T) {
	a := start(t, configure(t, busySource+"spray: {on_full: block}\n", "$pcap", captureFile(t, 20_000)))
	hold := a.log.Hold(0) // never released: memory stays full
	defer hold.Release()
	waitFor(t, "memory was full", func() bool {
		before := a.log.WriteTail()
		time.Sleep(20 * time.Millisecond)
		return before > 0 && a.log.WriteTail() == before
	})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	l, err := a.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	checkLedger(t, l)
	if l.InFlight != 0 || l.Dropped[memoryFull] == 0 || l.Dropped[memoryFull] > 256 {
		t.Errorf("ledger %+v: want the one batch that waited counted as dropped", l)
	}
}

func TestFootersTellWhatTheRangeLost(t *testing.T) {
	a := start(t, configure(t, strings.Replace(busySource, "loops: -1", "loops: -1, stamp: now", 1)+"spray: {ring_batches: 2}\n", "$pcap", captureFile(t, 20_000)))
	waitFor(t, "a ring was full", func() bool { return a.Ledger().Dropped[ringFull] > 10_000 })
	c := client(t, a)
	waitFor(t, "the footer says so", func() bool {
		r, err := c.Count(t.Context(), &api.CountRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Footer.Dropped[ringFull] > 0
	})
	r, err := c.Count(t.Context(), &api.CountRequest{Selection: api.Selection{To: a.started}})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Footer.Dropped[ringFull]; n != 0 {
		t.Errorf("%d drops are told of a time before the start", n)
	}
}
