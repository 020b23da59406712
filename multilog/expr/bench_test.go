package expr

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/confluo/confluo/packet"
)

// trafficColumns makes a full chunk of TCP and UDP headers: known of eight
// rows come from one of the hosts 10.0.x.y that the filters name, the others
// from anywhere.
func trafficColumns(r *rand.Rand, hosts, known int) *packet.Columns {
	c := packet.NewColumns(packet.ChunkSize)
	for i := range c.N {
		c.Ts[i] = 1767322800e9 + int64(i)*500
		c.Layers[i] = packet.LayerEth | packet.LayerEthType | packet.LayerIPv4 | packet.LayerPorts
		c.SrcIPLo[i] = 0xffff<<32 | uint64(r.Uint32())
		if r.IntN(8) < known {
			c.SrcIPLo[i] = hostIP(r.IntN(hosts))
		}
		c.DstIPLo[i] = 0xffff<<32 | uint64(r.Uint32())
		c.SrcPort[i], c.DstPort[i] = uint16(r.Uint32()), hostPort(r.IntN(hosts))
		c.Proto[i], c.TTL[i] = 17, 64
		c.PktLen[i], c.PayloadLen[i] = uint32(64+r.IntN(1436)), uint32(r.IntN(1400))
		if r.IntN(4) > 0 {
			c.Layers[i] |= packet.LayerTCP
			c.Proto[i], c.TCPFlags[i] = 6, packet.TCPAckFlag
			if r.IntN(16) == 0 {
				c.TCPFlags[i] = packet.TCPSyn
			}
		} else {
			c.Layers[i] |= packet.LayerUDP
		}
		c.EthType[i] = 0x800
	}
	return c
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func hostIP(i int) uint64   { return 0xffff_0a00_0000 + uint64(i)*7 }
func hostPort(i int) uint16 { return uint16(1000 + i*13%5000) }

// benchmarkEval measures Eval over full chunks, in ns a header.
func benchmarkEval(b *testing.B, srcs []string, c *packet.Columns) {
	var es []*Expr
	for _, src := range srcs {
		e, err := Parse(src, nil)
		if err != nil {
			b.Fatal(err)
		}
		es = append(es, e)
	}
	for _, k := range allKernels() {
		b.Run(k.name, func(b *testing.B) {
			withKernels(b, k)
			s := NewSet(es)
			sc, out := s.NewScratch(), make([]packet.Bitmap, s.Len())
			n := 0
			for b.Loop() {
				s.Eval(c, sc, out)
				n += out[0].Count()
			}
			sink += n
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.N), "ns/header")
		})
	}
}

func BenchmarkEval_OneEquality16(b *testing.B) {
	benchmarkEval(b, []string{"dst_port == 1013"}, trafficColumns(newRand(1), 64, 4))
}

// mixedFilters are 64 filters of one to three predicates each, of all kinds.
func mixedFilters() []string {
	var srcs []string
	for i := range 8 {
		srcs = append(srcs,
			fmt.Sprintf("dst_port == %d", hostPort(i)),
			fmt.Sprintf("src_ip == 10.0.0.%d && dst_port == %d", 7*i, hostPort(i)),
			fmt.Sprintf("src_ip in 10.%d.0.0/16 && tcp.syn && !tcp.ack", i),
			fmt.Sprintf("pkt_len > %d", 100*i+700),
			fmt.Sprintf("proto == tcp && dst_port in %d..%d", 1000*i, 1000*i+500),
			fmt.Sprintf("udp && (dst_port == %d || src_port == %d)", 53+i, 53+i),
			fmt.Sprintf("tcp_flags & 0x%x != 0 && ttl < %d", 1<<i, 60+i),
			fmt.Sprintf("dst_ip in 172.16.%d.0/24 && payload_len >= %d && tcp", i, 100*i),
		)
	}
	return srcs
}

func BenchmarkEval_64Mixed(b *testing.B) {
	benchmarkEval(b, mixedFilters(), trafficColumns(newRand(2), 64, 4))
}

func hostFilters(n int) []string {
	srcs := make([]string, n)
	for i := range srcs {
		ip := packet.Value{Lo: hostIP(i)}
		srcs[i] = fmt.Sprintf("src_ip == %s && dst_port == %d", ip.Addr(), hostPort(i))
	}
	return srcs
}

func BenchmarkEval_64HostAndPort(b *testing.B) {
	benchmarkEval(b, hostFilters(64), trafficColumns(newRand(3), 64, 4))
}

func BenchmarkEval_1000HostAndPort(b *testing.B) {
	benchmarkEval(b, hostFilters(1000), trafficColumns(newRand(3), 1000, 4))
}

// BenchmarkEval_1000HostAndPortAllKnown is the worst case of the hash tables:
// every header comes from one of the hosts.
func BenchmarkEval_1000HostAndPortAllKnown(b *testing.B) {
	benchmarkEval(b, hostFilters(1000), trafficColumns(newRand(3), 1000, 8))
}

func TestEvalAllocatesNothing(t *testing.T) {
	c := trafficColumns(newRand(4), 1000, 8)
	var wide []string
	for i := range 20 {
		wide = append(wide, fmt.Sprintf("2001:db8:%x::/48", i))
	}
	srcs := append(mixedFilters(), hostFilters(300)...)
	srcs = append(srcs, "", "vlan != 0", "addr == 10.0.0.7 || mac == 02:00:00:00:00:01",
		"src_ip in {"+strings.Join(wide, ", ")+"}", "dst_port in {1..50, 100..200, 300..400, 500..600, 700..800, 900..1000}")
	for _, k := range allKernels() {
		withKernels(t, k)
		var es []*Expr
		for _, src := range srcs {
			e, err := Parse(src, nil)
			if err != nil {
				t.Fatal(err)
			}
			es = append(es, e)
		}
		s := NewSet(es)
		sc, out := s.NewScratch(), make([]packet.Bitmap, s.Len())
		for _, n := range []int{256, 100} {
			c.N = n
			if got := testing.AllocsPerRun(20, func() { s.Eval(c, sc, out) }); got != 0 {
				t.Errorf("%s: Eval of %d rows allocates %v times", k.name, n, got)
			}
		}
	}
}
