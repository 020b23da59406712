package diagnoser_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A model is a log with all that was ever written to it.
type model struct {
	log     *multilog.Log
	d       *diagnoser.Diagnoser
	all     []header
	filters map[string]question
}

// A row is what a query returned of a header.
type row struct {
	offset uint64
	header
}

// drawModel makes a log with indexes and filters installed at some point.
func drawModel(t *rapid.T) *model {
	m := &model{
		log: openLog(t, multilog.Options{
			SegmentHeaders: rapid.SampledFrom([]int{512, 1024, 4096}).Draw(t, "segment"),
			Segments:       rapid.SampledFrom([]int{12, 64}).Draw(t, "segments"),
			LogBytes:       rapid.SampledFrom([]int{1, 32}).Draw(t, "log bytes"),
		}),
		all:     traffic(rapid.SampledFrom([]int{700, 9_000, 16_000}).Draw(t, "headers")),
		filters: map[string]question{},
	}
	disorders[rapid.SampledFrom(slices.Sorted(maps.Keys(disorders))).Draw(t, "disorder")](m.all)
	at := rapid.SampledFrom([]int{0, 0, 300}).Draw(t, "installed at")
	write(t, m.log, m.all[:at])
	for _, a := range rapid.SampledFrom([][]packet.Attr{nil, {packet.DstPort}, {packet.DstPort, packet.SrcPort, packet.SrcIP, packet.DstIP}}).Draw(t, "indexes") {
		if _, err := m.log.InstallIndex(a); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "filters") {
		q := rapid.SampledFrom(questions).Draw(t, "filter")
		name := fmt.Sprint("f", i)
		if _, err := m.log.InstallFilter(multilog.FilterSpec{Name: name, Expr: parse(t, q.text)}); err != nil {
			t.Fatal(err)
		}
		m.filters[name] = q
	}
	write(t, m.log, m.all[at:])
	settle(t, m.log)
	waitSorted(t, m.log)
	m.d = diagnoser.New(m.log, diagnoser.Options{SortBytes: rapid.SampledFrom([]int{1, 0}).Draw(t, "sort bytes")})
	return m
}

// drawQuery returns a query and the offsets of the headers that satisfy it, in
// its order, with those that are not held any more left out. The first ones are
// all the questions, without bounds.
func (m *model) drawQuery(t *rapid.T, i int) (q diagnoser.Query, want []uint64, first, end uint64) {
	bounded := i >= len(questions)
	if bounded {
		i = rapid.IntRange(0, len(questions)-1).Draw(t, "question")
	}
	where := questions[i]
	q.Where = parse(t, where.text)
	n := len(m.all)
	end = uint64(n)
	first = m.log.First()
	filter := question{"", func(*header) bool { return true }}
	if len(m.filters) > 0 && bounded && rapid.Bool().Draw(t, "by filter") {
		q.Filter = rapid.SampledFrom(slices.Sorted(maps.Keys(m.filters))).Draw(t, "filter")
		filter = m.filters[q.Filter]
		first = max(first, m.log.Filter(q.Filter).From())
	}
	if bounded && rapid.Bool().Draw(t, "offsets") {
		q.FromOffset = uint64(rapid.IntRange(0, n).Draw(t, "from offset"))
		q.ToOffset = uint64(rapid.IntRange(int(q.FromOffset), n+10).Draw(t, "to offset"))
		first = max(first, q.FromOffset)
		if q.ToOffset != 0 {
			end = min(end, q.ToOffset)
		}
	}
	tsFrom, tsTo := int64(-1<<63), int64(1<<63-1)
	if bounded && rapid.Bool().Draw(t, "times") {
		tsFrom = m.all[rapid.IntRange(0, n-1).Draw(t, "from time")].ts
		tsTo = tsFrom + int64(rapid.IntRange(0, 100_000_000).Draw(t, "duration"))
		q.From, q.To = time.Unix(0, tsFrom), time.Unix(0, tsTo)
	}
	for off := first; off < end; off++ {
		h := &m.all[off]
		if where.is(h) && filter.is(h) && h.ts >= tsFrom && h.ts < tsTo {
			want = append(want, off)
		}
	}
	q.Order = rapid.SampledFrom([]diagnoser.Order{diagnoser.ByTime, diagnoser.ByOffset}).Draw(t, "order")
	if q.Order == diagnoser.ByTime {
		slices.SortStableFunc(want, m.byTime)
	}
	return q, want, min(first, end), end
}

func TestEveryPlanAnswersAsBruteForceDoes(t *testing.T) {
	plans, tried := map[string]int{}, 0
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		defer func() {
			m.d.Close()
			if err := m.log.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		for i := range len(questions) + 8 {
			q, want, first, end := m.drawQuery(t, i)
			m.checkQuery(t, q, want, first, end)
			m.checkCount(t, q, want)
			m.checkAggregates(t, q, want)
			plan, err := m.d.Explain(q)
			if err != nil {
				t.Fatal(err)
			}
			kind := strings.Fields(plan)[0]
			if strings.Contains(plan, " and on ") {
				kind = "two indexes"
			}
			if kind == "index" && q.Filter != "" {
				kind = "index and filter"
			}
			plans[kind]++
			tried++
		}
	})
	for _, kind := range []string{"scan", "index", "filter", "nothing", "index and filter", "two indexes"} {
		if plans[kind] == 0 && tried > 1500 {
			t.Errorf("no plan of kind %q was tried: %v", kind, plans)
		}
	}
}

func (m *model) checkQuery(t *rapid.T, q diagnoser.Query, want []uint64, first, end uint64) *diagnoser.Footer {
	total := len(want)
	if rapid.Bool().Draw(t, "limited") {
		q.Limit = rapid.IntRange(1, 1000).Draw(t, "limit")
		want = want[:min(len(want), q.Limit)]
	}
	q.Need = packet.SetOf(packet.SrcIP, packet.DstIP, packet.DstPort, packet.PktLen, packet.TCPFlags, packet.SrcMAC, packet.LayerBits)
	if rapid.Bool().Draw(t, "with ts") {
		q.Need |= packet.SetOf(packet.Ts)
	}
	q.Slice = rapid.Bool().Draw(t, "slices")
	var got []uint64
	var buf [64]byte
	f, err := m.d.Query(context.Background(), q, func(r *diagnoser.Rows) error {
		if r.N < 1 || r.N > packet.ChunkSize || r.N != r.Cols.N || len(r.Offsets) != r.N {
			return fmt.Errorf("a block of %d rows, %d offsets", r.N, len(r.Offsets))
		}
		c := r.Cols
		for i, off := range r.Offsets {
			got = append(got, off)
			h := &m.all[off]
			if c.SrcIPLo[i] != 0xffff_0000_0000|uint64(h.src) || c.DstIPLo[i] != 0xffff_0000_0000|uint64(h.dst) ||
				c.DstPort[i] != h.dport || c.PktLen[i] != h.wire || c.TCPFlags[i] != uint16(h.flags) ||
				c.SrcMAC[i] != uint64(h.dst&0xff) || c.Layers[i]&packet.LayerTCP == 0 ||
				q.Need.Has(packet.Ts) && c.Ts[i] != h.ts {
				return fmt.Errorf("offset %d: columns are not those of the header", off)
			}
			if q.Slice && string(c.Data[i*c.Stride:][:c.CapLen[i]]) != string(h.frame(&buf)) {
				return fmt.Errorf("offset %d: slice is not that of the header", off)
			}
			if c.SrcPort != nil || !q.Slice && c.Data != nil {
				return errors.New("columns that were not asked for")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Fatalf("%+v: %d rows, want %d; they differ from %d on: %v, want %v\n%s", q, len(got), len(want), i,
			got[i:min(len(got), i+5)], want[i:min(len(want), i+5)], f.Plan)
	}
	limited := len(want) < total
	if limited && !f.Limited || f.Limited && len(want) != q.Limit {
		t.Fatalf("limited %v with %d of %d rows, limit %d", f.Limited, len(want), total, q.Limit)
	}
	if f.Matched != uint64(len(want)) || f.Returned != uint64(len(want)) {
		t.Fatalf("matched %d, returned %d, want %d", f.Matched, f.Returned, len(want))
	}
	if f.Limited && q.Order == diagnoser.ByOffset {
		end = want[len(want)-1] + 1
	}
	if f.FirstOffset != first || f.EndOffset != end {
		t.Fatalf("covers %d..%d, want %d..%d\n%s", f.FirstOffset, f.EndOffset, first, end, f.Plan)
	}
	m.checkTimes(t, q, f, first, end, want)
	return f
}

// checkTimes checks the capture times that an answer says it covers.
func (m *model) checkTimes(t *rapid.T, q diagnoser.Query, f *diagnoser.Footer, first, end uint64, want []uint64) {
	if f.Limited { // a chunk more or less
		if len(want) > 0 && (f.FromTime.UnixNano() > m.all[want[0]].ts || f.ToTime.UnixNano() < m.all[want[len(want)-1]].ts) {
			t.Fatalf("covers %v..%v, without rows that it returned", f.FromTime, f.ToTime)
		}
		return
	}
	var lo, hi int64 = 1<<63 - 1, -1 << 63
	for _, h := range m.all[first:end] {
		lo, hi = min(lo, h.ts), max(hi, h.ts)
	}
	if !q.From.IsZero() {
		// At most what was asked for, and everything of it that there is.
		if f.FromTime.IsZero() {
			if len(want) > 0 {
				t.Fatal("covers no time, and returned rows")
			}
			return
		}
		if f.FromTime.Before(q.From) || f.ToTime.After(q.To) || len(want) > 0 && (f.FromTime.UnixNano() > m.all[slices.MinFunc(want, m.byTime)].ts ||
			f.ToTime.UnixNano() < m.all[slices.MaxFunc(want, m.byTime)].ts) {
			t.Fatalf("covers %v..%v, asked for %v..%v", f.FromTime, f.ToTime, q.From, q.To)
		}
		return
	}
	if lo > hi {
		if !f.FromTime.IsZero() || !f.ToTime.IsZero() {
			t.Fatalf("covers %v..%v of no headers", f.FromTime, f.ToTime)
		}
		return
	}
	if f.FromTime.UnixNano() != lo || f.ToTime.UnixNano() != hi {
		t.Fatalf("covers %d..%d, want %d..%d", f.FromTime.UnixNano(), f.ToTime.UnixNano(), lo, hi)
	}
}

func (m *model) byTime(a, b uint64) int {
	switch {
	case m.all[a].ts < m.all[b].ts:
		return -1
	case m.all[a].ts > m.all[b].ts:
		return 1
	}
	return 0
}

func (m *model) checkCount(t *rapid.T, q diagnoser.Query, want []uint64) {
	n, f, err := m.d.Count(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if n != uint64(len(want)) || f.Matched != n {
		t.Fatalf("%+v: count %d, footer %d, want %d\n%s", q, n, f.Matched, len(want), f.Plan)
	}
	m.checkEvicted(t, q, f)
}

// checkEvicted checks what an answer says of headers that memory no longer
// holds. Nothing was evicted while it was worked out.
func (m *model) checkEvicted(t *rapid.T, q diagnoser.Query, f *diagnoser.Footer) {
	exact, open := uint64(0), q.FromOffset == 0 && q.From.IsZero()
	from := q.FromOffset
	if q.Filter != "" {
		from = max(from, m.log.Filter(q.Filter).From())
	}
	to := min(m.log.First(), uint64(len(m.all)))
	if q.ToOffset != 0 {
		to = min(to, q.ToOffset)
	}
	for off := from; off < to && !open; off++ {
		if ts := m.all[off].ts; q.From.IsZero() || ts >= q.From.UnixNano() && ts < q.To.UnixNano() {
			exact++
		}
	}
	got := f.Dropped[diagnoser.Retention]
	if q.From.IsZero() && got != exact || got < exact || got > to {
		t.Fatalf("%+v: retention took %d, the answer says %d", q, exact, got)
	}
}

func (m *model) checkAggregates(t *rapid.T, q diagnoser.Query, want []uint64) {
	sums := map[uint64]uint64{}
	for _, off := range want {
		sums[0xffff_0000_0000|uint64(m.all[off].src)] += uint64(m.all[off].wire)
	}
	r, f := m.aggregate(t, q, "SUM(pkt_len) BY src_ip")
	if len(r.Rows) != len(sums) || f.Matched != uint64(len(want)) || f.Returned != uint64(len(sums)) {
		t.Fatalf("%d groups of %d headers, want %d of %d", len(r.Rows), f.Matched, len(sums), len(want))
	}
	for _, g := range r.Rows {
		if v, _ := g.Value.Uint(); v != sums[g.Group[0].Lo] {
			t.Fatalf("%v: sum %d, want %d", g.Group, v, sums[g.Group[0].Lo])
		}
	}
	r, _ = m.aggregate(t, q, "COUNT()")
	if v, _ := r.Rows[0].Value.Uint(); v != uint64(len(want)) {
		t.Fatalf("COUNT() is %d, want %d", v, len(want))
	}
}

func (m *model) aggregate(t *rapid.T, q diagnoser.Query, text string) (*fold.Result, *diagnoser.Footer) {
	a, err := expr.ParseAggregate(text)
	if err != nil {
		t.Fatal(err)
	}
	r, f, err := m.d.Aggregate(context.Background(), q, a, fold.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r, f
}
