package config

import (
	"strconv"
	"strings"

	"github.com/confluo/confluo/packet"
)

// PortNames returns the names of the source's ports, as in_port has them, in
// the order of its configuration. Capture files are no ports until they are
// read: a pcapfile source has none here.
func (s *Source) PortNames() []string {
	switch {
	case s.AFPacket != nil:
		return []string{s.Name}
	case s.DPDK == nil:
		return nil
	case len(s.DPDK.Ports) == 1:
		return []string{s.Name}
	}
	names := make([]string, len(s.DPDK.Ports))
	for i, p := range s.DPDK.Ports {
		device, _, _ := strings.Cut(p.Device, ",")
		names[i] = s.Name + "/" + device
	}
	return names
}

// ports is the port table as it will be, for the expressions of the file.
type ports struct{ names []string }

func (c *Config) ports() ports {
	var p ports
	for i := range c.Sources {
		p.names = append(p.names, c.Sources[i].PortNames()...)
	}
	return p
}

// PortByName implements expr.Names.
func (p ports) PortByName(name string) (uint16, bool) {
	for i, n := range p.names {
		if n == name {
			return uint16(i), true
		}
	}
	return 0, false
}

// PortLink implements the optional part of expr.Names.
func (ports) PortLink(uint16) packet.LinkType { return packet.LinkEthernet }

// Stored returns the attributes that the log stores as columns.
func (m *MultiLog) Stored() packet.AttrSet {
	s := alwaysStored
	for _, a := range m.Columns {
		s |= packet.SetOf(packet.Attr(a))
	}
	return s
}

// QueueNames returns a name for each receive queue, in order:
// the name of the source and the number of the queue in it.
func (c *Config) QueueNames() []string {
	var names []string
	for i := range c.Sources {
		for q := range c.Sources[i].Queues() {
			names = append(names, c.Sources[i].Name+"/"+strconv.Itoa(q))
		}
	}
	return names
}
