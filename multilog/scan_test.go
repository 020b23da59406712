package multilog_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// write appends hs to l, in batches of at most burst headers, and waits for
// retention where it is behind.
func write(t testing.TB, l *multilog.Log, hs []header, burst int) {
	t.Helper()
	b := newBatch(t, l.Options().SnapLen)
	for len(hs) > 0 {
		n := min(burst, len(hs))
		base, ok := l.Claim(n)
		for deadline := time.Now().Add(10 * time.Second); !ok; base, ok = l.Claim(n) {
			if time.Now().After(deadline) {
				t.Fatal("memory stays full")
			}
			time.Sleep(50 * time.Microsecond)
		}
		fill(b, hs[:n])
		b.Base = base
		l.Lane(0).Append(b)
		hs = hs[n:]
	}
}

// mixed returns n headers, ten microseconds apart.
func mixed(n int) []header {
	hs := make([]header, n)
	for i := range hs {
		hs[i] = header{
			ts: int64(i+1) * 10_000, src: uint32(i % 13), dst: uint32(i), sport: uint16(1024 + i%17),
			dport: uint16(80 + i%7), proto: 6, flags: 2, ttl: uint8(1 + i%5), wire: uint32(64 + i%1000),
		}
	}
	return hs
}

func mustParse(t testing.TB, text string) *expr.Expr {
	t.Helper()
	e, err := expr.Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCountIsTheNumberOfRowsThatNextVisits(t *testing.T) {
	for _, logBytes := range []int{1, 64} { // with and without room for the filter's log
		l := newLog(t, multilog.Options{SegmentHeaders: 1024, Segments: 64, LogBytes: logBytes})
		hs := mixed(20_000)
		write(t, l, hs[:3000], 200)
		f, err := l.InstallFilter(multilog.FilterSpec{Name: "f", Expr: mustParse(t, "dst_port == 82")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.InstallIndex(packet.SrcIP); err != nil {
			t.Fatal(err)
		}
		write(t, l, hs[3000:], 200)
		rapid.Check(t, func(t *rapid.T) {
			o := multilog.ScanOptions{
				From: uint64(rapid.IntRange(0, 21_000).Draw(t, "from")),
				To:   uint64(rapid.IntRange(0, 21_000).Draw(t, "to")),
			}
			if rapid.Bool().Draw(t, "filter") {
				o.Filter = f
			}
			if rapid.Bool().Draw(t, "where") {
				o.Where, _ = expr.Parse("src_ip == 0.0.0.3", nil)
				if r, ok := o.Where.Implied(packet.SrcIP); ok && rapid.Bool().Draw(t, "index") {
					o.Index = []multilog.IndexUse{{Index: l.Index(packet.SrcIP), Ranges: r}}
				}
			}
			if rapid.Bool().Draw(t, "timed") {
				o.TsFrom = int64(rapid.IntRange(1, 200_000_000).Draw(t, "ts from"))
				o.TsTo = o.TsFrom + int64(rapid.IntRange(1, 100_000_000).Draw(t, "duration"))
			}
			want := uint64(0)
			for i := o.From; i < min(o.To, uint64(len(hs))); i++ {
				h := &hs[i]
				if (o.Filter == nil || i >= 3000 && h.dport == 82) && (o.Where == nil || h.src == 3) &&
					(o.TsTo == 0 || h.ts >= o.TsFrom && h.ts < o.TsTo) {
					want++
				}
			}
			visited := uint64(0)
			s := scan(t, l, o)
			for release := rapid.Bool().Draw(t, "release"); s.Next(); {
				visited += uint64(s.Match().Count())
				if release {
					s.Release()
				}
			}
			s.Close()
			s = scan(t, l, o)
			counted := s.Count()
			if counted != want || visited != want {
				t.Fatalf("counted %d, visited %d, want %d", counted, visited, want)
			}
			if o.Where == nil && o.TsTo == 0 && logBytes == 64 && s.Scanned() > 0 {
				t.Fatalf("%d headers were read although the log of the filter says it all", s.Scanned())
			}
			s.Close()
		})
	}
}

func scan(t rapid.TB, l *multilog.Log, o multilog.ScanOptions) *multilog.Scan {
	t.Helper()
	s, err := l.Scan(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnExtendedScanVisitsEveryHeaderOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ports := new(packet.PortTable)
		if _, err := ports.Add(packet.Port{Name: "test0", Link: packet.LinkEthernet}); err != nil {
			t.Fatal(err)
		}
		l, err := multilog.New(multilog.Options{Ports: ports, SnapLen: 64, SegmentHeaders: 512, Segments: 32})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := installOdd(l)
		if err != nil {
			t.Fatal(err)
		}
		o := multilog.ScanOptions{From: uint64(rapid.IntRange(0, 600).Draw(t, "from"))}
		if rapid.Bool().Draw(t, "filter") {
			o.Filter = f
		}
		s := scan(t, l, o)
		defer s.Close()
		b, err := packet.NewBatch(nil, 64)
		if err != nil {
			t.Fatal(err)
		}
		hs, next := mixed(4000), 0
		pos := o.From
		for next < len(hs) {
			n := min(rapid.IntRange(1, 256).Draw(t, "batch"), len(hs)-next)
			base, ok := l.Claim(n)
			if !ok {
				t.Fatal("memory is full")
			}
			fill(b, hs[next:next+n])
			b.Base = base
			l.Lane(0).Append(b)
			next += n
			if err := s.Extend(uint64(next-rapid.IntRange(0, 2).Draw(t, "short")), nil); err != nil {
				t.Fatal(err)
			}
			for s.Next() {
				s.Match().Each(func(i int) {
					off := s.Base() + uint64(i)
					for ; o.Filter != nil && pos < off && hs[pos].dport%2 == 0; pos++ {
					}
					if off != pos || s.Columns().Ts[i] != hs[pos].ts {
						t.Fatalf("visited %d, want %d", off, pos)
					}
					pos++
				})
				if rapid.Bool().Draw(t, "release") {
					s.Release()
				}
			}
		}
		if err := s.Extend(uint64(next), nil); err != nil {
			t.Fatal(err)
		}
		if n := s.Count(); pos+4 < uint64(next) || n > 2 {
			t.Fatalf("came to %d and counted %d more, of %d", pos, n, next)
		}
		if want := uint64(next) - o.From; o.Filter == nil && s.Scanned() > want {
			t.Fatalf("%d headers scanned, of %d", s.Scanned(), want)
		}
	})
}

func installOdd(l *multilog.Log) (*multilog.Filter, error) {
	e, err := expr.Parse("dst_port in {81, 83, 85}", nil)
	if err != nil {
		return nil, err
	}
	return l.InstallFilter(multilog.FilterSpec{Name: "odd", Expr: e})
}

func TestAScanEndsWhenItsDoneChannelIsClosed(t *testing.T) {
	l := newLog(t, multilog.Options{SegmentHeaders: 1024, Segments: 32})
	write(t, l, mixed(10_000), 256)
	done := make(chan struct{})
	s := scan(t, l, multilog.ScanOptions{To: l.ReadTail(), Done: done})
	defer s.Close()
	if !s.Next() {
		t.Fatal("no first chunk")
	}
	close(done)
	if s.Next() {
		t.Error("the scan goes on")
	}
	if n := s.Count(); n != 0 {
		t.Errorf("counted %d headers after the end", n)
	}
}

func TestEvictedHeadersAreRememberedByTime(t *testing.T) {
	l := newLog(t, multilog.Options{SegmentHeaders: 256, Segments: 12})
	hs := mixed(1_300_000) // more segments than are remembered one by one
	write(t, l, hs, 256)
	for l.First() == 0 {
		time.Sleep(time.Millisecond)
	}
	first := l.First() // no claim follows, so retention has come to rest at or past it
	all := l.EvictedWithin(0, l.ReadTail(), -1<<63, 1<<63-1)
	if all < first || all%256 != 0 {
		t.Errorf("%d headers are evicted before offset %d", all, first)
	}
	rapid.Check(t, func(t *rapid.T) {
		from := uint64(rapid.IntRange(0, len(hs)).Draw(t, "from"))
		to := uint64(rapid.IntRange(0, len(hs)).Draw(t, "to"))
		tsFrom := int64(rapid.IntRange(0, len(hs)*10_000).Draw(t, "ts from"))
		tsTo := int64(rapid.IntRange(0, len(hs)*10_000).Draw(t, "ts to"))
		exact := uint64(0)
		for off := from; off < min(to, first); off++ {
			if ts := hs[off].ts; ts >= tsFrom && ts < tsTo {
				exact++
			}
		}
		got := l.EvictedWithin(from, to, tsFrom, tsTo)
		if got < exact {
			t.Fatalf("%d headers, but %d were evicted", got, exact)
		}
		const shared = 1_300_000 - 4096*256 - 12*256 // about: those that share one pair of bounds
		if tsFrom > shared*10_000 && got > exact+2*256 {
			t.Fatalf("%d headers, want %d and at most a segment at either end", got, exact)
		}
	})
}
