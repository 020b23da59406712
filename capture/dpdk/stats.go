//go:build dpdk

package dpdk

import (
	"strings"

	"github.com/confluo/confluo/capture"
	"github.com/yerden/go-dpdk/ethdev"
)

// counters are the losses of one port since the source was opened. The
// device's own counters may start again from zero at any time (a reset by
// another program, a device that is created anew): what they showed before is
// kept.
type counters struct {
	missed, errors, noMbuf climber
	kernel                 kernelRing
	closed                 uint64 // taken off the device when nobody would ask for them
}

// A climber follows a counter that may be reset, and never goes back.
type climber struct{ sum, last uint64 }

func (c *climber) see(v uint64) {
	if v >= c.last {
		c.sum += v - c.last
	} else {
		c.sum += v
	}
	c.last = v
}

// rebase makes the counters start from zero at a device that was created anew.
func (c *counters) rebase() { c.missed.last, c.errors.last, c.noMbuf.last = 0, 0, 0 }

func (c *counters) see(s *ethdev.GoStats) {
	c.missed.see(s.Imissed)
	c.errors.see(s.Ierrors)
	c.noMbuf.see(s.RxNoMbuf)
}

// drops returns the losses of several ports together, every cause always.
func drops(ports []*port) []capture.Drop {
	var missed, errs, noMbuf, kernel, closed uint64
	for _, p := range ports {
		c := &p.counters
		missed += c.missed.sum
		errs += c.errors.sum
		noMbuf += c.noMbuf.sum
		kernel += c.kernel.sum
		closed += c.closed
	}
	return []capture.Drop{
		{Cause: "nic_imissed", N: missed},
		{Cause: "nic_ierrors", N: errs},
		{Cause: "nic_rx_nombuf", N: noMbuf},
		{Cause: "kernel_ring", N: kernel},
		{Cause: "closed", N: closed},
	}
}

// readCounters reads the device's counters.
func (p *port) readCounters() {
	p.counters.kernel.read()
	var s ethdev.Stats
	if p.attached && p.id.StatsGet(&s) == nil {
		p.counters.see(s.Cast())
	}
}

// lossNames are the parts of names under which drivers report losses.
var lossNames = []string{"drop", "discard", "miss", "err", "overrun", "overflow", "no_buf", "out_of_buffer"}

// commonLosses are the names that DPDK gives to what StatsGet has.
var commonLosses = map[string]bool{"rx_missed_errors": true, "rx_errors": true, "rx_mbuf_allocation_errors": true}

// reportsLoss tells whether a driver's extended counter is one of losses on the
// receive side that the common counters do not show by themselves.
func reportsLoss(name string) bool {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "tx") || commonLosses[name] {
		return false
	}
	for _, part := range lossNames {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
