package api

import (
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// ParseWhere parses a filter expression over frames of the given ports. The
// error, if any, is an *expr.Error.
func ParseWhere(src string, ports *packet.PortTable) (*expr.Expr, error) {
	return expr.Parse(src, portNames{ports})
}

// portNames is the port table as expressions ask for it.
type portNames struct{ *packet.PortTable }

func (p portNames) PortByName(name string) (uint16, bool) { return p.ByName(name) }

// PortLink lets capture filters be compiled for the link type of each port.
func (p portNames) PortLink(i uint16) packet.LinkType {
	if port := p.Get(i); port != nil {
		return port.Link
	}
	return packet.LinkEthernet
}
