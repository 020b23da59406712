package diagnoser_test

import (
	"context"
	"testing"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

func TestRowsAreCopiedWithoutAllocation(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 4096, Segments: 32}, diagnoser.Options{})
	hs := traffic(100_000)
	disorders["some late"](hs)
	write(t, l, hs)
	for _, order := range []diagnoser.Order{diagnoser.ByOffset, diagnoser.ByTime} {
		allocs := func(headers uint64) float64 {
			q := diagnoser.Query{Order: order, ToOffset: headers, Slice: true, Need: packet.SetOf(packet.Ts, packet.SrcIP, packet.SrcMAC)}
			return testing.AllocsPerRun(5, func() {
				if _, err := d.Query(context.Background(), q, func(*diagnoser.Rows) error { return nil }); err != nil {
					t.Fatal(err)
				}
			})
		}
		few, many := allocs(4_000), allocs(100_000)
		// The store and the heap grow now and then, and scans draw their scratch
		// memory from a pool that the race detector makes forget.
		if many > few+200 {
			t.Errorf("order %d: %.0f allocations for 4,000 rows, %.0f for 100,000", order, few, many)
		}
	}
}

// benchHeaders is the size of the log of the benchmarks.
const benchHeaders = 3 << 20

// benchmark runs f over a log of three million headers with an index on dst_port
// and a filter on it.
func benchmark(b *testing.B, f func(b *testing.B, l *multilog.Log, d *diagnoser.Diagnoser)) {
	l := newLog(b, multilog.Options{SegmentHeaders: 1 << 20, Segments: 6})
	if _, err := l.InstallIndex(packet.DstPort); err != nil {
		b.Fatal(err)
	}
	if _, err := l.InstallFilter(multilog.FilterSpec{Name: "web", Expr: parse(b, "dst_port == 443")}); err != nil {
		b.Fatal(err)
	}
	write(b, l, traffic(benchHeaders))
	waitSorted(b, l)
	d := diagnoser.New(l, diagnoser.Options{})
	defer d.Close()
	f(b, l, d)
}

func rate(b *testing.B) {
	b.ReportMetric(float64(benchHeaders)*float64(b.N)/b.Elapsed().Seconds(), "headers/s")
}

func BenchmarkCount(b *testing.B) {
	benchmark(b, func(b *testing.B, l *multilog.Log, d *diagnoser.Diagnoser) {
		for name, q := range map[string]diagnoser.Query{
			"all":            {},
			"one predicate":  {Where: parse(b, "pkt_len > 1000")},
			"three":          {Where: parse(b, "pkt_len > 1000 && src_port in 1024..2000 && tcp.syn")},
			"address prefix": {Where: parse(b, "src_ip in 10.0.0.0/29")},
			"indexed, rare":  {Where: parse(b, "dst_port == 9")},
			"filter":         {Filter: "web"},
			"filter, more":   {Filter: "web", Where: parse(b, "pkt_len > 1000")},
			"not stored":     {Where: parse(b, "src_mac == 00:00:00:00:00:07")},
		} {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := d.Count(context.Background(), q); err != nil {
						b.Fatal(err)
					}
				}
				rate(b)
			})
		}
	})
}

func BenchmarkAggregate(b *testing.B) {
	benchmark(b, func(b *testing.B, l *multilog.Log, d *diagnoser.Diagnoser) {
		for _, text := range []string{"SUM(pkt_len)", "SUM(pkt_len) BY src_ip", "SUM(pkt_len) BY src_ip, dst_port", "TOPK(dst_ip, 10)", "DISTINCT(dst_ip)"} {
			a, err := expr.ParseAggregate(text)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(text, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := d.Aggregate(context.Background(), diagnoser.Query{}, a, fold.Options{}); err != nil {
						b.Fatal(err)
					}
				}
				rate(b)
			})
		}
	})
}

func BenchmarkQuery(b *testing.B) {
	benchmark(b, func(b *testing.B, l *multilog.Log, d *diagnoser.Diagnoser) {
		need := packet.SetOf(packet.Ts, packet.SrcIP, packet.DstIP, packet.SrcPort, packet.DstPort, packet.Proto, packet.PktLen, packet.LayerBits)
		for name, q := range map[string]diagnoser.Query{
			"first row of a rare value": {Where: parse(b, "dst_port == 9"), Limit: 1},
			"rare value":                {Where: parse(b, "dst_port == 9")},
			"all by offset":             {Order: diagnoser.ByOffset},
			"all by time":               {},
			"all with slices":           {Order: diagnoser.ByOffset, Slice: true},
		} {
			q.Need = need
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Query(context.Background(), q, func(*diagnoser.Rows) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
				rate(b)
			})
		}
	})
}
