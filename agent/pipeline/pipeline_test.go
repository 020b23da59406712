package pipeline_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/pcapfile"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/spray"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// captureFile writes n numbered UDP frames and returns the file's path.
func captureFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ports := new(packet.PortTable)
	port, err := ports.Add(packet.Port{Name: "file", Link: packet.LinkEthernet})
	if err != nil {
		t.Fatal(err)
	}
	w, err := pcapfile.NewWriter(f, pcapfile.WriterOptions{Ports: []packet.Port{*ports.Get(port)}})
	if err != nil {
		t.Fatal(err)
	}
	var frame [64]byte
	frame[12], frame[14], frame[22], frame[23] = 8, 0x45, 64, 17
	binary.BigEndian.PutUint16(frame[16:], 50)
	binary.BigEndian.PutUint16(frame[38:], 30)
	for i := range n {
		binary.BigEndian.PutUint32(frame[26:], uint32(i)) // source address
		if err := w.Write(frame[:], 1_700_000_000_000_000_000+int64(i)*1000, 64, port, packet.DirIn); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// open makes a pipeline over a capture file, several times in parallel.
func open(t *testing.T, o pipeline.Options, path string, sources int) *pipeline.Pipeline {
	t.Helper()
	ports := new(packet.PortTable)
	var ss []capture.Source
	for i := range sources {
		s, err := pcapfile.Open(pcapfile.Options{Name: fmt.Sprint("file", i), Paths: []string{path},
			Port: func(name string, link packet.LinkType) (uint16, error) {
				return ports.Add(packet.Port{Name: fmt.Sprint(name, i), Link: link})
			}})
		if err != nil {
			t.Fatal(err)
		}
		ss = append(ss, s)
	}
	o.Log.Ports, o.Log.SnapLen = ports, 64
	p, err := pipeline.New(o, ss)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func checkLedger(t *testing.T, p *pipeline.Pipeline, want uint64) pipeline.Ledger {
	t.Helper()
	l := p.Ledger()
	if l.Received != l.Stored+l.InFlight+l.Dropped() {
		t.Fatalf("received %d, stored %d, in flight %d, dropped %d", l.Received, l.Stored, l.InFlight, l.Dropped())
	}
	if want > 0 && (l.Received != want || l.InFlight != 0) {
		t.Fatalf("at the end: received %d of %d, in flight %d", l.Received, want, l.InFlight)
	}
	return l
}

func TestEveryFrameOfSeveralFilesIsStored(t *testing.T) {
	const n, files = 30_000, 2
	p := open(t, pipeline.Options{Writers: 2, Policy: spray.Block, RingBatches: 4,
		Log: multilog.Options{Segments: 24, SegmentHeaders: 4096}}, captureFile(t, n), files)
	p.Start()
	<-p.Ended()
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := checkLedger(t, p, n*files)
	if l.Stored != n*files {
		t.Errorf("stored %d", l.Stored)
	}
	seen := make([]int, n)
	s, err := p.Log().Scan(multilog.ScanOptions{To: p.Log().ReadTail(), Need: packet.SetOf(packet.SrcIP)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Next() {
		s.Match().Each(func(i int) { seen[uint32(s.Columns().SrcIPLo[i])]++ })
	}
	for i, c := range seen {
		if c != files {
			t.Fatalf("frame %d is there %d times", i, c)
		}
	}
}

func TestLedgerHoldsWhileHeadersAreDropped(t *testing.T) {
	const n = 100_000
	p := open(t, pipeline.Options{RingBatches: 2, Policy: spray.Drop,
		Log: multilog.Options{Segments: 5, SegmentHeaders: 1024}}, captureFile(t, n), 1)
	hold := p.Log().Hold(0) // memory fills and stays full
	defer hold.Release()
	p.Start()
	for running := true; running; {
		select {
		case <-p.Ended():
			running = false
		default:
			checkLedger(t, p, 0)
		}
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := checkLedger(t, p, n)
	if l.Dropped() == 0 || l.Stored == 0 {
		t.Errorf("stored %d, dropped %d: the fault did not happen", l.Stored, l.Dropped())
	}
}

func TestStopInTheMiddleOfABurstStoresWhatWasDelivered(t *testing.T) {
	for name, policy := range map[string]spray.Policy{"drop": spray.Drop, "block": spray.Block} {
		t.Run(name, func(t *testing.T) {
			p := open(t, pipeline.Options{Policy: policy, RingBatches: 2,
				Log: multilog.Options{Segments: 5, SegmentHeaders: 1024}}, captureFile(t, 200_000), 1)
			hold := p.Log().Hold(0) // with block, capture waits for memory when Stop comes
			defer hold.Release()
			p.Start()
			for p.Log().ReadTail() < 2000 {
				time.Sleep(10 * time.Microsecond)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if err := p.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			l := checkLedger(t, p, 0)
			if l.InFlight != 0 {
				t.Errorf("%d headers are still in flight", l.InFlight)
			}
		})
	}
}

func TestADamagedFileIsReadUpToTheDamageAndSaysSo(t *testing.T) {
	path := captureFile(t, 1000)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-30], 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, pipeline.Options{Policy: spray.Block, Log: multilog.Options{Segments: 5, SegmentHeaders: 1024}}, path, 1)
	p.Start()
	<-p.Ended()
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if l := checkLedger(t, p, 999); l.Stored != 999 {
		t.Errorf("stored %d", l.Stored)
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "in.pcap") {
		t.Errorf("error %v does not name the file", err)
	}
}
