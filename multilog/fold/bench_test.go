package fold

import (
	"math/rand/v2"
	"testing"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// traffic returns chunks of TCP over IPv4 between hosts chosen by a Zipf law,
// as traffic is.
func traffic(chunks, hosts int) []*packet.Columns {
	r := rand.New(rand.NewPCG(1, 2))
	z := rand.NewZipf(r, 1.1, 8, uint64(hosts-1))
	out := make([]*packet.Columns, chunks)
	for k := range out {
		c := packet.NewColumns(packet.ChunkSize)
		for i := range c.N {
			c.Layers[i] = packet.LayerEth | packet.LayerEthType | packet.LayerIPv4 | packet.LayerTCP | packet.LayerPorts
			c.SrcIPLo[i] = 0xffff_0a000000 | z.Uint64()
			c.DstIPLo[i] = 0xffff_0a000000 | z.Uint64()
			c.SrcPort[i], c.DstPort[i], c.Proto[i] = uint16(r.IntN(60000)), []uint16{80, 443, 22, 53}[r.IntN(4)], 6
			c.PktLen[i] = 64 + r.Uint32N(1437)
			c.PayloadLen[i] = c.PktLen[i] - 54
		}
		out[k] = c
	}
	return out
}

func BenchmarkAdd(b *testing.B) {
	dst, src := packet.DstIP, packet.SrcIP
	few, many := traffic(1024, 500), traffic(4096, 60000)
	half := &packet.Bitmap{0x5555555555555555, 0x00ff00ff00ff00ff, 0xf0f0f0f0f0f0f0f0, 0x123456789abcdef0}
	for _, bm := range []struct {
		name string
		a    expr.Aggregate
		c    []*packet.Columns
		m    *packet.Bitmap
	}{
		{"sum_by_dst_few", expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{dst}}, few, nil},
		{"sum_by_dst_many", expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{dst}}, many, nil},
		{"sum_by_dst_half", expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{dst}}, few, half},
		{"count_by_port", expr.Aggregate{Func: expr.Count, By: []packet.Attr{packet.DstPort}}, few, nil},
		{"count_by_src_dst", expr.Aggregate{Func: expr.Count, By: []packet.Attr{src, dst}}, few, nil},
		{"topk_few", expr.Aggregate{Func: expr.TopK, Arg: src, Param: 10}, few, nil},
		{"topk_many", expr.Aggregate{Func: expr.TopK, Arg: src, Param: 10}, many, nil},
		{"distinct_many", expr.Aggregate{Func: expr.Distinct, Arg: src}, many, nil},
		{"distinct_src_by_dst_port", expr.Aggregate{Func: expr.Distinct, Arg: src, By: []packet.Attr{packet.DstPort}}, few, nil},
		{"quantile", expr.Aggregate{Func: expr.Quantile, Arg: packet.PktLen, Param: 0.99}, few, nil},
		{"sum", expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen}, few, nil},
		{"sum_half", expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen}, few, half},
		{"sum_payload_half", expr.Aggregate{Func: expr.Sum, Arg: packet.PayloadLen}, few, half},
		{"max_half", expr.Aggregate{Func: expr.Max, Arg: packet.PktLen}, few, half},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s := mustNew(b, &bm.a, Options{})
			rows := packet.ChunkSize
			if bm.m != nil {
				rows = bm.m.Count()
			}
			for _, c := range bm.c {
				s.Add(c, bm.m)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				s.Add(bm.c[i%len(bm.c)], bm.m)
			}
			perRow := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(rows)
			b.ReportMetric(perRow, "ns/header")
			b.ReportMetric(1000/perRow, "Mheaders/s")
			if s.Result().Rows[0].Headers == 0 {
				b.Fatal("folded nothing")
			}
		})
	}
}

// What a monitor does in a window: merge the newest bucket, subtract the
// oldest, use its memory again.
func BenchmarkSlide(b *testing.B) {
	a := &expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{packet.DstIP}}
	window := mustNew(b, a, Options{})
	cs := traffic(64, 500)
	buckets := make([]*State, len(cs))
	for i, c := range cs {
		buckets[i] = window.NewLike()
		buckets[i].Add(c, nil)
		window.Merge(buckets[i])
	}
	groups := buckets[0].groups.n
	b.ReportAllocs()
	for i := range b.N {
		oldest := buckets[i%len(buckets)]
		if !window.Subtract(oldest) {
			b.Fatal("cannot subtract")
		}
		oldest.Reset()
		oldest.Add(cs[i%len(cs)], nil)
		window.Merge(oldest)
	}
	b.ReportMetric(float64(groups), "groups/bucket")
}
