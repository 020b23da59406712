package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"

	"github.com/confluo/confluo/bench"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

type benchCmd struct {
	Ingest benchIngestCmd `cmd:"" help:"Measure how fast headers are taken in."`
	Query  benchQueryCmd  `cmd:"" help:"Measure how fast questions are answered."`
}

// benchFlags are what is measured.
type benchFlags struct {
	formatFlag
	Filters    int       `placeholder:"N" help:"Filters of one to three predicates, each met by 0.1 % to 33 % of the headers."`
	Aggregates int       `placeholder:"N" help:"Aggregates (SUM, COUNT, MAX, AVG in turn), on the filters in turn."`
	Triggers   int       `placeholder:"N" help:"Triggers, on the filters in turn, evaluated every millisecond."`
	Indexes    []string  `placeholder:"A,B" help:"Attributes to index."`
	Writers    int       `default:"1" placeholder:"N" help:"Writer goroutines (default ${default})."`
	Headers    int       `placeholder:"N" help:"Headers a run (default: ingest 10000000, query 4000000, which are all held in memory)."`
	Burst      int       `default:"256" placeholder:"N" help:"Headers a burst, 1 to 256 (default ${default})."`
	Snaplen    int       `default:"128" placeholder:"N" help:"Bytes of slice a header (default ${default})."`
	Mix        bench.Mix `default:"zipf" placeholder:"MIX" help:"Traffic: zipf, uniform, elephant or ipv6 (default ${default})."`
	Memory     benchSize `default:"1GiB" placeholder:"SIZE" help:"Memory of the log (default ${default}); query takes what the headers need."`
	Repeat     int       `default:"5" placeholder:"N" help:"Runs; figures are medians (default ${default})."`
}

// A benchSize is a number of bytes with a unit.
type benchSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *benchSize) UnmarshalText(b []byte) error {
	n, err := expr.ParseBytes(string(b))
	if err == nil && n > 1<<50 {
		err = fmt.Errorf("%s is more than any machine has", b)
	}
	*s = benchSize(n)
	return err
}

func (f *benchFlags) options() (bench.Options, error) {
	o := bench.Options{
		Filters: f.Filters, Aggregates: f.Aggregates, Triggers: f.Triggers, Writers: f.Writers, Headers: f.Headers,
		Burst: f.Burst, SnapLen: f.Snaplen, Mix: f.Mix, Memory: int64(f.Memory), Repeat: f.Repeat, Done: new(atomic.Uint64),
	}
	for _, x := range []struct {
		flag string
		n    int
	}{{"--writers", f.Writers}, {"--burst", f.Burst}, {"--snaplen", f.Snaplen}, {"--repeat", f.Repeat}} {
		if x.n < 1 {
			return o, usagef("%s %d: want 1 or more", x.flag, x.n)
		}
	}
	for _, name := range f.Indexes {
		a, ok := packet.AttrByName(name)
		if !ok {
			return o, usagef("--indexes %s: there is no such attribute", name)
		}
		o.Indexes = append(o.Indexes, a)
	}
	return o, asUsage(o.Check())
}

// benchProgress shows how many headers have gone through.
func (a *app) benchProgress(o *bench.Options) (stop func()) {
	return a.progress(func() string {
		return fmt.Sprintf("%.1f million headers", float64(o.Done.Load())/1e6)
	})
}

type benchIngestCmd struct{ benchFlags }

// Help implements kong.HelpProvider.
func (*benchIngestCmd) Help() string {
	return `Generated traffic goes through the pipeline as the agent runs it: a capture queue, spray, rings, writers, the log. A run ends when its last header is published.
The speed of plain copies of 64 bytes is measured beside it: what the memory of this machine gives.

Example:

  confluo-host bench ingest --filters 64 --aggregates 16 --indexes src_ip,dst_port -o json`
}

func (c *benchIngestCmd) Run(a *app) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	stop := a.benchProgress(&o)
	res, err := bench.Ingest(a.ctx, o)
	stop()
	if err != nil {
		return err
	}
	if c.Output == "json" || c.Output == "ndjson" {
		return a.writeJSON(c.Output, res)
	}
	lines := append(speedLines(&res.Speed), setupLines(&res.Setup)...)
	if len(o.Indexes) > 0 {
		lines = append(lines, [2]string{"not indexed yet at the end", fmt.Sprintf("%d headers", res.IndexBehind)})
	}
	if o.Triggers > 0 {
		lines = append(lines, [2]string{"not seen by the monitor yet", fmt.Sprintf("%d headers", res.MonitorBehind)},
			[2]string{"never seen by the monitor", fmt.Sprintf("%d headers", res.MonitorMissed)},
			[2]string{"alerts", strconv.FormatUint(res.Alerts, 10)})
	}
	return a.writePairs(c.Output, lines)
}

type benchQueryCmd struct{ benchFlags }

// Help implements kong.HelpProvider.
func (*benchQueryCmd) Help() string {
	return `Generated traffic is taken in and held, and questions are asked over all of it while nothing comes in. The figures of the whole are those of the first question, which reads one column.
Without --indexes, dst_port is indexed.

Example:

  confluo-host bench query --headers 8000000 -o json`
}

func (c *benchQueryCmd) Run(a *app) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	stop := a.benchProgress(&o)
	res, err := bench.Query(a.ctx, o)
	stop()
	if err != nil {
		return err
	}
	switch c.Output {
	case "json", "ndjson":
		return a.writeJSON(c.Output, res)
	case "csv":
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.Write([]string{"name", "where", "aggregate", "took_ns", "headers_per_s", "ns_per_header", "ratio_to_copy", "matched", "scanned", "plan"})
		for _, q := range res.Questions {
			w.Write([]string{q.Name, q.Where, q.Aggregate, fmt.Sprint(int64(q.Took)), fmt.Sprintf("%.0f", q.HeadersPerS), fmt.Sprintf("%.3f", q.NsPerHeader),
				fmt.Sprintf("%.3f", q.RatioToCopy), fmt.Sprint(q.Matched), fmt.Sprint(q.Scanned), q.Plan})
		}
		w.Flush()
		_, err := a.out.Write(b.Bytes())
		return err
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QUESTION\tTOOK\tHEADERS/S\tNS A HEADER\tTO COPY\tMATCHED\tASKED")
	for _, q := range res.Questions {
		asked := q.Where + q.Aggregate
		if asked == "" {
			asked = q.Plan
		}
		fmt.Fprintf(w, "%s\t%v\t%s\t%.3f\t%.2f\t%d\t%s\n", q.Name, q.Took.Round(q.Took/1000+1), millions(q.HeadersPerS), q.NsPerHeader, q.RatioToCopy, q.Matched, asked)
	}
	w.Flush()
	fmt.Fprintln(&b)
	if _, err := a.out.Write(b.Bytes()); err != nil {
		return err
	}
	return a.writePairs("table", append(speedLines(&res.Speed), setupLines(&res.Setup)...))
}

func speedLines(s *bench.Speed) [][2]string {
	return [][2]string{
		{"headers/s", millions(s.HeadersPerS)},
		{"ns a header", fmt.Sprintf("%.2f", s.NsPerHeader)},
		{"bytes a header", fmt.Sprintf("%.1f", s.BytesPerHeader)},
		{"64-byte copies/s", millions(s.CopyHeadersPerS)},
		{"ratio to copy", fmt.Sprintf("%.3f", s.RatioToCopy)},
	}
}

func setupLines(s *bench.Setup) [][2]string {
	lines := [][2]string{
		{"measured", fmt.Sprintf("%d runs of %d headers, %s, bursts of %d, %d bytes of each", s.Repeat, s.Headers, s.Mix, s.Burst, s.SnapLen)},
		{"installed", fmt.Sprintf("%d filters, %d aggregates, %d triggers, indexes: %s", s.Filters, s.Aggregates, s.Triggers, strings.Join(s.Indexes, ", "))},
		{"running", fmt.Sprintf("%d writers, %d cores", s.Writers, s.Cores)},
	}
	if n := len(s.FilterShares); n > 0 {
		lines = append(lines, [2]string{"filters match", fmt.Sprintf("%.2f %% to %.2f %% of the headers; %.2f matches a header",
			100*s.FilterShares[0], 100*s.FilterShares[n-1], s.MatchesPerHeader)})
	}
	return lines
}

func millions(f float64) string { return fmt.Sprintf("%.2f million", f/1e6) }

// writePairs writes names with values, a line each.
func (a *app) writePairs(format string, pairs [][2]string) error {
	var b bytes.Buffer
	if format == "csv" {
		w := csv.NewWriter(&b)
		w.Write([]string{"name", "value"})
		for _, p := range pairs {
			w.Write(p[:])
		}
		w.Flush()
	} else {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, p := range pairs {
			fmt.Fprintf(w, "%s\t%s\n", p[0], p[1])
		}
		w.Flush()
	}
	_, err := a.out.Write(b.Bytes())
	return err
}
