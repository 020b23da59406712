package expr

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/confluo/confluo/packet"
)

// An operand is one value, range or prefix to the right of an operator.
type operand struct {
	packet.Range
	text string // canonical
}

// parser reads values with the attribute's own reading (packet.ParseValue),
// adding units, epoch times with a unit, and names of ports.

// value reads token t as a value of attribute a.
func (p *parser) value(a packet.Attr, t token) (packet.Value, *Error) {
	in := a.Info()
	if t.kind != tokWord && t.kind != tokString {
		return zero, p.errorf(t, "%s", wantValue(a))
	}
	var v packet.Value
	ok := false
	switch in.Kind {
	case packet.KindTime:
		v, ok = parseTime(a, t.text)
	case packet.KindIP, packet.KindMAC:
		var err error
		v, err = a.ParseValue(t.text)
		ok = err == nil
	case packet.KindEnum:
		if v, ok = enumValue(a, t.text); !ok && t.kind == tokWord {
			v.Lo, ok = parseWhole(t.text)
		}
	case packet.KindPort:
		return p.port(a, t)
	default:
		if t.kind == tokWord {
			v.Lo, ok = parseWhole(t.text, unitsOf(in)...)
		}
	}
	if !ok || maxValue(a).Less(v) {
		return zero, p.errorf(t, "%s", wantValue(a))
	}
	return v, nil
}

// port reads the name or the number of a port. A name in quotes is never a
// number.
func (p *parser) port(a packet.Attr, t token) (packet.Value, *Error) {
	if t.kind == tokWord {
		if n, ok := parseWhole(t.text); ok {
			if n > maxValue(a).Lo {
				return zero, p.errorf(t, "%s", wantValue(a))
			}
			return packet.Value{Lo: n}, nil
		}
	}
	if p.names == nil {
		return zero, p.errorf(t, "the number of a port (there is no port table to look names up in)")
	}
	n, ok := p.names.PortByName(t.text)
	if !ok {
		return zero, p.errorf(t, "the name or number of a port of this agent")
	}
	return packet.Value{Lo: uint64(n)}, nil
}

func enumValue(a packet.Attr, s string) (packet.Value, bool) {
	n, ok := enums[a][strings.ToLower(s)]
	return packet.Value{Lo: n}, ok
}

// enums holds the names of the values of each enumeration.
var enums = func() (m [packet.NumAttrs]map[string]uint64) {
	for a := range packet.Attr(packet.NumAttrs) {
		if a.Info().Kind == packet.KindEnum {
			m[a] = packet.EnumNames(a)
		}
	}
	return m
}()

// lastTime is the latest time that can be written as RFC 3339 and read again:
// 64 bits of nanoseconds end in 2262.
var lastTime = uint64(time.Date(2261, 12, 31, 23, 59, 59, 999999999, time.UTC).UnixNano())

// firstTime is the earliest time that may be written as a plain integer, but
// for 0: a smaller one is seconds, milliseconds or microseconds of our days
// that lack their unit.
const firstTime = 1e16

// parseTime reads RFC 3339, an integer (ns since the Unix epoch), or a number
// with a unit of time since the epoch: 1767322800s, 1767322800.25s.
func parseTime(a packet.Attr, s string) (packet.Value, bool) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return packet.Value{Lo: n}, n == 0 || n >= firstTime && n <= lastTime
	}
	v, err := a.ParseValue(s)
	if err != nil {
		d, err := ParseDuration(s)
		if err != nil {
			return zero, false
		}
		v.Lo = uint64(d)
	}
	return v, v.Lo <= lastTime
}

func unitsOf(in *packet.Info) [][]unit {
	if in.Unit == "bytes" {
		return [][]unit{byteUnits, countUnits}
	}
	return [][]unit{countUnits}
}

// prefix reads address/length.
func (p *parser) prefix(a packet.Attr, t token) (operand, *Error) {
	if a.Info().Kind != packet.KindIP {
		return operand{}, p.errorf(t, "%s", wantValue(a))
	}
	pre, err := netip.ParsePrefix(t.text)
	if err != nil {
		return operand{}, p.errorf(t, "a prefix such as 10.0.0.0/8 or 2001:db8::/32")
	}
	if m := pre.Masked(); m != pre {
		return operand{}, p.errorf(t, "%s (no address bits past the prefix length)", m)
	}
	n := pre.Bits()
	if pre.Addr().Is4() {
		n += 96
	}
	lo := packet.ValueOfAddr(pre.Addr())
	hi := packet.Value{Hi: lo.Hi | lowBits(128-n-64), Lo: lo.Lo | lowBits(128-n)}
	return prefixOperand(a, lo, hi, n), nil
}

// lowBits returns a word with its n low bits set; n may lie outside 0..64.
func lowBits(n int) uint64 {
	if n <= 0 {
		return 0
	}
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}

func prefixOperand(a packet.Attr, lo, hi packet.Value, n int) operand {
	text := a.Format(nil, lo)
	if n < 128 {
		shown := n
		if lo.Addr().Is4() && n >= 96 {
			shown -= 96
		}
		text = fmt.Appendf(text, "/%d", shown)
	}
	return operand{packet.Range{Min: lo, Max: hi}, string(text)}
}

// rangeOperand makes the operand of lo..hi.
func rangeOperand(a packet.Attr, lo, hi packet.Value) operand {
	if lo == hi {
		return operand{packet.Range{Min: lo, Max: hi}, formatValue(a, lo)}
	}
	return operand{packet.Range{Min: lo, Max: hi}, formatOrdered(a, lo) + ".." + formatOrdered(a, hi)}
}

// formatValue writes v so that it can be read again.
func formatValue(a packet.Attr, v packet.Value) string { return string(a.Format(nil, v)) }

// formatOrdered writes v where its order counts: names have none, so an
// enumeration shows its number.
func formatOrdered(a packet.Attr, v packet.Value) string {
	if a.Info().Kind == packet.KindEnum {
		return fmt.Sprint(v.Lo)
	}
	return formatValue(a, v)
}

// formatMask writes v as a mask or as a value under one.
func formatMask(a packet.Attr, v uint64) string {
	if a.Info().Kind == packet.KindMAC {
		return formatValue(a, packet.Value{Lo: v})
	}
	return fmt.Sprintf("0x%x", v)
}

// wantValue says what a value of a looks like.
func wantValue(a packet.Attr) string {
	in := a.Info()
	switch in.Kind {
	case packet.KindTime:
		return `a time for ` + in.Name + ` such as 2026-01-02T03:04:05Z, 1767322800s or 1767322800000000000 (ns), up to 2261`
	case packet.KindIP:
		return "an IP address or prefix for " + in.Name + " such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32"
	case packet.KindMAC:
		return "a MAC address for " + in.Name + " such as 02:00:5e:10:00:01"
	case packet.KindEnum:
		return fmt.Sprintf("a name or number (up to %d) for %s such as %s", maxValue(a).Lo, in.Name, enumExample(a))
	case packet.KindPort:
		return fmt.Sprintf("the name or number (up to %d) of a port for %s", maxValue(a).Lo, in.Name)
	}
	units := ", 0x1f or 10k"
	if in.Unit == "bytes" {
		units = ", 1.5KB or 64KiB"
	}
	return fmt.Sprintf("a number up to %d for %s such as %d%s", maxValue(a).Lo, in.Name, 80, units)
}

// shortEnum is the number of names up to which all of them are shown.
const shortEnum = 12

// enumExample names values of a: all, or of a long enumeration a few.
func enumExample(a packet.Attr) string {
	names := slices.SortedFunc(maps.Keys(enums[a]), func(x, y string) int { return cmp.Compare(enums[a][x], enums[a][y]) })
	switch {
	case len(names) <= shortEnum:
		return strings.Join(names, ", ")
	case a == packet.Proto:
		return "tcp, udp, icmp"
	}
	return "ipv4, ipv6, arp"
}
