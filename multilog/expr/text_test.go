package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/confluo/confluo/packet"
)

// testPorts is a small port table.
type testPorts struct{}

func (testPorts) PortByName(name string) (uint16, bool) {
	for i, n := range []string{"eth0", "veth-a", "br0@if3", "7"} {
		if n == name {
			return uint16(i), true
		}
	}
	return 0, false
}

func (testPorts) PortLink(i uint16) packet.LinkType {
	if i == 2 {
		return packet.LinkSLL2
	}
	return packet.LinkEthernet
}

// canonical parses with parse and returns the canonical text, or the source
// with a caret and the error.
func canonical[T fmt.Stringer](t *testing.T, src string, parse func(string) (T, error)) string {
	v, err := parse(src)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: error is not an *Error: %v", src, err)
		}
		return e.Caret() + "\n" + e.Error()
	}
	again, err := parse(v.String())
	if err != nil || again.String() != v.String() {
		t.Fatalf("%s: canonical form %q reads as %v, %v", src, v, again, err)
	}
	if v.String() == "" {
		return "(everything)"
	}
	return v.String()
}

// TestTextFiles runs the files of testdata:
//
//	parse      each line is an expression; prints its canonical form or error
//	attrs      each line is an expression; prints which attributes it reads
//	implied    each line is an expression; prints what it implies of attr=...
//	aggregate  each line is an aggregate; prints its canonical form or error
//	trigger    the same of triggers
//	headers    the input is a table of headers: a line of attribute names, then
//	           one line of values a header, "-" where the header lacks it
//	match      each line is an expression; prints the rows of the last table
//	           that match, the first being 0
func TestTextFiles(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "/fuzz/") || strings.Contains(path, "/rapid/") {
			return
		}
		if strings.HasSuffix(path, "/capture") && !haveLibpcap {
			return
		}
		var table *packet.Columns
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "headers" {
				table = headerTable(t, d)
				return fmt.Sprintf("%d headers\n", table.N)
			}
			var b strings.Builder
			for _, line := range strings.Split(d.Input, "\n") {
				fmt.Fprintln(&b, textCommand(t, d, line, table))
			}
			return b.String()
		})
	})
}

func textCommand(t *testing.T, d *datadriven.TestData, line string, table *packet.Columns) string {
	parse := func(s string) (*Expr, error) { return Parse(s, testPorts{}) }
	switch d.Cmd {
	case "parse":
		return canonical(t, line, parse)
	case "aggregate":
		return canonical(t, line, ParseAggregate)
	case "trigger":
		return canonical(t, line, ParseTrigger)
	}
	e, err := parse(line)
	if err != nil {
		d.Fatalf(t, "%s: %v", line, err)
	}
	switch d.Cmd {
	case "attrs":
		names := []string{}
		for _, a := range e.Attrs().Attrs() {
			names = append(names, a.String())
		}
		return fmt.Sprintf("%s  slice: %v  all: %v", strings.Join(names, " "), e.NeedsSlice(), e.All())
	case "implied":
		var name string
		d.ScanArgs(t, "attr", &name)
		a, _ := packet.AttrByName(name)
		ranges, ok := e.Implied(a)
		if !ok {
			return "anything"
		}
		texts := []string{}
		for _, r := range ranges {
			texts = append(texts, rangeOperand(a, r.Min, r.Max).text)
		}
		return "[" + strings.Join(texts, " ") + "]"
	case "match":
		return matchingRows(t, e, table)
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

// matchingRows lists the rows that match, by Eval and by Match.
func matchingRows(t *testing.T, e *Expr, c *packet.Columns) string {
	s := NewSet([]*Expr{e})
	var out [1]packet.Bitmap
	s.Eval(only(c, e.Attrs()), s.NewScratch(), out[:])
	rows := []string{}
	for i := range c.N {
		if out[0].Has(i) != e.Match(c, i) {
			t.Fatalf("%s: row %d: Eval %v, Match %v", e, i, out[0].Has(i), e.Match(c, i))
		}
		if out[0].Has(i) {
			rows = append(rows, fmt.Sprint(i))
		}
	}
	if len(rows) == 0 {
		return "none"
	}
	return strings.Join(rows, " ")
}

// headerTable reads the table of a headers command. The column layers holds
// names joined by +; the layers that others say something of are set with
// them: tcp and udp have ports, eth has an EtherType.
func headerTable(t *testing.T, d *datadriven.TestData) *packet.Columns {
	lines := strings.Split(d.Input, "\n")
	names := strings.Fields(lines[0])
	c := packet.NewColumns(len(lines) - 1)
	for i, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != len(names) {
			d.Fatalf(t, "row %d has %d fields, not %d", i, len(fields), len(names))
		}
		for j, f := range fields {
			if f == "-" {
				continue
			}
			if names[j] == "layers" {
				c.Layers[i] = layersOf(t, d, f)
				continue
			}
			a, ok := packet.AttrByName(names[j])
			if !ok {
				d.Fatalf(t, "no attribute %s", names[j])
			}
			v, err := a.ParseValue(f)
			if err != nil {
				d.Fatalf(t, "row %d: %v", i, err)
			}
			if !c.Has(a, i) {
				d.Fatalf(t, "row %d has %s but not the layers for it", i, a)
			}
			setValue(c, a, i, v)
		}
	}
	return c
}

func layersOf(t *testing.T, d *datadriven.TestData, text string) packet.Layers {
	var l packet.Layers
	for _, name := range strings.Split(text, "+") {
		b, ok := bools[name]
		if !ok || b.Attr != packet.LayerBits {
			d.Fatalf(t, "no layer %s", name)
		}
		l |= packet.Layers(b.Mask)
	}
	if l&(packet.LayerTCP|packet.LayerUDP|packet.LayerSCTP) != 0 {
		l |= packet.LayerPorts
	}
	if l&packet.LayerEth != 0 {
		l |= packet.LayerEthType
	}
	return l
}
