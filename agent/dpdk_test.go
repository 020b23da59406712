//go:build dpdk

package agent

import (
	"strings"
	"testing"

	"github.com/confluo/confluo/agent/config"
)

func init() {
	shippedInterfaces["host-dpdk.yaml"] = func(c *config.Config) {
		p := &c.Sources[0].DPDK.Ports[0]
		p.Device = strings.Replace(p.Device, "iface=eth0", "iface=vnear", 1)
		c.DPDK.EAL.HugePages, c.DPDK.EAL.Args = "off", []string{"--no-telemetry"} // as in the other tests
	}
	interfaceSources["dpdk"] = `
sources: [{name: nic, dpdk: {ports: [{device: "net_af_packet_agent,iface=vnear"}]}}]
multilog: {memory: 16MiB}
` + testEAL
}

// testEAL is the same in all tests: it is set up once in a process.
const testEAL = `
dpdk: {eal: {hugepages: "off", args: [--no-telemetry]}}
`

func TestLedgerIsExactForAPortFasterThanTheLog(t *testing.T) {
	a := start(t, configure(t, `
sources:
  - name: nulls
    dpdk: {ports: [{device: net_null_agent0, queues: 2}, {device: net_null_agent1}]}
writers: {count: 2}
spray: {ring_batches: 4}
multilog: {memory: 16MiB, segment_headers: 4096}
`+testEAL))
	watchLedger(t, a)
	waitFor(t, "rings were full and memory was used again", func() bool {
		l := a.Ledger()
		return l.Dropped[ringFull]+l.Dropped[memoryFull] > 100_000 && l.Evicted > 100_000
	})
	if n := count(t, a, `in_port == "nulls/net_null_agent1"`); n == 0 {
		t.Error("nothing is held of the second port")
	}
	l := stop(t, a)
	if l.Stored != a.log.WriteTail() {
		t.Errorf("ledger %+v, %d claimed", l, a.log.WriteTail())
	}
}
