package fold

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// MarshalJSON writes
//
//	{"aggregate": "SUM(pkt_len) BY dst_ip",
//	 "rows": [{"group": {"dst_ip": "10.0.0.1"}, "value": 1500, "headers": 1}],
//	 "exact": true, "overflow_headers": 0}
//
// Values of number attributes are numbers, all others the strings of
// [packet.Attr.Format]. MIN and MAX of a time are such strings, too. No value is
// null. TOPK has "top": [{"src_ip": "10.0.0.1", "headers": 7}] in place of
// "value". A row that is not exact has "exact": false, one that left values out
// "lost_headers"; a result with estimates has "relative_error".
func (r *Result) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"aggregate":`), quoted(Text(r.Agg))...)
	b = append(b, `,"rows":[`...)
	for i := range r.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.Rows[i].appendJSON(b, r.Agg)
	}
	b = append(b, `],"exact":`...)
	b = strconv.AppendBool(b, r.Exact)
	b = append(b, `,"overflow_headers":`...)
	b = strconv.AppendUint(b, r.OverflowHeaders, 10)
	if r.RelativeError != 0 {
		b = append(b, `,"relative_error":`...)
		b = strconv.AppendFloat(b, r.RelativeError, 'g', -1, 64)
	}
	return append(b, '}'), nil
}

func (row *Row) appendJSON(b []byte, a *expr.Aggregate) []byte {
	b = append(b, '{')
	if len(a.By) > 0 {
		b = append(b, `"group":{`...)
		for i, by := range a.By {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, quoted(by.String())...), ':')
			b = appendValueJSON(b, by, row.Group[i])
		}
		b = append(b, `},`...)
	}
	if a.Func == expr.TopK {
		b = append(b, `"top":[`...)
		for i, t := range row.Top {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '{'), quoted(a.Arg.String())...), ':')
			b = appendValueJSON(b, a.Arg, t.Value)
			b = append(b, `,"headers":`...)
			b = append(strconv.AppendUint(b, t.Count, 10), '}')
		}
		b = append(b, ']')
	} else {
		b = append(b, `"value":`...)
		b = row.Value.appendJSON(b, a)
	}
	b = append(b, `,"headers":`...)
	b = strconv.AppendUint(b, row.Headers, 10)
	if !row.Exact {
		b = append(b, `,"exact":false`...)
	}
	if row.Lost > 0 {
		b = append(b, `,"lost_headers":`...)
		b = strconv.AppendUint(b, row.Lost, 10)
	}
	return append(b, '}')
}

func (n Number) appendJSON(b []byte, a *expr.Aggregate) []byte {
	switch {
	case n.kind == isNone:
		return append(b, "null"...)
	case n.kind == isReal:
		return strconv.AppendFloat(b, n.f, 'f', -1, 64)
	case isTime(a):
		return appendValueJSON(b, a.Arg, packet.Value{Lo: n.u})
	}
	return strconv.AppendUint(b, n.u, 10)
}

// isTime reports whether the value of an aggregate is a moment.
func isTime(a *expr.Aggregate) bool {
	return (a.Func == expr.Min || a.Func == expr.Max) && a.Arg.Info().Kind == packet.KindTime
}

func appendValueJSON(b []byte, a packet.Attr, v packet.Value) []byte {
	if a.Info().Kind == packet.KindUint {
		return strconv.AppendUint(b, v.Lo, 10)
	}
	return append(b, quoted(string(a.Format(nil, v)))...)
}

func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always is JSON
	}
	return b
}

// Text writes an aggregate as the expression language does.
func Text(a *expr.Aggregate) string {
	var b strings.Builder
	b.WriteString(funcNames[a.Func])
	b.WriteByte('(')
	switch a.Func {
	case expr.Count:
	case expr.Quantile, expr.TopK:
		fmt.Fprintf(&b, "%s, %s", a.Arg, strconv.FormatFloat(a.Param, 'f', -1, 64))
	default:
		b.WriteString(a.Arg.String())
	}
	b.WriteByte(')')
	for i, by := range a.By {
		b.WriteString([]string{" BY ", ", "}[min(i, 1)])
		b.WriteString(by.String())
	}
	return b.String()
}

// Table returns the answer as text, for tables and CSV: the column names, and a
// row of as many cells for each group, for TOPK for each value of each group.
// No value is an empty cell.
func (r *Result) Table() (columns []string, rows [][]string) {
	for _, by := range r.Agg.By {
		columns = append(columns, by.String())
	}
	if r.Agg.Func == expr.TopK {
		columns = append(columns, r.Agg.Arg.String(), "headers")
	} else {
		alone := *r.Agg
		alone.By = nil
		columns = append(columns, Text(&alone), "headers")
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		group := make([]string, 0, len(columns))
		for j, by := range r.Agg.By {
			group = append(group, string(by.Format(nil, row.Group[j])))
		}
		if r.Agg.Func == expr.TopK {
			for _, t := range row.Top {
				cells := append(make([]string, 0, len(columns)), group...)
				cells = append(cells, string(r.Agg.Arg.Format(nil, t.Value)), strconv.FormatUint(t.Count, 10))
				rows = append(rows, cells)
			}
			continue
		}
		value := ""
		switch {
		case row.Value.IsNone():
		case isTime(r.Agg):
			value = string(r.Agg.Arg.Format(nil, packet.Value{Lo: row.Value.u}))
		default:
			value = row.Value.String()
		}
		rows = append(rows, append(group, value, strconv.FormatUint(row.Headers, 10)))
	}
	return columns, rows
}

// Notes says in words what keeps the answer from being exact, a sentence each;
// none if it is.
func (r *Result) Notes() []string {
	var out []string
	estimates, sums := 0, 0
	for i := range r.Rows {
		switch row := &r.Rows[i]; {
		case row.Exact || row.Lost > 0:
		case r.RelativeError > 0:
			estimates++
		default:
			sums++
		}
	}
	if estimates > 0 {
		kind := "relative error at most"
		if r.Agg.Func == expr.Distinct {
			kind = "relative standard error"
		}
		out = append(out, fmt.Sprintf("%d of %d values are estimates (%s %.2g %%)", estimates, len(r.Rows), kind, 100*r.RelativeError))
	}
	if sums > 0 {
		out = append(out, fmt.Sprintf("%d of %d sums do not fit 64 bits", sums, len(r.Rows)))
	}
	if r.OverflowHeaders > 0 {
		out = append(out, fmt.Sprintf("%d headers found no room and are in no row; counts may be short by up to as many", r.OverflowHeaders))
	}
	return out
}
