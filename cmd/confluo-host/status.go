package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/confluo/confluo/api"
)

type statusCmd struct {
	agentFlags
	formatFlag
	Watch    bool         `short:"w" help:"Go on showing it, until interrupted."`
	Interval api.Duration `default:"1s" placeholder:"DURATION" help:"With --watch: show it so often (default ${default})."`
}

// Help implements kong.HelpProvider.
func (*statusCmd) Help() string {
	return "Counts are since the start of the agent, rates of the last second or two.\n\nExample:\n\n  confluo-host status --watch"
}

func (c *statusCmd) Run(a *app) error {
	if !c.Watch {
		return c.once(a)
	}
	if c.Interval < api.Duration(100*time.Millisecond) {
		return usagef("--interval %s: want 100ms or more", c.Interval)
	}
	if c.Output == "json" {
		return usagef("--watch goes with -o table, ndjson and csv: what has no end is no JSON")
	}
	tick := time.NewTicker(time.Duration(c.Interval))
	defer tick.Stop()
	for {
		if err := c.once(a); err != nil {
			if a.ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-a.ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *statusCmd) once(a *app) error {
	s, err := c.client().Status(a.ctx)
	if err != nil {
		return err
	}
	switch c.Output {
	case "json", "ndjson":
		return a.writeJSON(c.Output, s)
	case "csv":
		return writeList(a, c.Output, flatten(s), flatColumns)
	}
	text := statusText(s, a.colour)
	if c.Watch {
		if a.outTTY {
			// Home, each line to its end, then the rest of the screen: no flicker.
			text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
		} else {
			text += "\n"
		}
	}
	_, err = a.out.Write([]byte(text))
	return err
}

// statusText shows the pipeline from the way in to the log, then what was lost.
func statusText(s *api.Status, colour bool) string {
	var b strings.Builder
	section := func(name string) { b.WriteString("\n" + bold(name, colour) + "\n") }
	fmt.Fprintf(&b, "confluo-host %s, pid %d, %s for %s", s.Version, s.PID, paint(s.State, colour), s.Time.Sub(s.Started).Round(time.Second))
	if s.Config != "" {
		fmt.Fprintf(&b, ", %s", s.Config)
	}
	b.WriteString("\n")

	section("sources")
	writeTable(&b, s.Sources, []column[api.SourceStatus]{
		{name: "name", text: func(v *api.SourceStatus) string { return v.Name }},
		{name: "kind", text: func(v *api.SourceStatus) string { return v.Kind }},
		{name: "state", text: func(v *api.SourceStatus) string { return v.State }},
		{name: "received", number: true, text: func(v *api.SourceStatus) string { return strconv.FormatUint(v.Received, 10) }},
		{name: "headers/s", number: true, text: func(v *api.SourceStatus) string { return rateText(v.HeadersPerSecond) }},
		{name: "bit/s", number: true, text: func(v *api.SourceStatus) string { return rateText(8 * v.BytesPerSecond) }},
		{name: "dropped", number: true, text: func(v *api.SourceStatus) string { return strconv.FormatUint(dropSum(v), 10) }},
		{name: "detail", text: func(v *api.SourceStatus) string { return v.Detail }},
	}, false)

	section("spray")
	fmt.Fprintf(&b, "write tail %d, %s headers/s, %d dropped\n", s.Spray.WriteTail, rateText(s.Spray.HeadersPerSecond), s.Spray.Dropped)
	if len(s.Rings) > 0 {
		section("rings")
		for _, r := range s.Rings {
			fmt.Fprintf(&b, "%-16s %s %d of %d batches\n", r.Name, gauge(r.Depth, r.Capacity), r.Depth, r.Capacity)
		}
	}
	section("writers")
	writeTable(&b, s.Writers, []column[api.WriterStatus]{
		{name: "name", text: func(v *api.WriterStatus) string { return v.Name }},
		{name: "core", number: true, text: func(v *api.WriterStatus) string {
			if v.Core < 0 {
				return "any"
			}
			return strconv.Itoa(v.Core)
		}},
		{name: "headers", number: true, text: func(v *api.WriterStatus) string { return strconv.FormatUint(v.Headers, 10) }},
		{name: "headers/s", number: true, text: func(v *api.WriterStatus) string { return rateText(v.HeadersPerSecond) }},
		{name: "headers/batch", number: true, text: func(v *api.WriterStatus) string {
			if v.Batches == 0 {
				return ""
			}
			return fmt.Sprintf("%.1f", float64(v.Headers)/float64(v.Batches))
		}},
	}, false)

	section("log")
	l := &s.Log
	fmt.Fprintf(&b, "offsets %d..%d", l.FirstOffset, l.ReadTail)
	if !l.FromTime.IsZero() {
		fmt.Fprintf(&b, ", %s to %s", l.FromTime.UTC().Format(time.RFC3339), l.ToTime.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "\nmemory %s %s of %s, %d segments\n", gauge(int(l.MemoryUsed>>10), int(l.MemoryTotal>>10)), bytesText(l.MemoryUsed), bytesText(l.MemoryTotal), l.Segments)
	fmt.Fprintf(&b, "filters %d, indexes %d, aggregates %d, snapshots %d\n", l.Filters, l.Indexes, l.Aggregates, l.Snapshots)

	section("monitor")
	m := &s.Monitor
	fmt.Fprintf(&b, "triggers %d, %s, alerts %d, undelivered %d, evaluations %d\n",
		m.Triggers, highlight(fmt.Sprintf("firing %d", m.Firing), colour && m.Firing > 0), m.Alerts, m.Undelivered, m.Evaluations)

	section("ledger")
	d := &s.Ledger
	fmt.Fprintf(&b, "received %d = stored %d + in flight %d + dropped %d\n", d.Received, d.Stored, d.InFlight, sum(d.Dropped))
	for _, cause := range slices.Sorted(maps.Keys(d.Dropped)) {
		if n := d.Dropped[cause]; n > 0 {
			fmt.Fprintf(&b, "  %s\n", highlight(fmt.Sprintf("%-16s %d", cause, n), colour))
		}
	}
	if d.Evicted > 0 {
		fmt.Fprintf(&b, "of those stored, %d have since made room for newer ones\n", d.Evicted)
	}
	return b.String()
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

func dropSum(v *api.SourceStatus) (n uint64) {
	for _, d := range v.Drops {
		n += d.N
	}
	return n
}

// rateText writes a rate with three digits that count.
func rateText(f float64) string {
	const units = "kMGTP"
	u := -1
	for f >= 999.5 && u < len(units)-1 {
		f, u = f/1000, u+1
	}
	text := fmt.Sprintf("%.3g", f)
	if u >= 0 {
		text += units[u : u+1]
	}
	return text
}

// gauge draws how much of a whole is used.
func gauge(used, whole int) string {
	const width = 20
	n := 0
	if whole > 0 {
		n = min(width, (used*width+whole-1)/whole)
	}
	return "[" + strings.Repeat("|", n) + strings.Repeat(" ", width-n) + "]"
}

func highlight(s string, on bool) string {
	if !on {
		return s
	}
	return "\x1b[33m" + s + "\x1b[0m"
}

// paint colours the state of the agent: green when all is well.
func paint(state string, colour bool) string {
	switch {
	case !colour:
		return state
	case state == "running":
		return "\x1b[32m" + state + "\x1b[0m"
	}
	return highlight(state, true)
}

// A metric is one number of a status, for CSV.
type metric struct{ stage, name, metric, value string }

var flatColumns = []column[metric]{
	{name: "stage", text: func(m *metric) string { return m.stage }},
	{name: "name", text: func(m *metric) string { return m.name }},
	{name: "metric", text: func(m *metric) string { return m.metric }},
	{name: "value", text: func(m *metric) string { return m.value }},
}

func flatten(s *api.Status) []metric {
	var out []metric
	add := func(stage, name, what string, v any) {
		text := fmt.Sprint(v)
		if f, ok := v.(float64); ok {
			text = strconv.FormatFloat(f, 'f', -1, 64)
		}
		out = append(out, metric{stage, name, what, text})
	}
	add("agent", "", "state", s.State)
	add("agent", "", "pid", s.PID)
	add("agent", "", "uptime_s", s.Time.Sub(s.Started).Seconds())
	for _, v := range s.Sources {
		add("source", v.Name, "state", v.State)
		add("source", v.Name, "received", v.Received)
		add("source", v.Name, "bytes", v.Bytes)
		add("source", v.Name, "headers_per_s", v.HeadersPerSecond)
		for _, d := range v.Drops {
			add("source", v.Name, "dropped_"+d.Cause, d.N)
		}
	}
	add("spray", "", "write_tail", s.Spray.WriteTail)
	add("spray", "", "dropped", s.Spray.Dropped)
	for _, v := range s.Rings {
		add("ring", v.Name, "depth", v.Depth)
		add("ring", v.Name, "capacity", v.Capacity)
	}
	for _, v := range s.Writers {
		add("writer", v.Name, "headers", v.Headers)
		add("writer", v.Name, "batches", v.Batches)
		add("writer", v.Name, "headers_per_s", v.HeadersPerSecond)
	}
	add("log", "", "first_offset", s.Log.FirstOffset)
	add("log", "", "read_tail", s.Log.ReadTail)
	add("log", "", "memory_used", s.Log.MemoryUsed)
	add("log", "", "memory_total", s.Log.MemoryTotal)
	add("monitor", "", "firing", s.Monitor.Firing)
	add("monitor", "", "alerts", s.Monitor.Alerts)
	add("ledger", "", "received", s.Ledger.Received)
	add("ledger", "", "stored", s.Ledger.Stored)
	add("ledger", "", "in_flight", s.Ledger.InFlight)
	add("ledger", "", "evicted", s.Ledger.Evicted)
	for _, cause := range slices.Sorted(maps.Keys(s.Ledger.Dropped)) {
		add("ledger", cause, "dropped", s.Ledger.Dropped[cause])
	}
	return out
}
