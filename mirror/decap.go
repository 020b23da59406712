package mirror

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/confluo/confluo/packet"
)

// The UDP ports on which a tunnel is looked for unless others are named. VXLAN:
// the IANA port, the port of Linux before there was one, and the generic
// protocol extension (tshark reads 4789 and 4790 so by default, and 8472 when
// told to).
var (
	vxlanPorts  = []uint16{4789, 8472, 4790}
	genevePorts = []uint16{6081}
	gtpuPorts   = []uint16{2152}
)

// An encapsulation is one name of a decapsulation list.
type encapsulation struct {
	name  string
	kinds uint16
	udp   []uint16                      // standard UDP ports
	ports func(*packet.Decap) *[]uint16 // nil for what has none
}

// encapsulations stand in the order in which FormatDecap writes them.
var encapsulations = []encapsulation{
	{"vxlan", 1 << packet.TunnelVXLAN, vxlanPorts, func(d *packet.Decap) *[]uint16 { return &d.VXLAN }},
	{"geneve", 1 << packet.TunnelGeneve, genevePorts, func(d *packet.Decap) *[]uint16 { return &d.Geneve }},
	{"gre", 1 << packet.TunnelGRE, nil, nil},
	{"erspan", 1<<packet.TunnelERSPAN1 | 1<<packet.TunnelERSPAN2 | 1<<packet.TunnelERSPAN3, nil, nil},
	{"ipip", 1 << packet.TunnelIPIP, nil, nil},
	{"6in4", 1 << packet.Tunnel6in4, nil, nil},
	{"gtpu", 1 << packet.TunnelGTPU, gtpuPorts, func(d *packet.Decap) *[]uint16 { return &d.GTPU }},
}

// allowed is what every error of ParseDecap ends with.
const allowed = `want "none", "all", or a list of vxlan, geneve, gre, erspan, ipip, 6in4 and gtpu, ` +
	`of which vxlan, geneve and gtpu may name UDP ports: vxlan:4789+8472`

// ParseDecap reads which tunnels are stripped: "none", "all" (every kind, on
// its standard UDP ports), or a comma-separated list of vxlan, geneve, gre,
// erspan, ipip, 6in4 and gtpu. After vxlan, geneve and gtpu a colon and UDP
// destination ports joined by plus signs take the place of the standard ones:
// VXLAN 4789, 8472 and 4790 (where its generic protocol extension is read),
// Geneve 6081, GTP-U 2152. Names may be in any case, with spaces around.
func ParseDecap(s string) (packet.Decap, error) {
	var d packet.Decap
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "none":
		return d, nil
	case "all":
		for _, e := range encapsulations {
			d.Kinds |= e.kinds
			if e.ports != nil {
				*e.ports(&d) = slices.Clone(e.udp)
			}
		}
		return d, nil
	}
	for _, item := range strings.Split(s, ",") {
		name, list, hasPorts := strings.Cut(strings.ToLower(strings.TrimSpace(item)), ":")
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(encapsulations, func(e encapsulation) bool { return e.name == name })
		if i < 0 {
			switch name {
			case "none", "all":
				return packet.Decap{}, fmt.Errorf("decap: %q stands alone, not in a list: %s", name, allowed)
			}
			return packet.Decap{}, fmt.Errorf("decap: %q is not a tunnel: %s", name, allowed)
		}
		e := encapsulations[i]
		if d.Kinds&e.kinds != 0 {
			return packet.Decap{}, fmt.Errorf("decap: %s is named twice: %s", name, allowed)
		}
		d.Kinds |= e.kinds
		if !hasPorts {
			if e.ports != nil {
				*e.ports(&d) = slices.Clone(e.udp)
			}
			continue
		}
		if e.ports == nil {
			return packet.Decap{}, fmt.Errorf("decap: %s has no UDP port: %s", name, allowed)
		}
		ports, err := parsePorts(list)
		if err != nil {
			return packet.Decap{}, fmt.Errorf("decap: %s: %w: %s", name, err, allowed)
		}
		*e.ports(&d) = ports
	}
	if err := checkPorts(&d); err != nil {
		return packet.Decap{}, err
	}
	return d, nil
}

func parsePorts(list string) ([]uint16, error) {
	var ports []uint16
	for _, text := range strings.Split(list, "+") {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is not a UDP port within 1..65535", text)
		}
		if slices.Contains(ports, uint16(n)) {
			return nil, fmt.Errorf("port %d is named twice", n)
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// checkPorts refuses a port that two kinds of tunnel claim: only one of them
// could ever be found on it.
func checkPorts(d *packet.Decap) error {
	owner := map[uint16]string{}
	for _, e := range encapsulations {
		if e.ports == nil {
			continue
		}
		for _, p := range *e.ports(d) {
			if other, ok := owner[p]; ok {
				return fmt.Errorf("decap: UDP port %d is named for %s and for %s: one port carries one kind of tunnel", p, other, e.name)
			}
			owner[p] = e.name
		}
	}
	return nil
}

// FormatDecap writes d as ParseDecap reads it, ports only where they are not
// the standard ones. A Decap that strips only some kinds of ERSPAN, which
// ParseDecap never returns, is written as one that strips all.
func FormatDecap(d packet.Decap) string {
	var items []string
	standard := true
	for _, e := range encapsulations {
		if d.Kinds&e.kinds == 0 {
			standard = false
			continue
		}
		item := e.name
		if e.ports != nil && !slices.Equal(*e.ports(&d), e.udp) {
			standard = false
			for i, p := range *e.ports(&d) {
				item += string(":+"[min(i, 1)]) + strconv.Itoa(int(p))
			}
		}
		items = append(items, item)
	}
	switch {
	case len(items) == 0:
		return "none"
	case standard:
		return "all"
	}
	return strings.Join(items, ",")
}
