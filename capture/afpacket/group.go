package afpacket

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/packet"
)

var fanoutModes = map[string]int{
	FanoutHash:        unix.PACKET_FANOUT_HASH,
	FanoutLoadBalance: unix.PACKET_FANOUT_LB,
	FanoutCPU:         unix.PACKET_FANOUT_CPU,
	FanoutRollover:    unix.PACKET_FANOUT_ROLLOVER,
	FanoutQueue:       unix.PACKET_FANOUT_QM,
}

// openRings opens one ring a queue on an interface that is up, and starts them.
func openRings(o *Options, l link, port uint16, typ packet.LinkType) (rings []*ring, err error) {
	defer func() {
		if err != nil {
			for _, r := range rings {
				r.close()
			}
			rings, err = nil, fmt.Errorf("afpacket: %s: %w", o.Interface, err)
		}
	}()
	cooked := typ == packet.LinkSLL2
	// Until all sockets are one group each of them would get every frame; so
	// they refuse all frames until then.
	group := 0
	for i := range o.Queues {
		r, err := openRing(o, cooked)
		if err != nil {
			return rings, err
		}
		r.link, r.port = typ, port
		rings = append(rings, r)
		if err := r.bind(l.index, o.Promiscuous); err != nil {
			return rings, fmt.Errorf("bind: %w", err)
		}
		if o.Queues == 1 {
			break
		}
		mode := fanoutModes[o.Fanout]
		if i == 0 {
			mode |= unix.PACKET_FANOUT_FLAG_UNIQUEID // the kernel chooses a number that nobody has
		}
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, mode<<16|group); err != nil {
			return rings, fmt.Errorf("fanout %q: %w", o.Fanout, err)
		}
		if i == 0 {
			n, err := unix.GetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
			if err != nil {
				return rings, fmt.Errorf("fanout %q: %w", o.Fanout, err)
			}
			group = n & 0xffff
		}
	}
	program, err := o.program(l.loopback)
	if err != nil {
		return rings, err
	}
	for _, r := range rings {
		if err := attach(r.fd, program); err != nil {
			return rings, err
		}
	}
	return rings, nil
}
