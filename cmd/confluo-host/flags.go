package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/api/render"
	"github.com/confluo/confluo/diagnoser"
)

// agentFlags say which agent to ask.
type agentFlags struct {
	Socket string `default:"${socket}" placeholder:"PATH" env:"CONFLUO_SOCKET" help:"Unix socket of the agent (default ${socket})."`
}

// client returns the client of the agent.
func (f *agentFlags) client() *api.Client { return api.NewClient(f.Socket) }

// selectFlags say which headers a command is about.
type selectFlags struct {
	agentFlags
	Pcap  string `placeholder:"FILE" help:"Read this capture file (pcap or pcapng, also gzip or zstd; - is standard input) in place of asking the agent."`
	Decap string `placeholder:"LIST" help:"With --pcap: tunnels to strip: all (the default), none, or a list of vxlan, geneve, gre, erspan, ipip, 6in4 and gtpu; vxlan:4789+8472 names UDP ports."`

	From     timeFlag     `placeholder:"TIME" help:"Headers captured at this time or later: 2006-01-02T15:04:05Z, '2006-01-02 15:04:05' or 15:04 (local time), 1136214245.5 (seconds since 1970), now, or --from=-5m (with the equals sign)."`
	To       timeFlag     `placeholder:"TIME" help:"Headers captured before this time."`
	Last     api.Duration `placeholder:"DURATION" help:"Headers of so long before now, such as 5m."`
	Filter   string       `placeholder:"NAME" help:"Only the matches of this installed filter."`
	Snapshot string       `placeholder:"NAME" help:"As of this snapshot."`
	Timeout  api.Duration `placeholder:"DURATION" help:"Give up after this time."`
	Explain  bool         `help:"Say how the question would be answered, and do not answer it."`
}

// selection returns what the flags select together with where.
func (f *selectFlags) selection(where string) (api.Selection, error) {
	sel := api.Selection{
		Where: where, Filter: f.Filter, Snapshot: f.Snapshot,
		From: f.From.t, To: f.To.t, Last: f.Last, Timeout: f.Timeout,
	}
	if f.Pcap == "" {
		if f.Decap != "" {
			return sel, usagef("--decap goes with --pcap: what a running agent strips is in its configuration")
		}
		return sel, nil
	}
	for _, x := range []struct {
		flag  string
		given bool
	}{{"--filter", f.Filter != ""}, {"--snapshot", f.Snapshot != ""}, {"--last", f.Last != 0}} {
		if x.given {
			return sel, usagef("%s asks the running agent; it does not go with --pcap", x.flag)
		}
	}
	return sel, nil
}

// A timeFlag is a moment, as people write one.
type timeFlag struct{ t time.Time }

// now is when the command began, so that all its times agree.
var now = time.Now()

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *timeFlag) UnmarshalText(b []byte) (err error) {
	f.t, err = parseTime(string(b), now)
	return err
}

var (
	// Layouts with a zone, and of local time.
	zoned = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00"}
	local = []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}
	clock = []string{"15:04:05.999999999", "15:04"}
)

func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		if d, err := api.ParseDuration(ago); err == nil {
			return now.Add(-d), nil
		}
	}
	for _, layout := range zoned {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	for _, layout := range local {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range clock {
		if t, err := time.Parse(layout, s); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	if t, ok := parseUnix(s); ok {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: want 2006-01-02T15:04:05Z, '2006-01-02 15:04:05' or 15:04 (local time), 1136214245.5 (seconds since 1970), now, or -5m", s)
}

// parseUnix reads seconds since 1970 with up to nine decimals, exactly.
func parseUnix(s string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseUint(whole, 10, 33)
	if err != nil || len(frac) > 9 {
		return time.Time{}, false
	}
	ns, err := strconv.ParseUint((frac + "000000000")[:9], 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(int64(sec), int64(ns)), true
}

// rowFlags say which rows of an answer to write, and how.
type rowFlags struct {
	formatFlag
	Fields []string `placeholder:"A,B" help:"Columns, in this order: attributes, bits (tcp.syn, arp), offset, or all."`
	Limit  int      `placeholder:"N" help:"Rows at most."`
}

// formatFlag says how to write an answer.
type formatFlag struct {
	Output string `short:"o" enum:"table,json,ndjson,csv" default:"table" placeholder:"FORMAT" help:"Form of the output: table, json, ndjson or csv (default table)."`
}

// footerFlag says whether to write what an answer covered.
type footerFlag struct {
	Footer bool `help:"Write to standard error what the answer covered; on a terminal it always is."`
}

// writeFooter writes the footer to standard error where it is wanted, and not
// part of the output already.
func (a *app) writeFooter(want bool, format string, f *diagnoser.Footer) {
	if f == nil || format == "json" && !want {
		return
	}
	if want || a.outTTY && a.errTTY || len(f.Dropped) > 0 && a.errTTY {
		fmt.Fprintln(a.err, render.FooterText(f))
	}
}
