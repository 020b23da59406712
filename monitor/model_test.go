package monitor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

const modelLateness = 3 * time.Millisecond

var modelFilters = map[string]func(*header) bool{
	"":                func(*header) bool { return true },
	"dst_port == 443": func(h *header) bool { return h.dport == 443 },
	"udp":             func(h *header) bool { return h.udp },
	"dst_port == 9":   func(*header) bool { return false },
}

var modelAggregates = []string{
	"COUNT()", "SUM(pkt_len)", "MIN(pkt_len)", "MAX(pkt_len)", "AVG(pkt_len)",
	"DISTINCT(src_ip)", "QUANTILE(pkt_len, 0.5)", "TOPK(src_ip, 2)", "DISTINCT(tcp_flags)", "MAX(tcp_flags)",
	"COUNT() BY src_ip", "SUM(pkt_len) BY dst_port", "MIN(pkt_len) BY src_ip", "MAX(pkt_len) BY src_ip, dst_port",
	"AVG(pkt_len) BY dst_port", "DISTINCT(tcp_flags) BY src_ip", "QUANTILE(pkt_len, 0.9) BY dst_port", "TOPK(src_ip, 1) BY dst_port",
}

// A modelTrigger is a trigger and what brute force knows of it.
type modelTrigger struct {
	name    string
	tr      *expr.Trigger
	match   func(*header) bool
	from    uint64
	started bool
	end     int64
	since   int64
	groups  map[string]*modelEpisode
}

type modelEpisode struct {
	firing bool
	last   int64
	offs   string
}

// A modelValue is the value of a group in one window.
type modelValue struct {
	value       float64
	headers     int
	first, last uint64
}

type model struct {
	t        *rapid.T
	log      *multilog.Log
	m        *Monitor
	all      []header
	unseen   int // index in all of what no look has seen
	now      int64
	wall     int64
	triggers map[string]*modelTrigger
	names    int

	known               bool
	first, newest, last int64
	seen                int64
	taken               int // alerts compared
}

func floor(a, b int64) int64 { return a / b } // times of this century

func valueIn(h *header, a packet.Attr) (v uint64, text string, ok bool) {
	switch a {
	case packet.SrcIP:
		return uint64(h.src), fmt.Sprintf("10.0.0.%d", h.src), true
	case packet.DstPort:
		return uint64(h.dport), fmt.Sprint(h.dport), true
	case packet.PktLen:
		return uint64(h.wire), fmt.Sprint(h.wire), true
	case packet.TCPFlags:
		return uint64(h.flags), fmt.Sprintf("flags %d", h.flags), !h.udp
	}
	panic(a.String())
}

// brute returns the value of each group of mt in the window that ends at e.
func (d *model) brute(mt *modelTrigger, e int64) map[string]modelValue {
	every, agg := int64(mt.tr.Every), &mt.tr.Agg
	lo, hi := e*every-int64(mt.tr.Window), e*every
	type part struct {
		key  string
		args []uint64
		text []string
		offs []uint64
	}
	parts := map[string]*part{}
	if len(agg.By) == 0 {
		parts[""] = &part{}
	}
	for i := range d.all[:d.unseen] {
		h := &d.all[i]
		if h.off < mt.from || h.ts < lo || h.ts >= hi || !mt.match(h) {
			continue
		}
		var arg uint64
		var text string
		ok := true
		if agg.Func != expr.Count {
			arg, text, ok = valueIn(h, agg.Arg)
		}
		key := ""
		for _, by := range agg.By {
			_, s, has := valueIn(h, by)
			key += by.String() + "=" + s + " "
			ok = ok && has
		}
		if !ok {
			continue
		}
		p := parts[key]
		if p == nil {
			p = &part{}
			parts[key] = p
		}
		p.args, p.text, p.offs = append(p.args, arg), append(p.text, text), append(p.offs, h.off)
	}
	out := map[string]modelValue{}
	for key, p := range parts {
		v := modelValue{headers: len(p.args)}
		if v.headers > 0 {
			v.first, v.last = slices.Min(p.offs), slices.Max(p.offs)
		}
		sum := uint64(0)
		for _, a := range p.args {
			sum += a
		}
		sorted := slices.Sorted(slices.Values(p.args))
		switch agg.Func {
		case expr.Count:
			v.value = float64(v.headers)
		case expr.Sum:
			v.value = float64(sum)
		case expr.Distinct:
			v.value = float64(len(slices.Compact(sorted)))
		case expr.TopK:
			type top struct {
				arg  uint64
				text string
				modelValue
			}
			var tops []top
			for i, a := range p.args {
				j := slices.IndexFunc(tops, func(t top) bool { return t.arg == a })
				if j < 0 {
					j = len(tops)
					tops = append(tops, top{a, p.text[i], modelValue{first: p.offs[i]}})
				}
				tops[j].headers++
				tops[j].first, tops[j].last = min(tops[j].first, p.offs[i]), max(tops[j].last, p.offs[i])
			}
			slices.SortFunc(tops, func(a, b top) int { return cmp.Or(b.headers-a.headers, cmp.Compare(a.arg, b.arg)) })
			for _, t := range tops[:min(len(tops), int(agg.Param))] {
				t.value = float64(t.headers)
				out[key+agg.Arg.String()+"="+t.text+" "] = t.modelValue
			}
			continue
		default:
			if v.headers == 0 {
				continue
			}
			switch agg.Func {
			case expr.Min:
				v.value = float64(sorted[0])
			case expr.Max:
				v.value = float64(sorted[len(sorted)-1])
			case expr.Avg:
				v.value = float64(sum) / float64(v.headers)
			case expr.Quantile:
				v.value = float64(sorted[int(math.Floor(agg.Param*float64(len(sorted)-1)))])
			}
		}
		out[key] = v
	}
	return out
}

// compare is one evaluation by brute force; it returns what it raises.
func (d *model) compare(mt *modelTrigger, e int64, past bool) (raised []string) {
	values := d.brute(mt, e)
	say := func(state State, key string, v modelValue, ok bool, offs string) {
		raised = append(raised, fmt.Sprintf("%s %s {%s} value %v %v headers %d window %d..%d offsets %s",
			mt.name, state, key, v.value, ok, v.headers, e*int64(mt.tr.Every)-int64(mt.tr.Window), e*int64(mt.tr.Every), offs))
	}
	holds := func(key string) bool {
		v, ok := values[key]
		return ok && mt.tr.Op.Compare(v.value, mt.tr.Threshold)
	}
	for key, v := range values {
		ep := mt.groups[key]
		if !holds(key) || ep != nil && (ep.firing || e <= ep.last) {
			continue
		}
		offs := "none"
		if v.headers > 0 {
			offs = fmt.Sprintf("%d..%d", v.first, v.last)
		}
		mt.groups[key] = &modelEpisode{firing: true, offs: offs}
		say(Firing, key, v, true, offs)
	}
	for key, ep := range mt.groups {
		if past || !ep.firing || holds(key) {
			continue
		}
		v, ok := values[key]
		ep.firing, ep.last = false, e-1
		say(Resolved, key, v, ok, ep.offs)
	}
	return raised
}

// look is a look at the log, by brute force and by the monitor.
func (d *model) look() {
	for _, h := range d.all[d.unseen:] {
		if !d.known {
			d.first, d.newest, d.seen = h.ts, h.ts, d.wall
			d.known = true
		}
	}
	if d.known {
		for _, h := range d.all[d.unseen:] {
			if d.unseen == 0 {
				d.first = min(d.first, h.ts)
			}
			if h.ts > d.newest {
				d.newest, d.seen = h.ts, d.wall
			}
		}
		d.unseen = len(d.all)
		d.last = max(d.last, d.newest+max(0, d.wall-d.seen))
	}
	var want []string
	if d.known {
		for _, mt := range d.triggers {
			every := int64(mt.tr.Every)
			if !mt.started {
				mt.start(d.first)
			}
			late := (int64(modelLateness) + every - 1) / every
			for e := max(mt.since, mt.end-late) + 1; e <= mt.end; e++ {
				want = append(want, d.compare(mt, e, e < mt.end)...)
			}
			for target := floor(d.last-int64(modelLateness), every); mt.end < target; {
				mt.end++
				want = append(want, d.compare(mt, mt.end, false)...)
			}
		}
	}
	d.m.look(time.Unix(0, d.wall))
	alerts := d.m.Alerts(time.Time{})
	var got []string
	for i, a := range alerts[d.taken:] {
		if a.Seq != uint64(d.taken+i+1) {
			d.t.Fatalf("alert %d has number %d", d.taken+i+1, a.Seq)
		}
		offs := "none"
		if a.HasOffsets {
			offs = fmt.Sprintf("%d..%d", a.FirstOffset, a.LastOffset)
		}
		key := ""
		for _, g := range a.Group {
			key += g.Name + "=" + g.Value + " "
		}
		got = append(got, fmt.Sprintf("%s %s {%s} value %v %v headers %d window %d..%d offsets %s",
			a.Trigger, a.State, key, a.Value, !a.NoValue, a.Headers, a.From.UnixNano(), a.To.UnixNano(), offs))
	}
	d.taken = len(alerts)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		d.t.Fatalf("got alerts\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (mt *modelTrigger) start(t int64) {
	mt.started = true
	mt.end = floor(t, int64(mt.tr.Every))
	mt.since = mt.end
}

func (d *model) install() {
	d.names++
	t := d.t
	filter := rapid.SampledFrom([]string{"", "dst_port == 443", "udp", "dst_port == 9"}).Draw(t, "filter")
	agg := rapid.SampledFrom(modelAggregates).Draw(t, "aggregate")
	every := rapid.SampledFrom([]time.Duration{500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond}).Draw(t, "every")
	n := rapid.SampledFrom([]time.Duration{1, 2, 5, 20}).Draw(t, "n")
	op := rapid.SampledFrom([]string{">", ">=", "<", "<=", "==", "!="}).Draw(t, "op")
	threshold := rapid.IntRange(0, 6).Draw(t, "threshold")
	if strings.Contains(agg, "pkt_len") {
		threshold *= 300
	}
	mt := &modelTrigger{
		name: fmt.Sprintf("t%d", d.names), match: modelFilters[filter], groups: map[string]*modelEpisode{},
		tr: mustTrigger(t, fmt.Sprintf("%s %s %d over %dns every %dns", agg, op, threshold, every*n, every)),
	}
	spec := TriggerSpec{Name: mt.name, Filter: filter, Trigger: mt.tr}
	if rapid.Bool().Draw(t, "named") {
		spec.Aggregate = agg + " of " + filter
		if d.m.aggregates[spec.Aggregate] == nil {
			a := mt.tr.Agg
			if _, err := d.m.InstallAggregate(AggregateSpec{Name: spec.Aggregate, Filter: filter, Agg: &a, Bucket: 500 * time.Microsecond}); err != nil {
				t.Fatal(err)
			}
		}
	}
	info, err := d.m.InstallTrigger(spec)
	if err != nil {
		t.Fatal(err)
	}
	if mt.from = info.FromOffset; mt.from > d.log.WriteTail() {
		t.Fatalf("from offset %d, beyond the end %d", mt.from, d.log.WriteTail())
	}
	if d.known {
		mt.start(max(d.last-int64(modelLateness), d.first/int64(mt.tr.Every)*int64(mt.tr.Every)))
	}
	d.triggers[mt.name] = mt
}

func (d *model) publish() {
	t := d.t
	n := rapid.IntRange(1, 12).Draw(t, "headers")
	hs := make([]*header, n)
	for i := range hs {
		d.now += int64(rapid.SampledFrom([]int{0, 50, 400, 1500}).Draw(t, "gap")) * 1000
		back := int64(rapid.SampledFrom([]int{0, 0, 0, 700, 2900, 4000, 30000}).Draw(t, "late")) * 1000
		hs[i] = &header{
			ts: d.now - back, src: byte(rapid.IntRange(1, 3).Draw(t, "src")),
			dport: rapid.SampledFrom([]uint16{80, 443}).Draw(t, "dport"), udp: rapid.Bool().Draw(t, "udp"),
			flags: rapid.SampledFrom([]byte{2, 16, 18}).Draw(t, "flags"), wire: uint32(rapid.SampledFrom([]int{100, 600, 1400}).Draw(t, "wire")),
		}
		if hs[i].udp {
			hs[i].flags = 0
		}
	}
	publish(t, d.log, hs...)
	for _, h := range hs {
		d.all = append(d.all, *h)
	}
	d.wall = max(d.wall, d.now)
}

// Alerts must be those of brute force: every window end, over all headers, at
// every look.
func TestAlertsEqualBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLog(t)
		m, err := New(l, Options{Lateness: modelLateness, Keep: 100000})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		d := &model{t: t, log: l, m: m, triggers: map[string]*modelTrigger{}, now: ms(0), wall: ms(0)}
		for text := range modelFilters {
			if text != "" {
				if _, err := m.InstallFilter(text, mustExpr(t, text)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "triggers") {
			d.install()
		}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) { d.t = t; d.publish() },
			"look":    func(t *rapid.T) { d.t = t; d.look() },
			"wait": func(t *rapid.T) {
				d.t = t
				d.wall += int64(rapid.IntRange(0, 30000).Draw(t, "pause")) * 1000
				d.now = max(d.now, d.wall)
				d.look()
			},
			"install": func(t *rapid.T) { d.t = t; d.install() },
			"remove": func(t *rapid.T) {
				d.t = t
				names := slices.Sorted(func(yield func(string) bool) {
					for n := range d.triggers {
						if !yield(n) {
							return
						}
					}
				})
				if len(names) == 0 {
					t.Skip("nothing to remove")
				}
				name := rapid.SampledFrom(names).Draw(t, "name")
				firing := 0
				for _, ep := range d.triggers[name].groups {
					if ep.firing {
						firing++
					}
				}
				if err := m.RemoveTrigger(name); err != nil {
					t.Fatal(err)
				}
				delete(d.triggers, name)
				alerts := m.Alerts(time.Time{})
				if n := len(alerts) - d.taken; n != firing {
					t.Fatalf("removal resolved %d groups, %d were firing", n, firing)
				}
				for _, a := range alerts[d.taken:] {
					if a.State != Resolved || a.Trigger != name || !a.NoValue {
						t.Fatalf("removal of %s raised %+v", name, a)
					}
				}
				d.taken = len(alerts)
			},
		})
		d.look()
		if s := m.Stats(); s.Skipped != 0 || s.Evicted != 0 {
			t.Fatalf("skipped %d, evicted %d", s.Skipped, s.Evicted)
		}
	})
}
