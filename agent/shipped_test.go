package agent

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/confluo/confluo/agent/config"
)

// shipped loads a file of configs/, changed only in what depends on the
// machine.
func shipped(t *testing.T, file string, change func(*config.Config)) *config.Config {
	t.Helper()
	c, err := config.Load(filepath.Join("../configs", file))
	if err != nil {
		t.Fatal(err)
	}
	c.API.Socket = configure(t, "").API.Socket
	c.MultiLog.Memory = 32 << 20
	change(c)
	return c
}

// lives checks that what a shipped configuration installs works on the n frames
// that were sent.
func lives(t *testing.T, a *Agent, n uint64) {
	t.Helper()

	waitFor(t, "all frames are stored", func() bool { return a.Ledger().Stored == n })
	if got := count(t, a, "dst_port == 80"); got != n {
		t.Errorf("%d headers answer, want %d", got, n)
	}
	names := map[string]bool{}
	for _, g := range a.Aggregates() {
		names[g.Name] = true
		if g.Name == "bytes_by_host" && (len(g.Result.Rows) != 1 || g.Result.Rows[0].Headers != n) {
			t.Errorf("bytes_by_host is %+v", g.Result)
		}
	}
	if len(a.Filters()) != 2 || len(a.Indexes()) != 4 || !names["bytes_by_host"] || len(a.Triggers()) != 2 {
		t.Errorf("installed are %v, %v, %v, %v", a.Filters(), a.Indexes(), names, a.Triggers())
	}
	if l := stop(t, a); lost(l) != 0 {
		t.Errorf("%v dropped", l.Dropped)
	}
}

func TestShippedFileConfigurationRuns(t *testing.T) {
	const n = 5000
	a := start(t, shipped(t, "host-pcap.yaml", func(c *config.Config) {
		c.Sources[0].PcapFile.Paths = []string{captureFile(t, n)}
	}))
	lives(t, a, n)
}

func TestShippedInterfaceConfigurationsRun(t *testing.T) {
	const n = 500
	for file, change := range shippedInterfaces {
		t.Run(file, func(t *testing.T) {
			w := newWire(t)
			a := New(shipped(t, file, change), Options{Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
			if err := w.near.Do(func() error { return a.Start(t.Context()) }); err != nil {
				t.Fatal(err)
			}
			w.send(t, 0, n)
			lives(t, a, n)
		})
	}
}

// shippedInterfaces are the shipped configurations of an interface, each with
// what makes it listen on vnear; the build tag dpdk adds one.
var shippedInterfaces = map[string]func(*config.Config){
	"host-afpacket.yaml": func(c *config.Config) { c.Sources[0].AFPacket.Interface = "vnear" },
}
