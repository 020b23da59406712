package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confluo/confluo/internal/nettest"
)

// TestRealTCPIsCapturedWholeByEverySource runs the agent in a namespace whose
// one link is captured by AF_PACKET and, where it is built in, by DPDK, and has
// iperf3 send over it. Both sources must have every frame that tcpdump has.
func TestRealTCPIsCapturedWholeByEverySource(t *testing.T) {
	need(t, "iperf3", "tcpdump")
	lab := nettest.New(t)
	client, server := lab.Namespace("client"), lab.Namespace("server")
	lab.Veth(nettest.End{NS: client, Name: "vclient", Addr: "10.77.0.1/24"}, nettest.End{NS: server, Name: "vserver", Addr: "10.77.0.2/24"})

	dir := t.TempDir()
	socket, config := filepath.Join(dir, "host.sock"), filepath.Join(dir, "host.yaml")
	yaml := "sources:\n  - {name: kernel, afpacket: {interface: vserver}}\n"
	if len(buildFlags) > 0 {
		yaml += `  - {name: bypass, dpdk: {ports: [{device: "net_af_packet0,iface=vserver"}]}}
dpdk: {eal: {hugepages: "off", memory: 256MiB}}
`
	}
	yaml += fmt.Sprintf(`multilog: {memory: 256MiB}
filters: [{name: test, where: tcp && port == 5201}]
aggregates: [{name: bytes, filter: test, compute: SUM(pkt_len) BY in_port}]
triggers: [{name: busy, aggregate: bytes, when: "> 1MB over 100ms every 10ms"}]
api: {socket: %s}
`, socket)
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	agent := server.Start(t, program, "run", "-c", config)
	waitFor(t, "the agent captures", func() bool {
		out, err := confluo("status", "--socket", socket, "-o", "json")
		return err == nil && strings.Contains(out, `"state": "running"`)
	})
	trace := filepath.Join(dir, "trace.pcap")
	dump := server.Start(t, "tcpdump", "-i", "vserver", "-n", "-s", "128", "-B", "65536", "-w", trace, "tcp port 5201")
	server.Start(t, "iperf3", "-s", "-1")
	time.Sleep(time.Second) // tcpdump and iperf3 say nothing of use when they are ready
	client.Run(t, "iperf3", "-c", "10.77.0.2", "-t", "2", "-b", "200M")

	ask := func(args ...string) string {
		t.Helper()
		out, err := confluo(append(args, "--socket", socket)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	settled := ""
	waitFor(t, "all frames are stored", func() bool {
		now := ask("count", "tcp && port == 5201")
		same := now == settled && now != "0"
		settled = now
		time.Sleep(200 * time.Millisecond)
		return same
	})
	time.Sleep(1500 * time.Millisecond) // tcpdump sees what came last when its block times out, after a second
	if err := dump.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, stderr, err := dump.Wait(); err != nil || !strings.Contains(string(stderr), "\n0 packets dropped by kernel") {
		t.Fatalf("tcpdump: %v: %s", err, stderr)
	}
	out, err := confluo("count", "--pcap", trace, "")
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || want < 1000 {
		t.Fatalf("tcpdump has %q frames", out)
	}

	var byPort struct {
		Rows []struct {
			Group map[string]string
			Value int
		}
	}
	if err := json.Unmarshal([]byte(ask("aggregate", "eval", "COUNT() BY in_port", "--where", "tcp && port == 5201", "-o", "json")), &byPort); err != nil {
		t.Fatal(err)
	}
	if sources := strings.Count(yaml, "{name: kernel") + strings.Count(yaml, "{name: bypass"); len(byPort.Rows) != sources {
		t.Errorf("%d ports have headers, want %d: %v", len(byPort.Rows), sources, byPort.Rows)
	}
	// On a busy machine a source may lose frames; each one is then counted.
	var status struct {
		Sources []struct {
			Name  string
			Drops []struct{ N int }
		}
	}
	if err := json.Unmarshal([]byte(ask("status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, r := range byPort.Rows {
		port, lost := r.Group["in_port"], 0
		for _, s := range status.Sources {
			if s.Name == port {
				for _, d := range s.Drops {
					lost += d.N
				}
			}
		}
		if r.Value+lost < want || r.Value > want {
			t.Errorf("%s has %d headers and lost %d, tcpdump has %d", port, r.Value, lost, want)
		}
	}
	if n := ask("count", "--filter", "test"); n != settled {
		t.Errorf("the filter has %s headers, a scan %s", n, settled)
	}
	if alerts := ask("alerts", "-o", "ndjson"); !strings.Contains(alerts, `"firing"`) || !strings.Contains(alerts, `"severity":"warning"`) {
		t.Errorf("200 Mbit/s raised no alert: %q", alerts)
	}
	if err := agent.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := agent.Wait()
	if err != nil || !strings.Contains(string(stderr), "ledger.in_flight=0") {
		t.Errorf("the agent ended with %v: %s", err, stderr)
	}
	t.Logf("%d frames each; %.300s", want, stderr[strings.LastIndex(string(stderr), "stopped"):])
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s until %s", what)
		}
	}
}
