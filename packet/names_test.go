package packet

import (
	"strings"
	"testing"
)

func TestFormattedValuesParseBack(t *testing.T) {
	samples := []Value{{0, 0}, {0, 1}, {0, 6}, {0, 17}, {0, 200}, {0, 0x0800}, {0, 0x86dd}, {0, 0xffff},
		{0, 0xffffc0000201}, {0x20010db8 << 32, 1}, {0, 0xfedcba987654}, {0, 1700000000123456789}, {0xfe80 << 48, 0x0200_5eff_fe10_0001}}
	for i := 0; i < NumAttrs; i++ {
		a := Attr(i)
		for _, v := range samples {
			if a.Info().Width < W128 {
				v = Value{0, v.Lo & maxOf(a.Info().Width)}
			}
			if a.Info().Kind == KindMAC {
				v.Lo &= 1<<48 - 1
			}
			text := string(a.Format(nil, v))
			got, err := a.ParseValue(text)
			if err != nil || got != v {
				t.Errorf("%s: %x is written %q and read back as %x, %v", a, v, text, got, err)
			}
		}
	}
}

func TestFormatWritesWhatPeopleExpect(t *testing.T) {
	for _, c := range []struct {
		a    Attr
		v    Value
		want string
	}{
		{Ts, Value{0, 1700000000123456789}, "2023-11-14T22:13:20.123456789Z"},
		{Ts, Value{0, 1700000000000000000}, "2023-11-14T22:13:20Z"},
		{SrcIP, Value{0, 0xffff_0a00_0001}, "10.0.0.1"},
		{DstIP, Value{0x20010db8 << 32, 1}, "2001:db8::1"},
		{SrcMAC, Value{0, 0x02005e100001}, "02:00:5e:10:00:01"},
		{Proto, Value{0, 6}, "tcp"},
		{Proto, Value{0, 58}, "icmpv6"},
		{Proto, Value{0, 222}, "222"},
		{EthType, Value{0, 0x88cc}, "lldp"},
		{EthType, Value{0, 0x1234}, "4660"},
		{Tunnel, Value{0, uint64(Tunnel6in4)}, "6in4"},
		{Direction, Value{0, uint64(DirOut)}, "out"},
		{Reason, Value{0, uint64(ReasonIPVersion)}, "bad_ip_version"},
		{DstPort, Value{0, 443}, "443"},
		{FlowHash, Value{0, 1<<64 - 1}, "18446744073709551615"},
	} {
		if got := string(c.a.Format(nil, c.v)); got != c.want {
			t.Errorf("%s of %x: got %q, want %q", c.a, c.v, got, c.want)
		}
	}
}

func TestParseValueReadsOtherSpellings(t *testing.T) {
	for _, c := range []struct {
		a    Attr
		s    string
		want Value
	}{
		{Proto, "TCP", Value{0, 6}}, {Proto, "icmp6", Value{0, 58}}, {Proto, "0x11", Value{0, 17}},
		{EthType, "0x88cc", Value{0, 0x88cc}}, {EthType, "ip", Value{0, 0x800}},
		{SrcMAC, "02-00-5E-10-00-01", Value{0, 0x02005e100001}},
		{SrcIP, "::ffff:10.0.0.1", Value{0, 0xffff_0a00_0001}},
		{TCPFlags, "0x12", Value{0, 0x12}}, {TCPFlags, "0b10010", Value{0, 0x12}},
		{Ts, "1700000000123456789", Value{0, 1700000000123456789}},
		{Ts, "2023-11-14T23:13:20.5+01:00", Value{0, 1700000000500000000}},
		{InPort, "3", Value{0, 3}},
	} {
		got, err := c.a.ParseValue(c.s)
		if err != nil || got != c.want {
			t.Errorf("%s %q: got %x, %v, want %x", c.a, c.s, got, err, c.want)
		}
	}
}

func TestParseValueSaysWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		a       Attr
		s, want string
	}{
		{DstPort, "65536", "within 0..65535"}, {DstPort, "-1", "within 0..65535"}, {DstPort, "", "within 0..65535"},
		{TTL, "256", "within 0..255"}, {Proto, "tpc", "such as tcp, udp"}, {EthType, "ip5", "such as ipv4, ipv6"},
		{Tunnel, "gtp", "gtpu"}, {Direction, "up", "unknown, in, out"}, {Reason, "bad", "bad_ip_version"},
		{SrcIP, "10.0.0", "192.0.2.1"}, {SrcIP, "fe80::1%eth0", "without a zone"},
		{SrcMAC, "02:00:5e:10:00:01:02:03", "six bytes"}, {Ts, "yesterday", "RFC 3339"}, {Ts, "-5", "RFC 3339"},
		{Ts, "2300-01-01T00:00:00Z", "2261"}, {Attr(200), "1", "no attribute"},
	} {
		_, err := c.a.ParseValue(c.s)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %v, want an error with %q", c.a, c.s, err, c.want)
		}
	}
}

func TestNamesAreUnambiguous(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range BoolNames() {
		if seen[b.Name] {
			t.Errorf("%s is twice in BoolNames", b.Name)
		}
		seen[b.Name] = true
		if b.Mask == 0 || b.Mask&(b.Mask-1) != 0 {
			t.Errorf("%s: mask %#x is not one bit", b.Name, b.Mask)
		}
		// A bare attribute name must mean "has one".
		if a, ok := AttrByName(b.Name); ok && (b.Attr != LayerBits || uint64(a.Present()) != b.Mask) {
			t.Errorf("%s means bit %#x of %s, not presence of the attribute", b.Name, b.Mask, b.Attr)
		}
	}
	for i := 0; i < NumAttrs; i++ {
		a := Attr(i)
		names := EnumNames(a)
		if (names != nil) != (a.Info().Kind == KindEnum) {
			t.Errorf("%s: kind %d and %d names", a, a.Info().Kind, len(names))
		}
		for name, v := range names {
			if v > maxOf(a.Info().Width) || name != strings.ToLower(name) || strings.ContainsAny(name, " .{}(),-") {
				t.Errorf("%s: name %q of %d cannot be used", a, name, v)
			}
		}
	}
	for k := 0; k < NumTunnels; k++ {
		if s := TunnelKind(k).String(); s[0] >= '0' && s[0] <= '9' && s != "6in4" {
			t.Errorf("tunnel %d has no name", k)
		}
	}
	for r := 0; r < NumReasons; r++ {
		if s := ReasonCode(r).String(); s[0] >= '0' && s[0] <= '9' {
			t.Errorf("reason %d has no name", r)
		}
	}
}

func TestFormatDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		for i := 0; i < NumAttrs; i++ {
			buf = Attr(i).Format(buf[:0], Value{0, 6})
		}
	}); n != 0 {
		t.Errorf("Format allocates %v times", n)
	}
}
