package packet

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/gopacket"
)

// parseSeed parses a seed with all tunnels stripped, or none.
func parseSeed(s seed, d Decap) *Columns {
	wire := s.wire
	if wire == 0 {
		wire = len(s.data)
	}
	return newRowTester(d).parse(s.link, s.data, wire)
}

var layerBits = map[string]Layers{
	"eth": LayerEth, "vlan": LayerVLAN, "qinq": LayerQinQ, "mpls": LayerMPLS, "arp": LayerARP, "ip": LayerIPv4, "ip6": LayerIPv6,
	"tcp": LayerTCP, "udp": LayerUDP, "sctp": LayerSCTP, "icmp": LayerICMP, "icmp6": LayerICMPv6, "ports": LayerPorts,
	"fragment": LayerFrag, "tunnel": LayerTunnel, "vni": LayerVNI, "options": LayerOptions, "ethtype": LayerEthType,
	"truncated": LayerTruncated, "malformed": LayerMalformed,
}

func TestEveryProtocolIsRead(t *testing.T) {
	for _, s := range seeds() {
		t.Run(s.name, func(t *testing.T) {
			c := parseSeed(s, allTunnels)
			var want Layers
			for _, name := range strings.Split(s.layers, ",") {
				if name != "" {
					if layerBits[name] == 0 {
						t.Fatalf("no layer %q", name)
					}
					want |= layerBits[name]
				}
			}
			if got := c.Layers[0]; got != want {
				t.Errorf("layers: too many %s, missing %s, reason %s", allLayerNames(got&^want), allLayerNames(want&^got), ReasonCode(c.Reason[0]))
			}
			for _, item := range strings.Fields(s.want) {
				name, text, present := strings.Cut(item, "=")
				a, ok := AttrByName(name)
				if !ok {
					t.Fatalf("no attribute %q", name)
				}
				v := c.Value(a, 0)
				if !present {
					if c.Has(a, 0) || v != (Value{}) {
						t.Errorf("%s: is %s, want none", a, a.Format(nil, v))
					}
					continue
				}
				want, err := a.ParseValue(text)
				if err != nil {
					t.Fatal(err)
				}
				if !c.Has(a, 0) || v != want {
					t.Errorf("%s: got %s (present: %t), want %s", a, a.Format(nil, v), c.Has(a, 0), text)
				}
			}
		})
	}
}

func allLayerNames(l Layers) string {
	var names []string
	for name, bit := range layerBits {
		if l&bit != 0 {
			names = append(names, name)
		}
	}
	return fmt.Sprint(names)
}

func TestTunnelsStayUnlessAskedFor(t *testing.T) {
	for _, s := range tunnelSeeds() {
		c := parseSeed(s, Decap{})
		if c.Layers[0]&(LayerTunnel|LayerVNI|LayerTruncated|LayerMalformed) != 0 || c.Tunnel[0] != 0 || c.Layers[0]&(LayerIPv4|LayerIPv6) == 0 {
			t.Errorf("%s: layers %s with no tunnel to strip", s.name, allLayerNames(c.Layers[0]))
		}
		ip := c.Value(SrcIP, 0).Addr().String()
		if ip != "10.2.0.1" && ip != "fd00:2::1" && ip != "10.1.0.1" {
			t.Errorf("%s: source %s is not the outer one", s.name, ip)
		}
	}
	// Each kind is a switch of its own.
	for _, s := range tunnelSeeds() {
		kind := TunnelKind(parseSeed(s, allTunnels).Tunnel[0])
		if kind == TunnelNone {
			continue
		}
		without := allTunnels
		without.Kinds &^= 1 << kind
		if got := TunnelKind(parseSeed(s, without).Tunnel[0]); got == kind {
			t.Errorf("%s: %s is stripped though it is not asked for", s.name, kind)
		}
	}
}

func TestTunnelPortsAreThoseOfThePort(t *testing.T) {
	d := Decap{Kinds: 1 << TunnelVXLAN, VXLAN: []uint16{9000}}
	inner := innerTCP()
	on := func(port uint16) TunnelKind {
		b := with(inner, eth(2, ethIPv4), ip4(2, ipUDP), udpHeader(1, 0), raw("08000000 00000100"))
		set(b, 36, byte(port>>8), byte(port))
		return TunnelKind(newRowTester(d).parse(LinkEthernet, b, len(b)).Tunnel[0])
	}
	if on(9000) != TunnelVXLAN || on(4789) != TunnelNone {
		t.Errorf("port 9000: %s, port 4789: %s, want vxlan on 9000 only", on(9000), on(4789))
	}
	// 9512 shares the bit of 9000 in the table that the fast path asks.
	if on(9512) != TunnelNone {
		t.Errorf("port 9512: %s, want none", on(9512))
	}
}

// batchOf puts seeds into a batch, each on a port of its link type.
func batchOf(t testing.TB, table *PortTable, list []seed, stride int) *Batch {
	t.Helper()
	b, err := NewBatch(nil, stride)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range list {
		name := fmt.Sprintf("link%d", s.link)
		port, ok := table.ByName(name)
		if !ok {
			if port, err = table.Add(Port{Name: name, Link: s.link, Decap: allTunnels, Tag: 1000 + uint32(s.link)}); err != nil {
				t.Fatal(err)
			}
		}
		wire := s.wire
		if wire == 0 {
			wire = len(s.data)
		}
		b.Append(s.data, 1e18+int64(i), uint32(wire), port, Dir(i%3))
	}
	return b
}

// dirty fills every column with values that no row should keep.
func dirty(c *Columns) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice {
			for k := range f.Len() {
				if e := f.Index(k); e.CanInt() {
					e.SetInt(-7)
				} else {
					e.SetUint(1<<e.Type().Bits() - 7)
				}
			}
		}
	}
}

func TestBatchGivesWhatSingleFramesGive(t *testing.T) {
	list := seeds()
	rnd := rand.New(rand.NewPCG(7, 7))
	rnd.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	if len(list) > ChunkSize {
		list = list[:ChunkSize]
	}
	var table PortTable
	b := batchOf(t, &table, list, 2048)
	p := NewParser(&table)
	c := NewColumns(ChunkSize)
	const lo = 3
	for range 2 { // the second time over what the first left
		dirty(c)
		c.N = 0
		p.Parse(&b.Frames, lo, b.N-lo, c)
		if c.N != b.N-lo {
			t.Fatalf("N is %d, want %d", c.N, b.N-lo)
		}
		for i := range c.N {
			s := list[lo+i]
			single := parseSeed(s, allTunnels)
			for _, a := range AllAttrs.Attrs() {
				want := single.Value(a, 0)
				switch a {
				case Ts:
					want.Lo = 1e18 + uint64(lo+i)
				case InPort:
					want.Lo = uint64(b.Port[lo+i])
				case Direction:
					want.Lo = uint64((lo + i) % 3)
				case Tag:
					want.Lo = 1000 + uint64(s.link)
				}
				if got := c.Value(a, i); got != want {
					t.Errorf("%s: %s is %x in the batch, %x alone", s.name, a, got, want)
				}
			}
		}
		// Rows past the batch are the caller's.
		if c.TTL[c.N] != 1<<8-7 || c.FlowHash[c.N] != 1<<64-7 {
			t.Error("a row past the batch was written")
		}
	}
}

// drop sets the columns of a to nil.
func drop(c *Columns, a Attr) {
	switch a {
	case Ts:
		c.Ts = nil
	case LayerBits:
		c.Layers = nil
	case SrcIP, DstIP, OuterSrc, OuterDst:
		hi, lo := c.u128(a)
		*hi, *lo = nil, nil
	default:
		switch a.Info().Width {
		case W8:
			*c.u8(a) = nil
		case W16:
			*c.u16(a) = nil
		case W32:
			*c.u32(a) = nil
		default:
			*c.u64(a) = nil
		}
	}
}

func TestColumnsNotAskedForStayNilAndChangeNothing(t *testing.T) {
	list := seeds()[:ChunkSize/2]
	var table PortTable
	b := batchOf(t, &table, list, 512)
	p := NewParser(&table)
	full := NewColumns(b.N)
	p.Parse(&b.Frames, 0, b.N, full)
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 200 {
		keep := AttrSet(rnd.Uint64()) & AllAttrs
		if round == 0 {
			keep = 0
		}
		some := NewColumns(b.N)
		for _, a := range (AllAttrs &^ keep).Attrs() {
			drop(some, a)
		}
		p.Parse(&b.Frames, 0, b.N, some)
		for _, a := range (AllAttrs &^ keep).Attrs() {
			before := *some
			if drop(some, a); !reflect.DeepEqual(before, *some) {
				t.Fatalf("%s was given a column though it was not wanted", a)
			}
		}
		for _, a := range keep.Attrs() {
			for i := range b.N {
				if some.Value(a, i) != full.Value(a, i) {
					t.Fatalf("%s of %q differs when only %v are wanted", a, list[i].name, keep.Attrs())
				}
			}
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	list := seeds()[:ChunkSize/2]
	var table PortTable
	b := batchOf(t, &table, list, 512)
	p := NewParser(&table)
	full, few := NewColumns(b.N), NewColumns(b.N)
	drop(few, SrcIP)
	drop(few, FlowHash)
	if n := testing.AllocsPerRun(20, func() {
		p.Parse(&b.Frames, 0, b.N, full)
		p.Parse(&b.Frames, 0, b.N, few)
	}); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func TestFrameOfAnUnknownPortIsMarked(t *testing.T) {
	var table PortTable
	b, _ := NewBatch(nil, 128)
	b.Append(frame(innerTCP()...), 5, 64, 9, DirIn)
	c := NewColumns(1)
	NewParser(&table).Parse(&b.Frames, 0, 1, c)
	if ReasonCode(c.Reason[0]) != ReasonLinkType || c.Layers[0] != LayerMalformed || c.InPort[0] != 9 || c.Tag[0] != 0 {
		t.Errorf("reason %s, layers %x", ReasonCode(c.Reason[0]), c.Layers[0])
	}
}

// TestShortSliceAgreesWithTheWholeFrame cuts every seed at every length, as a
// snap length does.
func TestShortSliceAgreesWithTheWholeFrame(t *testing.T) {
	checker := newFrameChecker()
	for _, s := range seeds() {
		checker.cuts(t, s.name, s.link, s.data, s.wire, true)
	}
}

// cuts parses every prefix of a frame. One that is not marked truncated
// must agree with the whole frame in all, and so must all longer ones; one
// that is marked must agree in what it has of the same packet, but for what a
// header further on may still change. Distinct says that no two tunnels of the
// frame are alike.
func (k *frameChecker) cuts(t *testing.T, name string, link LinkType, data []byte, wire int, distinct bool) {
	t.Helper()
	if wire == 0 {
		wire = len(data)
	}
	whole := k.whole.parse(link, data, wire)
	if whole.Layers[0]&LayerTruncated != 0 {
		return
	}
	const changeable = 1<<Proto | 1<<PayloadLen | 1<<EthType | 1<<VLAN | 1<<SrcMAC | 1<<DstMAC | 1<<Frag | 1<<IPID | 1<<FlowHash | 1<<LayerBits | 1<<Reason | 1<<CapLen | 1<<InPort
	complete := false
	for n := range data {
		cut := k.cut.parse(link, data[:n], wire)
		if cut.Layers[0]&LayerTruncated == 0 {
			complete = true
			if t.Failed() {
				return // one cut tells enough
			}
			for a := Attr(0); int(a) < NumAttrs; a++ {
				if a != CapLen && a != InPort && cut.Value(a, 0) != whole.Value(a, 0) {
					t.Errorf("%s: %s is %s in the first %d bytes, %s in all, and not marked truncated", name, a,
						a.Format(nil, cut.Value(a, 0)), n, a.Format(nil, whole.Value(a, 0)))
				}
			}
			continue
		}
		if complete {
			t.Fatalf("%s: truncated at %d bytes, complete with fewer", name, n)
		}
		// Tunnels within each other may be alike in all that is kept of them.
		samePacket := distinct || TunnelKind(whole.Tunnel[0]) == TunnelNone
		for _, a := range []Attr{Tunnel, VNI, OuterSrc, OuterDst} {
			samePacket = samePacket && cut.Value(a, 0) == whole.Value(a, 0)
		}
		if !samePacket {
			continue
		}
		for a := Attr(0); int(a) < NumAttrs; a++ {
			if changeable>>a&1 == 0 && cut.Has(a, 0) && cut.Value(a, 0) != whole.Value(a, 0) {
				t.Errorf("%s: %s is %s in the first %d bytes, %s in all", name, a, a.Format(nil, cut.Value(a, 0)), n, a.Format(nil, whole.Value(a, 0)))
			}
		}
		if extra := cut.Layers[0] &^ whole.Layers[0] &^ (LayerTruncated | LayerEthType); extra != 0 {
			t.Errorf("%s: %s read in the first %d bytes, not in all", name, allLayerNames(extra), n)
		}
	}
}

func TestFlowHashIsTheSameBothWays(t *testing.T) {
	hash := func(b []byte) uint64 {
		return newRowTester(allTunnels).parse(LinkEthernet, b, len(b)).FlowHash[0]
	}
	seen := map[uint64]string{}
	for i := range 2000 {
		v6, proto, vni := i%2 == 1, byte(6+11*(i/2%2)), byte(i/4%2)
		there := flowFrame(v6, proto, vni, uint16(i), 443, false)
		back := flowFrame(v6, proto, vni, uint16(i), 443, true)
		h := hash(there)
		if h != hash(back) {
			t.Fatalf("flow %d: %x one way, %x the other", i, h, hash(back))
		}
		key := fmt.Sprintf("ipv6 %t protocol %d vni %d port %d", v6, proto, vni, i)
		if other, ok := seen[h]; ok || h == 0 {
			t.Fatalf("%s has the hash %x of %s", key, h, other)
		}
		seen[h] = key
	}
	// Every bit of the hash depends on every input: over the flows above,
	// each bit is set about half of the time.
	for bit := range 64 {
		n := 0
		for h := range seen {
			n += int(h >> bit & 1)
		}
		if n < 800 || n > 1200 {
			t.Errorf("bit %d is set in %d of 2000 hashes", bit, n)
		}
	}
	arp := newRowTester(allTunnels).parse(LinkEthernet, append(frame(eth(1, 0x0806)), make([]byte, 28)...), 42)
	if arp.FlowHash[0] != 0 {
		t.Error("a frame without IP has a flow hash")
	}
}

// flowFrame is a frame in VXLAN of a flow with the given client port, from the
// client or back to it.
func flowFrame(v6 bool, proto, vni byte, client, server uint16, back bool) []byte {
	b := frame(eth(1, ethIPv4), ip4(1, 6), tail())
	addrs, ports, size := 14+12, 34, 4
	if v6 {
		b = frame(eth(1, ethIPv6), ip6(1, 6), tail())
		addrs, ports, size = 14+8, 54, 16
		b[14+6] = proto
	} else {
		b[14+9] = proto
	}
	set(b, ports, byte(client>>8), byte(client), byte(server>>8), byte(server), 0, 30)
	if back {
		swapped := append(append([]byte(nil), b[addrs+size:addrs+2*size]...), b[addrs:addrs+size]...)
		set(b, addrs, swapped...)
		set(b, ports, byte(server>>8), byte(server), byte(client>>8), byte(client))
	}
	return frame(eth(2, ethIPv4), ip4(2, ipUDP), udpHeader(1, 4789), raw(fmt.Sprintf("08000000 0000%02x00", vni)), gopacket.Payload(b))
}
