package expr

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confluo/confluo/packet"
)

func TestUnits(t *testing.T) {
	const k, ki = 1000, 1024
	for _, tt := range []struct {
		src    string
		number uint64
		bytes  uint64
		bad    string // of "number", "bytes": which do not take it
	}{
		{"0", 0, 0, ""},
		{"80", 80, 80, ""},
		{"0080", 80, 80, ""},
		{"0x1F", 31, 31, ""},
		{"0o17", 15, 15, ""},
		{"0b101", 5, 5, ""},
		{"10k", 10 * k, 10 * k, ""},
		{"1.5k", 1500, 1500, ""},
		{"2M", 2 * k * k, 2 * k * k, ""},
		{"1G", k * k * k, k * k * k, ""},
		{"18446744073709551615", 1<<64 - 1, 1<<64 - 1, ""},
		{"1.5KB", 0, 1500, "number"},
		{"1kB", 0, 1000, "number"},
		{"1KiB", 0, ki, "number"},
		{"0.5MiB", 0, ki * ki / 2, "number"},
		{"7B", 0, 7, "number"},
		{"1TiB", 0, ki * ki * ki * ki, "number"},
		{"3TB", 0, 3 * k * k * k * k, "number"},
		{"", 0, 0, "number bytes"},
		{"k", 0, 0, "number bytes"},
		{"1.", 0, 0, "number bytes"},
		{".5k", 0, 0, "number bytes"},
		{"1.2.3k", 0, 0, "number bytes"},
		{"1.5", 0, 0, "number bytes"},
		{"1.0001k", 0, 0, "number bytes"},
		{"1K", 0, 0, "number bytes"},
		{"1Gbit", 0, 0, "number bytes"},
		{"-1", 0, 0, "number bytes"},
		{"+1", 0, 0, "number bytes"},
		{"1 k", 0, 0, "number bytes"},
		{"1_000", 0, 0, "number bytes"},
		{"0x1_0", 0, 0, "number bytes"},
		{"0x", 0, 0, "number bytes"},
		{"1e9", 0, 0, "number bytes"},
		{"18446744073709551616", 0, 0, "number bytes"},
		{"20000000TiB", 0, 0, "number bytes"},
		{strings.Repeat("9", 1000), 0, 0, "number bytes"},
	} {
		n, err := ParseNumber(tt.src)
		if bad := strings.Contains(tt.bad, "number"); n != tt.number || (err != nil) != bad {
			t.Errorf("ParseNumber(%.30q) = %d, %v", tt.src, n, err)
		}
		n, err = ParseBytes(tt.src)
		if bad := strings.Contains(tt.bad, "bytes"); n != tt.bytes || (err != nil) != bad {
			t.Errorf("ParseBytes(%.30q) = %d, %v", tt.src, n, err)
		}
	}
}

func TestDurations(t *testing.T) {
	for src, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "10ms": 10 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "1m30s": 90 * time.Second,
		"7ns": 7, "3us": 3 * time.Microsecond, "3µs": 3 * time.Microsecond, "3μs": 3 * time.Microsecond, "2h": 2 * time.Hour, "1d12h": 36 * time.Hour,
		"9223372036854775807ns": 1<<63 - 1,
	} {
		d, err := ParseDuration(src)
		if err != nil || d != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", src, d, err, want)
		}
		if again, err := ParseDuration(formatDuration(want)); err != nil || again != want {
			t.Errorf("%v is written as %q, which reads as %v, %v", want, formatDuration(want), again, err)
		}
	}
	for _, src := range []string{"", "1", "ms", "1.5ns", "-1s", "1s ", "1sm", "1S", "9223372036854775808ns", "300y", "200000d", "1..5s", strings.Repeat("1s", 100)} {
		if d, err := ParseDuration(src); err == nil {
			t.Errorf("ParseDuration(%.20q) = %v, want an error", src, d)
		}
	}
}

func TestHostileExpressionsAreRefusedWithoutHarm(t *testing.T) {
	long := strings.Repeat("dst_port==1||", 5000)
	for name, src := range map[string]string{
		"brackets":          strings.Repeat("(", 60000),
		"closed brackets":   strings.Repeat("(", 300) + "tcp" + strings.Repeat(")", 300),
		"negations":         strings.Repeat("!", 60000) + "tcp",
		"negated brackets":  strings.Repeat("!(tcp&&", 200) + "tcp" + strings.Repeat(")", 200),
		"levels":            strings.Repeat("(tcp && (udp || ", 60) + "tcp" + strings.Repeat("))", 60),
		"predicates":        long[:65000] + "tcp",
		"pairs":             strings.Repeat("port==1||", 2049) + "tcp",
		"too long":          strings.Repeat(" ", MaxSource) + "tcp",
		"canonical form":    "dst_port in {1" + manyPorts() + "}",
		"not valid UTF-8":   "dst_port == \xff\xfe",
		"unterminated":      `in_port == "` + strings.Repeat("x", 60000),
		"numbers":           "dst_port == " + strings.Repeat("9", 60000),
		"fractions":         "pkt_len == 0." + strings.Repeat("0", 60000) + "1KB",
		"exponent":          "pkt_len == 1e999999999",
		"a long wrong name": strings.Repeat("x", 60000),
	} {
		start := time.Now()
		_, err := Parse(src, nil)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v, want an *Error", name, err)
			continue
		}
		checkError(t, src, err)
		if len(e.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes: %.100s...", name, len(e.Error()), e)
		}
		t.Logf("%s: %v (%v)", name, e, time.Since(start))
	}
}

// manyPorts is a list of ports that grows beyond MaxSource when a blank
// follows each comma.
func manyPorts() string {
	var b strings.Builder
	for i := 1; b.Len() < MaxSource-100; i++ {
		b.WriteString("," + itoa(10000+i%50000))
	}
	return b.String()
}

func TestDeepestAcceptedExpressionReadsBack(t *testing.T) {
	src := strings.Repeat("!(tcp && ", MaxDepth/2-1) + "udp" + strings.Repeat(")", MaxDepth/2-1)
	e, err := Parse(src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(e.String(), nil); err != nil || again.String() != e.String() {
		t.Fatalf("reads back as %v, %v", again, err)
	}
}

func TestCaretStandsUnderTheColumnOfItsLine(t *testing.T) {
	_, err := Parse("tcp &&\n\tdst_prt == 80\n&& udp", nil)
	var e *Error
	if !errors.As(err, &e) || e.Col != 9 || e.Caret() != "\tdst_prt == 80\n\t^" {
		t.Errorf("error %v, caret %q", err, e.Caret())
	}
}

func TestNilNamesTakeNumbersOfPorts(t *testing.T) {
	if e, err := Parse("in_port == 3", nil); err != nil || e.String() != "in_port == 3" {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := Parse("in_port == eth0", nil); err == nil {
		t.Error("a name without a port table was accepted")
	}
}

func TestEqualTestsAreMadeOnce(t *testing.T) {
	var es []*Expr
	for _, src := range []string{
		"tcp.syn && pkt_len > 100", "pkt_len >= 101 && tcp_flags & 2 == 2", "!(pkt_len <= 100) && tcp.syn", "tcp_flags & 2 != 0",
	} {
		e, err := Parse(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	s := NewSet(es)
	leaves := 0
	for _, n := range s.nodes {
		if n.op == progLeaf {
			leaves++
		}
	}
	// pkt_len and tcp_flags; !(pkt_len <= 100) is the negation of a third range.
	if leaves > 3 || s.roots[0] != s.roots[1] {
		t.Errorf("%d leaves, roots %v", leaves, s.roots)
	}
}

func TestSetIsSharedByGoroutines(t *testing.T) {
	var es []*Expr
	for _, src := range append(mixedFilters(), hostFilters(200)...) {
		e, err := Parse(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	s := NewSet(es)
	c := trafficColumns(newRand(9), 200, 6)
	want := make([]packet.Bitmap, s.Len())
	s.Eval(c, s.NewScratch(), want)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			sc, out := s.NewScratch(), make([]packet.Bitmap, s.Len())
			for range 50 {
				s.Eval(c, sc, out)
				for i := range out {
					if out[i] != want[i] {
						t.Errorf("%s: got %x, want %x", es[i], out[i], want[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestAggregateReadsItsAttributes(t *testing.T) {
	for src, want := range map[string]packet.AttrSet{
		"COUNT()":              0,
		"COUNT() BY in_port":   packet.SetOf(packet.InPort),
		"SUM(pkt_len)":         packet.SetOf(packet.PktLen),
		"MIN(ts) BY dst_port":  packet.SetOf(packet.Ts, packet.DstPort, packet.LayerBits),
		"AVG(ttl) BY src_ip":   packet.SetOf(packet.TTL, packet.SrcIP, packet.LayerBits),
		"TOPK(src_ip, 3)":      packet.SetOf(packet.SrcIP, packet.LayerBits),
		"DISTINCT(direction) ": packet.SetOf(packet.Direction),
	} {
		agg, err := ParseAggregate(src)
		if err != nil || agg.Attrs() != want {
			t.Errorf("%s: attributes %v, %v; want %v", src, agg.Attrs().Attrs(), err, want.Attrs())
		}
	}
}

func TestOpCompares(t *testing.T) {
	for op, want := range map[Op][3]bool{ // for a value below, at and above the threshold
		Gt: {false, false, true}, Ge: {false, true, true}, Lt: {true, false, false},
		Le: {true, true, false}, Eq: {false, true, false}, Ne: {true, false, true},
	} {
		if got := [3]bool{op.Compare(1, 2), op.Compare(2, 2), op.Compare(3, 2)}; got != want {
			t.Errorf("%s: got %v, want %v", op, got, want)
		}
	}
}
