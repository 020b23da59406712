package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/packet"
)

// mustFields parses names.
func mustFields(t testing.TB, names ...string) []Field {
	t.Helper()
	f, err := ParseFields(names)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// someRows are n rows of TCP with an ARP frame every tenth.
func someRows(n int) *diagnoser.Rows {
	c := packet.NewColumns(n)
	r := &diagnoser.Rows{N: n, Offsets: make([]uint64, n), Cols: c}
	for i := range n {
		r.Offsets[i] = uint64(1000 + i)
		c.Ts[i] = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC).UnixNano() + int64(i)*1e6
		c.PktLen[i] = uint32(60 + i)
		c.EthType[i] = 0x0806
		c.Layers[i] = packet.LayerEth | packet.LayerEthType | packet.LayerARP
		if i%10 == 9 {
			continue
		}
		c.Layers[i] = packet.LayerEth | packet.LayerEthType | packet.LayerIPv4 | packet.LayerTCP | packet.LayerPorts
		c.EthType[i], c.Proto[i], c.TCPFlags[i] = 0x0800, 6, packet.TCPSyn
		c.SrcIPLo[i], c.DstIPLo[i] = 0xffff_0a00_0001+uint64(i%250), 0xffff_c0a8_0102
		c.SrcPort[i], c.DstPort[i] = uint16(40000+i%20000), 443
	}
	return r
}

func render(t *testing.T, format string, fields []Field, r *diagnoser.Rows, f *diagnoser.Footer) string {
	t.Helper()
	var b bytes.Buffer
	w, err := New(format, &b, fields, false)
	if err != nil {
		t.Fatal(err)
	}
	format2 := NewFormatter(fields, nil, false)
	for i := range r.N {
		if err := w.Row(format2.Row(r, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEachFormatOfTheSameRows(t *testing.T) {
	r := someRows(10)
	r.N = 10
	keep := &diagnoser.Rows{N: 2, Offsets: r.Offsets[8:], Cols: packet.NewColumns(2)}
	for k, i := range []int{8, 9} {
		keep.Cols.Ts[k], keep.Cols.PktLen[k], keep.Cols.Layers[k] = r.Cols.Ts[i], r.Cols.PktLen[i], r.Cols.Layers[i]
		keep.Cols.SrcIPLo[k], keep.Cols.DstPort[k], keep.Cols.Proto[k] = r.Cols.SrcIPLo[i], r.Cols.DstPort[i], r.Cols.Proto[i]
		keep.Cols.TCPFlags[k] = r.Cols.TCPFlags[i]
	}
	fields := mustFields(t, "offset", "ts", "src_ip", "dst_port", "proto", "tcp.syn", "arp")
	for format, want := range map[string]string{
		"csv": `offset,ts,src_ip,dst_port,proto,tcp.syn,arp
1008,2026-01-02T03:04:05.131456789Z,10.0.0.9,443,tcp,true,false
1009,2026-01-02T03:04:05.132456789Z,,,,,true
`,
		"ndjson": `{"offset":1008,"ts":"2026-01-02T03:04:05.131456789Z","src_ip":"10.0.0.9","dst_port":443,"proto":"tcp","tcp.syn":true,"arp":false}
{"offset":1009,"ts":"2026-01-02T03:04:05.132456789Z","src_ip":null,"dst_port":null,"proto":null,"tcp.syn":null,"arp":true}
`,
		"json": `{"rows":[
{"offset":1008,"ts":"2026-01-02T03:04:05.131456789Z","src_ip":"10.0.0.9","dst_port":443,"proto":"tcp","tcp.syn":true,"arp":false},
{"offset":1009,"ts":"2026-01-02T03:04:05.132456789Z","src_ip":null,"dst_port":null,"proto":null,"tcp.syn":null,"arp":true}
],"footer":{"first_offset":0,"end_offset":7,"from_time":"0001-01-01T00:00:00Z","to_time":"0001-01-01T00:00:00Z","matched":2,"scanned":0,"returned":0,"limited":false,"plan":"","took_ns":0}}
`,
		"table": `    offset  ts                              src_ip           dst_port  proto  tcp.syn  arp
      1008  2026-01-02T03:04:05.131456789Z  10.0.0.9              443  tcp    true     false
      1009  2026-01-02T03:04:05.132456789Z  -                       -  -      -        true
`,
	} {
		got := render(t, format, fields, keep, &diagnoser.Footer{EndOffset: 7, Matched: 2})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
	if _, err := New("xml", io.Discard, fields, false); err == nil {
		t.Error("a format that is not known is taken")
	}
}

func TestAnswerWithoutRowsIsStillWhole(t *testing.T) {
	fields := mustFields(t, "src_ip", "dst_port")
	for format, want := range map[string]string{
		"csv": "src_ip,dst_port\n", "ndjson": "", "json": "{\"rows\":[\n]}\n",
		"table": "src_ip           dst_port\n",
	} {
		if got := render(t, format, fields, someRows(0), nil); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

func TestTableFitsLongAddressesAndKeepsItsWidths(t *testing.T) {
	r := someRows(sampleRows + 50)
	for i := range r.N {
		if i%10 != 9 {
			r.Cols.SrcIPHi[i], r.Cols.SrcIPLo[i] = 0x2001_0db8_1111_2222, 0x3333_4444_5555_6666
		}
	}
	lines := strings.Split(strings.TrimSpace(render(t, "table", mustFields(t, "src_ip", "dst_port"), r, nil)), "\n")
	if len(lines) != r.N+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, l := range lines {
		if len(l) != len("2001:db8:1111:2222:3333:4444:5555:6666  dst_port") {
			t.Errorf("line %d is %d wide: %q", i, len(l), l)
		}
	}
}

func TestFieldsAreFoundOrTheErrorSaysWhatThereIs(t *testing.T) {
	if got := Names(mustFields(t)); !cmp.Equal(got, DefaultFields) {
		t.Errorf("default fields %v", got)
	}
	if got := len(mustFields(t, "all")); got != packet.NumAttrs+1 {
		t.Errorf("all is %d fields", got)
	}
	for _, name := range FieldNames() {
		if _, err := ParseFields([]string{name}); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][]string{{"color"}, {"ts", "ts"}, {"all", "ts"}, {""}} {
		if _, err := ParseFields(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	// An attribute that may be absent needs the layer bits, which tell.
	if n := Need(mustFields(t, "offset", "pkt_len")); n != packet.SetOf(packet.PktLen) {
		t.Errorf("need %v", n.Attrs())
	}
	if n := Need(mustFields(t, "dst_port")); n != packet.SetOf(packet.DstPort, packet.LayerBits) {
		t.Errorf("need %v", n.Attrs())
	}
}

// Any value of any attribute is written as the schema writes it, and what NDJSON
// writes ScanRow reads back.
func TestRowsOfNDJSONAreReadBackAsTheyWere(t *testing.T) {
	names := append([]string{"all"}, "tcp.syn", "arp", "ip6")
	rapid.Check(t, func(rt *rapid.T) {
		ports := new(packet.PortTable)
		name := rapid.StringMatching(`[ -~\n\té"]+x`).Draw(rt, "port name")
		if _, err := ports.Add(packet.Port{Name: name}); err != nil {
			rt.Fatal(err)
		}
		numeric := rapid.Bool().Draw(rt, "numeric")
		c := packet.NewColumns(1)
		c.Layers[0] = packet.Layers(rapid.Uint32().Draw(rt, "layers"))
		c.Ts[0] = rapid.Int64Range(0, 1<<62).Draw(rt, "ts")
		c.SrcIPHi[0], c.SrcIPLo[0] = rapid.Uint64().Draw(rt, "hi"), rapid.Uint64().Draw(rt, "lo")
		c.Proto[0], c.EthType[0] = rapid.Byte().Draw(rt, "proto"), rapid.Uint16().Draw(rt, "eth_type")
		c.InPort[0] = rapid.Uint16Range(0, 2).Draw(rt, "in_port")
		c.FlowHash[0], c.SrcMAC[0] = rapid.Uint64().Draw(rt, "hash"), rapid.Uint64Range(0, 1<<48-1).Draw(rt, "mac")
		c.TCPSeq[0] = rapid.Uint32().Draw(rt, "seq")
		rows := &diagnoser.Rows{N: 1, Offsets: []uint64{rapid.Uint64().Draw(rt, "offset")}, Cols: c}

		fields := mustFields(t, names...)
		cells := NewFormatter(fields, ports, numeric).Row(rows, 0)
		for i, f := range fields {
			got := string(cells[i].Text)
			switch {
			case f.Name == OffsetField:
				if got != strconv.FormatUint(rows.Offsets[0], 10) {
					rt.Fatalf("offset %q", got)
				}
			case !c.Has(f.Attr, 0):
				if cells[i].Kind != Absent || got != "" {
					rt.Fatalf("%s is absent, and written as %q", f.Name, got)
				}
			case f.mask == 0 && !(f.Attr == packet.InPort && c.InPort[0] == 0) && !numeric:
				if want := string(f.Attr.Format(nil, c.Value(f.Attr, 0))); got != want {
					rt.Fatalf("%s is %q, want %q", f.Name, got, want)
				}
			case f.Attr == packet.InPort && c.InPort[0] == 0 && !numeric:
				if got != name {
					rt.Fatalf("in_port is %q, want %q", got, name)
				}
			}
		}
		var line bytes.Buffer
		w := NewNDJSON(&line, fields)
		w.Row(cells)
		if err := w.Close(nil); err != nil {
			rt.Fatal(err)
		}
		var object map[string]any
		if err := json.Unmarshal(line.Bytes(), &object); err != nil || len(object) != len(fields) {
			rt.Fatalf("%s: %v", line.Bytes(), err)
		}
		back := make([]Cell, len(fields))
		if err := ScanRow(bytes.TrimSpace(line.Bytes()), fields, back); err != nil {
			rt.Fatal(err)
		}
		for i := range cells {
			if string(back[i].Text) != string(cells[i].Text) || back[i].Kind != cells[i].Kind {
				rt.Fatalf("%s went out as %q and came back as %q", fields[i].Name, cells[i].Text, back[i].Text)
			}
		}
	})
}

func TestCSVIsReadBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfN(rapid.StringOf(rapid.RuneFrom([]rune("ab,\"\n '\té"))), 2, 2).Draw(rt, "texts")
		var b bytes.Buffer
		w := NewCSV(&b, mustFields(t, "in_port", "proto"))
		w.Row([]Cell{{[]byte(want[0]), Text}, {[]byte(want[1]), Text}})
		if err := w.Close(nil); err != nil {
			rt.Fatal(err)
		}
		got, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(got) != 2 || !cmp.Equal(got[1], want) {
			rt.Fatalf("%q came back as %q, %v", want, got, err)
		}
	})
}

func TestErrorOfTheReaderIsKept(t *testing.T) {
	broken := errors.New("broken")
	fields := mustFields(t, "pkt_len")
	r := someRows(1)
	for _, format := range Formats {
		w, err := New(format, writerFunc(func([]byte) (int, error) { return 0, broken }), fields, false)
		if err != nil {
			t.Fatal(err)
		}
		f := NewFormatter(fields, nil, false)
		for range 100_000 {
			if err = w.Row(f.Row(r, 0)); err != nil {
				break
			}
		}
		if err != broken || w.Close(nil) != broken || w.Flush() != broken {
			t.Errorf("%s: %v", format, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRowsAreWrittenWithoutAllocation(t *testing.T) {
	r := someRows(packet.ChunkSize)
	fields := mustFields(t, "all")
	for _, format := range Formats {
		w, err := New(format, io.Discard, fields, false)
		if err != nil {
			t.Fatal(err)
		}
		f := NewFormatter(fields, nil, false)
		write := func() {
			for i := range r.N {
				w.Row(f.Row(r, i))
			}
		}
		write() // a table looks at its first rows
		if n := testing.AllocsPerRun(10, write); n != 0 {
			t.Errorf("%s: %v allocations for %d rows", format, n, r.N)
		}
	}
	line := []byte(strings.TrimSpace(strings.Split(render(t, "ndjson", fields, r, nil), "\n")[0]))
	cells := make([]Cell, len(fields))
	if n := testing.AllocsPerRun(100, func() { ScanRow(line, fields, cells) }); n != 0 {
		t.Errorf("ScanRow: %v allocations", n)
	}
}

func TestFooterInWords(t *testing.T) {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := FooterText(&diagnoser.Footer{
		FirstOffset: 10, EndOffset: 20, FromTime: from, ToTime: from.Add(time.Second), Matched: 5, Scanned: 8, Returned: 3, Limited: true,
		Dropped: map[string]uint64{"spray_full": 2, "retention": 7, "kernel_ring": 0}, Plan: "index on dst_port\n  [443, 443]", Took: 1234567,
	})
	want := "5 headers matched, 3 returned (stopped at the limit); offsets 10..20, 2026-01-02T03:04:05Z to 2026-01-02T03:04:06Z; 8 scanned by index on dst_port; [443, 443]; took 1.23ms\n" +
		"incomplete, headers lost in this range: 7 by retention, 2 by spray_full"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := FooterText(&diagnoser.Footer{Matched: 1, Returned: 1}); !strings.HasPrefix(got, "1 header matched;") {
		t.Error(got)
	}
}

func FuzzScanRow(f *testing.F) {
	fields := mustFields(f, "ts", "dst_port", "arp")
	f.Add([]byte(`{"ts":"2026","dst_port":443,"arp":null}`))
	f.Add([]byte(`{"ts":"\u00e9\"","dst_port":-1e5,"arp":false}`))
	f.Add([]byte(`{"ts":"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		cells := make([]Cell, len(fields))
		if ScanRow(line, fields, cells) != nil {
			return
		}
		for i := range cells {
			if k := cells[i].Kind; k == Absent && len(cells[i].Text) != 0 || k > Bool {
				t.Fatalf("%q: cell %+v", line, cells[i])
			}
		}
	})
}

func BenchmarkCSV(b *testing.B)    { benchmark(b, "csv") }
func BenchmarkNDJSON(b *testing.B) { benchmark(b, "ndjson") }
func BenchmarkTable(b *testing.B)  { benchmark(b, "table") }

func benchmark(b *testing.B, format string) {
	r := someRows(packet.ChunkSize)
	fields := mustFields(b)
	w, err := New(format, io.Discard, fields, false)
	if err != nil {
		b.Fatal(err)
	}
	f := NewFormatter(fields, nil, false)
	b.ReportAllocs()
	for b.Loop() {
		for i := range r.N {
			w.Row(f.Row(r, i))
		}
	}
	b.ReportMetric(float64(r.N)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkScanRow(b *testing.B) {
	fields := mustFields(b)
	var buf bytes.Buffer
	w := NewNDJSON(&buf, fields)
	w.Row(NewFormatter(fields, nil, false).Row(someRows(1), 0))
	w.Flush()
	line := bytes.TrimSpace(buf.Bytes())
	cells := make([]Cell, len(fields))
	b.ReportAllocs()
	for b.Loop() {
		if err := ScanRow(line, fields, cells); err != nil {
			b.Fatal(err)
		}
	}
}
