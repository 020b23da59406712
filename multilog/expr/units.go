package expr

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// maxNumber bounds the characters of a number, so that a hostile one costs
// nothing.
const maxNumber = 64

// A unit is a suffix of a number and what it multiplies by.
type unit struct {
	name string
	mult int64
}

var countUnits = []unit{{"k", 1e3}, {"M", 1e6}, {"G", 1e9}}

var byteUnits = []unit{
	{"B", 1}, {"KB", 1e3}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
}

var timeUnits = []unit{
	{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3}, {"ms", 1e6}, {"s", 1e9},
	{"m", 60e9}, {"h", 3600e9}, {"d", 24 * 3600e9},
}

const (
	wantNumber   = "a number such as 80, 0x1f or 10k (k, M, G)"
	wantBytes    = "a number of bytes such as 1400, 1.5KB or 64KiB (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)"
	wantDuration = "a duration such as 10ms, 1.5s or 1m30s (ns, us, ms, s, m, h, d)"
)

// ParseNumber reads a count: decimal, hexadecimal (0x), octal (0o) or binary
// (0b), or decimal with a fraction and one of the suffixes k (1,000),
// M (1,000,000) and G (1,000,000,000): 1.5k is 1500. A leading zero does not
// make it octal. The result must be whole and below 2^64.
func ParseNumber(s string) (uint64, error) {
	v, ok := parseWhole(s, countUnits)
	if !ok {
		return 0, fmt.Errorf("found %q, expected %s", s, wantNumber)
	}
	return v, nil
}

// ParseBytes reads a number of bytes: as ParseNumber reads it, or decimal with
// one of the suffixes B, KB, MB, GB, TB (powers of 1000; kB is KB) and KiB,
// MiB, GiB, TiB (powers of 1024): 1.5KB is 1500, 1KiB is 1024. The result must
// be whole and below 2^64. Bits (Gbit) are not accepted.
func ParseBytes(s string) (uint64, error) {
	v, ok := parseWhole(s, byteUnits, countUnits)
	if !ok {
		return 0, fmt.Errorf("found %q, expected %s", s, wantBytes)
	}
	return v, nil
}

// ParseDuration reads a duration of zero or more: numbers, each with one of
// the units ns, us (or µs), ms, s, m, h, d, one after the other: 10ms, 1.5h,
// 1m30s. Only 0 may go without a unit. The result must be whole nanoseconds
// and at most 2^63-1 of them (292 years).
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if s == "" || len(s) > maxNumber {
		return 0, fmt.Errorf("found %q, expected %s", s, wantDuration)
	}
	sum, rest := new(big.Rat), s
	for rest != "" {
		var number string
		number, rest = cutNumber(rest)
		end := strings.IndexAny(rest, "0123456789.")
		if end < 0 {
			end = len(rest)
		}
		part, mult := decimal(number), multOf(rest[:end], timeUnits)
		if part == nil || mult == 0 {
			return 0, fmt.Errorf("found %q, expected %s", s, wantDuration)
		}
		sum.Add(sum, part.Mul(part, new(big.Rat).SetInt64(mult)))
		rest = rest[end:]
	}
	if !sum.IsInt() || !sum.Num().IsInt64() {
		return 0, fmt.Errorf("found %q, expected %s, in whole nanoseconds and at most 292 years", s, wantDuration)
	}
	return time.Duration(sum.Num().Int64()), nil
}

// formatDuration writes d, which is not negative, as ParseDuration reads it:
// in the largest unit of which it is a whole number.
func formatDuration(d time.Duration) string {
	for i := len(timeUnits) - 1; i > 0; i-- {
		if u := timeUnits[i]; u.name[0] < 0x80 && d != 0 && int64(d)%u.mult == 0 {
			return strconv.FormatInt(int64(d)/u.mult, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// parseWhole reads a whole number below 2^64, optionally with one of the units.
func parseWhole(s string, units ...[]unit) (uint64, bool) {
	r := parseRat(s, units...)
	if r == nil || !r.IsInt() || !r.Num().IsUint64() {
		return 0, false
	}
	return r.Num().Uint64(), true
}

// parseRat reads a number that need not be whole; nil if s is none.
func parseRat(s string, units ...[]unit) *big.Rat {
	if len(s) > 2 && s[0] == '0' && strings.IndexByte("xXbBoO", s[1]) >= 0 {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil || strings.Contains(s, "_") {
			return nil
		}
		return new(big.Rat).SetInt(new(big.Int).SetUint64(v))
	}
	if len(s) > maxNumber {
		return nil
	}
	n, suffix := cutNumber(s)
	r := decimal(n)
	if r == nil || suffix == "" {
		return r
	}
	for _, us := range units {
		if m := multOf(suffix, us); m != 0 {
			return r.Mul(r, new(big.Rat).SetInt64(m))
		}
	}
	return nil
}

// parseFloat reads a number that need not be whole as the nearest float64.
func parseFloat(s string, units ...[]unit) (float64, bool) {
	r := parseRat(s, units...)
	if r == nil {
		return 0, false
	}
	f, _ := r.Float64()
	return f, !math.IsInf(f, 0)
}

// cutNumber splits s behind its leading digits and dots.
func cutNumber(s string) (number, rest string) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	return s[:i], s[i:]
}

// decimal reads digits with at most one dot between them.
func decimal(s string) *big.Rat {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Count(s, ".") > 1 {
		return nil
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil
	}
	return r
}

func multOf(name string, units []unit) int64 {
	for _, u := range units {
		if u.name == name {
			return u.mult
		}
	}
	return 0
}
