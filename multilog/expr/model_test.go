package expr

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/packet"
)

// Values of each attribute come from small pools, so that expressions and
// headers meet.

// pool returns the values that tests of a draw from, as expressions write them.
func pool(a packet.Attr) []string {
	switch a.Info().Kind {
	case packet.KindIP:
		return []string{"10.0.0.1", "10.0.0.2", "10.0.1.1", "192.168.3.4", "0.0.0.0", "255.255.255.255", "::", "::1",
			"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::", "2001:db9::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	case packet.KindMAC:
		return []string{"00:00:00:00:00:00", "02:00:5e:10:00:01", "02:00:5e:10:00:02", "ff:ff:ff:ff:ff:ff"}
	case packet.KindTime:
		return []string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000001Z", "2026-01-02T03:04:06Z", "0", "1767322800s"}
	case packet.KindEnum:
		names := []string{"0", "1", "255", "17"}
		for _, n := range []string{"tcp", "udp", "arp", "ipv4", "vxlan", "in", "out", "truncated", "none"} {
			if _, ok := packet.EnumNames(a)[n]; ok {
				names = append(names, n)
			}
		}
		return names
	}
	names := []string{"0", "1", "2", "3", "4", "6", "18", "80", "81", "82", "100", "200", fmt.Sprint(maxValue(a).Lo)}
	if a.Info().Kind == packet.KindUint && a.Info().Width > packet.W8 {
		names = append(names, "443", "1400", "8080", "1k")
	}
	return names
}

func valueGen(t *rapid.T, a packet.Attr) string { return rapid.SampledFrom(pool(a)).Draw(t, "value") }

// parsedValue reads a value of the pool.
func parsedValue(a packet.Attr, s string) packet.Value {
	p := newParser(s)
	v, err := p.value(a, p.tok)
	if err != nil {
		panic(err)
	}
	return v
}

// comparisonGen draws one comparison.
func comparisonGen(t *rapid.T) string {
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0, 1:
		names := packet.BoolNames()
		return rapid.SampledFrom(names).Draw(t, "bool").Name
	case 2:
		a := rapid.SampledFrom([]packet.Attr{packet.TCPFlags, packet.Frag, packet.PktLen, packet.FlowHash, packet.TTL, packet.LayerBits, packet.SrcMAC}).Draw(t, "masked")
		mask := rapid.Uint64Range(1, maxValue(a).Lo).Draw(t, "mask")
		if rapid.Bool().Draw(t, "low") {
			mask = mask&0xff | 1
		}
		v := rapid.Uint64().Draw(t, "v") & mask
		if a == packet.SrcMAC {
			mask, v = mask&0xffffffffffff|1, v&0xffffffffffff&(mask|1)
		}
		op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">=", "in"}).Draw(t, "op")
		return fmt.Sprintf("%s & %s %s %s", a, formatMask(a, mask), op, formatMask(a, v&mask))
	case 3: // many ranges
		a := rapid.SampledFrom([]packet.Attr{packet.TTL, packet.DstPort, packet.PktLen, packet.FlowHash, packet.SrcIP}).Draw(t, "ranged")
		step := rapid.Uint64Range(18, 20).Draw(t, "step")
		var items []string
		for i := range uint64(12) {
			lo, hi := packet.Value{Lo: i * step}, packet.Value{Lo: i*step + 16}
			if a == packet.SrcIP {
				lo.Lo, hi.Lo = lo.Lo+0xffff0a000000, hi.Lo+0xffff0a000000
			}
			items = append(items, rangeOperand(a, lo, hi).text)
		}
		return a.String() + " in {" + strings.Join(items, ", ") + "}"
	}
	name := rapid.SampledFrom(append(attrNames(), "port", "addr", "mac", "host", "src_ip", "dst_ip", "dst_port", "src_port")).Draw(t, "attr")
	subj, _ := subjectOf(name)
	a := subj.attrs[0]
	op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">=", "in"}).Draw(t, "op")
	switch op {
	case "<", "<=", ">", ">=":
		return name + " " + op + " " + valueGen(t, a)
	}
	n := rapid.SampledFrom([]int{1, 1, 1, 2, 3, 12}).Draw(t, "n")
	items := make([]string, n)
	for i := range items {
		items[i] = itemGen(t, a)
	}
	if n == 1 {
		return name + " " + op + " " + items[0]
	}
	return name + " " + op + " {" + strings.Join(items, ",") + "}"
}

func attrNames() []string {
	var names []string
	for a := range packet.Attr(packet.NumAttrs) {
		names = append(names, a.String())
	}
	return names
}

// itemGen draws a value, a range or a prefix.
func itemGen(t *rapid.T, a packet.Attr) string {
	switch rapid.IntRange(0, 5).Draw(t, "item") {
	case 0:
		x, y := valueGen(t, a), valueGen(t, a)
		vx, vy := parsedValue(a, x), parsedValue(a, y)
		if vy.Less(vx) {
			x, y = y, x
		}
		if a.Info().Kind == packet.KindIP && vx.Addr().Is4() != vy.Addr().Is4() {
			return x
		}
		return x + ".." + y
	case 1:
		if a.Info().Kind == packet.KindIP {
			return rapid.SampledFrom([]string{"10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "0.0.0.0/0", "::/0", "2001:db8::/32",
				"2001:db8::/64", "2001:db8::/65", "2001:db8::/63", "2001:db8::1/128", "::ffff:0:0/96"}).Draw(t, "prefix")
		}
	}
	return valueGen(t, a)
}

// exprGen draws an expression with levels of and, or, not.
func exprGen(t *rapid.T, levels int) string {
	if levels == 0 {
		return comparisonGen(t)
	}
	switch rapid.IntRange(0, 5).Draw(t, "op") {
	case 0:
		return "!(" + exprGen(t, levels-1) + ")"
	case 1, 2:
		return "(" + exprGen(t, levels-1) + ") && (" + exprGen(t, levels-1) + ")"
	case 3, 4:
		return "(" + exprGen(t, levels-1) + ") || (" + exprGen(t, levels-1) + ")"
	}
	return comparisonGen(t)
}

// columnsGen draws headers that keep the rules of package packet: what a
// header does not have is stored as zero.
func columnsGen(t *rapid.T) *packet.Columns {
	n := rapid.SampledFrom(append([]int{0, 3, 256}, lengths...)).Draw(t, "rows")
	c := packet.NewColumns(n)
	seed := rapid.Uint64().Draw(t, "seed")
	next := func(n int) int { // splitmix64; drawing each cell from rapid would take too long
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return int((z ^ z>>31) % uint64(n))
	}
	values := make([][]packet.Value, packet.NumAttrs)
	for a := range packet.Attr(packet.NumAttrs) {
		for _, s := range pool(a) {
			values[a] = append(values[a], parsedValue(a, s))
		}
	}
	for i := range n {
		c.Layers[i] = packet.Layers(next(int(packet.LayerMalformed) << 1))
		for a := range packet.Attr(packet.NumAttrs) {
			if a != packet.LayerBits && c.Has(a, i) {
				setValue(c, a, i, values[a][next(len(values[a]))])
			}
		}
	}
	return c
}

// setValue stores v as attribute a of row i.
func setValue(c *packet.Columns, a packet.Attr, i int, v packet.Value) {
	switch {
	case a == packet.Ts:
		c.Ts[i] = int64(v.Lo)
	case a == packet.LayerBits:
		c.Layers[i] = packet.Layers(v.Lo)
	case a.Info().Width == packet.W8:
		c.U8(a)[i] = uint8(v.Lo)
	case a.Info().Width == packet.W16:
		c.U16(a)[i] = uint16(v.Lo)
	case a.Info().Width == packet.W32:
		c.U32(a)[i] = uint32(v.Lo)
	case a.Info().Width == packet.W64:
		c.U64(a)[i] = v.Lo
	default:
		hi, lo := c.U128(a)
		hi[i], lo[i] = v.Hi, v.Lo
	}
}

// only returns c with nothing but the columns of attrs, so that reading
// another one panics.
func only(c *packet.Columns, attrs packet.AttrSet) *packet.Columns {
	out := &packet.Columns{N: c.N}
	v, w := reflect.ValueOf(c).Elem(), reflect.ValueOf(out).Elem()
	for _, a := range attrs.Attrs() {
		fields := map[packet.Attr][]string{
			packet.SrcIP: {"SrcIPHi", "SrcIPLo"}, packet.DstIP: {"DstIPHi", "DstIPLo"},
			packet.OuterSrc: {"OuterSrcHi", "OuterSrcLo"}, packet.OuterDst: {"OuterDstHi", "OuterDstLo"},
			packet.LayerBits: {"Layers"},
		}[a]
		if fields == nil {
			want := strings.ReplaceAll(a.String(), "_", "")
			for i := range v.NumField() {
				if strings.EqualFold(v.Type().Field(i).Name, want) {
					fields = append(fields, v.Type().Field(i).Name)
				}
			}
		}
		for _, f := range fields {
			w.FieldByName(f).Set(v.FieldByName(f))
		}
	}
	return out
}

func TestEvalAgreesWithMatchAndImpliedHolds(t *testing.T) {
	for _, k := range allKernels() {
		t.Run(k.name, func(t *testing.T) {
			withKernels(t, k)
			rapid.Check(t, checkModel)
		})
	}
}

// checkModel draws expressions and headers, and compares the compiled program
// with the plain meaning of the text.
func checkModel(t *rapid.T) {
	var es []*Expr
	for range rapid.SampledFrom([]int{1, 1, 2, 5, 30}).Draw(t, "expressions") {
		src := exprGen(t, rapid.IntRange(0, 4).Draw(t, "levels"))
		e, err := Parse(src, nil)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		again, err := Parse(e.String(), nil)
		if err != nil {
			t.Fatalf("%s: canonical form %s: %v", src, e, err)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%s: canonical form %s reads as %s", src, e, again)
		}
		es = append(es, e)
	}
	s := NewSet(es)
	sc := s.NewScratch()
	out := make([]packet.Bitmap, s.Len())
	for range 2 { // the scratch is used again
		full := columnsGen(t)
		c := only(full, s.Attrs())
		for i := range out {
			out[i] = packet.Bitmap{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
		}
		s.Eval(c, sc, out)
		for x, e := range es {
			checkRows(t, e, c, &out[x])
			checkImplied(t, e, full, &out[x])
		}
	}
}

func checkRows(t *rapid.T, e *Expr, c *packet.Columns, got *packet.Bitmap) {
	own := only(c, e.Attrs())
	for i := range packet.ChunkSize {
		want := i < c.N && e.Match(own, i)
		if got.Has(i) != want {
			t.Fatalf("%s: row %d of %d: Eval %v, Match %v", e, i, c.N, got.Has(i), want)
		}
	}
}

func checkImplied(t *rapid.T, e *Expr, c *packet.Columns, matches *packet.Bitmap) {
	for a := range packet.Attr(packet.NumAttrs) {
		ranges, ok := e.Implied(a)
		if !ok {
			continue
		}
		for i, r := range ranges {
			if r.Max.Less(r.Min) || maxValue(a).Less(r.Max) || i > 0 && !ranges[i-1].Max.Less(r.Min) {
				t.Fatalf("%s: implied ranges of %s are not sorted and disjoint: %v", e, a, ranges)
			}
		}
		matches.Each(func(i int) {
			if !c.Has(a, i) || !contains(ranges, c.Value(a, i)) {
				t.Fatalf("%s: row %d matches, but %s = %v is not implied (%v)", e, i, a, c.Value(a, i), ranges)
			}
		})
	}
}
