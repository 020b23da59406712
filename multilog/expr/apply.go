package expr

import (
	"slices"
	"strings"

	"github.com/confluo/confluo/packet"
)

// apply returns the values for which "attribute op items" holds, and the
// canonical text of the operator and what follows it. The items are sorted in
// place.
func apply(a packet.Attr, mask uint64, op string, items []operand) ([]packet.Range, string) {
	last := maxValue(a)
	if mask != 0 {
		last.Lo = mask
	}
	slices.SortFunc(items, func(x, y operand) int {
		if c := compare(x.Min, y.Min); c != 0 {
			return c
		}
		return compare(x.Max, y.Max)
	})
	items = slices.CompactFunc(items, func(x, y operand) bool { return x.Range == y.Range })
	v := items[0].Min
	switch op {
	case "<", "<=", ">", ">=":
		return ordered(op, v, last), " " + op + " " + items[0].text
	}
	ranges := make([]packet.Range, 0, len(items))
	for _, it := range items {
		ranges = append(ranges, it.Range)
	}
	ranges = intersect(normalize(ranges), []packet.Range{{Min: zero, Max: last}})
	if op == "!=" {
		ranges = complement(ranges, last)
	} else if len(items) == 1 && items[0].Min == items[0].Max {
		op = "=="
	} else {
		op = "in"
	}
	return ranges, " " + op + " " + setText(items)
}

// ordered returns the values of 0..last that stand in order op to v.
func ordered(op string, v, last packet.Value) []packet.Range {
	lo, hi := zero, last
	switch op {
	case "<":
		if v == zero {
			return nil
		}
		hi = prev(v)
	case "<=":
		hi = v
	case ">":
		if !v.Less(last) {
			return nil
		}
		lo = next(v)
	case ">=":
		lo = v
	}
	return intersect([]packet.Range{{Min: lo, Max: hi}}, []packet.Range{{Min: zero, Max: last}})
}

func setText(items []operand) string {
	if len(items) == 1 {
		return items[0].text
	}
	texts := make([]string, len(items))
	for i, it := range items {
		texts[i] = it.text
	}
	return "{" + strings.Join(texts, ", ") + "}"
}
