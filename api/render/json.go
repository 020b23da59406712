package render

import (
	"encoding/json"
	"io"

	"github.com/confluo/confluo/diagnoser"
)

// NDJSON writes one JSON object a line, its keys in the order of the fields. An
// absent value is null.
type NDJSON struct {
	sink
	keys [][]byte // `{"a":`, `,"b":`, ...
}

// NewNDJSON returns a writer of NDJSON.
func NewNDJSON(w io.Writer, fields []Field) *NDJSON {
	return &NDJSON{newSink(w), jsonKeys(fields)}
}

func jsonKeys(fields []Field) [][]byte {
	keys := make([][]byte, len(fields))
	for i, f := range fields {
		k := []byte{','}
		if i == 0 {
			k[0] = '{'
		}
		keys[i] = append(AppendJSON(k, []byte(f.Name)), ':')
	}
	return keys
}

func appendObject(dst []byte, keys [][]byte, cells []Cell) []byte {
	for i := range cells {
		dst = append(dst, keys[i]...)
		switch cells[i].Kind {
		case Absent:
			dst = append(dst, "null"...)
		case Text:
			dst = AppendJSON(dst, cells[i].Text)
		default:
			dst = append(dst, cells[i].Text...)
		}
	}
	return append(dst, '}')
}

// Row implements Writer.
func (n *NDJSON) Row(cells []Cell) error {
	n.buf = append(appendObject(n.buf, n.keys, cells), '\n')
	return n.settle()
}

// Line writes a line that is NDJSON already.
func (n *NDJSON) Line(line []byte) error {
	n.buf = append(append(n.buf, line...), '\n')
	return n.settle()
}

// Close implements Writer. The lines are rows only; the footer is not written.
func (n *NDJSON) Close(*diagnoser.Footer) error { return n.Flush() }

// JSON writes one object, {"rows": [...], "footer": {...}}, its rows as NDJSON
// has them.
type JSON struct {
	sink
	keys [][]byte
	any  bool
}

// NewJSON returns a writer of JSON.
func NewJSON(w io.Writer, fields []Field) *JSON {
	j := &JSON{sink: newSink(w), keys: jsonKeys(fields)}
	j.buf = append(j.buf, `{"rows":[`...)
	return j
}

// Row implements Writer.
func (j *JSON) Row(cells []Cell) error {
	if j.any {
		j.buf = append(j.buf, ',')
	}
	j.any = true
	j.buf = appendObject(append(j.buf, '\n'), j.keys, cells)
	return j.settle()
}

// Close implements Writer.
func (j *JSON) Close(f *diagnoser.Footer) error {
	j.buf = append(j.buf, "\n]"...)
	if f != nil {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		j.buf = append(append(j.buf, `,"footer":`...), b...)
	}
	j.buf = append(j.buf, "}\n"...)
	return j.Flush()
}

// AppendJSON appends text as a JSON string.
func AppendJSON(dst, text []byte) []byte {
	for _, b := range text {
		if b < 0x20 || b >= 0x7f || b == '"' || b == '\\' {
			// Names of ports and filters may hold anything; they are few.
			q, err := json.Marshal(string(text))
			if err != nil {
				panic("render: a string that JSON cannot hold: " + err.Error())
			}
			return append(dst, q...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}
