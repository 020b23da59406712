package agent

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/capture/pcapfile"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// The thread of EAL's main lcore waits for the end of the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/yerden/go-dpdk/eal.Init.func1"))
}

// frame is a UDP datagram to port 80 that carries its number as the source
// address.
func frame(n int) []byte {
	f := make([]byte, 64)
	f[12], f[14], f[22], f[23] = 8, 0x45, 64, 17
	binary.BigEndian.PutUint16(f[16:], 50)
	binary.BigEndian.PutUint32(f[26:], uint32(n))
	copy(f[30:], []byte{198, 18, 0, 1})
	binary.BigEndian.PutUint16(f[36:], 80)
	binary.BigEndian.PutUint16(f[38:], 30)
	return f
}

// captureFile writes n numbered frames, a microsecond apart.
func captureFile(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := pcapfile.NewWriter(f, pcapfile.WriterOptions{Ports: []packet.Port{{Name: "file", Link: packet.LinkEthernet}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Write(frame(i), 1_700_000_000_000_000_000+int64(i)*1000, 64, 0, packet.DirIn); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// configure reads a configuration in which $socket stands for a path that is
// this test's own, and every other $ and word for what vars says.
func configure(t testing.TB, yaml string, vars ...string) *config.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "confluo") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	yaml += "\napi: {socket: $socket}\n"
	yaml = strings.NewReplacer(append(vars, "$socket", filepath.Join(dir, "host.sock"))...).Replace(yaml)
	c, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs an agent that is stopped when the test ends, if it was not before.
func start(t testing.TB, c *config.Config) *Agent {
	t.Helper()
	a := New(c, Options{Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Version: "test"})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.State() == "running" {
			stop(t, a)
		}
	})
	return a
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// stop stops a and checks the last ledger.
func stop(t testing.TB, a *Agent) api.Ledger {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := a.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	checkLedger(t, l)
	if l.InFlight != 0 {
		t.Fatalf("%d headers are in flight after the stop", l.InFlight)
	}
	return l
}

func lost(l api.Ledger) (n uint64) {
	for _, d := range l.Dropped {
		n += d
	}
	return n
}

func checkLedger(t testing.TB, l api.Ledger) {
	t.Helper()
	if l.Received != l.Stored+l.InFlight+lost(l) {
		t.Fatalf("received %d, stored %d, in flight %d, dropped %v", l.Received, l.Stored, l.InFlight, l.Dropped)
	}
}

// watchLedger checks the ledger over and over until the test ends: it balances,
// and nothing is stored or dropped that was not received.
func watchLedger(t testing.TB, a *Agent) {
	quit, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(quit); <-done })
	go func() {
		defer close(done)
		var before api.Ledger
		for {
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
			l := a.Ledger()
			if l.Received != l.Stored+l.InFlight+lost(l) || l.InFlight > l.Received {
				t.Errorf("while running: received %d, stored %d, in flight %d, dropped %v", l.Received, l.Stored, l.InFlight, l.Dropped)
				return
			}
			if l.Received < before.Received || l.Stored < before.Stored || lost(l) < lost(before) || l.Evicted < before.Evicted {
				t.Errorf("a counter went back: %+v after %+v", l, before)
				return
			}
			before = l
		}
	}()
}

// waitFor waits until cond is true.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// count asks the agent how many headers match.
func count(t testing.TB, a *Agent, where string) uint64 {
	t.Helper()
	e, err := api.ParseWhere(where, a.Ports())
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := a.Count(t.Context(), diagnoser.Query{Where: e})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// numbers reads the numbers of all frames that are held, in offset order.
func numbers(t testing.TB, a *Agent) []uint32 {
	t.Helper()
	var out []uint32
	all, err := expr.Parse("", nil)
	if err != nil {
		t.Fatal(err)
	}
	q := diagnoser.Query{Where: all, Need: packet.SetOf(packet.SrcIP), Order: diagnoser.ByOffset}
	_, err = a.Query(t.Context(), q, func(r *diagnoser.Rows) error {
		for i := range r.N {
			out = append(out, uint32(r.Cols.SrcIPLo[i]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// client returns a client of the agent's socket.
func client(t testing.TB, a *Agent) *api.Client {
	t.Helper()
	c := api.NewClient(a.Addrs()[0].String())
	t.Cleanup(c.Close)
	return c
}

const (
	ringFull   = pipeline.CauseRingFull
	memoryFull = pipeline.CauseMemoryFull
)
