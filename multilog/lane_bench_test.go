package multilog_test

import (
	"fmt"
	"testing"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// BenchmarkAppend gives ns for each header that one lane appends.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ filters, aggregates int }{{0, 0}, {16, 0}, {64, 0}, {64, 16}} {
		b.Run(fmt.Sprintf("filters=%d,aggregates=%d", c.filters, c.aggregates), func(b *testing.B) {
			l := newLog(b, multilog.Options{Segments: 8, SegmentHeaders: 1 << 18})
			for i := range c.filters {
				e, err := expr.Parse(fmt.Sprintf("dst_port == %d && pkt_len > %d || src_ip == 10.0.0.%d", 80+i%7, 64+i*10, i%13), nil)
				if err != nil {
					b.Fatal(err)
				}
				name := fmt.Sprint("f", i)
				if _, err := l.InstallFilter(multilog.FilterSpec{Name: name, Expr: e}); err != nil {
					b.Fatal(err)
				}
				if i < c.aggregates {
					a, err := expr.ParseAggregate("SUM(pkt_len)")
					if err != nil {
						b.Fatal(err)
					}
					if _, err := l.InstallAggregate(multilog.AggregateSpec{Name: name, Filter: name, Agg: a}); err != nil {
						b.Fatal(err)
					}
				}
			}
			batch := newBatch(b, 64)
			fill(batch, mixed(packet.ChunkSize))
			b.ReportAllocs()
			for b.Loop() {
				base, ok := l.Claim(batch.N)
				for !ok {
					base, ok = l.Claim(batch.N)
				}
				batch.Base = base
				l.Lane(0).Append(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packet.ChunkSize, "ns/header")
		})
	}
}
