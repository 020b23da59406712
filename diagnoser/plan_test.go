package diagnoser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// TestPlansReadAsWritten runs testdata/plans: "explain" prints the plan of an
// expression, "count" also what the answer covered.
//
//	log segment-headers=N segments=N
//	index ATTR
//	filter name=NAME (the expression below)
//	write headers=N
//	explain|count [filter=NAME] [offsets=A..B] [ms=A..B] (the expression below)
//
// Milliseconds count from the first header.
func TestPlansReadAsWritten(t *testing.T) {
	datadriven.RunTest(t, "testdata/plans", planRunner(t))
}

func planRunner(t *testing.T) func(*testing.T, *datadriven.TestData) string {
	var log *multilog.Log
	var d *diagnoser.Diagnoser
	end := func() {
		if log != nil {
			d.Close()
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() { end() })
	return func(t *testing.T, td *datadriven.TestData) string {
		text := strings.TrimSpace(td.Input)
		switch td.Cmd {
		case "log":
			end()
			var o multilog.Options
			td.ScanArgs(t, "segment-headers", &o.SegmentHeaders)
			td.ScanArgs(t, "segments", &o.Segments)
			log = openLog(t, o)
			d = diagnoser.New(log, diagnoser.Options{})
		case "index":
			a, ok := packet.AttrByName(td.CmdArgs[0].Key)
			if !ok {
				td.Fatalf(t, "no attribute %q", td.CmdArgs[0].Key)
			}
			if _, err := log.InstallIndex(a); err != nil {
				return err.Error()
			}
		case "filter":
			var name string
			td.ScanArgs(t, "name", &name)
			if _, err := log.InstallFilter(multilog.FilterSpec{Name: name, Expr: parse(t, text)}); err != nil {
				return err.Error()
			}
		case "write":
			var n int
			td.ScanArgs(t, "headers", &n)
			hs := traffic(int(log.ReadTail()) + n)
			write(t, log, hs[log.ReadTail():])
			settle(t, log)
			waitSorted(t, log)
		case "explain", "count":
			q := query(t, td)
			q.Where = parse(t, text)
			if td.Cmd == "explain" {
				plan, err := d.Explain(q)
				if err != nil {
					return "error: " + err.Error()
				}
				return plan
			}
			n, f, err := d.Count(context.Background(), q)
			if err != nil {
				return "error: " + err.Error()
			}
			out := fmt.Sprintf("%d\n%s\nscanned %d", n, f.Plan, f.Scanned)
			for cause, lost := range f.Dropped {
				out += fmt.Sprintf(", dropped %d by %s", lost, cause)
			}
			return out
		default:
			td.Fatalf(t, "unknown command")
		}
		return "ok"
	}
}

func query(t *testing.T, td *datadriven.TestData) (q diagnoser.Query) {
	span := func(key string) (a, b int, ok bool) {
		if !td.HasArg(key) {
			return 0, 0, false
		}
		var s string
		td.ScanArgs(t, key, &s)
		if _, err := fmt.Sscanf(s, "%d..%d", &a, &b); err != nil {
			td.Fatalf(t, "%s=%s: %v", key, s, err)
		}
		return a, b, true
	}
	if td.HasArg("filter") {
		td.ScanArgs(t, "filter", &q.Filter)
	}
	if a, b, ok := span("offsets"); ok {
		q.FromOffset, q.ToOffset = uint64(a), uint64(b)
	}
	if a, b, ok := span("ms"); ok {
		q.From, q.To = time.Unix(0, epoch+int64(a)*1e6), time.Unix(0, epoch+int64(b)*1e6)
	}
	return q
}
