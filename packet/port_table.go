package packet

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// maxPorts is how many entries the 16-bit attribute in_port can number.
const maxPorts = 1 << 16

// A PortTable numbers the ports of an agent. Entries are only ever added, and
// never change, so that a number that was stored in a record keeps its
// meaning. The zero PortTable is empty and ready for use.
//
// Readers take no lock and may run beside Add, which may be called from any
// goroutine.
type PortTable struct {
	mu      sync.Mutex // serialises Add
	entries atomic.Pointer[[]*portEntry]
}

// A portEntry is a port with what the parser works out of it beforehand.
type portEntry struct {
	Port
	start step // the first header of a frame
	// udp has bit p%512 set for every UDP port p of a tunnel that is stripped:
	// one load tells the fast path that a datagram carries none.
	udp [8]uint64
}

// Add appends a port and returns its number. It fails when the name is empty
// or taken, or when the table is full (65536 ports).
func (t *PortTable) Add(p Port) (uint16, error) {
	if strings.TrimSpace(p.Name) == "" {
		return 0, fmt.Errorf("packet: a port needs a name")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.all()
	for i, e := range old {
		if e.Name == p.Name {
			return 0, fmt.Errorf("packet: port name %q is taken by port %d", p.Name, i)
		}
	}
	if len(old) == maxPorts {
		return 0, fmt.Errorf("packet: port %q: the table is full (%d ports)", p.Name, maxPorts)
	}
	// The caller keeps its slices.
	p.Decap.VXLAN = append([]uint16(nil), p.Decap.VXLAN...)
	p.Decap.Geneve = append([]uint16(nil), p.Decap.Geneve...)
	p.Decap.GTPU = append([]uint16(nil), p.Decap.GTPU...)
	entries := append(old[:len(old):len(old)], newPortEntry(p))
	t.entries.Store(&entries)
	return uint16(len(old)), nil
}

func newPortEntry(p Port) *portEntry {
	e := &portEntry{Port: p, start: firstStep(p.Link)}
	for _, tunnel := range []struct {
		kind  TunnelKind
		ports []uint16
	}{{TunnelVXLAN, p.Decap.VXLAN}, {TunnelGeneve, p.Decap.Geneve}, {TunnelGTPU, p.Decap.GTPU}} {
		if p.Decap.Strips(tunnel.kind) {
			for _, port := range tunnel.ports {
				e.udp[port>>6&7] |= 1 << (port & 63)
			}
		}
	}
	return e
}

// mayTunnel reports whether a datagram to UDP port p may be a tunnel that is
// stripped; false is certain.
func (e *portEntry) mayTunnel(p uint16) bool { return e.udp[p>>6&7]>>(p&63)&1 != 0 }

func (t *PortTable) all() []*portEntry {
	if p := t.entries.Load(); p != nil {
		return *p
	}
	return nil
}

// Get returns port i, or nil if there is none. The entry is shared: it must
// not be changed.
func (t *PortTable) Get(i uint16) *Port {
	if all := t.all(); int(i) < len(all) {
		return &all[i].Port
	}
	return nil
}

// Len returns the number of ports.
func (t *PortTable) Len() int { return len(t.all()) }

// ByName returns the number of the port of that name.
func (t *PortTable) ByName(name string) (uint16, bool) {
	for i, e := range t.all() {
		if e.Name == name {
			return uint16(i), true
		}
	}
	return 0, false
}
