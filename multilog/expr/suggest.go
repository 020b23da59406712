package expr

import (
	"maps"
	"slices"
	"strings"

	"github.com/confluo/confluo/packet"
)

// didYouMean returns " (did you mean x?)" with the attribute or name that is
// nearest to s, or nothing if none is near.
func didYouMean(s string) string {
	if len(s) > 32 {
		return ""
	}
	s = strings.ToLower(s)
	best, at := "", len(s)/3+2 // further than this is another word
	for _, name := range allNames() {
		if d := editDistance(s, name); d < at {
			best, at = name, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// allNames returns every attribute and name that may stand in an expression,
// in a fixed order.
func allNames() []string {
	var names []string
	for a := range packet.Attr(packet.NumAttrs) {
		names = append(names, a.String())
	}
	names = append(names, slices.Sorted(maps.Keys(pairs))...)
	return append(names, slices.Sorted(maps.Keys(bools))...)
}

// editDistance counts the insertions, deletions and substitutions that turn a
// into b (Levenshtein; by rows after Wagner and Fischer, 1974).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			d := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
