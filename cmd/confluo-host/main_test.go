package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/confluo/confluo/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"confluo-host": main})
}

// The scripts of testdata/script run the program over capture files that are
// made here by gopacket:
//
//	web.pcap    ten frames, see webFrames
//	web.pcap.gz the same
//	cut.pcap    the same, cut short in the seventh
//	empty.pcap  no frame
//	mixed.pcapng frames of two interfaces with different link types
//	many.pcap   20,000 frames of UDP, in the order of time but for every tenth
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"samepackets": samePackets,
			"waitstored":  waitStored,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			return writeCaptures(e.WorkDir)
		},
	})
}

var (
	webStart = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	macA     = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	macB     = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// webFrames are a TCP connection to port 80 with a VLAN tag (3 frames), a DNS
// question and answer, ARP, TCP and UDP over IPv6, ICMP, and TCP to port 443
// inside VXLAN.
func webFrames() [][]byte {
	client, server := net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 2)
	eth := func(t layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: t}
	}
	vlan := &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4}
	ip := func(src, dst net.IP, p layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: src, DstIP: dst}
	}
	ip6 := func(p layers.IPProtocol) *layers.IPv6 {
		return &layers.IPv6{Version: 6, HopLimit: 63, NextHeader: p, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
	}
	tcp := func(src, dst layers.TCPPort, syn, ack bool) *layers.TCP {
		return &layers.TCP{SrcPort: src, DstPort: dst, Seq: 1000, SYN: syn, ACK: ack, Window: 512}
	}
	udp := func(src, dst layers.UDPPort) *layers.UDP { return &layers.UDP{SrcPort: src, DstPort: dst} }
	inner := frame(eth(layers.EthernetTypeIPv4), ip(net.IPv4(192, 168, 1, 1), net.IPv4(192, 168, 1, 2), 6), tcp(50000, 443, true, false))
	return [][]byte{
		frame(eth(layers.EthernetTypeDot1Q), vlan, ip(client, server, 6), tcp(40000, 80, true, false)),
		frame(eth(layers.EthernetTypeDot1Q), vlan, ip(server, client, 6), tcp(80, 40000, true, true)),
		frame(eth(layers.EthernetTypeDot1Q), vlan, ip(client, server, 6), tcp(40000, 80, false, true), gopacket.Payload("GET / HTTP/1.1\r\n\r\n")),
		frame(eth(layers.EthernetTypeIPv4), ip(client, net.IPv4(10, 0, 0, 53), 17), udp(5353, 53), gopacket.Payload("question")),
		frame(eth(layers.EthernetTypeIPv4), ip(net.IPv4(10, 0, 0, 53), client, 17), udp(53, 5353), gopacket.Payload("the answer")),
		frame(eth(layers.EthernetTypeARP), &layers.ARP{AddrType: 1, Protocol: 0x0800, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: macA, SourceProtAddress: client.To4(), DstHwAddress: make([]byte, 6), DstProtAddress: server.To4()}),
		frame(eth(layers.EthernetTypeIPv6), ip6(6), tcp(40001, 443, true, false)),
		frame(eth(layers.EthernetTypeIPv6), ip6(17), udp(5000, 53)),
		frame(eth(layers.EthernetTypeIPv4), ip(client, server, 1), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}),
		frame(eth(layers.EthernetTypeIPv4), ip(net.IPv4(172, 16, 0, 1), net.IPv4(172, 16, 0, 2), 17), udp(33333, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: 42}, gopacket.Payload(inner)),
	}
}

func frame(ls ...gopacket.SerializableLayer) []byte {
	for i, l := range ls {
		network, ok := l.(gopacket.NetworkLayer)
		if !ok || i+1 == len(ls) {
			continue
		}
		switch next := ls[i+1].(type) {
		case *layers.TCP:
			next.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			next.SetNetworkLayerForChecksum(network)
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		panic(err)
	}
	return append([]byte(nil), b.Bytes()...)
}

// pcapFile is a capture file with frames 1.5 ms apart unless at says otherwise.
func pcapFile(frames [][]byte, at func(i int) time.Duration) ([]byte, error) {
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return nil, err
	}
	for i, f := range frames {
		ts := webStart.Add(time.Duration(i) * 1500 * time.Microsecond)
		if at != nil {
			ts = webStart.Add(at(i))
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: ts, CaptureLength: len(f), Length: len(f)}, f); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func writeCaptures(dir string) error {
	web, err := pcapFile(webFrames(), nil)
	if err != nil {
		return err
	}
	empty, err := pcapFile(nil, nil)
	if err != nil {
		return err
	}
	var many [][]byte
	for i := range 20_000 {
		many = append(many, frame(&layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: layers.EthernetTypeIPv4},
			&layers.IPv4{Version: 4, TTL: 64, Protocol: 17, SrcIP: net.IPv4(10, 1, byte(i>>8), byte(i)), DstIP: net.IPv4(10, 2, 0, byte(i%3))},
			&layers.UDP{SrcPort: layers.UDPPort(i), DstPort: layers.UDPPort(1000 + i%10)}))
	}
	manyFile, err := pcapFile(many, func(i int) time.Duration {
		if i%10 == 9 {
			i -= 5
		}
		return time.Duration(i) * time.Microsecond
	})
	if err != nil {
		return err
	}
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := z.Write(web); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	mixed, err := mixedFile()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"web.pcap": web, "web.pcap.gz": gz.Bytes(), "cut.pcap": web[:600], "empty.pcap": empty, "many.pcap": manyFile, "mixed.pcapng": mixed,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// mixedFile has the first frame of webFrames on an Ethernet interface and its IP
// packet on one without a link layer, twice.
func mixedFile() ([]byte, error) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&b, pcapgo.NgInterface{Name: "eth0", LinkType: layers.LinkTypeEthernet}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		return nil, err
	}
	raw, err := w.AddInterface(pcapgo.NgInterface{Name: "tun0", LinkType: layers.LinkTypeRaw})
	if err != nil {
		return nil, err
	}
	eth := webFrames()[0]
	for i := range 4 {
		data, port := eth, 0
		if i%2 == 1 {
			data, port = eth[18:], raw // behind Ethernet and the VLAN tag
		}
		ci := gopacket.CaptureInfo{Timestamp: webStart.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(data), Length: len(data), InterfaceIndex: port}
		if err := w.WritePacket(ci, data); err != nil {
			return nil, err
		}
	}
	err = w.Flush()
	return b.Bytes(), err
}

// samePackets compares the packets of two capture files as gopacket reads them:
// bytes, times to the microsecond, lengths and link types.
func samePackets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: samepackets file file")
	}
	a, b := readPackets(ts, args[0]), readPackets(ts, args[1])
	if len(a) != len(b) {
		ts.Fatalf("%s has %d packets, %s has %d", args[0], len(a), args[1], len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i].data, b[i].data) || a[i].at != b[i].at || a[i].wire != b[i].wire || a[i].link != b[i].link {
			ts.Fatalf("packet %d differs: %+v, %+v", i, a[i], b[i])
		}
	}
}

// waitStored waits until the agent at a socket runs and has stored so many
// headers.
func waitStored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitstored socket headers")
	}
	want, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	c := api.NewClient(ts.MkAbs(args[0]))
	defer c.Close()
	var s *api.Status
	for range 1000 {
		if s, err = c.Status(context.Background()); err == nil && s.State == "running" && s.Log.ReadTail >= want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("waited in vain for %d headers: %+v, %v", want, s, err)
}

type onePacket struct {
	data []byte
	at   time.Time
	wire int
	link layers.LinkType
}

func readPackets(ts *testscript.TestScript, name string) []onePacket {
	data, err := os.ReadFile(ts.MkAbs(name))
	ts.Check(err)
	var out []onePacket
	next := func(d []byte, ci gopacket.CaptureInfo, link layers.LinkType) {
		out = append(out, onePacket{append([]byte(nil), d...), ci.Timestamp.UTC().Truncate(time.Microsecond), ci.Length, link})
	}
	if r, err := pcapgo.NewReader(bytes.NewReader(data)); err == nil {
		for {
			d, ci, err := r.ReadPacketData()
			if err == io.EOF {
				return out
			}
			ts.Check(err)
			next(d, ci, r.LinkType())
		}
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	ts.Check(err)
	for {
		d, ci, err := r.ReadPacketData()
		if err == io.EOF {
			return out
		}
		ts.Check(err)
		i, err := r.Interface(ci.InterfaceIndex)
		ts.Check(err)
		next(d, ci, i.LinkType)
	}
}
