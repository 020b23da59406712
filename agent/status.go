package agent

import (
	"fmt"
	"os"
	"time"

	"github.com/confluo/confluo/api"
)

// Status implements api.Host. It may be called at any time; while the
// agent does not run there is little in it.
func (a *Agent) Status() *api.Status {
	s := &api.Status{
		Version: a.opt.Version,
		PID:     os.Getpid(),
		State:   a.State(),
		Time:    time.Now(),
		Config:  a.opt.Path,
	}
	if a.state.Load() >= stateStarting {
		s.Started = a.started
	}
	done, err := a.use()
	if err != nil {
		return s
	}
	defer done()
	cfg := a.cfg.Load()
	p := a.pipe.Ledger()
	s.Ledger = apiLedger(&p)
	for i := range p.Sources {
		src := &p.Sources[i]
		s.Sources = append(s.Sources, api.SourceStatus{
			Name: src.Name, Kind: cfg.Sources[i].Kind(), State: src.Stats.State, Detail: src.Stats.Detail,
			Received: src.Stats.Received, Bytes: src.Stats.Bytes, Drops: src.Drops(),
		})
		s.Spray.Dropped += src.RingFull + src.MemoryFull
	}
	s.Spray.WriteTail = a.log.WriteTail()

	fill, slots := a.pipe.Rings()
	for i, name := range a.ringNames() {
		s.Rings = append(s.Rings, api.RingStatus{Name: name, Depth: fill[i], Capacity: slots})
	}
	headers, batches := a.pipe.Writers()
	for i := range headers {
		core := -1
		if cpus := cfg.Writers.CPUs; len(cpus) > 0 {
			core = cpus[i]
		}
		s.Writers = append(s.Writers, api.WriterStatus{Name: writerName(i), Core: core, Headers: headers[i], Batches: batches[i]})
	}
	s.Log = a.logStatus()
	m := a.mon.Stats()
	s.Monitor = api.MonitorStatus{
		Triggers: m.Triggers, Firing: m.Firing, Alerts: m.Alerts, Evaluations: m.Evaluations,
		Undelivered: a.sinks.Load().undelivered(),
	}
	return s
}

// ringNames names the rings in the order of pipeline.Rings: source/queue>writer.
func (a *Agent) ringNames() []string {
	cfg := a.cfg.Load()
	var names []string
	for w := range cfg.Writers.Count {
		for _, q := range cfg.QueueNames() {
			names = append(names, q+">"+writerName(w))
		}
	}
	return names
}

func writerName(i int) string { return fmt.Sprintf("writer%d", i) }

func (a *Agent) logStatus() api.LogStatus {
	o := a.log.Options()
	s := api.LogStatus{
		FirstOffset: a.log.First(),
		ReadTail:    a.log.ReadTail(),
		Segments:    o.Segments,
		MemoryTotal: uint64(a.log.Bytes()),
		Filters:     len(a.log.Filters()),
		Indexes:     len(a.log.Indexes()),
		Aggregates:  len(a.mon.Aggregates()),
		Snapshots:   len(a.Snapshots()),
	}
	if lo, hi, ok := a.log.TimeBounds(s.FirstOffset, s.ReadTail); ok {
		s.FromTime, s.ToTime = time.Unix(0, lo), time.Unix(0, hi)
	}
	if held := a.log.WriteTail() - s.FirstOffset; held > 0 {
		s.MemoryUsed = uint64(float64(s.MemoryTotal) * float64(held) / float64(a.log.Capacity()))
	}
	return s
}
