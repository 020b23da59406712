package render

import (
	"bytes"
	"io"

	"github.com/confluo/confluo/diagnoser"
)

// CSV writes comma-separated values: a header line, then one line a row, quoted
// as RFC 4180 section 2 has it. Lines end with a bare line feed, as the tools
// that read them in a shell expect; an absent value is empty.
type CSV struct{ sink }

// NewCSV returns a writer of CSV.
func NewCSV(w io.Writer, fields []Field) *CSV {
	c := &CSV{newSink(w)}
	for i, f := range fields {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		c.buf = AppendCSV(c.buf, []byte(f.Name))
	}
	c.buf = append(c.buf, '\n')
	return c
}

// Row implements Writer.
func (c *CSV) Row(cells []Cell) error {
	for i := range cells {
		if i > 0 {
			c.buf = append(c.buf, ',')
		}
		if cells[i].Kind == Text {
			c.buf = AppendCSV(c.buf, cells[i].Text)
		} else {
			c.buf = append(c.buf, cells[i].Text...)
		}
	}
	c.buf = append(c.buf, '\n')
	return c.settle()
}

// Close implements Writer. CSV has no place for a footer.
func (c *CSV) Close(*diagnoser.Footer) error { return c.Flush() }

// AppendCSV appends one field of a CSV line, quoted if it must be.
func AppendCSV(dst, text []byte) []byte {
	if bytes.IndexByte(text, ',') < 0 && !bytes.ContainsAny(text, "\"\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, b := range text {
		if b == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}
