package packet

import (
	"math/rand/v2"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// BenchmarkParse parses bursts of 256 slices into every column, into all but
// the flow hash, and into fourteen. Slices are 64 bytes; with IPv6 (where 64
// end within the TCP header) and VXLAN 128, the default snap length.
func BenchmarkParse(b *testing.B) {
	for _, mix := range []struct {
		name   string
		stride int
		frame  func(i int) []byte
	}{
		{"ipv4", 64, func(i int) []byte { return benchFrame(i, false, false) }},
		{"ipv6", 128, func(i int) []byte { return benchFrame(i, true, false) }},
		{"vxlan", 128, func(i int) []byte { return benchFrame(i, false, true) }},
	} {
		var table PortTable
		table.Add(Port{Name: "p", Link: LinkEthernet, Decap: Decap{Kinds: 1<<NumTunnels - 2, VXLAN: []uint16{4789}, Geneve: []uint16{6081}, GTPU: []uint16{2152}}})
		const batches = 16
		var all [batches]*Batch
		for k := range all {
			all[k], _ = NewBatch(nil, mix.stride)
			for i := range ChunkSize {
				f := mix.frame(k*ChunkSize + i)
				all[k].Append(f, int64(i), uint32(len(f)), 0, DirIn)
			}
		}
		full := NewColumns(ChunkSize)
		few := NewColumns(ChunkSize)
		*few = Columns{Ts: few.Ts, SrcIPHi: few.SrcIPHi, SrcIPLo: few.SrcIPLo, DstIPHi: few.DstIPHi, DstIPLo: few.DstIPLo,
			SrcPort: few.SrcPort, DstPort: few.DstPort, Proto: few.Proto, TCPFlags: few.TCPFlags, TTL: few.TTL,
			PktLen: few.PktLen, VNI: few.VNI, InPort: few.InPort, Layers: few.Layers}
		noHash := NewColumns(ChunkSize)
		noHash.FlowHash = nil
		for _, set := range []struct {
			name string
			c    *Columns
		}{{"all", full}, {"nohash", noHash}, {"few", few}} {
			b.Run(mix.name+"/"+set.name, func(b *testing.B) {
				p := NewParser(&table)
				b.ReportAllocs()
				for k := 0; b.Loop(); k++ {
					p.Parse(&all[k%batches].Frames, 0, ChunkSize, set.c)
				}
				if set.c.Layers[0]&(LayerTCP|LayerUDP) == 0 {
					b.Fatal("frames were not parsed")
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*ChunkSize), "ns/header")
			})
		}
	}
}

var benchRand = rand.New(rand.NewPCG(1, 2))

func benchFrame(i int, v6, vxlan bool) []byte {
	inner := []gopacket.SerializableLayer{&layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}, DstMAC: net.HardwareAddr{2, 1, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv4}}
	proto := layers.IPProtocolUDP
	if benchRand.IntN(4) > 0 {
		proto = layers.IPProtocolTCP
	}
	var network gopacket.NetworkLayer
	if v6 {
		inner[0].(*layers.Ethernet).EthernetType = layers.EthernetTypeIPv6
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: make(net.IP, 16), DstIP: make(net.IP, 16)}
		for k := range 16 {
			ip.SrcIP[k], ip.DstIP[k] = byte(benchRand.Uint32()), byte(benchRand.Uint32())
		}
		network = ip
		inner = append(inner, ip)
	} else {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: net.IP{10, 0, byte(benchRand.Uint32()), 1}, DstIP: net.IP{10, 1, byte(benchRand.Uint32()), 1}}
		network = ip
		inner = append(inner, ip)
	}
	if proto == layers.IPProtocolTCP {
		tcp := &layers.TCP{SrcPort: layers.TCPPort(benchRand.Uint32()), DstPort: 443, ACK: true, Window: 1000}
		tcp.SetNetworkLayerForChecksum(network)
		inner = append(inner, tcp)
	} else {
		udp := &layers.UDP{SrcPort: layers.UDPPort(benchRand.Uint32()), DstPort: 53}
		udp.SetNetworkLayerForChecksum(network)
		inner = append(inner, udp)
	}
	inner = append(inner, gopacket.Payload(make([]byte, 100)))
	if vxlan {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{172, 16, 0, 1}, DstIP: net.IP{172, 16, 0, 2}}
		udp := &layers.UDP{SrcPort: layers.UDPPort(benchRand.Uint32()), DstPort: 4789}
		udp.SetNetworkLayerForChecksum(ip)
		inner = append([]gopacket.SerializableLayer{
			&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 9, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 9, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
			ip, udp, &layers.VXLAN{ValidIDFlag: true, VNI: uint32(i)}}, inner...)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, inner...); err != nil {
		panic(err)
	}
	return buf.Bytes()
}
