package config

import (
	"cmp"
	"strings"

	"github.com/confluo/confluo/packet"
)

func (d *decoder) checkSources(c *Config) {
	d.names("sources", len(c.Sources), func(i int) string { return c.Sources[i].Name })
	devices := map[string]string{} // where each DPDK device is
	for i := range c.Sources {
		d.checkSource(c, &c.Sources[i], item("sources", i), devices)
	}
	p := "dpdk.eal"
	if m := c.DPDK.EAL.Memory; m%(1<<20) != 0 {
		d.errorf(p+".memory", "found %s, expected whole MiB", m)
	}
	// With auto, huge pages may or may not be there: what suits either is right.
	o := c.DPDK.EAL.EALOptions(true)
	d.backstop(p, o.Validate())
}

func (d *decoder) checkSource(c *Config, s *Source, p string, devices map[string]string) {
	var kinds []string
	for _, k := range []struct {
		name string
		is   bool
	}{{"dpdk", s.DPDK != nil}, {"afpacket", s.AFPacket != nil}, {"pcapfile", s.PcapFile != nil}} {
		if k.is {
			kinds = append(kinds, k.name)
		}
	}
	switch {
	case len(kinds) == 0:
		d.errorf(p, "found no way to capture, expected one of dpdk, afpacket, pcapfile")
	case len(kinds) > 1:
		d.errorf(p+"."+kinds[1], "found beside %s, expected exactly one of dpdk, afpacket, pcapfile", kinds[0])
	}
	if _, err := s.Strips(); err != nil {
		d.backstop(p+".decap", err)
	}
	// What the backends say about their own settings. Names are checked already.
	name := cmp.Or(s.Name, "source")
	port := func(string, packet.LinkType) (uint16, error) { return 0, nil }
	if s.DPDK != nil {
		d.checkDPDK(s.DPDK, p+".dpdk", devices)
		o := s.DPDK.Options(name, 0)
		d.backstop(p+".dpdk", o.Validate())
	}
	if s.AFPacket != nil {
		o := s.AFPacket.Options(name, c.Agent.Snaplen, port)
		d.backstop(p+".afpacket", o.Validate())
	}
	if s.PcapFile != nil {
		o := s.PcapFile.Options(name, port)
		d.backstop(p+".pcapfile", o.Validate())
	}
}

// backstop reports what a room finds wrong with its settings as a whole, unless
// a mistake in the section at path was reported already.
func (d *decoder) backstop(path string, err error) {
	if err == nil {
		return
	}
	for bad := range d.bad {
		if bad == path || strings.HasPrefix(bad, path) && strings.ContainsRune(".[", rune(bad[len(path)])) {
			return
		}
	}
	d.errorf(path, "%v", err)
}

func (d *decoder) checkDPDK(s *DPDKSource, p string, devices map[string]string) {
	for i, port := range s.Ports {
		pp := item(p+".ports", i) + ".device"
		name, _, _ := strings.Cut(port.Device, ",")
		if first, ok := devices[name]; ok {
			d.errorf(pp, "found device %q again, expected another: %s has this one", name, first)
		} else if name != "" {
			devices[name] = pp
		}
	}
	if s.Idle.Busy {
		for _, k := range []string{".idle.polls", ".idle.sleep"} {
			if d.at[p+k] != nil {
				d.errorf(p+k, "found beside idle.busy, expected one of the two: a busy queue never sleeps")
			}
		}
	}
}
