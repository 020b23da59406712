package afpacket

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/packet"
)

// A link is what is known of a network interface.
type link struct {
	index    int // 0 when there is none of that name
	up       bool
	running  bool // has a carrier
	loopback bool
	hatype   uint16 // ARPHRD_
}

// findLink asks, through a socket of the right network namespace, about an
// interface by name. One that does not exist is no error.
func findLink(fd int, name string) (l link, err error) {
	if name == Any {
		return link{up: true, running: true}, nil
	}
	ask := func(req uint) *unix.Ifreq {
		if err != nil {
			return nil
		}
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(name); err == nil {
			err = unix.IoctlIfreq(fd, req, ifr)
		}
		return ifr
	}
	if ifr := ask(unix.SIOCGIFINDEX); err == nil {
		l.index = int(ifr.Uint32())
	}
	if ifr := ask(unix.SIOCGIFFLAGS); err == nil {
		flags := ifr.Uint16()
		l.up = flags&unix.IFF_UP != 0
		l.running = flags&unix.IFF_RUNNING != 0
		l.loopback = flags&unix.IFF_LOOPBACK != 0
	}
	if ifr := ask(unix.SIOCGIFHWADDR); err == nil {
		l.hatype = ifr.Uint16() // sa_family stands first
	}
	if err == unix.ENODEV {
		return link{}, nil
	}
	if err != nil {
		return link{}, fmt.Errorf("afpacket: ask about interface %q: %w", name, err)
	}
	return l, nil
}

// linkType returns how the frames of the interface begin: as they are on the
// wire where the parser can read that, else cooked.
func (l link) linkType() packet.LinkType {
	switch l.hatype {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return packet.LinkEthernet
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6, unix.ARPHRD_SIT:
		return packet.LinkRaw
	}
	return packet.LinkSLL2
}
