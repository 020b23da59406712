package expr

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/confluo/confluo/packet"
)

// FuzzParse reads anything as an expression: no panic; an error is an *Error
// inside the source; what is accepted has a canonical form that reads as the
// same expression, and evaluates as Match says.
func FuzzParse(f *testing.F) {
	for _, src := range append(mixedFilters()[:8], "", "port != {80, 443..500} || !(addr in 2001:db8::/32)",
		`ts >= "2026-01-02T03:04:05Z" && in_port == "eth0" || in_port in {veth-a, 7}`,
		"dst_mac & 01:00:00:00:00:00 == 01:00:00:00:00:00", "pkt_len > 1.5KB and not tcp.syn", "!!!!tcp", "((((udp))))",
		"proto in {tcp, 17} && tunnel == vxlan && vni == 0xffffff", "src_ip in 10.0.0.1..10.0.0.9", "bpf:", "x == \"", "µ == 1") {
		f.Add(src)
	}
	c := trafficColumns(newRand(1), 16, 4)
	c.N = 70
	f.Fuzz(func(t *testing.T, src string) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(src), capturePrefix); ok && rest != "" {
			return // libpcap would look names of hosts up
		}
		e, err := Parse(src, testPorts{})
		if err != nil {
			checkError(t, src, err)
			return
		}
		again, err := Parse(e.String(), testPorts{})
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%q: canonical form %q reads as %v, %v", src, e, again, err)
		}
		s := NewSet([]*Expr{e})
		var out [1]packet.Bitmap
		s.Eval(c, s.NewScratch(), out[:])
		for i := range c.N {
			if out[0].Has(i) != e.Match(c, i) {
				t.Fatalf("%q: row %d: Eval %v, Match %v", src, i, out[0].Has(i), e.Match(c, i))
			}
		}
	})
}

func checkError(t *testing.T, src string, err error) {
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%q: error is not an *Error: %v", src, err)
	}
	if e.Col < 1 || e.Col > len([]rune(src))+1 || e.Expected == "" || e.Src != src {
		t.Fatalf("%q: error %+v is not inside the source", src, e)
	}
	if lines := strings.Split(e.Caret(), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[1], "^") {
		t.Fatalf("%q: caret lines %q", src, lines)
	}
	_ = e.Error()
}

// FuzzTrigger reads anything as a trigger and as an aggregate.
func FuzzTrigger(f *testing.F) {
	for _, src := range []string{"SUM(pkt_len) > 1GB over 100ms every 1ms", "TOPK(src_ip, 5) BY dst_port, proto > 0.5k over 1m30s",
		"QUANTILE(payload_len, 0.999) <= 1.5KiB over 1d every 1h", "COUNT() BY src_ip", "MAX(ts)"} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if tr, err := ParseTrigger(src); err != nil {
			checkError(t, src, err)
		} else if again, err := ParseTrigger(tr.String()); err != nil || !reflect.DeepEqual(tr, again) {
			t.Fatalf("%q: canonical form %q reads as %v, %v", src, tr, again, err)
		}
		if agg, err := ParseAggregate(src); err != nil {
			checkError(t, src, err)
		} else if again, err := ParseAggregate(agg.String()); err != nil || !reflect.DeepEqual(agg, again) {
			t.Fatalf("%q: canonical form %q reads as %v, %v", src, agg, again, err)
		}
	})
}
