package monitor

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkEvaluate is one evaluation, every millisecond of capture time, of
// many triggers on one aggregate, each with a threshold of its own, whose
// window changes each time. Without BY half of the triggers fire. The bucket of
// 10 headers is published outside the clock.
func BenchmarkEvaluate(b *testing.B) {
	for _, c := range []struct {
		name, agg string
		triggers  int
		sources   int
	}{
		{"scalar/triggers=1000", "SUM(pkt_len)", 1000, 1},
		{"scalar/triggers=10000", "SUM(pkt_len)", 10000, 1},
		{"by=100/triggers=1000", "SUM(pkt_len) BY src_ip", 1000, 100},
		{"by=100/triggers=10000", "SUM(pkt_len) BY src_ip", 10000, 100},
		{"by=100/triggers=100/firing=5000", "MAX(pkt_len) BY src_ip", 100, 100},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, l := newMonitor(b, Options{Lateness: time.Millisecond})
			for i := range c.triggers {
				// Above what any window can hold, or below what each does.
				threshold := 1_000_000 + i
				if i%2 == 0 && (c.sources == 1 || c.triggers == 100) {
					threshold = i % 90
				}
				install(b, m, fmt.Sprintf("t%d", i), fmt.Sprintf("%s > %d over 100ms every 1ms", c.agg, threshold))
			}
			var hs [10]*header
			now, n := 0.0, 0
			step := func() {
				for i := range hs {
					hs[i] = &header{ts: ms(now), src: byte(n % c.sources), dport: 80, wire: 100}
					n++
				}
				publish(b, l, hs[:]...)
				now++
			}
			for range 200 {
				step()
				m.look(at(now - 1))
			}
			before := m.Stats()
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				step()
				b.StartTimer()
				m.look(at(now - 1))
			}
			after := m.Stats()
			if after.Alerts != before.Alerts || after.Evaluations-before.Evaluations != uint64(b.N*c.triggers) {
				b.Fatalf("not the steady state: before %+v, after %d looks %+v", before, b.N, after)
			}
		})
	}
}
