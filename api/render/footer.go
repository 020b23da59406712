package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/confluo/confluo/diagnoser"
)

// FooterText says in a few words what an answer covered, on one line, or on two
// when headers of its range were lost.
func FooterText(f *diagnoser.Footer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s matched", Quantity(f.Matched, "header"))
	if f.Returned != f.Matched && f.Returned > 0 {
		fmt.Fprintf(&b, ", %d returned", f.Returned)
	}
	if f.Limited {
		b.WriteString(" (stopped at the limit)")
	}
	fmt.Fprintf(&b, "; offsets %d..%d", f.FirstOffset, f.EndOffset)
	if !f.FromTime.IsZero() {
		fmt.Fprintf(&b, ", %s to %s", f.FromTime.UTC().Format(time.RFC3339Nano), f.ToTime.UTC().Format(time.RFC3339Nano))
	}
	fmt.Fprintf(&b, "; %d scanned", f.Scanned)
	if f.Plan != "" {
		fmt.Fprintf(&b, " by %s", strings.Join(strings.Fields(strings.ReplaceAll(f.Plan, "\n", "; ")), " "))
	}
	fmt.Fprintf(&b, "; took %s", roundDuration(f.Took))
	sep := "\nincomplete, headers lost in this range: "
	for _, cause := range slices.Sorted(maps.Keys(f.Dropped)) {
		if n := f.Dropped[cause]; n > 0 {
			fmt.Fprintf(&b, "%s%d by %s", sep, n, cause)
			sep = ", "
		}
	}
	return b.String()
}

// Quantity writes a number with its noun.
func Quantity(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// roundDuration drops digits nobody reads.
func roundDuration(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
