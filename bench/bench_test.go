package bench

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"go.uber.org/goleak"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIngestTakesEveryHeaderThroughThePipeline(t *testing.T) {
	for _, mix := range []Mix{Zipf, Uniform, Elephant, IPv6} {
		t.Run(mix.String(), func(t *testing.T) {
			res, err := Ingest(context.Background(), Options{
				Filters: 5, Aggregates: 4, Triggers: 12, Indexes: []packet.Attr{packet.DstPort, packet.TCPSeq},
				Writers: 2, Headers: 50_000, SnapLen: 96, Burst: 100, Mix: mix, Repeat: 2, Memory: 64 << 20, copyBytes: 1 << 20,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Runs) != 2 || res.HeadersPerS <= 0 || math.Abs(res.NsPerHeader*res.HeadersPerS-1e9) > 1 ||
				math.Abs(res.RatioToCopy*res.CopyHeadersPerS-res.HeadersPerS) > 1 || res.BytesPerHeader < 96 {
				t.Errorf("%+v", res)
			}
			if len(res.FilterShares) != 5 || res.FilterShares[0] < leastMatches || res.FilterShares[4] > mostMatches {
				t.Errorf("shares %v", res.FilterShares)
			}
		})
	}
}

func TestResultsHaveTheKeysThatScriptsReadAs(t *testing.T) {
	res, err := Ingest(context.Background(), Options{Headers: 1000, Repeat: 1, Memory: 32 << 20, copyBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"headers_per_s", "ns_per_header", "bytes_per_header", "copy_headers_per_s", "ratio_to_copy"} {
		if v, ok := got[key].(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", key, got[key])
		}
	}
	if got["mix"] != "zipf" {
		t.Errorf("mix is %v", got["mix"])
	}
}

func TestQueryAnswersAsTheTrafficIs(t *testing.T) {
	const headers = 3*flows + 100
	res, err := Query(context.Background(), Options{Headers: headers, Repeat: 2, Mix: Uniform, copyBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ports := new(packet.PortTable)
	if _, err := ports.Add(packet.Port{Name: "p", Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	cols := newPool(Uniform, 128).parse(ports)
	for _, q := range res.Questions {
		if q.Took <= 0 || q.HeadersPerS <= 0 || q.Plan == "" {
			t.Errorf("%s: %+v", q.Name, q)
		}
		if q.Where == "" {
			continue
		}
		e, err := expr.Parse(q.Where, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		for i := range headers {
			if e.Match(cols, i%flows) {
				want++
			}
		}
		if q.Matched != want {
			t.Errorf("%s: %d matched, want %d", q.Name, q.Matched, want)
		}
	}
	if res.HeadersPerS != res.Questions[0].HeadersPerS || res.BytesPerHeader < 128 || res.RatioToCopy <= 0 {
		t.Errorf("%+v", res.Speed)
	}
}

func TestRareValuesComeAsOftenAsAsked(t *testing.T) {
	g := newGenerator(newPool(Zipf, 64), &Options{Burst: 77})
	g.rare = 1000
	g.send(10_500)
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for n := 0; n < 10_500; n += b.N {
		b.N = 0
		if err := g.Recv(b, 0); err != nil {
			t.Fatal(err)
		}
		for i := range b.N {
			if s := b.Slice(i); s[36] == 0 && s[37] == rarePort {
				at = append(at, n+i)
			}
		}
	}
	for i, n := range at {
		if n != i*1000+999 {
			t.Errorf("rare header %d at %d", i, n)
		}
	}
	if len(at) != 10 {
		t.Errorf("%d rare headers", len(at))
	}
}

// The frames are what gopacket takes for whole and valid ones.
func TestGeneratedFramesAreValid(t *testing.T) {
	var (
		eth     layers.Ethernet
		ip4     layers.IPv4
		ip6     layers.IPv6
		tcp     layers.TCP
		udp     layers.UDP
		payload gopacket.Payload
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &ip6, &tcp, &udp, &payload)
	parser.IgnoreUnsupported = true // what the payload is of, it is random
	for _, mix := range []Mix{Zipf, IPv6} {
		p := newPool(mix, 2048)
		ports, seen := map[int]int{}, []gopacket.LayerType(nil)
		for i := range 5000 {
			if err := parser.DecodeLayers(p.Slice(i), &seen); err != nil {
				t.Fatalf("%v frame %d: %v", mix, i, err)
			}
			if parser.Truncated || len(seen) < 3 || int(p.WireLen[i]) != len(p.Slice(i)) {
				t.Fatalf("%v frame %d of %d bytes: truncated %v, layers %v", mix, i, p.WireLen[i], parser.Truncated, seen)
			}
			switch seen[2] {
			case layers.LayerTypeTCP:
				ports[int(tcp.DstPort)]++
			case layers.LayerTypeUDP:
				ports[int(udp.DstPort)]++
			default:
				t.Fatalf("%v frame %d: layers %v", mix, i, seen)
			}
		}
		if ports[443] == 0 || ports[rarePort] > 0 {
			t.Errorf("%v: %d frames to port 443, %d to %d", mix, ports[443], ports[rarePort], rarePort)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	for _, o := range []Options{{Filters: -1}, {Burst: 257}, {SnapLen: 10}, {Writers: 300}, {Repeat: -1}, {Mix: 9}, {Memory: -1}} {
		if _, err := Ingest(context.Background(), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := Ingest(context.Background(), Options{Headers: 1000, Memory: 4096, copyBytes: 1 << 20}); err == nil {
		t.Error("a page of memory was taken")
	}
	var m Mix
	if err := m.UnmarshalText([]byte("ants")); err == nil || err.Error() != `mix "ants": want zipf, uniform, elephant, ipv6` {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	if _, err := Ingest(ctx, Options{Headers: 1 << 40, Memory: 64 << 20, copyBytes: 1 << 20}); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestTheGeneratorAllocatesNothing(t *testing.T) {
	g := newGenerator(newPool(IPv6, 64), &Options{Burst: packet.ChunkSize})
	g.rare = 1000
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		g.send(packet.ChunkSize)
		b.N = 0
		if err := g.Recv(b, 0); err != nil || b.N != packet.ChunkSize {
			t.Fatal(b.N, err)
		}
	}); n > 0 {
		t.Errorf("%.1f allocations a burst", n)
	}
}
