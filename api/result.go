package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/confluo/confluo/api/render"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A Value is a number, or text (an address, a name, a time), or nothing, as it
// stands in JSON: a number beyond 32 bits that is an attribute's is text, since
// many readers of JSON would round it.
type Value struct {
	Text string
	Kind render.Kind
}

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case render.Absent:
		return []byte("null"), nil
	case render.Number:
		return []byte(v.Text), nil
	}
	return render.AppendJSON(nil, []byte(v.Text)), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *Value) UnmarshalJSON(b []byte) error {
	switch b = bytes.TrimSpace(b); {
	case string(b) == "null":
		*v = Value{}
		return nil
	case len(b) > 0 && b[0] == '"':
		v.Kind = render.Text
		return json.Unmarshal(b, &v.Text)
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*v = Value{n.String(), render.Number}
	return nil
}

// NewResult writes out a result; ports, which may be nil, names values of
// in_port.
func NewResult(r *fold.Result, ports *packet.PortTable) *Result {
	out := &Result{
		Aggregate:       fold.Text(r.Agg),
		Rows:            make([]ResultRow, len(r.Rows)),
		Exact:           r.Exact,
		Notes:           r.Notes(),
		OverflowHeaders: r.OverflowHeaders,
		RelativeError:   r.RelativeError,
	}
	for _, a := range r.Agg.By {
		out.By = append(out.By, a.String())
	}
	for i, row := range r.Rows {
		o := &out.Rows[i]
		*o = ResultRow{Headers: row.Headers, Exact: row.Exact, Lost: row.Lost}
		if len(row.Group) > 0 {
			o.Group = make(map[string]Value, len(row.Group))
		}
		for k, v := range row.Group {
			o.Group[out.By[k]] = valueOf(r.Agg.By[k], v, ports)
		}
		if r.Agg.Func == expr.TopK {
			for _, c := range row.Top {
				o.Top = append(o.Top, map[string]Value{
					r.Agg.Arg.String(): valueOf(r.Agg.Arg, c.Value, ports),
					headersKey:         {strconv.FormatUint(c.Count, 10), render.Number},
				})
			}
			continue
		}
		v := numberOf(r.Agg, row.Value)
		o.Value = &v
	}
	return out
}

// headersKey is the key of how many headers had a value of TOPK. No attribute
// has that name.
const headersKey = "headers"

// Table returns the result as a table: the names of the columns, and a row for
// each group, for TOPK for each value of each group. What is nothing is an empty
// cell.
func (r *Result) Table() (columns []string, rows [][]Value) {
	columns = append(columns, r.By...)
	call, _, _ := strings.Cut(r.Aggregate, " BY ")
	arg, top := "", false
	if arg, top = strings.CutPrefix(call, "TOPK("); top {
		arg, _, _ = strings.Cut(arg, ",")
		columns = append(columns, arg, headersKey)
	} else {
		columns = append(columns, call, headersKey)
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		group := make([]Value, 0, len(columns))
		for _, by := range r.By {
			group = append(group, row.Group[by])
		}
		for _, t := range row.Top {
			rows = append(rows, append(group[:len(group):len(group)], t[arg], t[headersKey]))
		}
		if !top {
			var v Value
			if row.Value != nil {
				v = *row.Value
			}
			rows = append(rows, append(group, v, Value{strconv.FormatUint(row.Headers, 10), render.Number}))
		}
	}
	return columns, rows
}

// valueOf writes a value as fields of rows are written.
func valueOf(a packet.Attr, v packet.Value, ports *packet.PortTable) Value {
	text, kind := render.AppendValue(nil, a, v, ports)
	return Value{string(text), kind}
}

// numberOf writes the value of an aggregate: the earliest or latest ts is a
// time, everything else a number.
func numberOf(agg *expr.Aggregate, n fold.Number) Value {
	if n.IsNone() {
		return Value{}
	}
	if u, ok := n.Uint(); ok {
		if agg.Arg == packet.Ts && (agg.Func == expr.Min || agg.Func == expr.Max) {
			return valueOf(packet.Ts, packet.Value{Lo: u}, nil)
		}
		return Value{strconv.FormatUint(u, 10), render.Number}
	}
	f, _ := n.Float()
	return Value{strconv.FormatFloat(f, 'f', -1, 64), render.Number}
}

// KeepLargest drops all but the n rows of the largest values, and orders them by
// value, the largest first. Rows of TOPK have no value; their headers count.
func (r *Result) KeepLargest(n int) {
	value := func(row *ResultRow) float64 {
		if row.Value != nil {
			if f, err := strconv.ParseFloat(row.Value.Text, 64); err == nil {
				return f
			}
			return math.Inf(-1)
		}
		return float64(row.Headers)
	}
	slices.SortStableFunc(r.Rows, func(a, b ResultRow) int { return cmp.Compare(value(&b), value(&a)) })
	r.Rows = r.Rows[:min(n, len(r.Rows))]
}

// Summary is the result in a few words, for lists.
func (r *Result) Summary() string {
	if r == nil {
		return ""
	}
	if len(r.By) > 0 {
		return render.Quantity(uint64(len(r.Rows)), "group")
	}
	var parts []string
	_, rows := r.Table()
	for _, row := range rows[:min(3, len(rows))] {
		text := row[0].Text
		if len(r.Rows[0].Top) > 0 {
			text += ": " + row[1].Text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
