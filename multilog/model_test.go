package multilog_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// question is an expression with the same condition written in Go.
type question struct {
	text string
	is   func(h *header) bool
}

var questions = []question{
	{"", func(*header) bool { return true }},
	{"dst_port == 443", func(h *header) bool { return h.dport == 443 }},
	{"src_ip in 10.0.0.0/30", func(h *header) bool { return h.src>>2 == 0x0a000000>>2 }},
	{"src_ip == 10.0.0.7 && dst_port in 80..443", func(h *header) bool { return h.src == 0x0a000007 && h.dport >= 80 && h.dport <= 443 }},
	{"tcp.syn && !tcp.ack", func(h *header) bool { return h.proto == 6 && h.flags&2 != 0 && h.flags&16 == 0 }},
	{"udp || pkt_len > 1000", func(h *header) bool { return h.proto == 17 || h.wire > 1000 }},
	{"ttl == 3", func(h *header) bool { return h.ttl == 3 }},
	{"dst_port == 9", func(h *header) bool { return h.dport == 9 }},                                   // never
	{"src_mac == 00:00:00:00:00:00 && dst_port != 80", func(h *header) bool { return h.dport != 80 }}, // an attribute that is not stored
}

func drawHeader(t *rapid.T, ts int64) header {
	h := header{
		ts:    ts,
		src:   0x0a000000 + uint32(rapid.IntRange(0, 12).Draw(t, "src")),
		dst:   0x0b000000 + uint32(rapid.IntRange(0, 2000).Draw(t, "dst")),
		sport: uint16(rapid.IntRange(1024, 1040).Draw(t, "sport")),
		dport: rapid.SampledFrom([]uint16{53, 80, 443, 8080}).Draw(t, "dport"),
		proto: rapid.SampledFrom([]uint8{6, 17}).Draw(t, "proto"),
		flags: rapid.SampledFrom([]uint8{2, 18, 16, 17, 4}).Draw(t, "flags"),
		ttl:   uint8(rapid.IntRange(1, 5).Draw(t, "ttl")),
		wire:  uint32(rapid.SampledFrom([]int{64, 128, 600, 1400}).Draw(t, "wire")),
	}
	return h
}

// A machine drives a log and a model of it: the list of all headers ever
// claimed, by offset.
type machine struct {
	log     *multilog.Log
	lanes   int
	all     []header
	pending [][]*packet.Batch // by lane: claimed and not appended, as by a stalled writer
	ts      int64

	filters    map[string]*installedFilter
	aggregates map[string]*installedAggregate
	holds      []*multilog.Hold
	holdAt     []uint64
	pins       []*multilog.Scan
	seq        int
}

type installedFilter struct {
	*multilog.Filter
	q question
}

type installedAggregate struct {
	*multilog.Aggregate
	q    question
	feed *multilog.Feed
	got  *sums
}

// sums folds a feed into one number a bucket, plus the headers evicted.
type sums struct {
	spec    *expr.Aggregate
	perTime map[int64]*fold.State
	scalar  map[int64]fold.Partial
	evicted uint64
}

func (s *sums) Partial(b int64, p *fold.Partial) {
	q := s.scalar[b]
	q.Merge(*p)
	s.scalar[b] = q
}

func (s *sums) Rows(b int64, c *packet.Columns, m *packet.Bitmap) {
	if fold.IsScalar(s.spec) {
		q := s.scalar[b]
		q.Merge(fold.FoldScalar(s.spec, c, m))
		s.scalar[b] = q
		return
	}
	if s.perTime[b] == nil {
		s.perTime[b], _ = fold.New(s.spec, fold.Options{})
	}
	s.perTime[b].Add(c, m)
}

func newSums(spec *expr.Aggregate) *sums {
	return &sums{spec: spec, perTime: map[int64]*fold.State{}, scalar: map[int64]fold.Partial{}}
}

func TestLogEqualsBruteForceUnderRandomOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lanes := rapid.IntRange(1, 3).Draw(t, "lanes")
		ports := new(packet.PortTable)
		if _, err := ports.Add(packet.Port{Name: "test0", Link: packet.LinkEthernet}); err != nil {
			t.Fatal(err)
		}
		l, err := multilog.New(multilog.WithBlock(multilog.Options{
			Ports: ports, SnapLen: 64, Lanes: lanes,
			SegmentHeaders: rapid.SampledFrom([]int{256, 512, 1024}).Draw(t, "segment"),
			Segments:       rapid.IntRange(9, 14).Draw(t, "segments"),
			LogBytes:       rapid.SampledFrom([]int{2, 16, 128}).Draw(t, "log bytes"),
		}, 256))
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{log: l, lanes: lanes, pending: make([][]*packet.Batch, lanes), ts: 1_700_000_000_000_000_000,
			filters: map[string]*installedFilter{}, aggregates: map[string]*installedAggregate{}}
		defer func() {
			m.letGo()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"":                m.check,
			"claim":           m.claim,
			"append":          m.append,
			"burst":           m.burst,
			"installFilter":   m.installFilter,
			"removeFilter":    m.removeFilter,
			"installAgg":      m.installAggregate,
			"removeAgg":       m.removeAggregate,
			"index":           m.toggleIndex,
			"hold":            m.hold,
			"pin":             m.pin,
			"letGo":           func(*rapid.T) { m.letGo() },
			"queryAnyRange":   m.queryRange,
			"readAggregateIn": m.readAggregate,
		})
	})
}

// claim takes offsets for a batch and leaves it with a lane that has not got to
// it yet.
func (m *machine) claim(t *rapid.T) {
	n := rapid.IntRange(1, 256).Draw(t, "n")
	m.tryClaim(t, rapid.IntRange(0, m.lanes-1).Draw(t, "lane"), n)
}

func (m *machine) tryClaim(t *rapid.T, lane, n int) {
	base, ok := m.log.Claim(n)
	for tries := 0; !ok && tries < 50; tries++ {
		time.Sleep(100 * time.Microsecond) // retention works beside us
		base, ok = m.log.Claim(n)
	}
	if !ok {
		// Only something that we hold may be in the way.
		if len(m.holds) == 0 && len(m.pins) == 0 && m.outstanding() == 0 && m.log.ReadTail() == m.log.WriteTail() {
			for !ok {
				runtime.Gosched()
				if base, ok = m.log.Claim(n); ok {
					break
				}
			}
		} else {
			return
		}
	}
	if base != uint64(len(m.all)) {
		t.Fatalf("claimed offset %d after %d headers", base, len(m.all))
	}
	b, err := packet.NewBatch(nil, 64)
	if err != nil {
		t.Fatal(err)
	}
	hs := make([]header, n)
	first := drawHeader(t, m.ts)
	for i := range hs { // one draw a batch, the rest derived: keeps the test quick
		m.ts += int64(first.ttl) * 7_000
		hs[i] = first
		hs[i].ts = m.ts
		if i%7 == 3 {
			hs[i].ts -= 3_000_000 // late by some buckets
		}
		hs[i].src = 0x0a000000 + (first.src+uint32(i*i))%13
		hs[i].dport = []uint16{53, 80, 443, 8080}[(int(first.dport)+i*3)%4]
		hs[i].wire = 64 + uint32(i*37)%1400
		hs[i].ttl = 1 + uint8(i)%5
		if i%3 == 0 {
			hs[i].proto = 17
		}
	}
	fill(b, hs)
	b.Base = base
	m.all = append(m.all, hs...)
	m.pending[lane] = append(m.pending[lane], b)
}

func (m *machine) outstanding() (n int) {
	for _, p := range m.pending {
		n += len(p)
	}
	return n
}

// append lets one lane append its oldest batch.
func (m *machine) append(t *rapid.T) {
	lane := rapid.IntRange(0, m.lanes-1).Draw(t, "lane")
	if len(m.pending[lane]) > 0 {
		m.log.Lane(lane).Append(m.pending[lane][0])
		m.pending[lane] = m.pending[lane][1:]
	}
}

// burst claims and appends several batches, so that retention has work.
func (m *machine) burst(t *rapid.T) {
	lane := rapid.IntRange(0, m.lanes-1).Draw(t, "lane")
	for range rapid.IntRange(1, 8).Draw(t, "batches") {
		m.tryClaim(t, lane, 256)
	}
	for _, b := range m.pending[lane] {
		m.log.Lane(lane).Append(b)
	}
	m.pending[lane] = nil
}

func (m *machine) installFilter(t *rapid.T) {
	if len(m.filters) > 5 {
		return
	}
	q := rapid.SampledFrom(questions).Draw(t, "filter")
	m.seq++
	name := fmt.Sprint("f", m.seq)
	f, err := m.log.InstallFilter(multilog.FilterSpec{Name: name, Expr: parse(t, q.text)})
	if err != nil {
		t.Fatal(err)
	}
	if f.From() != uint64(len(m.all)) {
		t.Fatalf("filter from %d, want %d", f.From(), len(m.all))
	}
	m.filters[name] = &installedFilter{f, q}
}

func (m *machine) removeFilter(t *rapid.T) {
	for name, f := range m.filters {
		used := false
		for _, a := range m.aggregates {
			used = used || a.Filter() == f.Filter
		}
		if err := m.log.RemoveFilter(name); (err != nil) != used {
			t.Fatalf("remove filter in use=%v: %v", used, err)
		}
		if !used {
			delete(m.filters, name)
		}
		return
	}
}

var specs = []string{"COUNT()", "SUM(pkt_len)", "MIN(ttl)", "MAX(pkt_len)", "AVG(payload_len)", "SUM(pkt_len) BY src_ip", "DISTINCT(dst_port)", "TOPK(src_ip, 3)"}

func (m *machine) installAggregate(t *rapid.T) {
	if len(m.aggregates) > 5 {
		return
	}
	spec, err := expr.ParseAggregate(rapid.SampledFrom(specs).Draw(t, "aggregate"))
	if err != nil {
		t.Fatal(err)
	}
	on := multilog.AggregateSpec{Name: fmt.Sprint("a", m.seq), Agg: spec}
	m.seq++
	q := questions[0]
	for name, f := range m.filters {
		on.Filter, q = name, f.q
		break
	}
	a, err := m.log.InstallAggregate(on)
	if err != nil {
		t.Fatal(err)
	}
	if a.From() != uint64(len(m.all)) {
		t.Fatalf("aggregate from %d, want %d", a.From(), len(m.all))
	}
	m.aggregates[on.Name] = &installedAggregate{a, q, m.log.Feed(a, 0), newSums(spec)}
}

func (m *machine) removeAggregate(t *rapid.T) {
	for name := range m.aggregates {
		if err := m.log.RemoveAggregate(name); err != nil {
			t.Fatal(err)
		}
		delete(m.aggregates, name)
		return
	}
}

func (m *machine) toggleIndex(t *rapid.T) {
	a := rapid.SampledFrom([]packet.Attr{packet.SrcIP, packet.DstPort, packet.Ts, packet.PktLen}).Draw(t, "attr")
	if m.log.Index(a) != nil {
		if err := m.log.RemoveIndex(a); err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, err := m.log.InstallIndex(a); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) hold(t *rapid.T) {
	if len(m.holds) > 1 {
		return
	}
	at := m.log.First()
	h := m.log.Hold(at)
	if first := m.log.First(); first <= at {
		m.holds, m.holdAt = append(m.holds, h), append(m.holdAt, at)
	} else {
		h.Release() // retention was under way
	}
}

// pin leaves a reader in the middle of a scan.
func (m *machine) pin(t *rapid.T) {
	if len(m.pins) > 1 {
		return
	}
	s, err := m.log.Scan(multilog.ScanOptions{From: m.log.First(), To: m.log.ReadTail()})
	if err != nil {
		t.Fatal(err)
	}
	s.Next()
	m.pins = append(m.pins, s)
}

func (m *machine) letGo() {
	for _, s := range m.pins {
		s.Close()
	}
	for _, h := range m.holds {
		h.Release()
	}
	m.pins, m.holds, m.holdAt = nil, nil, nil
}

// check compares everything that the log can be asked with brute force over
// the headers below the read tail.
func (m *machine) check(t *rapid.T) {
	tail := m.log.ReadTail()
	want := uint64(len(m.all))
	for _, p := range m.pending {
		if len(p) > 0 {
			want = min(want, p[0].Base)
		}
	}
	if tail != want {
		t.Fatalf("read tail %d, want %d (write tail %d)", tail, want, len(m.all))
	}
	for i, h := range m.holds {
		if first := m.log.First(); first > m.holdAt[i] {
			t.Fatalf("hold %v at %d, but the first header held is %d", h, m.holdAt[i], first)
		}
	}
	q := rapid.SampledFrom(questions).Draw(t, "question")
	m.compare(t, q, multilog.ScanOptions{To: tail}, 0, tail, func(*header) bool { return true })
	for _, f := range m.filters {
		m.compare(t, q, multilog.ScanOptions{To: tail, Filter: f.Filter}, f.From(), tail, f.q.is)
	}
	for _, a := range m.aggregates {
		a.got.evicted += a.feed.Advance(tail, a.got)
		m.compareAggregate(t, a, tail)
	}
}

// compare runs a scan for q with o and checks that it returns exactly the
// headers from..to-1 that satisfy q and also.
func (m *machine) compare(t *rapid.T, q question, o multilog.ScanOptions, from, to uint64, also func(*header) bool) {
	o.Where = parse(t, q.text)
	for _, x := range m.log.Indexes() {
		if r, ok := o.Where.Implied(x.Attr()); ok {
			o.Index = append(o.Index, multilog.IndexUse{Index: x, Ranges: r})
		}
	}
	o.Need = packet.SetOf(packet.SrcIP, packet.DstPort, packet.PktLen, packet.SrcMAC)
	s, err := m.log.Scan(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := map[uint64]bool{}
	last := int64(-1)
	for s.Next() {
		c := s.Columns()
		s.Match().Each(func(i int) {
			off := s.Base() + uint64(i)
			h := &m.all[off]
			if int64(off) <= last {
				t.Fatalf("offset %d after %d", off, last)
			}
			last = int64(off)
			got[off] = true
			if c.SrcIPLo[i] != 0xffff_0000_0000|uint64(h.src) || c.DstPort[i] != h.dport || c.PktLen[i] != h.wire || c.Ts[i] != h.ts {
				t.Fatalf("offset %d: columns are not those of the header", off)
			}
			if h.ts < o.TsFrom || o.TsTo != 0 && h.ts >= o.TsTo {
				t.Fatalf("offset %d: outside the time range", off)
			}
		})
	}
	missing := uint64(0)
	for off := max(from, o.From); off < min(to, max(o.To, o.From)); off++ {
		h := &m.all[off]
		timed := o.TsTo == 0 || h.ts >= o.TsFrom && h.ts < o.TsTo
		if want := q.is(h) && also(h) && timed; got[off] != want {
			if want && off < m.log.First() {
				missing++
				continue
			}
			t.Fatalf("%q with filter %v over [%d,%d): offset %d returned %v, want %v", q.text, o.Filter != nil, o.From, o.To, off, got[off], want)
		}
		delete(got, off)
	}
	if len(got) > 0 {
		t.Fatalf("%q: %d headers outside the range", q.text, len(got))
	}
	if missing > s.Evicted() {
		t.Fatalf("%d matches were evicted, the scan says %d headers", missing, s.Evicted())
	}
}

// compareAggregate checks the sum of what the feed gave, bucket by bucket. It
// can only be exact when nothing was evicted before it was read.
func (m *machine) compareAggregate(t *rapid.T, a *installedAggregate, tail uint64) {
	if a.got.evicted > 0 {
		return
	}
	m.compareSums(t, a, a.got, m.brute(a, a.From(), tail, 0, 0))
}

func (m *machine) brute(a *installedAggregate, from, to uint64, tsFrom, tsTo int64) map[int64]map[string]uint64 {
	want := map[int64]map[string]uint64{}
	width := int64(a.Bucket())
	for off := from; off < to; off++ {
		h := &m.all[off]
		if !a.q.is(h) || tsTo != 0 && (h.ts < tsFrom || h.ts >= tsTo) {
			continue
		}
		b := h.ts / width
		if want[b] == nil {
			want[b] = map[string]uint64{"min": 1 << 62}
		}
		w := want[b]
		w["count"]++
		w["len"] += uint64(h.wire)
		w["min"] = min(w["min"], uint64(h.ttl))
		w["max"] = max(w["max"], uint64(h.wire))
		w[fmt.Sprint("src", h.src)] += uint64(h.wire)
		w[fmt.Sprint("port", h.dport)] = 1
	}
	return want
}

func (m *machine) compareSums(t *rapid.T, a *installedAggregate, got *sums, want map[int64]map[string]uint64) {
	if n := len(got.scalar) + len(got.perTime); n != len(want) {
		t.Fatalf("%v: %d buckets, want %d", a.Spec(), n, len(want))
	}
	for b, w := range want {
		if a.Scalar() {
			p := got.scalar[b]
			ok := p.Headers == w["count"]
			switch a.Spec().Func {
			case expr.Sum:
				ok = ok && p.Sum == w["len"]
			case expr.Min:
				ok = ok && p.Min == w["min"]
			case expr.Max:
				ok = ok && p.Max == w["max"]
			}
			if !ok {
				t.Fatalf("%v bucket %d: %+v, want %v", a.Spec(), b, p, w)
			}
			continue
		}
		r := got.perTime[b].Result()
		if a.Spec().Func == expr.Sum {
			for _, row := range r.Rows {
				if v := w[fmt.Sprint("src", uint32(row.Group[0].Lo))]; value(row.Value) != v {
					t.Fatalf("%v bucket %d group %v: %v, want %d", a.Spec(), b, row.Group, row.Value, v)
				}
			}
		}
		sum := uint64(0)
		for _, row := range r.Rows {
			sum += row.Headers
		}
		if sum != w["count"] {
			t.Fatalf("%v bucket %d: %d headers, want %d", a.Spec(), b, sum, w["count"])
		}
	}
}

func (m *machine) queryRange(t *rapid.T) {
	tail := m.log.ReadTail()
	if tail == 0 {
		return
	}
	from := uint64(rapid.IntRange(0, int(tail)).Draw(t, "from"))
	to := uint64(rapid.IntRange(int(from), int(tail)).Draw(t, "to"))
	o := multilog.ScanOptions{From: from, To: to}
	if rapid.Bool().Draw(t, "timed") {
		o.TsFrom = m.all[from%tail].ts
		o.TsTo = o.TsFrom + int64(rapid.IntRange(1, 10_000_000).Draw(t, "duration"))
	}
	m.compare(t, rapid.SampledFrom(questions).Draw(t, "question"), o, from, to, func(*header) bool { return true })
}

func (m *machine) readAggregate(t *rapid.T) {
	tail := m.log.ReadTail()
	for _, a := range m.aggregates {
		if a.From() >= tail {
			return
		}
		from := uint64(rapid.IntRange(int(a.From()), int(tail)).Draw(t, "from"))
		to := uint64(rapid.IntRange(int(from), int(tail)).Draw(t, "to"))
		r := multilog.AggregateRange{From: from, To: to}
		if rapid.Bool().Draw(t, "timed") {
			r.TsFrom = m.all[from%tail].ts
			r.TsTo = r.TsFrom + int64(rapid.IntRange(1, 10_000_000).Draw(t, "duration"))
		}
		got := newSums(a.Spec())
		if m.log.ReadAggregate(a.Aggregate, r, got) > 0 {
			return
		}
		m.compareSums(t, a, got, m.brute(a, from, to, r.TsFrom, r.TsTo))
		return
	}
}

func value(n fold.Number) uint64 {
	v, _ := n.Uint()
	return v
}

func parse(t *rapid.T, text string) *expr.Expr {
	e, err := expr.Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
