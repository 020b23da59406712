package mirror

import (
	"reflect"
	"strings"
	"testing"

	"github.com/confluo/confluo/packet"
)

const (
	vxlan  = 1 << packet.TunnelVXLAN
	geneve = 1 << packet.TunnelGeneve
	gre    = 1 << packet.TunnelGRE
	erspan = 1<<packet.TunnelERSPAN1 | 1<<packet.TunnelERSPAN2 | 1<<packet.TunnelERSPAN3
	ipip   = 1 << packet.TunnelIPIP
	sixin4 = 1 << packet.Tunnel6in4
	gtpu   = 1 << packet.TunnelGTPU
)

func TestDecapListIsReadAndWrittenBack(t *testing.T) {
	for _, c := range []struct {
		in, out string
		want    packet.Decap
	}{
		{"none", "none", packet.Decap{}},
		{"all", "all", packet.Decap{Kinds: vxlan | geneve | gre | erspan | ipip | sixin4 | gtpu,
			VXLAN: []uint16{4789, 8472, 4790}, Geneve: []uint16{6081}, GTPU: []uint16{2152}}},
		{"vxlan", "vxlan", packet.Decap{Kinds: vxlan, VXLAN: []uint16{4789, 8472, 4790}}},
		{"VXLAN:4789+8472", "vxlan:4789+8472", packet.Decap{Kinds: vxlan, VXLAN: []uint16{4789, 8472}}},
		{" gre , erspan ", "gre,erspan", packet.Decap{Kinds: gre | erspan}},
		{"6in4,ipip", "ipip,6in4", packet.Decap{Kinds: ipip | sixin4}},
		{"gtpu, geneve:6081", "geneve,gtpu", packet.Decap{Kinds: gtpu | geneve, GTPU: []uint16{2152}, Geneve: []uint16{6081}}},
		{"vxlan,geneve,gre,erspan,ipip,6in4,gtpu:2153", "vxlan,geneve,gre,erspan,ipip,6in4,gtpu:2153",
			packet.Decap{Kinds: vxlan | geneve | gre | erspan | ipip | sixin4 | gtpu,
				VXLAN: []uint16{4789, 8472, 4790}, Geneve: []uint16{6081}, GTPU: []uint16{2153}}},
		{"gtpu,6in4,ipip,erspan,gre,geneve,vxlan", "all", packet.Decap{Kinds: vxlan | geneve | gre | erspan | ipip | sixin4 | gtpu,
			VXLAN: []uint16{4789, 8472, 4790}, Geneve: []uint16{6081}, GTPU: []uint16{2152}}},
	} {
		got, err := ParseDecap(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, %v, want %+v", c.in, got, err, c.want)
			continue
		}
		out := FormatDecap(got)
		if out != c.out {
			t.Errorf("%q is written %q, want %q", c.in, out, c.out)
		}
		if again, err := ParseDecap(out); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q is read back as %+v, %v", out, again, err)
		}
	}
}

func TestDecapErrorSaysWhatIsAllowed(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `"" is not a tunnel`},
		{"vxlan,", `"" is not a tunnel`},
		{"l2tp", `"l2tp" is not a tunnel`},
		{"none,gre", `"none" stands alone`},
		{"vxlan,all", `"all" stands alone`},
		{"gre,gre", "gre is named twice"},
		{"gre:47", "gre has no UDP port"},
		{"vxlan:", `"" is not a UDP port within 1..65535`},
		{"vxlan:0", `"0" is not a UDP port within 1..65535`},
		{"vxlan:65536", `"65536" is not a UDP port`},
		{"vxlan:4789+4789", "port 4789 is named twice"},
		{"geneve:x", `"x" is not a UDP port`},
	} {
		d, err := ParseDecap(c.in)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "vxlan:4789+8472") {
			t.Errorf("%q: got %v, want an error with %q and what is allowed", c.in, err, c.want)
		}
		if !reflect.DeepEqual(d, packet.Decap{}) {
			t.Errorf("%q: an error and %+v", c.in, d)
		}
	}
	if _, err := ParseDecap("vxlan:6081,geneve"); err == nil || !strings.Contains(err.Error(), "port 6081 is named for vxlan and for geneve") {
		t.Errorf("one port for two tunnels: got %v", err)
	}
}

func TestDecapsDoNotShareMemory(t *testing.T) {
	a, _ := ParseDecap("all")
	a.VXLAN[0] = 1
	if b, _ := ParseDecap("all"); b.VXLAN[0] != 4789 {
		t.Error("a caller's change shows in the next Decap")
	}
}
