package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/packet"
)

// A Field is a column of an answer: an attribute, one bit of an attribute by
// its name (tcp.syn, arp), or the offset of the header in the log.
type Field struct {
	Name   string
	Attr   packet.Attr
	mask   uint64 // of a bit's name, else zero
	offset bool   // the header's offset; Attr has no meaning
}

// OffsetField is the name of the field that holds a header's offset.
const OffsetField = "offset"

// DefaultFields are the columns of an answer for which none were named.
var DefaultFields = []string{"ts", "src_ip", "src_port", "dst_ip", "dst_port", "proto", "tcp_flags", "pkt_len"}

// ParseFields finds the fields of the given names; none means DefaultFields,
// and "all" stands for the offset and every attribute in schema order.
func ParseFields(names []string) ([]Field, error) {
	if len(names) == 0 {
		names = DefaultFields
	}
	var out []Field
	for _, name := range names {
		name = strings.TrimSpace(name)
		if name == "all" {
			out = append(out, Field{Name: OffsetField, offset: true})
			for _, a := range packet.AllAttrs.Attrs() {
				out = append(out, Field{Name: a.String(), Attr: a})
			}
			continue
		}
		f, ok := fieldByName(name)
		if !ok {
			return nil, fmt.Errorf("field %q is not known: want all, %s, an attribute (%s) or the name of a bit (tcp.syn, arp, ip6)",
				name, OffsetField, strings.Join(attrNames(), ", "))
		}
		out = append(out, f)
	}
	seen := make(map[string]bool, len(out))
	for _, f := range out {
		if seen[f.Name] {
			return nil, fmt.Errorf("field %q is named twice", f.Name)
		}
		seen[f.Name] = true
	}
	return out, nil
}

func fieldByName(name string) (Field, bool) {
	if name == OffsetField {
		return Field{Name: name, offset: true}, true
	}
	if a, ok := packet.AttrByName(name); ok {
		return Field{Name: name, Attr: a}, true
	}
	for _, b := range packet.BoolNames() {
		if b.Name == name {
			return Field{Name: name, Attr: b.Attr, mask: b.Mask}, true
		}
	}
	return Field{}, false
}

func attrNames() []string {
	var out []string
	for _, a := range packet.AllAttrs.Attrs() {
		out = append(out, a.String())
	}
	return out
}

// FieldNames returns every name that ParseFields knows, for completion.
func FieldNames() []string {
	out := append([]string{"all", OffsetField}, attrNames()...)
	for _, b := range packet.BoolNames() {
		if !slices.Contains(out, b.Name) {
			out = append(out, b.Name)
		}
	}
	return out
}

// Names returns the names of fields.
func Names(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return out
}

// Need returns the attributes that a query must return so that a Formatter can
// format the fields.
func Need(fields []Field) packet.AttrSet {
	var s packet.AttrSet
	for _, f := range fields {
		if f.offset {
			continue
		}
		s |= packet.SetOf(f.Attr)
		if f.Attr.Present() != 0 {
			s |= packet.SetOf(packet.LayerBits)
		}
	}
	return s
}

// kind is the kind of the field's cells when present.
func (f *Field) kind() Kind {
	if f.offset {
		return Number
	}
	if f.mask != 0 {
		return Bool
	}
	return attrKind(f.Attr)
}

// attrKind is the kind of the values of a. A 64-bit number is text: many readers
// of JSON hold numbers in a float64 and would round it.
func attrKind(a packet.Attr) Kind {
	if in := a.Info(); in.Kind == packet.KindUint && in.Width <= packet.W32 {
		return Number
	}
	return Text
}

// A Formatter turns rows of a query's result into cells.
//
// Not safe for concurrent use.
type Formatter struct {
	fields  []Field
	kinds   []Kind
	ports   *packet.PortTable
	numeric bool
	buf     []byte
	cells   []Cell
}

// NewFormatter returns a formatter of the given fields. Ports is the port table
// that names values of in_port, or nil; a port beyond it is written as its number. With
// numeric, enumerations (proto, eth_type, ...) and ports are written as their
// numbers.
func NewFormatter(fields []Field, ports *packet.PortTable, numeric bool) *Formatter {
	f := &Formatter{
		fields:  fields,
		kinds:   make([]Kind, len(fields)),
		ports:   ports,
		numeric: numeric,
		buf:     make([]byte, 0, 1024),
		cells:   make([]Cell, len(fields)),
	}
	for i := range fields {
		f.kinds[i] = fields[i].kind()
		if k := fields[i].Attr.Info().Kind; numeric && !fields[i].offset && (k == packet.KindEnum || k == packet.KindPort) {
			f.kinds[i] = Number
		}
	}
	return f
}

// Row formats row i of r, which must hold the columns that Need names. The
// cells belong to the formatter until the next call.
func (f *Formatter) Row(r *diagnoser.Rows, i int) []Cell {
	buf := f.buf[:0]
	for k := range f.fields {
		fd := &f.fields[k]
		start, kind := len(buf), f.kinds[k]
		switch {
		case fd.offset:
			buf = strconv.AppendUint(buf, r.Offsets[i], 10)
		case !r.Cols.Has(fd.Attr, i):
			kind = Absent
		case fd.mask != 0:
			buf = strconv.AppendBool(buf, r.Cols.Value(fd.Attr, i).Lo&fd.mask != 0)
		case kind == Number:
			buf = strconv.AppendUint(buf, r.Cols.Value(fd.Attr, i).Lo, 10)
		default:
			buf, _ = AppendValue(buf, fd.Attr, r.Cols.Value(fd.Attr, i), f.ports)
		}
		f.cells[k] = Cell{buf[start:len(buf):len(buf)], kind}
	}
	f.buf = buf
	return f.cells
}

// AppendValue appends the text of v, a value of a, and says what it is. Ports,
// which may be nil, names values of in_port.
func AppendValue(dst []byte, a packet.Attr, v packet.Value, ports *packet.PortTable) ([]byte, Kind) {
	if a == packet.InPort && ports != nil {
		if p := ports.Get(uint16(v.Lo)); p != nil {
			return append(dst, p.Name...), Text
		}
	}
	return a.Format(dst, v), attrKind(a)
}
