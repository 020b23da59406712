package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/api"
)

const fileSource = `
sources:
  - {name: file, pcapfile: {paths: [$pcap]}}
spray: {on_full: block}
multilog: {memory: 16MiB}
`

func TestEveryFrameOfAFileIsStoredAndAnswered(t *testing.T) {
	const n = 10_000
	a := start(t, configure(t, fileSource+`
writers: {count: 2}
filters:
  - {name: low, where: src_ip in 0.0.0.0/24}
  - {name: port, where: in_port == 0 && dst_port == 80}
`, "$pcap", captureFile(t, n)))
	<-a.Ended()
	watchLedger(t, a)
	if got := count(t, a, ""); got != n {
		t.Errorf("%d headers are held, want %d", got, n)
	}
	for i, got := range numbers(t, a) {
		if got != uint32(i) {
			t.Fatalf("header %d is frame %d", i, got)
		}
	}
	want := []api.Filter{{Name: "low", Matched: 256}, {Name: "port", Matched: n}}
	for i, f := range a.Filters() {
		if f.Name != want[i].Name || f.Matched != want[i].Matched || f.FromOffset != 0 {
			t.Errorf("filter %+v, want %+v", f, want[i])
		}
	}
	if p := a.Ports().Get(0); p.Name != "file/in.pcap" {
		t.Errorf("the port's name is %q", p.Name)
	}
	if l := stop(t, a); l.Stored != n {
		t.Errorf("stored %d of %d", l.Stored, n)
	}
}

func TestStatusShowsEveryStage(t *testing.T) {
	const n = 5000
	a := start(t, configure(t, fileSource+"writers: {count: 2}\n", "$pcap", captureFile(t, n)))
	<-a.Ended()
	s, err := client(t, a).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.State != "running" || s.Version != "test" || s.PID != os.Getpid() || s.Started.IsZero() {
		t.Errorf("status %+v", s)
	}
	if len(s.Sources) != 1 || s.Sources[0].Kind != "pcapfile" || s.Sources[0].State != "done" || s.Sources[0].Received != n || s.Sources[0].Bytes != n*64 {
		t.Errorf("sources %+v", s.Sources)
	}
	if s.Spray.WriteTail != n || s.Spray.Dropped != 0 {
		t.Errorf("spray %+v", s.Spray)
	}
	if len(s.Rings) != 2 || s.Rings[1].Name != "file/0>writer1" || s.Rings[0].Capacity != 64 || s.Rings[0].Depth != 0 {
		t.Errorf("rings %+v", s.Rings)
	}
	if len(s.Writers) != 2 || s.Writers[0].Headers+s.Writers[1].Headers != n || s.Writers[0].Core != -1 || s.Writers[0].Batches == 0 {
		t.Errorf("writers %+v", s.Writers)
	}
	l := s.Log
	if l.ReadTail != n || l.FirstOffset != 0 || l.Indexes != 4 || l.ToTime.Sub(l.FromTime) != (n-1)*1000 || l.MemoryUsed == 0 || l.MemoryUsed > l.MemoryTotal {
		t.Errorf("log %+v", l)
	}
	if s.Ledger.Received != n || s.Ledger.Stored != n || s.Ledger.InFlight != 0 {
		t.Errorf("ledger %+v", s.Ledger)
	}
	if err := a.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

func TestStatesAreRefusedWhatTheyCannotDo(t *testing.T) {
	a := New(configure(t, fileSource, "$pcap", captureFile(t, 10)), Options{})
	if a.State() != "new" || a.Status().State != "new" || a.Ledger().Received != 0 {
		t.Errorf("a new agent is %+v", a.Status())
	}
	if err := a.Ready(); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("a new agent is ready: %v", err)
	}
	if _, err := a.Stop(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("a new agent was stopped: %v", err)
	}
	if _, _, err := a.Apply(a.Config()); !errors.Is(err, ErrState) {
		t.Errorf("a new agent was reloaded: %v", err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("was started twice: %v", err)
	}
	stop(t, a)
	if _, err := a.Stop(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("was stopped twice: %v", err)
	}
	if _, err := a.InstallFilter("late", nil); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("a filter was installed after the stop: %v", err)
	}
	if fs := a.Filters(); fs != nil {
		t.Errorf("a stopped agent has filters %v", fs)
	}
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pcap")
	for name, tc := range map[string]struct{ yaml, want string }{
		"no such file":      {fileSource, "source file"},
		"no such interface": {"sources: [{name: nic, afpacket: {interface: no-such-if}}]\nmultilog: {memory: 16MiB}", "source nic"},
		"no such CPU":       {strings.Replace(fileSource, "$pcap", captureFile(t, 1), 1) + "writers: {count: 1, cpus: [1023]}", "1023"},
		"too little memory": {strings.NewReplacer("memory: 16MiB", "memory: 16MiB, segment_headers: 1048576", "$pcap", captureFile(t, 1)).Replace(fileSource), "memory"},
		"second of two":     {"sources: [{name: one, pcapfile: {paths: [" + captureFile(t, 1) + "]}}, {name: two, pcapfile: {paths: [$pcap]}}]\nmultilog: {memory: 16MiB}", "source two"},
	} {
		t.Run(name, func(t *testing.T) {
			c := configure(t, tc.yaml, "$pcap", missing)
			a := New(c, Options{})
			err := a.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("start says %v, want something about %q", err, tc.want)
			}
			if a.State() != "stopped" {
				t.Errorf("the agent is %s", a.State())
			}
			if _, err := os.Stat(c.API.Socket); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
		})
	}
}

func TestStartGivesUpWhenItsContextEnds(t *testing.T) {
	a := New(configure(t, fileSource, "$pcap", captureFile(t, 10)), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("start says %v", err)
	}
	if a.State() != "stopped" {
		t.Errorf("the agent is %s", a.State())
	}
}

func TestAnAgentWithoutSourcesAnswers(t *testing.T) {
	a := start(t, configure(t, "multilog: {memory: 16MiB}"))
	if got := count(t, a, ""); got != 0 {
		t.Errorf("%d headers from nowhere", got)
	}
	if err := a.Ready(); err != nil {
		t.Error(err)
	}
	stop(t, a)
}

func TestExpressionsKnowThePorts(t *testing.T) {
	c := configure(t, `
sources:
  - {name: one, pcapfile: {paths: [$pcap]}, tag: 7}
spray: {on_full: block}
multilog: {memory: 16MiB}
`, "$pcap", captureFile(t, 100))
	a := start(t, c)
	<-a.Ended()
	if n := count(t, a, `in_port == "one/in.pcap" && tag == 7`); n != 100 {
		t.Errorf("%d headers of the port", n)
	}
	if n := count(t, a, "bpf:udp dst port 80"); n != 100 {
		t.Errorf("%d headers by capture filter", n)
	}
}

func TestTheSocketsFolderIsMade(t *testing.T) {
	c := configure(t, fileSource, "$pcap", captureFile(t, 10))
	moved := *c
	moved.API.Socket = filepath.Join(filepath.Dir(c.API.Socket), "run", "confluo", "host.sock")
	a := start(t, &moved)
	<-a.Ended()
	if _, err := client(t, a).Filters(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLogLevelsAreSlogs(t *testing.T) {
	for _, level := range []string{"debug", "info", "warn", "error"} {
		c := config.Default()
		c.Agent.Log.Level = level
		a := New(c, Options{})
		if got := strings.ToLower(a.level.Level().String()); got != level {
			t.Errorf("level %s is %s", level, got)
		}
	}
}
