// Package render writes answers for people and programs: rows of headers as a
// table, CSV, JSON or NDJSON, and the footer that says what they cover.
//
// A row is a slice of [Cell], text already, in the order of the answer's
// [Field] list. It comes from a [Formatter], which reads the columns of a
// query's result, or from [ScanRow], which reads a line of the agent's NDJSON;
// a [Writer] does not care which. Nothing here allocates per row.
package render

import (
	"fmt"
	"io"

	"github.com/confluo/confluo/diagnoser"
)

// A Kind is how a cell's text is to be taken.
type Kind uint8

// The kinds.
const (
	Absent Kind = iota // the header has no such attribute; the text is empty
	Number             // a decimal number
	Text
	Bool // true or false
)

// A Cell is one value of a row. Its text belongs to whoever made the row, until
// the next row is made.
type Cell struct {
	Text []byte
	Kind Kind
}

// A Writer writes an answer's rows in one format. It buffers; Flush or Close
// writes what it holds. Errors of the underlying writer are returned by the
// first call that meets them and by every later one.
//
// Not safe for concurrent use.
type Writer interface {
	// Row writes one row, which has a cell for every field.
	Row(cells []Cell) error
	// Flush writes what is buffered.
	Flush() error
	// Close ends the output: closing brackets, a header that was still waiting
	// for a row, and the footer where the format has a place for it (JSON). A
	// nil footer is left out. It does not close the underlying writer.
	Close(f *diagnoser.Footer) error
}

// Formats are the names of the output formats, as given to -o.
var Formats = []string{"table", "json", "ndjson", "csv"}

// New returns the writer of the named format, one of Formats, for rows of the
// given fields. Colour only matters to tables.
func New(format string, w io.Writer, fields []Field, colour bool) (Writer, error) {
	switch format {
	case "table":
		return NewTable(w, fields, colour), nil
	case "json":
		return NewJSON(w, fields), nil
	case "ndjson":
		return NewNDJSON(w, fields), nil
	case "csv":
		return NewCSV(w, fields), nil
	}
	return nil, fmt.Errorf("output format %q is not known: want table, json, ndjson or csv", format)
}

// flushAt is how many bytes a writer gathers before it writes them.
const flushAt = 32 << 10

// sink gathers bytes and keeps the first error.
type sink struct {
	w   io.Writer
	buf []byte
	err error
}

func newSink(w io.Writer) sink { return sink{w: w, buf: make([]byte, 0, flushAt+4<<10)} }

// settle writes the buffer when it is full enough.
func (s *sink) settle() error {
	if len(s.buf) < flushAt {
		return s.err
	}
	return s.Flush()
}

func (s *sink) Flush() error {
	if s.err == nil && len(s.buf) > 0 {
		_, s.err = s.w.Write(s.buf)
	}
	s.buf = s.buf[:0]
	return s.err
}
