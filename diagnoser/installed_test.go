package diagnoser_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
)

func TestInstalledAggregatesAnswerAsBruteForceDoes(t *testing.T) {
	specs := []string{"COUNT()", "SUM(pkt_len)", "MAX(pkt_len)", "SUM(pkt_len) BY dst_port"}
	rapid.Check(t, func(t *rapid.T) {
		l := openLog(t, multilog.Options{SegmentHeaders: 1024, Segments: 16, LogBytes: rapid.SampledFrom([]int{1, 64}).Draw(t, "log bytes")})
		defer l.Close()
		d := diagnoser.New(l, diagnoser.Options{})
		defer d.Close()
		all := traffic(rapid.SampledFrom([]int{500, 8000}).Draw(t, "headers"))
		disorders[rapid.SampledFrom([]string{"in order", "some late", "two clocks", "backwards"}).Draw(t, "disorder")](all)
		at := rapid.SampledFrom([]int{0, 333}).Draw(t, "installed at")
		write(t, l, all[:at])
		filter := question{"", func(*header) bool { return true }}
		on := ""
		if rapid.Bool().Draw(t, "filter") {
			filter, on = questions[1], "f"
			if _, err := l.InstallFilter(multilog.FilterSpec{Name: on, Expr: parse(t, filter.text)}); err != nil {
				t.Fatal(err)
			}
		}
		for i, text := range specs {
			a, err := expr.ParseAggregate(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.InstallAggregate(multilog.AggregateSpec{Name: fmt.Sprint(i), Filter: on, Agg: a}); err != nil {
				t.Fatal(err)
			}
		}
		write(t, l, all[at:])
		for range 10 {
			q := diagnoser.Query{Filter: on}
			first, end := uint64(at), uint64(len(all))
			if rapid.Bool().Draw(t, "offsets") {
				q.FromOffset = uint64(rapid.IntRange(1, len(all)).Draw(t, "from"))
				q.ToOffset = uint64(rapid.IntRange(int(q.FromOffset), len(all)).Draw(t, "to"))
				first, end = max(first, q.FromOffset), min(end, q.ToOffset)
			}
			from, to := int64(-1<<63), int64(1<<63-1)
			if rapid.Bool().Draw(t, "times") {
				from = all[rapid.IntRange(0, len(all)-1).Draw(t, "from time")].ts + int64(rapid.IntRange(-50, 50).Draw(t, "shift"))
				to = from + int64(rapid.IntRange(0, 60_000_000).Draw(t, "duration"))
				q.From = time.Unix(0, from)
				if rapid.Bool().Draw(t, "open end") {
					to = 1<<63 - 1
				} else {
					q.To = time.Unix(0, to)
				}
			}
			var count, sum, top uint64
			by := map[uint64]uint64{}
			for off := first; off < end; off++ {
				if h := &all[off]; filter.is(h) && h.ts >= from && h.ts < to {
					count++
					sum += uint64(h.wire)
					top = max(top, uint64(h.wire))
					by[uint64(h.dport)] += uint64(h.wire)
				}
			}
			read := func(i int) (*fold.Result, *diagnoser.Footer) {
				r, f, err := d.Installed(context.Background(), fmt.Sprint(i), q, fold.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if f.Matched != count || f.Dropped != nil || f.FirstOffset != min(first, end) || f.EndOffset != end {
					t.Fatalf("%s: footer %+v, want %d of %d..%d", specs[i], f, count, first, end)
				}
				return r, f
			}
			r, f := read(0)
			if v, _ := r.Rows[0].Value.Uint(); v != count {
				t.Fatalf("%+v: count %d, want %d\n%s", q, v, count, f.Plan)
			}
			r, _ = read(1)
			if v, _ := r.Rows[0].Value.Uint(); v != sum {
				t.Fatalf("sum %d, want %d", v, sum)
			}
			r, _ = read(2)
			if v, ok := r.Rows[0].Value.Uint(); v != top || ok != (count > 0) {
				t.Fatalf("largest %d, want %d", v, top)
			}
			r, _ = read(3)
			if len(r.Rows) != len(by) {
				t.Fatalf("%d groups, want %d", len(r.Rows), len(by))
			}
			for _, g := range r.Rows {
				if v, _ := g.Value.Uint(); v != by[g.Group[0].Lo] {
					t.Fatalf("group %v: %d, want %d", g.Group, v, by[g.Group[0].Lo])
				}
			}
		}
	})
}
