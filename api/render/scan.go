package render

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ScanRow reads a line that NDJSON wrote for the same fields into cells, one a
// field. The texts point into the line, or are fresh where the line escapes
// them. It is for the rows of a stream: keys must come in the order of the
// fields, and values be no objects or lists.
func ScanRow(line []byte, fields []Field, cells []Cell) error {
	rest := line
	for i := range fields {
		open := byte(',')
		if i == 0 {
			open = '{'
		}
		var ok bool
		if rest, ok = skip(rest, open); !ok {
			return rowError(line, fields[i].Name)
		}
		key, r, err := scanString(rest)
		if err != nil || string(key) != fields[i].Name {
			return rowError(line, fields[i].Name)
		}
		if rest, ok = skip(r, ':'); !ok {
			return rowError(line, fields[i].Name)
		}
		if cells[i], rest, err = scanValue(rest); err != nil {
			return rowError(line, fields[i].Name)
		}
	}
	if string(rest) != "}" {
		return rowError(line, "the end")
	}
	return nil
}

func rowError(line []byte, at string) error {
	const most = 200
	if len(line) > most {
		line = line[:most]
	}
	return fmt.Errorf("row of the agent cannot be read at %s: %q", at, line)
}

func skip(b []byte, c byte) ([]byte, bool) {
	if len(b) == 0 || b[0] != c {
		return b, false
	}
	return b[1:], true
}

// scanString reads a JSON string and returns what follows it.
func scanString(b []byte) (text, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, b, fmt.Errorf("no string")
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			if raw := b[1:i]; bytes.IndexByte(raw, '\\') < 0 {
				return raw, b[i+1:], nil
			}
			var s string
			if err := json.Unmarshal(b[:i+1], &s); err != nil {
				return nil, b, err
			}
			return []byte(s), b[i+1:], nil
		case '\\':
			i++
		}
	}
	return nil, b, fmt.Errorf("string has no end")
}

func scanValue(b []byte) (Cell, []byte, error) {
	switch {
	case len(b) > 0 && b[0] == '"':
		text, rest, err := scanString(b)
		return Cell{text, Text}, rest, err
	case bytes.HasPrefix(b, []byte("null")):
		return Cell{nil, Absent}, b[4:], nil
	case bytes.HasPrefix(b, []byte("true")):
		return Cell{b[:4], Bool}, b[4:], nil
	case bytes.HasPrefix(b, []byte("false")):
		return Cell{b[:5], Bool}, b[5:], nil
	}
	n := 0
	for n < len(b) && (b[n] >= '0' && b[n] <= '9' || b[n] == '-' || b[n] == '+' || b[n] == '.' || b[n] == 'e' || b[n] == 'E') {
		n++
	}
	if n == 0 {
		return Cell{}, b, fmt.Errorf("no value")
	}
	return Cell{b[:n], Number}, b[n:], nil
}
