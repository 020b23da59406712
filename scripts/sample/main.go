// Command sample writes a capture file of made-up traffic: web sessions, DNS,
// some of it inside VXLAN, and a SYN flood from one address. It is for trying
// things out where there is nothing to capture.
//
//	go run ./scripts/sample OUT.pcap
package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sample OUT.pcap")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := pcapgo.NewWriterNanos(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return err
	}
	g := &generator{w: w, rnd: rand.New(rand.NewPCG(7, 11)), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for g.err == nil && g.frames < 30_000 {
		switch n := g.rnd.IntN(100); {
		case g.frames > 20_000 && n < 60:
			g.synFlood()
		case n < 30:
			g.dns()
		default:
			g.web(n < 45)
		}
	}
	if g.err != nil {
		return g.err
	}
	return f.Close()
}

type generator struct {
	w      *pcapgo.Writer
	rnd    *rand.Rand
	now    time.Time
	frames int
	err    error
}

// web is one HTTP connection: handshake, request, answer, end.
func (g *generator) web(tunnelled bool) {
	client, server := ip(10, 0, 1, g.rnd.IntN(50)), ip(10, 0, 2, g.rnd.IntN(5))
	sport := layers.TCPPort(32768 + g.rnd.IntN(28000))
	seq, ack := g.rnd.Uint32(), g.rnd.Uint32()
	up := func(t layers.TCP, n int) {
		t.SrcPort, t.DstPort, t.Window, t.Seq, t.Ack = sport, 443, 64240, seq, ack
		if t.SYN {
			t.Ack = 0
		}
		g.tcp(client, server, &t, n, tunnelled)
		seq += uint32(n)
	}
	down := func(t layers.TCP, n int) {
		t.SrcPort, t.DstPort, t.Window, t.Seq, t.Ack = 443, sport, 65160, ack, seq
		g.tcp(server, client, &t, n, tunnelled)
		ack += uint32(n)
	}
	up(layers.TCP{SYN: true}, 0)
	seq++
	down(layers.TCP{SYN: true, ACK: true}, 0)
	ack++
	up(layers.TCP{ACK: true}, 0)
	up(layers.TCP{ACK: true, PSH: true}, 200+g.rnd.IntN(400))
	for range 1 + g.rnd.IntN(8) {
		down(layers.TCP{ACK: true}, 1200)
		up(layers.TCP{ACK: true}, 0)
	}
	up(layers.TCP{FIN: true, ACK: true}, 0)
	down(layers.TCP{FIN: true, ACK: true}, 0)
}

// synFlood is one SYN that nobody answers.
func (g *generator) synFlood() {
	t := layers.TCP{SYN: true, SrcPort: layers.TCPPort(1024 + g.rnd.IntN(60000)), DstPort: 443, Window: 1024, Seq: g.rnd.Uint32()}
	g.tcp(ip(203, 0, 113, 66), ip(10, 0, 2, 1), &t, 0, false)
}

func (g *generator) dns() {
	client, server := ip(10, 0, 1, g.rnd.IntN(50)), ip(10, 0, 0, 53)
	port := layers.UDPPort(32768 + g.rnd.IntN(28000))
	g.udp(client, server, &layers.UDP{SrcPort: port, DstPort: 53}, 30+g.rnd.IntN(20))
	g.udp(server, client, &layers.UDP{SrcPort: 53, DstPort: port}, 80+g.rnd.IntN(100))
}

func (g *generator) tcp(src, dst net.IP, t *layers.TCP, n int, tunnelled bool) {
	l3 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: dst, Flags: layers.IPv4DontFragment}
	g.check(t.SetNetworkLayerForChecksum(l3))
	stack := []gopacket.SerializableLayer{ethernet(1, 2), l3, t, gopacket.Payload(make([]byte, n))}
	if tunnelled {
		outer := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: ip(192, 0, 2, 1), DstIP: ip(192, 0, 2, 2)}
		u := &layers.UDP{SrcPort: layers.UDPPort(49152 + g.rnd.IntN(1000)), DstPort: 4789}
		g.check(u.SetNetworkLayerForChecksum(outer))
		stack = append([]gopacket.SerializableLayer{ethernet(3, 4), outer, u, &layers.VXLAN{ValidIDFlag: true, VNI: 5001}}, stack...)
	}
	g.frame(stack...)
}

func (g *generator) udp(src, dst net.IP, u *layers.UDP, n int) {
	l3 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src, DstIP: dst}
	g.check(u.SetNetworkLayerForChecksum(l3))
	g.frame(ethernet(1, 2), l3, u, gopacket.Payload(make([]byte, n)))
}

func (g *generator) frame(stack ...gopacket.SerializableLayer) {
	buf := gopacket.NewSerializeBuffer()
	g.check(gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...))
	g.now = g.now.Add(time.Duration(g.rnd.IntN(2_000_000)))
	n := len(buf.Bytes())
	g.check(g.w.WritePacket(gopacket.CaptureInfo{Timestamp: g.now, CaptureLength: n, Length: n}, buf.Bytes()))
	g.frames++
}

func (g *generator) check(err error) {
	if g.err == nil {
		g.err = err
	}
}

func ip(a, b, c byte, d int) net.IP { return net.IPv4(a, b, c, byte(d)).To4() }

func ethernet(src, dst byte) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, src}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, dst}, EthernetType: layers.EthernetTypeIPv4}
}
