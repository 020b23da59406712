package agent

import (
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/afpacket"
	"github.com/confluo/confluo/capture/dpdk"
	"github.com/confluo/confluo/capture/pcapfile"
	"github.com/confluo/confluo/packet"
)

// lookForSources finds what is plainly missing before anything that takes long.
func lookForSources(cfg *config.Config) error {
	for i := range cfg.Sources {
		s := &cfg.Sources[i]
		if s.AFPacket != nil && s.AFPacket.Interface != afpacket.Any {
			if _, err := net.InterfaceByName(s.AFPacket.Interface); err != nil {
				return fmt.Errorf("agent: source %s: interface %q: %w", s.Name, s.AFPacket.Interface, err)
			}
		}
		if s.PcapFile != nil {
			for _, path := range s.PcapFile.Paths {
				if path == "-" {
					continue
				}
				if _, err := os.Stat(path); err != nil {
					return fmt.Errorf("agent: source %s: %w", s.Name, err)
				}
			}
		}
	}
	return nil
}

// openSources opens every source and enters its ports in the port table. Their
// queues are not asked for frames yet.
func (a *Agent) openSources(cfg *config.Config) error {
	for i := range cfg.Sources {
		sc := &cfg.Sources[i]
		s, err := a.openSource(cfg, sc)
		if err != nil {
			return fmt.Errorf("agent: source %s: %w", sc.Name, err)
		}
		if err := a.pipe.Attach(s); err != nil {
			return fmt.Errorf("agent: %w", err)
		}
	}
	return nil
}

func (a *Agent) openSource(cfg *config.Config, sc *config.Source) (capture.Source, error) {
	decap, err := sc.Strips()
	if err != nil {
		return nil, err
	}
	add := func(name string, link packet.LinkType) (uint16, error) {
		return a.ports.Add(packet.Port{Name: name, Link: link, Decap: decap, Tag: sc.Tag})
	}
	switch {
	case sc.DPDK != nil:
		first := uint16(a.ports.Len())
		for _, name := range sc.PortNames() {
			if _, err := add(name, packet.LinkEthernet); err != nil {
				return nil, err
			}
		}
		return dpdk.Open(sc.DPDK.Options(sc.Name, first))
	case sc.AFPacket != nil:
		port := &interfacePort{name: sc.Name, add: add}
		return afpacket.Open(sc.AFPacket.Options(sc.Name, cfg.Agent.Snaplen, port.enter))
	default:
		port := func(name string, link packet.LinkType) (uint16, error) { return add(sc.Name+"/"+name, link) }
		return pcapfile.Open(sc.PcapFile.Options(sc.Name, port))
	}
}

// An interfacePort is the port of an AF_PACKET source. It has the name of the
// source; should the interface come back with another link type, the frames
// from then on are of a port of its own.
type interfacePort struct {
	name string
	add  func(string, packet.LinkType) (uint16, error)

	mu      sync.Mutex
	entered map[packet.LinkType]uint16
}

func (p *interfacePort) enter(_ string, link packet.LinkType) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, ok := p.entered[link]; ok {
		return i, nil
	}
	name := p.name
	if len(p.entered) > 0 {
		name = fmt.Sprintf("%s/link%d", p.name, link)
	}
	i, err := p.add(name, link)
	if err != nil {
		return 0, err
	}
	if p.entered == nil {
		p.entered = make(map[packet.LinkType]uint16)
	}
	p.entered[link] = i
	return i, nil
}
