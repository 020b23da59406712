package render

import (
	"io"
	"unicode/utf8"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/packet"
)

// sampleRows is how many rows a table looks at before it fixes its widths.
const sampleRows = 128

// Table writes columns aligned for people: a header line, then one line a row.
// Widths follow what the field holds and the first rows, and are then fixed, so
// that a table can be written while its rows still come; a longer value later
// shifts its line. Numbers stand right, an absent value is a dash.
type Table struct {
	sink
	fields []Field
	colour bool
	width  []int
	sample [][]Cell // the first rows, copied; nil once the header is out
	begun  bool
}

// NewTable returns a writer of tables. With colour the header is bold, in the
// escape sequences of ECMA-48.
func NewTable(w io.Writer, fields []Field, colour bool) *Table {
	t := &Table{sink: newSink(w), fields: fields, colour: colour, width: make([]int, len(fields))}
	for i, f := range fields {
		t.width[i] = max(len(f.Name), f.typicalWidth())
	}
	return t
}

// typicalWidth is a width that most values of the field fit.
func (f *Field) typicalWidth() int {
	if f.offset {
		return 10
	}
	if f.mask != 0 {
		return 5
	}
	in := f.Attr.Info()
	switch in.Kind {
	case packet.KindTime:
		return len("2006-01-02T15:04:05.999999999Z")
	case packet.KindIP:
		return len("255.255.255.255")
	case packet.KindMAC:
		return len("00:00:00:00:00:00")
	case packet.KindUint:
		return map[packet.Width]int{packet.W8: 3, packet.W16: 5, packet.W32: 6, packet.W64: 20}[in.Width]
	}
	return 4
}

// Row implements Writer.
func (t *Table) Row(cells []Cell) error {
	if t.begun {
		t.line(cells)
		return t.settle()
	}
	row := make([]Cell, len(cells))
	for i, c := range cells {
		row[i] = Cell{append([]byte(nil), c.Text...), c.Kind}
		t.width[i] = max(t.width[i], utf8.RuneCount(c.Text))
	}
	if t.sample = append(t.sample, row); len(t.sample) == sampleRows {
		t.begin()
	}
	return t.err
}

// begin writes the header and the rows that waited for it.
func (t *Table) begin() {
	t.begun = true
	head := make([]Cell, len(t.fields))
	for i, f := range t.fields {
		head[i] = Cell{[]byte(f.Name), f.kind()}
	}
	if t.colour {
		t.buf = append(t.buf, "\x1b[1m"...)
	}
	t.line(head)
	if t.colour {
		t.buf = append(t.buf[:len(t.buf)-1], "\x1b[0m\n"...)
	}
	for _, row := range t.sample {
		t.line(row)
	}
	t.sample = nil
}

func (t *Table) line(cells []Cell) {
	for i := range cells {
		if i > 0 {
			t.buf = append(t.buf, ' ', ' ')
		}
		text, kind := cells[i].Text, cells[i].Kind
		if kind == Absent {
			text = []byte{'-'}
		}
		pad := t.width[i] - utf8.RuneCount(text)
		right := t.fields[i].kind() == Number
		if right {
			t.pad(pad)
		}
		t.buf = append(t.buf, text...)
		if !right && i < len(cells)-1 {
			t.pad(pad)
		}
	}
	t.buf = append(t.buf, '\n')
}

func (t *Table) pad(n int) {
	for ; n > 0; n-- {
		t.buf = append(t.buf, ' ')
	}
}

// Flush implements Writer. A table that has rows but no header yet fixes its
// widths now.
func (t *Table) Flush() error {
	if !t.begun && len(t.sample) > 0 {
		t.begin()
	}
	return t.sink.Flush()
}

// Close implements Writer. The footer is not part of the table.
func (t *Table) Close(*diagnoser.Footer) error {
	if !t.begun {
		t.begin()
	}
	return t.sink.Flush()
}
