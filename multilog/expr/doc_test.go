package expr

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/confluo/confluo/packet"
)

// writeDocs rewrites the tables of docs/expressions.md from the program:
// go test ./multilog/expr -run Document -write-docs
var writeDocs = flag.Bool("write-docs", false, "rewrite the tables of docs/expressions.md")

const document = "../../docs/expressions.md"

// checkTable compares the part of the document between two markers with want.
func checkTable(t *testing.T, marker, want string) {
	t.Helper()
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	first := fmt.Sprintf("<!-- %s: written by %s -->\n", marker, t.Name())
	last := fmt.Sprintf("<!-- end of %s -->\n", marker)
	i, j := strings.Index(text, first), strings.Index(text, last)
	if i < 0 || j < i {
		t.Fatalf("%s has no table of %s", document, marker)
	}
	i += len(first)
	if text[i:j] == want {
		return
	}
	if !*writeDocs {
		t.Fatalf("%s: the table of %s is not what the program has; -write-docs rewrites it. Want:\n%s", document, marker, want)
	}
	if err := os.WriteFile(document, []byte(text[:i]+want+text[j:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func kindName(in *packet.Info) string {
	switch in.Kind {
	case packet.KindTime:
		return "time"
	case packet.KindIP:
		return "address"
	case packet.KindMAC:
		return "MAC address"
	case packet.KindEnum:
		return "name"
	case packet.KindPort:
		return "port of the agent"
	}
	if in.Unit == "bytes" {
		return "bytes"
	}
	return "number"
}

// layerNames lists the layers of l as expressions call them; ports have no name
// of their own.
func layerNames(l packet.Layers) string {
	var names []string
	for bit := packet.Layers(1); bit != 0 && bit <= l; bit <<= 1 {
		switch name := preferred[packet.BoolName{Attr: packet.LayerBits, Mask: uint64(bit)}]; {
		case l&bit == 0:
		case bit == packet.LayerPorts:
			names = append(names, "ports (TCP, UDP, SCTP)")
		case bit == packet.LayerEthType:
			names = append(names, "an EtherType")
		default:
			names = append(names, "`"+name+"`")
		}
	}
	return strings.Join(names, ", ")
}

func TestDocumentListsEveryAttribute(t *testing.T) {
	var b strings.Builder
	b.WriteString("| attribute | kind | up to | needs | what it is |\n|---|---|---|---|---|\n")
	for a := range packet.Attr(packet.NumAttrs) {
		in := a.Info()
		most := ""
		if in.Kind == packet.KindUint {
			most = fmt.Sprint(maxValue(a).Lo)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", a, kindName(in), most, layerNames(in.Present), in.Doc)
	}
	checkTable(t, "attributes", b.String())
}

func TestDocumentListsEveryName(t *testing.T) {
	var b strings.Builder
	b.WriteString("| name | also | true when |\n|---|---|---|\n")
	var order []packet.BoolName
	also := map[packet.BoolName][]string{}
	for _, n := range packet.BoolNames() {
		key := packet.BoolName{Attr: n.Attr, Mask: n.Mask}
		if preferred[key] == n.Name {
			order = append(order, n)
			also[key] = nil
		} else {
			also[key] = append(also[key], "`"+n.Name+"`")
		}
	}
	for _, n := range order {
		key := packet.BoolName{Attr: n.Attr, Mask: n.Mask}
		fmt.Fprintf(&b, "| `%s` | %s | bit 0x%x of `%s` is set |\n", n.Name, strings.Join(also[key], " "), n.Mask, n.Attr)
	}
	checkTable(t, "names", b.String())
}

func TestDocumentListsEveryValue(t *testing.T) {
	var b strings.Builder
	b.WriteString("| attribute | names |\n|---|---|\n")
	for a := range packet.Attr(packet.NumAttrs) {
		if a.Info().Kind != packet.KindEnum {
			continue
		}
		names := slices.SortedFunc(maps.Keys(enums[a]), func(x, y string) int {
			return cmp.Or(cmp.Compare(enums[a][x], enums[a][y]), cmp.Compare(x, y))
		})
		for i, n := range names {
			names[i] = fmt.Sprintf("`%s` %d", n, enums[a][n])
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", a, strings.Join(names, ", "))
	}
	checkTable(t, "values", b.String())
}

// TestDocumentExamplesAreTrue reads every expression, aggregate and trigger of
// the document's indented blocks, and compares what it shows of errors.
func TestDocumentExamplesAreTrue(t *testing.T) {
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(string(b), "\n") {
		if ex, ok := strings.CutPrefix(l, "    "); ok {
			lines = append(lines, ex)
		}
	}
	seen := 0
	for i := 0; i < len(lines); i++ {
		if i+2 < len(lines) && strings.HasPrefix(lines[i+2], "column ") {
			_, err := Parse(lines[i], nil)
			e, ok := err.(*Error)
			if shown := strings.Join(lines[i:i+3], "\n"); !ok || e.Caret()+"\n"+e.Error() != shown {
				t.Errorf("the document shows\n%s\nbut it is\n%v", shown, err)
			}
			i += 2
			seen++
			continue
		}
		_, errE := Parse(lines[i], nil)
		_, errA := ParseAggregate(lines[i])
		_, errT := ParseTrigger(lines[i])
		if errE != nil && errA != nil && errT != nil && (haveLibpcap || !strings.HasPrefix(lines[i], capturePrefix)) {
			t.Errorf("%s: not an expression (%v), aggregate (%v) or trigger (%v)", lines[i], errE, errA, errT)
		}
		seen++
	}
	if seen < 8 {
		t.Errorf("only %d examples", seen)
	}
}
