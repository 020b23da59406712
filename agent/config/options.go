package config

import (
	"log/slog"
	"strings"

	"github.com/confluo/confluo/capture/afpacket"
	"github.com/confluo/confluo/capture/dpdk"
	"github.com/confluo/confluo/capture/pcapfile"
	"github.com/confluo/confluo/mirror"
	"github.com/confluo/confluo/monitor"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/offheap"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/spray"
)

// EALOptions returns the section dpdk.eal as capture/dpdk takes it. hugepages
// decides for the setting auto.
func (e *EAL) EALOptions(hugepages bool) dpdk.EALOptions {
	switch e.HugePages {
	case "on":
		hugepages = true
	case "off":
		hugepages = false
	}
	return dpdk.EALOptions{
		Hugepages:  hugepages,
		MemoryMiB:  int(e.Memory >> 20),
		FilePrefix: e.FilePrefix,
		InMemory:   e.InMemory,
		Lcores:     e.Lcores,
		PCI:        e.PCI,
		Vdevs:      e.Vdevs,
		Args:       e.Args,
	}
}

// Options returns the source as capture/dpdk takes it. Its ports have the
// numbers from first on in the port table.
func (s *DPDKSource) Options(name string, first uint16) dpdk.Options {
	o := dpdk.Options{
		Name:    name,
		Mempool: dpdk.Mempool(s.Mempool),
		Idle:    dpdk.Idle{Sleep: s.Idle.Sleep, Polls: s.Idle.Polls},
	}
	if s.Idle.Busy {
		o.Idle = dpdk.Idle{Busy: true}
	}
	for i, p := range s.Ports {
		o.Ports = append(o.Ports, dpdk.Port{
			Device:        p.Device,
			Index:         first + uint16(i),
			Queues:        p.Queues,
			RSS:           dpdk.RSS(p.RSS),
			Descriptors:   p.Descriptors,
			NoPromiscuous: !p.Promiscuous,
			MTU:           p.MTU,
		})
	}
	return o
}

// Options returns the source as capture/pcapfile takes it. Port is as there.
func (s *PcapFile) Options(name string, port func(string, packet.LinkType) (uint16, error)) pcapfile.Options {
	return pcapfile.Options{Name: name, Paths: s.Paths, Speed: s.Speed, Loops: s.Loops, Stamp: s.Stamp, Port: port}
}

// Options returns the source as capture/afpacket takes it. Port is as there.
func (s *AFPacket) Options(name string, snaplen int, port func(string, packet.LinkType) (uint16, error)) afpacket.Options {
	return afpacket.Options{
		Name:         name,
		Interface:    s.Interface,
		Queues:       s.Queues,
		Fanout:       s.Fanout,
		BlockSize:    int(s.BlockSize),
		Blocks:       s.Blocks,
		BlockTimeout: s.BlockTimeout,
		Promiscuous:  s.Promiscuous,
		Direction:    s.Direction,
		SnapLen:      snaplen,
		Port:         port,
	}
}

// Strips returns the tunnels that are stripped from the source's frames.
func (s *Source) Strips() (packet.Decap, error) {
	if len(s.Decap) == 0 {
		return packet.Decap{}, nil
	}
	return mirror.ParseDecap(strings.Join(s.Decap, ","))
}

// Queues returns the number of receive queues of the source.
func (s *Source) Queues() int {
	n := 0
	switch {
	case s.DPDK != nil:
		for _, p := range s.DPDK.Ports {
			n += p.Queues
		}
	case s.AFPacket != nil:
		n = s.AFPacket.Queues
	case s.PcapFile != nil:
		n = 1
	}
	return n
}

// Kind returns the key of the source's backend.
func (s *Source) Kind() string {
	switch {
	case s.DPDK != nil:
		return "dpdk"
	case s.AFPacket != nil:
		return "afpacket"
	}
	return "pcapfile"
}

// Queues returns the number of receive queues of all sources.
func (c *Config) Queues() int {
	n := 0
	for i := range c.Sources {
		n += c.Sources[i].Queues()
	}
	return n
}

// Pages returns the setting hugepages as the memory's owner takes it.
func (m *MultiLog) Pages() offheap.HugePages {
	switch m.HugePages {
	case "on":
		return offheap.On
	case "off":
		return offheap.Off
	}
	return offheap.Auto
}

// Policy returns the setting on_full as the room takes it.
func (s *Spray) Policy() spray.Policy {
	if s.OnFull == "block" {
		return spray.Block
	}
	return spray.Drop
}

// Spec returns the trigger as the monitor takes it. on is the aggregate that it
// names, or nil. The error is an *expr.Error in the text of the condition,
// behind the aggregate's and a space.
func (t *Trigger) Spec(on *Aggregate) (monitor.TriggerSpec, error) {
	text := t.When
	if on != nil {
		text = on.Compute + " " + text
	}
	tr, err := expr.ParseTrigger(text)
	return monitor.TriggerSpec{
		Name:        t.Name,
		Filter:      t.Filter,
		Aggregate:   t.Aggregate,
		Trigger:     tr,
		Severity:    t.Severity,
		Labels:      t.Labels,
		Annotations: t.Annotations,
	}, err
}

// MonitorOptions returns the section monitor, and what of alerts concerns it, as the
// monitor takes them.
func (c *Config) MonitorOptions() monitor.Options {
	return monitor.Options{
		Every:     c.Monitor.Every,
		Lateness:  c.Monitor.Lateness,
		MaxGroups: c.Monitor.MaxGroups,
		MaxFiring: c.Monitor.MaxFiring,
		MaxBehind: c.Monitor.MaxBehind,
		Keep:      c.Alerts.Keep,
		Follow:    c.Alerts.Follow,
	}
}

// Options returns the webhook as the monitor takes it; host is the name of the
// agent.
func (w *Webhook) Options(host string, log *slog.Logger) monitor.WebhookOptions {
	return monitor.WebhookOptions{
		URL:     w.URL,
		Timeout: w.Timeout,
		Headers: w.Headers,
		CA:      w.CA,
		Host:    host,
		Repeat:  w.Repeat,
		Queue:   w.Queue,
		Batch:   w.Batch,
		Log:     log,
	}
}
