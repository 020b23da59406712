package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDropHistoryTellsWhatARangeLost(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var h dropHistory
	h.see(at(0), at(1), map[string]uint64{"ring": 0, "nic": 5})
	h.see(at(1), at(2), map[string]uint64{"ring": 10, "nic": 5})
	h.see(at(2), at(3), map[string]uint64{"ring": 10, "nic": 6})
	for _, tc := range []struct {
		from, to time.Time
		want     map[string]uint64
	}{
		{time.Time{}, time.Time{}, map[string]uint64{"ring": 10, "nic": 6}},
		{at(1), at(2), map[string]uint64{"ring": 10}},
		{at(0), at(1), map[string]uint64{"nic": 5}},
		{at(1), time.Time{}, map[string]uint64{"ring": 10, "nic": 1}},
		{time.Time{}, at(2), map[string]uint64{"ring": 10, "nic": 5}},
		{at(3), at(9), map[string]uint64{}},
	} {
		if diff := cmp.Diff(tc.want, h.between(tc.from, tc.to)); diff != "" {
			t.Errorf("%v to %v (-want +got):\n%s", tc.from.Unix(), tc.to.Unix(), diff)
		}
	}
}

// TestDropHistoryLosesNoDrops sees many more intervals than are kept: a range
// may be told too much, never too little, and all of time exactly.
func TestDropHistoryLosesNoDrops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h dropHistory
		steps := rapid.IntRange(maxIntervals, 3*maxIntervals).Draw(t, "steps")
		every := rapid.IntRange(1, 5).Draw(t, "every")
		var total uint64
		lost := make([]uint64, steps)
		for i := range steps {
			if i%every == 0 {
				lost[i] = uint64(1 + i%7)
				total += lost[i]
			}
			h.see(time.Unix(int64(i), 0), time.Unix(int64(i+1), 0), map[string]uint64{"ring": total})
		}
		if got := h.between(time.Time{}, time.Time{})["ring"]; got != total {
			t.Fatalf("%d in all, want %d", got, total)
		}
		from := rapid.IntRange(0, steps).Draw(t, "from")
		to := rapid.IntRange(from, steps).Draw(t, "to")
		var least uint64
		for _, n := range lost[from:to] {
			least += n
		}
		if got := h.between(time.Unix(int64(from), 0), time.Unix(int64(to), 0))["ring"]; got < least {
			t.Fatalf("%d in %d..%d, want at least %d", got, from, to, least)
		}
		if n := len(h.causes["ring"].intervals); n > maxIntervals {
			t.Fatalf("%d intervals are kept", n)
		}
	})
}
