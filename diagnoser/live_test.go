package diagnoser_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// newDiagnoser makes a log and a diagnoser over it.
func newDiagnoser(t testing.TB, lo multilog.Options, o diagnoser.Options) (*multilog.Log, *diagnoser.Diagnoser) {
	l := newLog(t, lo)
	d := diagnoser.New(l, o)
	t.Cleanup(d.Close)
	return l, d
}

// run starts one writer a lane, which go on until stop is called or about limit
// headers are written.
func run(t testing.TB, l *multilog.Log, limit uint64) (stop func()) {
	var wg sync.WaitGroup
	var done atomic.Bool
	hs := traffic(10_000)
	for lane := range l.Options().Lanes {
		b, err := packet.NewBatch(nil, 64)
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			var buf [64]byte
			for i := lane * 100; !done.Load() && l.WriteTail() < limit; i += 100 {
				base, ok := l.Claim(100)
				if !ok {
					t.Error("memory is full")
					return
				}
				b.N, b.Base = 0, base
				for j := range 100 {
					h := hs[(i+j)%len(hs)]
					h.ts = epoch + int64(base)*10_000 + int64(j)
					b.Append(h.frame(&buf), h.ts, h.wire, 0, packet.DirIn)
				}
				l.Lane(lane).Append(b)
			}
		}()
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			done.Store(true)
			wg.Wait()
		})
	}
	t.Cleanup(stop)
	return stop
}

func TestAllWaysToCountAgreeAtOneTailWhileWritersRun(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 4096, Segments: 200, Lanes: 3}, diagnoser.Options{})
	for _, a := range []packet.Attr{packet.DstPort, packet.SrcPort} {
		if _, err := l.InstallIndex(a); err != nil {
			t.Fatal(err)
		}
	}
	where := parse(t, "dst_port == 9 || src_port == 1027 && dst_port == 443")
	sum, err := expr.ParseAggregate("SUM(pkt_len) BY dst_port")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.InstallFilter(multilog.FilterSpec{Name: "f", Expr: where}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, l, 700_000)
	ctx := context.Background()
	for i := 0; i < 40 || l.ReadTail() < 100_000; i++ {
		s, err := d.Snapshot("now", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		first := uint64(0)
		if i%2 == 1 {
			first = s.EndOffset / 2
		}
		base := diagnoser.Query{Snapshot: "now", FromOffset: first}
		byWhere, byFilter := base, base
		byWhere.Where, byFilter.Filter = parse(t, "src_port == 1027 && dst_port == 443 || dst_port == 9"), "f" // not the filter's text
		want, f1, err := d.Count(ctx, byFilter)
		if err != nil {
			t.Fatal(err)
		}
		got, f2, err := d.Count(ctx, byWhere)
		if err != nil {
			t.Fatal(err)
		}
		if got != want || f1.EndOffset != s.EndOffset || f2.EndOffset != s.EndOffset {
			t.Fatalf("below %d: %d by filter, %d by\n%s", s.EndOffset, want, got, f2.Plan)
		}
		rows := uint64(0)
		for _, order := range []diagnoser.Order{diagnoser.ByTime, diagnoser.ByOffset} {
			byWhere.Order = order
			if _, err := d.Query(ctx, byWhere, func(r *diagnoser.Rows) error {
				rows += uint64(r.N)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		r, _, err := d.Aggregate(ctx, byWhere, sum, fold.Options{})
		if err != nil {
			t.Fatal(err)
		}
		folded := uint64(0)
		for _, g := range r.Rows {
			folded += g.Headers
		}
		if rows != 2*want || folded != want {
			t.Fatalf("below %d: %d counted, %d rows in two queries, %d folded", s.EndOffset, want, rows, folded)
		}
		if err := d.Release("now"); err != nil {
			t.Fatal(err)
		}
	}
	stop()
}

func TestAnswersStayRightWhileIndexesAndFiltersComeAndGo(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 4096, Segments: 16}, diagnoser.Options{})
	hs := traffic(40_000)
	write(t, l, hs)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
			}
			_, err := l.InstallIndex(packet.DstPort)
			if err == nil {
				_, err = l.InstallFilter(multilog.FilterSpec{Name: "f", Expr: parse(t, "dst_port == 9")})
			}
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(100 * time.Microsecond)
			if err := errors.Join(l.RemoveFilter("f"), l.RemoveIndex(packet.DstPort)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	defer wg.Wait()
	defer close(stop)
	for range 300 {
		n, f, err := d.Count(context.Background(), diagnoser.Query{Where: parse(t, "dst_port == 9")})
		if err != nil || n != 8 {
			t.Fatalf("%d, %v, want 8\n%+v", n, err, f)
		}
	}
}

// The answer of a slow reader: what it got and what was lost make up the range,
// and the log went on meanwhile.
func TestASlowReaderHoldsNothingAndIsToldWhatItMissed(t *testing.T) {
	for name, order := range map[string]diagnoser.Order{"by offset": diagnoser.ByOffset, "by time": diagnoser.ByTime} {
		t.Run(name, func(t *testing.T) {
			l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{})
			hs := traffic(60_000)
			write(t, l, hs[:12_000])
			first := l.First()
			blocks := 0
			var got []uint64
			f, err := d.Query(context.Background(), diagnoser.Query{Order: order}, func(r *diagnoser.Rows) error {
				got = append(got, r.Offsets...)
				if blocks++; blocks == 3 {
					write(t, l, hs[12_000:18_000]) // the reader waits; nobody waits for the reader
					settle(t, l)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if l.First() == first {
				t.Fatal("retention did not move on")
			}
			if f.FirstOffset != first || f.EndOffset != 12_000 {
				t.Errorf("covers %d..%d, want %d..12000", f.FirstOffset, f.EndOffset, first)
			}
			lost := f.Dropped[diagnoser.Retention]
			if uint64(len(got))+lost != 12_000-first || lost == 0 || f.Matched != uint64(len(got)) {
				t.Errorf("%d rows + %d lost != %d", len(got), lost, 12_000-first)
			}
			if !slices.IsSorted(got) {
				t.Error("rows are not in order")
			}
		})
	}
}

func TestCancellingEndsAQuestion(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 4096, Segments: 16}, diagnoser.Options{})
	write(t, l, traffic(30_000))
	why := errors.New("the client has left")
	sum, err := expr.ParseAggregate("SUM(pkt_len)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.InstallAggregate(multilog.AggregateSpec{Name: "sum", Agg: sum}); err != nil {
		t.Fatal(err)
	}
	write(t, l, traffic(3_000))
	for name, ask := range map[string]func(context.Context, context.CancelCauseFunc) error{
		"query in the order of offsets": func(ctx context.Context, cancel context.CancelCauseFunc) error {
			blocks := 0
			_, err := d.Query(ctx, diagnoser.Query{Order: diagnoser.ByOffset}, func(*diagnoser.Rows) error {
				if blocks++; blocks > 1 {
					t.Error("another block after the end")
				}
				cancel(why)
				return nil
			})
			return err
		},
		"query in the order of time": func(ctx context.Context, cancel context.CancelCauseFunc) error {
			_, err := d.Query(ctx, diagnoser.Query{}, func(*diagnoser.Rows) error {
				cancel(why)
				return nil
			})
			return err
		},
		"query without a match": func(ctx context.Context, cancel context.CancelCauseFunc) error {
			cancel(why)
			_, err := d.Query(ctx, diagnoser.Query{Where: parse(t, "pkt_len == 1")}, func(*diagnoser.Rows) error { return nil })
			return err
		},
		"count": func(ctx context.Context, cancel context.CancelCauseFunc) error {
			cancel(why)
			_, _, err := d.Count(ctx, diagnoser.Query{})
			return err
		},
		"aggregate": func(ctx context.Context, cancel context.CancelCauseFunc) error {
			cancel(why)
			_, _, err := d.Aggregate(ctx, diagnoser.Query{}, sum, fold.Options{})
			return err
		},
		"installed aggregate": func(ctx context.Context, cancel context.CancelCauseFunc) error {
			cancel(why)
			_, _, err := d.Installed(ctx, "sum", diagnoser.Query{}, fold.Options{})
			return err
		},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		if err := ask(ctx, cancel); !errors.Is(err, why) {
			t.Errorf("%s: %v, want %v", name, err, why)
		}
		cancel(nil)
	}
}

func TestAnErrorOfTheReceiverEndsTheQuery(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 4096, Segments: 16}, diagnoser.Options{})
	write(t, l, traffic(30_000))
	full := errors.New("disk full")
	for _, order := range []diagnoser.Order{diagnoser.ByTime, diagnoser.ByOffset} {
		calls := 0
		_, err := d.Query(context.Background(), diagnoser.Query{Order: order}, func(*diagnoser.Rows) error {
			if calls++; calls == 2 {
				return full
			}
			return nil
		})
		if !errors.Is(err, full) || calls != 2 {
			t.Errorf("order %d: %v after %d calls", order, err, calls)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{})
	write(t, l, traffic(100))
	sum, err := expr.ParseAggregate("SUM(pkt_len)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.InstallFilter(multilog.FilterSpec{Name: "f", Expr: parse(t, "tcp")}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.InstallAggregate(multilog.AggregateSpec{Name: "a", Filter: "f", Agg: sum}); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	now := time.Now()
	for want, q := range map[string]diagnoser.Query{
		`diagnoser: invalid query: limit -1 is negative`:                                                        {Limit: -1},
		`diagnoser: invalid query: the end 2023-01-01T00:00:00Z lies before the beginning 2024-01-01T00:00:00Z`: {From: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)},
		`diagnoser: invalid query: the end offset 5 lies before the first 6`:                                    {FromOffset: 6, ToOffset: 5},
		`diagnoser: invalid query: order 7 does not exist`:                                                      {Order: 7},
		`diagnoser: filter "g": not installed`:                                                                  {Filter: "g"},
		`diagnoser: no such snapshot: "s"`:                                                                      {Snapshot: "s"},
	} {
		if _, err := d.Query(ctx, q, nil); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := d.Explain(q); err == nil || err.Error() != want {
			t.Errorf("explain: %v, want %s", err, want)
		}
	}
	for want, q := range map[string]diagnoser.Query{
		`diagnoser: invalid query: aggregate "a" has its own condition, and takes no other`: {Where: parse(t, "udp")},
		`diagnoser: invalid query: aggregate "a" is on filter "f", not "g"`:                 {Filter: "g"},
	} {
		if _, _, err := d.Installed(ctx, "a", q, fold.Options{}); err == nil || err.Error() != want || !errors.Is(err, diagnoser.ErrInvalid) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, _, err := d.Installed(ctx, "b", diagnoser.Query{}, fold.Options{}); !errors.Is(err, multilog.ErrNotFound) {
		t.Errorf("an aggregate that is not there: %v", err)
	}
	if _, _, err := d.Aggregate(ctx, diagnoser.Query{}, &expr.Aggregate{Func: expr.Sum, Arg: packet.SrcIP}, fold.Options{}); !errors.Is(err, diagnoser.ErrInvalid) {
		t.Errorf("a sum of addresses: %v", err)
	}
	if _, err := d.StartQuery(diagnoser.Query{From: now}, nil); !errors.Is(err, diagnoser.ErrInvalid) {
		t.Errorf("rows in the order of time as they come: %v", err)
	}
}

func TestTheFooterNamesWhatTheLedgerLostInTheRange(t *testing.T) {
	var from, to time.Time
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{
		Drops: func(a, b time.Time) map[string]uint64 {
			from, to = a, b
			return map[string]uint64{"spray_full": 3, "kernel_ring": 0}
		},
	})
	write(t, l, traffic(1000))
	at := func(ms int64) time.Time { return time.Unix(0, epoch+ms*1e6) }
	for _, c := range []struct {
		name     string
		q        diagnoser.Query
		from, to time.Time // zero: now
	}{
		{"open", diagnoser.Query{}, at(0), time.Time{}},
		{"times", diagnoser.Query{From: at(2), To: at(5)}, at(2), at(5)},
		{"from a time on", diagnoser.Query{From: at(2)}, at(2), time.Time{}},
		{"offsets", diagnoser.Query{FromOffset: 100, ToOffset: 200}, at(1), at(2).Add(-10 * time.Microsecond)},
	} {
		before := time.Now()
		_, f, err := d.Count(context.Background(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Dropped) != 1 || f.Dropped["spray_full"] != 3 {
			t.Errorf("%s: dropped %v", c.name, f.Dropped)
		}
		if !from.Equal(c.from) || c.to.IsZero() && to.Before(before) || !c.to.IsZero() && !to.Equal(c.to) {
			t.Errorf("%s: asked for %v..%v, want %v..%v", c.name, from, to, c.from, c.to)
		}
	}
}
