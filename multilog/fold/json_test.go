package fold

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// six headers: five of TCP from two hosts, one of ARP.
func six() *packet.Columns {
	c := packet.NewColumns(6)
	for i := range c.N {
		c.Ts[i] = 1_700_000_000_000_000_000 + int64(i)
		c.Layers[i] = packet.LayerEth | packet.LayerEthType | packet.LayerIPv4 | packet.LayerTCP | packet.LayerPorts
		c.EthType[i] = 0x800
		c.SrcIPLo[i] = 0xffff_0a000001 + uint64(i%2)
		c.DstPort[i], c.Proto[i], c.TTL[i] = 443, 6, 64
		c.PktLen[i] = 100 * uint32(i+1)
	}
	c.Layers[5], c.EthType[5] = packet.LayerEth|packet.LayerEthType|packet.LayerARP, 0x806
	return c
}

func TestResultsAreWrittenAsJSON(t *testing.T) {
	for _, c := range []struct {
		a    expr.Aggregate
		o    Options
		want string
	}{
		{a: expr.Aggregate{Func: expr.Count},
			want: `{"aggregate":"COUNT()","rows":[{"value":6,"headers":6}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{packet.SrcIP, packet.DstPort}},
			want: `{"aggregate":"SUM(pkt_len) BY src_ip, dst_port","rows":[` +
				`{"group":{"src_ip":"10.0.0.1","dst_port":443},"value":900,"headers":3},` +
				`{"group":{"src_ip":"10.0.0.2","dst_port":443},"value":600,"headers":2}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.Avg, Arg: packet.PktLen, By: []packet.Attr{packet.EthType}},
			want: `{"aggregate":"AVG(pkt_len) BY eth_type","rows":[` +
				`{"group":{"eth_type":"` + string(packet.EthType.Format(nil, packet.Value{Lo: 0x800})) + `"},"value":300,"headers":5},` +
				`{"group":{"eth_type":"arp"},"value":600,"headers":1}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.Max, Arg: packet.Ts},
			want: `{"aggregate":"MAX(ts)","rows":[{"value":"2023-11-14T22:13:20.000000005Z","headers":6}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.Min, Arg: packet.VLAN},
			want: `{"aggregate":"MIN(vlan)","rows":[{"value":null,"headers":0}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.Quantile, Arg: packet.PktLen, Param: 0.5},
			want: `{"aggregate":"QUANTILE(pkt_len, 0.5)","rows":[{"value":300,"headers":6}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.TopK, Arg: packet.SrcIP, Param: 1, By: []packet.Attr{packet.TTL}},
			want: `{"aggregate":"TOPK(src_ip, 1) BY ttl","rows":[{"group":{"ttl":64},"top":[{"src_ip":"10.0.0.1","headers":3}],"headers":5}],"exact":true,"overflow_headers":0}`},
		{a: expr.Aggregate{Func: expr.TopK, Arg: packet.SrcIP, Param: 2}, o: Options{MaxDistinct: 1},
			want: `{"aggregate":"TOPK(src_ip, 2)","rows":[{"top":[{"src_ip":"10.0.0.1","headers":3}],"headers":3,"exact":false,"lost_headers":2}],"exact":false,"overflow_headers":2}`},
		{a: expr.Aggregate{Func: expr.Distinct, Arg: packet.SrcIP}, o: Options{MaxDistinct: 1},
			want: `{"aggregate":"DISTINCT(src_ip)","rows":[{"value":2,"headers":5,"exact":false}],"exact":false,"overflow_headers":0,"relative_error":0.008125}`},
		{a: expr.Aggregate{Func: expr.Count, By: []packet.Attr{packet.Proto}},
			want: `{"aggregate":"COUNT() BY proto","rows":[{"group":{"proto":"tcp"},"value":5,"headers":5}],"exact":true,"overflow_headers":0}`},
	} {
		s := mustNew(t, &c.a, c.o)
		s.Add(six(), nil)
		b, err := json.Marshal(s.Result()) // checks that it is JSON, too
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != c.want {
			t.Errorf("got  %s\nwant %s", b, c.want)
		}
		if IsScalar(&c.a) {
			b, _ := json.Marshal(FromPartial(&c.a, FoldScalar(&c.a, six(), nil)))
			if string(b) != c.want {
				t.Errorf("from a partial: %s\nwant %s", b, c.want)
			}
		}
	}
}

func TestResultsAreWrittenAsTables(t *testing.T) {
	for _, c := range []struct {
		a    expr.Aggregate
		want string
	}{
		{expr.Aggregate{Func: expr.Sum, Arg: packet.PktLen, By: []packet.Attr{packet.SrcIP}},
			"src_ip,SUM(pkt_len),headers\n10.0.0.1,900,3\n10.0.0.2,600,2\n"},
		{expr.Aggregate{Func: expr.TopK, Arg: packet.SrcIP, Param: 9, By: []packet.Attr{packet.Proto}},
			"proto,src_ip,headers\ntcp,10.0.0.1,3\ntcp,10.0.0.2,2\n"},
		{expr.Aggregate{Func: expr.Avg, Arg: packet.PktLen}, "AVG(pkt_len),headers\n350,6\n"},
		{expr.Aggregate{Func: expr.Min, Arg: packet.Ts}, "MIN(ts),headers\n2023-11-14T22:13:20Z,6\n"},
		{expr.Aggregate{Func: expr.Quantile, Arg: packet.VNI, Param: 1}, "\"QUANTILE(vni, 1)\",headers\n,0\n"},
	} {
		s := mustNew(t, &c.a, Options{})
		s.Add(six(), nil)
		columns, rows := s.Result().Table()
		var b bytes.Buffer
		if err := csv.NewWriter(&b).WriteAll(append([][]string{columns}, rows...)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, b.String()); diff != "" {
			t.Errorf("%s: -want +got\n%s", Text(&c.a), diff)
		}
	}
}

func TestNotesSayWhatIsNotExact(t *testing.T) {
	c := six()
	for i := range c.N {
		c.FlowHash[i] = 1 << 63
	}
	for _, x := range []struct {
		a    expr.Aggregate
		o    Options
		want []string
	}{
		{expr.Aggregate{Func: expr.Sum, Arg: packet.FlowHash, By: []packet.Attr{packet.SrcIP}}, Options{},
			[]string{"2 of 2 sums do not fit 64 bits"}},
		{expr.Aggregate{Func: expr.Distinct, Arg: packet.PktLen}, Options{MaxDistinct: 2},
			[]string{"1 of 1 values are estimates (relative standard error 0.81 %)"}},
		{expr.Aggregate{Func: expr.Quantile, Arg: packet.PktLen, Param: 1, By: []packet.Attr{packet.EthType}}, Options{MaxDistinct: 2},
			[]string{"1 of 2 values are estimates (relative error at most 1 %)"}},
		{expr.Aggregate{Func: expr.Count, By: []packet.Attr{packet.PktLen}}, Options{MaxGroups: 4},
			[]string{"2 headers found no room and are in no row; counts may be short by up to as many"}},
		{expr.Aggregate{Func: expr.TopK, Arg: packet.PktLen, Param: 3}, Options{}, nil},
	} {
		s := mustNew(t, &x.a, x.o)
		s.Add(c, nil)
		if got := s.Result().Notes(); !slices.Equal(got, x.want) {
			t.Errorf("%s: %s, want %s", Text(&x.a), strings.Join(got, "; "), strings.Join(x.want, "; "))
		}
	}
}
