package main

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/capture"
)

func TestStatusShowsThePipelineStageByStage(t *testing.T) {
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s := &api.Status{
		Version: "1.0", PID: 42, State: "running", Started: start, Time: start.Add(90 * time.Second), Config: "/etc/confluo/host.yaml",
		Sources: []api.SourceStatus{
			{Name: "uplink", Kind: "dpdk", State: "up", Received: 123456789, HeadersPerSecond: 1.5e6, BytesPerSecond: 1.2e9,
				Drops: []capture.Drop{{Cause: "nic_imissed", N: 70}, {Cause: "nic_rx_nombuf", N: 7}}},
			{Name: "veth0", Kind: "afpacket", State: "gone", Detail: "waiting for the interface"},
		},
		Spray:   api.SprayStatus{WriteTail: 123456000, Dropped: 789, HeadersPerSecond: 1.5e6},
		Rings:   []api.RingStatus{{Name: "uplink/0>writer0", Depth: 16, Capacity: 64}},
		Writers: []api.WriterStatus{{Name: "writer0", Core: 3, Headers: 123456000, Batches: 500000, HeadersPerSecond: 1.5e6}, {Name: "writer1", Core: -1}},
		Log: api.LogStatus{FirstOffset: 1000, ReadTail: 123456000, FromTime: start, ToTime: start.Add(time.Minute), Segments: 16,
			MemoryUsed: 3e9, MemoryTotal: 4e9, Filters: 2, Indexes: 4, Aggregates: 1, Snapshots: 1},
		Monitor: api.MonitorStatus{Triggers: 3, Firing: 1, Alerts: 12, Evaluations: 90000},
		Ledger: api.Ledger{Received: 123456866, Stored: 123456000, Dropped: map[string]uint64{"nic_imissed": 70, "nic_rx_nombuf": 7, "spray_ring_full": 789, "kernel_ring": 0},
			Evicted: 1000},
	}
	want := `confluo-host 1.0, pid 42, running for 1m30s, /etc/confluo/host.yaml

sources
name    kind      state   received  headers/s  bit/s  dropped  detail
uplink  dpdk      up     123456789       1.5M   9.6G       77  -
veth0   afpacket  gone           0          0      0        0  waiting for the interface

spray
write tail 123456000, 1.5M headers/s, 789 dropped

rings
uplink/0>writer0 [|||||               ] 16 of 64 batches

writers
name     core    headers  headers/s  headers/batch
writer0     3  123456000       1.5M          246.9
writer1   any          0          0              -

log
offsets 1000..123456000, 2026-03-04T05:06:07Z to 2026-03-04T05:07:07Z
memory [|||||||||||||||     ] 3 GB of 4 GB, 16 segments
filters 2, indexes 4, aggregates 1, snapshots 1

monitor
triggers 3, firing 1, alerts 12, undelivered 0, evaluations 90000

ledger
received 123456866 = stored 123456000 + in flight 0 + dropped 866
  nic_imissed      70
  nic_rx_nombuf    7
  spray_ring_full  789
of those stored, 1000 have since made room for newer ones
`
	if diff := cmp.Diff(want, statusText(s, false)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	// Colour changes nothing but colour.
	escape := regexp.MustCompile("\x1b\\[[0-9]*m")
	coloured := statusText(s, true)
	if !escape.MatchString(coloured) {
		t.Error("no colour")
	}
	if diff := cmp.Diff(want, escape.ReplaceAllString(coloured, "")); diff != "" {
		t.Errorf("status in colour (-want +got):\n%s", diff)
	}
}
