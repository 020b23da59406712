package diagnoser_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A log of a few thousand headers through which many more go, as a capture file
// does.
func TestAnIncrementalQuestionSeesEveryHeaderOfALogThatForgetsThem(t *testing.T) {
	all := traffic(30_000)
	rapid.Check(t, func(t *rapid.T) {
		l := openLog(t, multilog.Options{SegmentHeaders: 512, Segments: 12})
		defer l.Close()
		if _, err := l.InstallFilter(multilog.FilterSpec{Name: "web", Expr: parse(t, "dst_port == 443")}); err != nil {
			t.Fatal(err)
		}
		d := diagnoser.New(l, diagnoser.Options{})
		defer d.Close()

		where := rapid.SampledFrom(questions).Draw(t, "question")
		q := diagnoser.Query{Where: parse(t, where.text), Order: diagnoser.ByOffset, Need: packet.SetOf(packet.PktLen)}
		n := uint64(rapid.IntRange(1, len(all)).Draw(t, "headers"))
		end := n
		if rapid.Bool().Draw(t, "offsets") {
			q.FromOffset = uint64(rapid.IntRange(0, int(n)).Draw(t, "from"))
			q.ToOffset = uint64(rapid.IntRange(int(q.FromOffset)+1, int(n)+1).Draw(t, "to"))
			end = min(end, q.ToOffset)
		}
		from, to := int64(-1<<63), int64(1<<63-1)
		if rapid.Bool().Draw(t, "times") {
			from, to = epoch+7_000_000, epoch+150_000_000
			q.From, q.To = time.Unix(0, from), time.Unix(0, to)
		}
		var want []uint64
		sum := uint64(0)
		for off := q.FromOffset; off < end; off++ {
			if h := &all[off]; where.is(h) && h.ts >= from && h.ts < to {
				want = append(want, off)
				sum += uint64(h.wire)
			}
		}
		limited := q
		if rapid.Bool().Draw(t, "limited") {
			limited.Limit = rapid.IntRange(1, 2000).Draw(t, "limit")
		}

		var got []uint64
		rows, err := d.StartQuery(limited, func(r *diagnoser.Rows) error {
			for i, off := range r.Offsets {
				if r.Cols.PktLen[i] != all[off].wire {
					t.Fatalf("offset %d has length %d", off, r.Cols.PktLen[i])
				}
			}
			got = append(got, r.Offsets...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		counted, err := d.StartCount(q)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := expr.ParseAggregate("SUM(pkt_len)")
		if err != nil {
			t.Fatal(err)
		}
		summed, err := d.StartAggregate(q, spec, fold.Options{})
		if err != nil {
			t.Fatal(err)
		}

		hold := l.Hold(0)
		defer hold.Release()
		for at := uint64(0); at < n; {
			step := min(uint64(rapid.IntRange(1, 2000).Draw(t, "step")), n-at)
			write(t, l, all[at:at+step])
			at += step
			for _, inc := range []*diagnoser.Incremental{rows, counted, summed} {
				if err := inc.Advance(context.Background(), at); err != nil {
					t.Fatal(err)
				}
				if inc.Pos() < min(at, end) && !inc.Done() {
					t.Fatalf("came to %d, not %d", inc.Pos(), min(at, end))
				}
			}
			hold.Advance(at)
		}
		f := finish(t, rows)
		rowsWant := want
		if limited.Limit > 0 {
			rowsWant = want[:min(len(want), limited.Limit)]
		}
		if !slices.Equal(got, rowsWant) || f.Returned != uint64(len(rowsWant)) {
			t.Fatalf("%d rows, footer %+v, want %d", len(got), f, len(rowsWant))
		}
		// With exactly as many as the limit, it depends on what else came by then.
		if len(rowsWant) < len(want) && !f.Limited || f.Limited && (len(rowsWant) != limited.Limit || f.EndOffset != got[len(got)-1]+1) {
			t.Fatalf("%d of %d rows, footer %+v", len(got), len(want), f)
		}
		if !f.Limited && f.EndOffset != end {
			t.Fatalf("footer %+v, want the end at %d", f, end)
		}
		for _, inc := range []*diagnoser.Incremental{counted, summed} {
			f := finish(t, inc)
			if inc.Count() != uint64(len(want)) || f.Matched != inc.Count() || f.FirstOffset != q.FromOffset ||
				f.EndOffset != end || f.Dropped != nil || f.Scanned > end-q.FromOffset {
				t.Fatalf("counted %d, want %d; footer %+v", inc.Count(), len(want), f)
			}
			if q.From.IsZero() && end > q.FromOffset && (f.FromTime.UnixNano() != all[q.FromOffset].ts || f.ToTime.UnixNano() != all[end-1].ts) {
				t.Fatalf("covers %v..%v", f.FromTime, f.ToTime)
			}
		}
		if v, _ := summed.Result().Rows[0].Value.Uint(); v != sum {
			t.Fatalf("sum %d, want %d", v, sum)
		}
	})
}

func finish(t *rapid.T, inc *diagnoser.Incremental) *diagnoser.Footer {
	t.Helper()
	f, err := inc.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnIncrementalQuestionEndsWithItsFirstError(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{})
	write(t, l, traffic(3000))
	full := errors.New("disk full")
	inc, err := d.StartQuery(diagnoser.Query{Order: diagnoser.ByOffset}, func(*diagnoser.Rows) error { return full })
	if err != nil {
		t.Fatal(err)
	}
	if err := inc.Advance(context.Background(), 1000); !errors.Is(err, full) {
		t.Errorf("advance: %v", err)
	}
	if err := inc.Advance(context.Background(), 2000); !errors.Is(err, full) {
		t.Errorf("second advance: %v", err)
	}
	if _, err := inc.Finish(); !errors.Is(err, full) {
		t.Errorf("finish: %v", err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if inc, err = d.StartCount(diagnoser.Query{}); err != nil {
		t.Fatal(err)
	}
	if err := inc.Advance(ctx, 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled advance: %v", err)
	}
	inc.Close()
}

func TestAnIncrementalQuestionCountsWhatNobodyHeld(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 512, Segments: 12}, diagnoser.Options{})
	inc, err := d.StartCount(diagnoser.Query{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, traffic(20_000))
	settle(t, l)
	if err := inc.Advance(context.Background(), 20_000); err != nil {
		t.Fatal(err)
	}
	f, err := inc.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if lost := f.Dropped[diagnoser.Retention]; inc.Count()+lost != 20_000 || lost != l.First() {
		t.Errorf("%d counted, %d lost", inc.Count(), lost)
	}
}
