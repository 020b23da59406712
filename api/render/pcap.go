package render

import (
	"io"

	"github.com/confluo/confluo/capture/pcapfile"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/packet"
)

// PcapNeed are the attributes that a query must return, together with the
// slices, so that a Pcap can write its rows.
var PcapNeed = packet.SetOf(packet.Ts, packet.PktLen, packet.CapLen, packet.InPort, packet.Direction)

// Pcap writes rows as a capture file: pcap where that can hold them, else
// pcapng.
//
// Not safe for concurrent use.
type Pcap struct {
	w     io.Writer
	opt   pcapfile.WriterOptions
	table *packet.PortTable
	ports []uint16 // entry of opt.Ports of each port of the table
	out   *pcapfile.Writer
}

// PcapOptions say what is known of the rows beforehand.
type PcapOptions struct {
	Ports *packet.PortTable // that in_port is of; required
	// Links are the link types that the ports of the rows have. Nil: those of the
	// ports that are in the table when the first row is written, each of which
	// then has an interface of its own in a pcapng file.
	Links       []packet.LinkType
	First, Last int64 // earliest and latest time of the rows, ns since 1970; zero: unknown
}

// NewPcap returns a writer of capture files. It writes nothing before the first
// Rows or Close.
func NewPcap(w io.Writer, o PcapOptions) *Pcap {
	return &Pcap{w: w, table: o.Ports, opt: pcapfile.WriterOptions{First: o.First, Last: o.Last, Ports: linkPorts(o.Links)}}
}

// linkPorts are ports that stand for all of one link type.
func linkPorts(links []packet.LinkType) []packet.Port {
	var out []packet.Port
	for _, l := range links {
		out = append(out, packet.Port{Link: l})
	}
	return out
}

// begin writes the file's header.
func (p *Pcap) begin() (err error) {
	if p.opt.Ports == nil {
		for i := range p.table.Len() {
			p.opt.Ports = append(p.opt.Ports, *p.table.Get(uint16(i)))
			p.ports = append(p.ports, uint16(i))
		}
	}
	p.out, err = pcapfile.NewWriter(p.w, p.opt)
	return err
}

// port returns the entry of opt.Ports for a port of the table. Ports that came
// into the table since the last call are of one of the link types.
func (p *Pcap) port(i uint16) uint16 {
	for n := len(p.ports); n <= int(i); n++ {
		entry := uint16(len(p.opt.Ports)) // unless found; the writer names it in its error
		if port := p.table.Get(uint16(n)); port != nil {
			for k := range p.opt.Ports {
				if p.opt.Ports[k].Link == port.Link {
					entry = uint16(k)
					break
				}
			}
		}
		p.ports = append(p.ports, entry)
	}
	return p.ports[i]
}

// Rows appends rows, which must hold the slices and the columns of PcapNeed.
func (p *Pcap) Rows(r *diagnoser.Rows) error {
	if p.out == nil {
		if err := p.begin(); err != nil {
			return err
		}
	}
	c := r.Cols
	for i := range r.N {
		slice := c.Data[i*c.Stride:][:c.CapLen[i]]
		if err := p.out.Write(slice, c.Ts[i], c.PktLen[i], p.port(c.InPort[i]), packet.Dir(c.Direction[i])); err != nil {
			return err
		}
	}
	return nil
}

// Flush writes what is buffered.
func (p *Pcap) Flush() error {
	if p.out == nil {
		return nil
	}
	return p.out.Flush()
}

// Close writes what is buffered, for no rows an empty capture file. It does not
// close the underlying writer.
func (p *Pcap) Close() error {
	if p.out == nil {
		if err := p.begin(); err != nil {
			return err
		}
	}
	return p.out.Flush()
}
