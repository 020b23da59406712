package config

import "time"

// Source is an element of the list sources. Exactly one of DPDK, AFPacket and
// PcapFile is set.
type Source struct {
	Name     string      `key:"name" required:"yes" example:"uplink" doc:"name of the source, unique"`
	DPDK     *DPDKSource `key:"dpdk" doc:"frames of DPDK ports"`
	AFPacket *AFPacket   `key:"afpacket" doc:"frames of a network interface, through an AF_PACKET socket"`
	PcapFile *PcapFile   `key:"pcapfile" doc:"frames of capture files"`
	Decap    []string    `key:"decap" doc:"tunnels to strip: vxlan, geneve, gre, erspan, ipip, 6in4, gtpu, or all; vxlan, geneve and gtpu may name other UDP ports than the standard ones: vxlan:4789+8472; empty: none"`
	Tag      uint32      `key:"tag" default:"0" doc:"resource tag of every header of the source"`
}

// DPDKSource is the section sources[].dpdk.
type DPDKSource struct {
	Ports   []DPDKPort `key:"ports" required:"yes" doc:"ports, at least one; in expressions a port has the name of the source, and if the source has several, of source/device"`
	Mempool Mempool    `key:"mempool"`
	Idle    Idle       `key:"idle"`
}

// DPDKPort is an element of the list sources[].dpdk.ports.
type DPDKPort struct {
	Device      string `key:"device" required:"yes" example:"net_af_packet0,iface=eth0" doc:"PCI address, such as 0000:3b:00.0, or a virtual device with its arguments, such as net_af_packet0,iface=eth0"`
	Queues      int    `key:"queues" default:"1" range:"1..1024" doc:"receive queues, each polled by a thread of its own"`
	RSS         string `key:"rss" default:"auto" oneof:"auto|on|off" doc:"spread frames over the queues by a hash of addresses and ports: where the driver can, always (an error where it cannot), or never"`
	Descriptors int    `key:"descriptors" default:"2048" range:"1..65535" doc:"descriptors of each receive queue; what the device has nearest is taken"`
	Promiscuous bool   `key:"promiscuous" default:"true" doc:"receive frames that are for other addresses too"`
	MTU         int    `key:"mtu" default:"0" range:"0..65385" unit:"bytes" doc:"largest packet, set on the device; 0: left as it is, otherwise at least 68"`
}

// Mempool is the section sources[].dpdk.mempool.
type Mempool struct {
	Mbufs    int `key:"mbufs" default:"0" range:"0..16777216" doc:"buffers of each queue; 0: the queue's descriptors and two bursts more, otherwise at least 512"`
	DataRoom int `key:"data_room" default:"0" range:"0..65407" unit:"bytes" doc:"room for a frame in each buffer; 0: 2048, or what the MTU takes if that is more, otherwise at least 64"`
}

// Idle is the section sources[].dpdk.idle.
type Idle struct {
	Busy  bool          `key:"busy" default:"false" doc:"poll without ever sleeping, which takes a whole core for each queue"`
	Polls int           `key:"polls" default:"256" range:"1..1073741824" doc:"empty polls in a row before the first sleep"`
	Sleep time.Duration `key:"sleep" default:"0" range:"0..1s" doc:"sleep between further empty polls; 0: 10us, doubling up to 100us"`
}

// AFPacket is the section sources[].afpacket.
type AFPacket struct {
	Interface    string        `key:"interface" required:"yes" example:"eth0" doc:"name of a network interface, or any for all of them, also those that appear later"`
	Queues       int           `key:"queues" default:"1" range:"1..256" doc:"sockets, each with a ring and a thread of its own, that share the frames"`
	Fanout       string        `key:"fanout" default:"hash" oneof:"hash|lb|cpu|rollover|qm" doc:"what decides which queue a frame goes to: its flow (both directions alike), turns, the CPU that received it, the first queue until its ring is full, or the receive queue of the device"`
	Promiscuous  bool          `key:"promiscuous" default:"false" doc:"receive frames that are for other addresses too; without effect on any"`
	Direction    string        `key:"direction" default:"both" oneof:"both|in|out" doc:"frames to take; on the loopback interface, where each passes twice, both means in"`
	BlockSize    Bytes         `key:"block_size" default:"256KiB" range:"4KiB..1GiB" doc:"size of a block of the ring, whole pages, and of the longest frame"`
	Blocks       int           `key:"blocks" default:"64" range:"2..1048576" doc:"blocks of each ring, which may have up to 4GiB in all"`
	BlockTimeout time.Duration `key:"block_timeout" default:"10ms" range:"1ms..1m" doc:"after how long a block that is not full is handed over, whole milliseconds: the longest delay of a frame on a quiet interface"`
}

// PcapFile is the section sources[].pcapfile.
type PcapFile struct {
	Paths []string `key:"paths" required:"yes" example:"[capture.pcap]" doc:"files, read one after the other: pcap or pcapng, plain, gzip or zstd; - is standard input"`
	Speed float64  `key:"speed" default:"0" range:"0..1000000" doc:"pace as a multiple of the recorded one; 0: as fast as frames are taken"`
	Loops int      `key:"loops" default:"1" range:"-1..1000000000" doc:"how often the files are read; -1: without end"`
	Stamp string   `key:"stamp" default:"recorded" oneof:"recorded|now" doc:"time of a frame: the one in the file, or when it was read"`
}

// DPDK is the section dpdk: what holds for the process, not for one port.
type DPDK struct {
	EAL EAL `key:"eal"`
}

// EAL is the section dpdk.eal, the settings of DPDK's Environment Abstraction
// Layer, which is set up once in a process.
type EAL struct {
	HugePages  string   `key:"hugepages" default:"auto" oneof:"auto|on|off" doc:"use huge pages: where the machine has free ones, always (an error without), or never (--no-huge, which most network cards refuse)"`
	Memory     Bytes    `key:"memory" default:"0" range:"0..1TiB" doc:"memory for mbufs and rings, whole MiB (-m); 0: as needed with huge pages, 256MiB without"`
	FilePrefix string   `key:"file_prefix" default:"confluo" doc:"prefix of the files by which DPDK processes of a machine are told apart (--file-prefix)"`
	InMemory   bool     `key:"in_memory" default:"false" doc:"make no such files (--in-memory); takes huge pages"`
	Lcores     string   `key:"lcores" doc:"EAL threads and their CPUs, such as 0-3 or 0@(0-7), for drivers with service cores; empty: one thread, bound to no CPU (--lcores)"`
	PCI        []string `key:"pci" doc:"addresses of the PCI devices that EAL takes at start (--allow); empty: none"`
	Vdevs      []string `key:"vdevs" doc:"virtual devices made at start (--vdev), beside those that sources name"`
	Args       []string `key:"args" doc:"further arguments, as EAL takes them"`
}
