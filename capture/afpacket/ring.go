package afpacket

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/packet"
)

// Where the fields of the shared structures lie, in bytes (linux/if_packet.h).
const (
	// struct tpacket_block_desc
	offStatus     = 8
	offNumPkts    = 12
	offFirstPkt   = 16
	blockHdrBytes = 48

	// struct tpacket3_hdr
	offNext    = 0
	offSec     = 4
	offNsec    = 8
	offSnapLen = 12
	offLen     = 16
	offFlags   = 20
	offMac     = 24
	offTCI     = 32
	offTPID    = 36
	frameBytes = 48

	// struct sockaddr_ll, which follows
	offProtocol = frameBytes + 2
	offIfindex  = frameBytes + 4
	offHatype   = frameBytes + 8
	offPkttype  = frameBytes + 10
	offHalen    = frameBytes + 11
	offAddr     = frameBytes + 12
)

// A ring is one socket with its receive ring, bound to one interface. The
// cursor belongs to the receiver; the counters to whoever holds mu.
type ring struct {
	mem       []byte
	blockSize int
	link      packet.LinkType
	port      uint16
	cooked    bool

	// The cursor.
	block int    // index of the block being read, or awaited
	left  uint32 // frames of it still to deliver
	at    int    // offset of the next of them in the block
	holds bool   // the block is ours

	delivered atomic.Uint64 // frames; written by the receiver alone

	mu      sync.Mutex
	fd      int    // -1 once closed
	packets uint64 // that passed the filter, kept or not
	drops   uint64 // of them, for want of a block
	freezes uint64 // times that no block was free
}

// openRing makes a socket with a ring that refuses all frames still.
func openRing(o *Options, cooked bool) (*ring, error) {
	typ := unix.SOCK_RAW
	if cooked {
		typ = unix.SOCK_DGRAM
	}
	// Protocol 0: nothing is received before bind.
	fd, err := unix.Socket(unix.AF_PACKET, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (requires CAP_NET_RAW): %w", err)
	}
	r := &ring{fd: fd, blockSize: o.BlockSize, cooked: cooked}
	if err := r.setUp(o); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) setUp(o *Options) error {
	if err := attach(r.fd, refuseAll); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("TPACKET_V3 is not supported (requires Linux 3.2): %w", err)
	}
	// The frame size only has to divide the block; frames are packed.
	const frameSize = 2048
	req := unix.TpacketReq3{
		Block_size:     uint32(o.BlockSize),
		Block_nr:       uint32(o.Blocks),
		Frame_size:     frameSize,
		Frame_nr:       uint32(o.BlockSize / frameSize * o.Blocks),
		Retire_blk_tov: uint32(o.BlockTimeout.Milliseconds()),
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("reserve a ring of %d blocks of %d bytes: %w", o.Blocks, o.BlockSize, err)
	}
	mem, err := unix.Mmap(r.fd, 0, o.BlockSize*o.Blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map a ring of %d blocks of %d bytes: %w", o.Blocks, o.BlockSize, err)
	}
	r.mem = mem
	return nil
}

// bind starts reception from an interface, 0 for all; the filter still refuses
// every frame.
func (r *ring) bind(ifindex int, promiscuous bool) error {
	if promiscuous && ifindex != 0 {
		m := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return fmt.Errorf("promiscuous mode: %w", err)
		}
	}
	return unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifindex})
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// ready reports whether a frame can be taken, without waiting.
func (r *ring) ready() bool {
	if r.holds {
		return true
	}
	b := r.current()
	if status(b).Load()&unix.TP_STATUS_USER == 0 {
		return false
	}
	r.holds = true
	r.left = binary.NativeEndian.Uint32(b[offNumPkts:])
	r.at = int(binary.NativeEndian.Uint32(b[offFirstPkt:]))
	return true
}

func (r *ring) current() []byte {
	return r.mem[r.block*r.blockSize:][:r.blockSize:r.blockSize]
}

// take moves frames into b until it is full or no block is ready.
func (r *ring) take(b *packet.Batch) {
	start := b.N
	for !b.Full() && r.ready() {
		block := r.current()
		n := min(r.left, uint32(packet.ChunkSize-b.N))
		for range n {
			h := block[r.at:]
			if r.cooked {
				r.appendCooked(b, h)
			} else {
				r.append(b, h)
			}
			r.at += int(binary.NativeEndian.Uint32(h[offNext:]))
		}
		r.left -= n
		if r.left == 0 {
			status(block).Store(unix.TP_STATUS_KERNEL)
			r.holds = false
			if r.block++; r.block*r.blockSize == len(r.mem) {
				r.block = 0
			}
		}
	}
	r.delivered.Add(uint64(b.N - start))
}

// frame returns what the kernel tells of the frame whose header is at h.
func frameOf(h []byte) (data []byte, ts int64, wire uint32, dir packet.Dir) {
	ne := binary.NativeEndian
	mac := int(ne.Uint16(h[offMac:]))
	data = h[mac : mac+int(ne.Uint32(h[offSnapLen:]))]
	ts = int64(ne.Uint32(h[offSec:]))*1e9 + int64(ne.Uint32(h[offNsec:]))
	dir = packet.DirIn
	if h[offPkttype] == unix.PACKET_OUTGOING {
		dir = packet.DirOut
	}
	return data, ts, ne.Uint32(h[offLen:]), dir
}

// vlanTag returns the 802.1Q tag that the kernel or the device took off, if
// there was one: tag protocol, then tag control information.
func vlanTag(h []byte) (tag [4]byte, ok bool) {
	flags := binary.NativeEndian.Uint32(h[offFlags:])
	if flags&unix.TP_STATUS_VLAN_VALID == 0 {
		return tag, false
	}
	tpid := uint16(unix.ETH_P_8021Q)
	if flags&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = binary.NativeEndian.Uint16(h[offTPID:])
	}
	binary.BigEndian.PutUint16(tag[:], tpid)
	binary.BigEndian.PutUint16(tag[2:], uint16(binary.NativeEndian.Uint32(h[offTCI:])))
	return tag, true
}

// macBytes is where a VLAN tag stands in an Ethernet frame.
const macBytes = 12

func (r *ring) append(b *packet.Batch, h []byte) {
	data, ts, wire, dir := frameOf(h)
	tag, ok := vlanTag(h)
	if !ok || len(data) < macBytes {
		b.Append(data, ts, wire, r.port, dir)
		return
	}
	i := b.N
	b.Append(data[:macBytes], ts, wire+4, r.port, dir)
	row := b.Data[i*b.Stride:][:b.Stride]
	n := int(b.CapLen[i])
	n += copy(row[n:], tag[:])
	n += copy(row[n:], data[macBytes:])
	b.CapLen[i] = uint16(n)
}

// sllBytes is the length of a Linux cooked v2 header (LINKTYPE_LINUX_SLL2).
const sllBytes = 20

func (r *ring) appendCooked(b *packet.Batch, h []byte) {
	data, ts, wire, dir := frameOf(h)
	var sll [sllBytes + 4]byte
	n := sllBytes
	copy(sll[0:2], h[offProtocol:offProtocol+2]) // big endian here and there
	binary.BigEndian.PutUint32(sll[4:], binary.NativeEndian.Uint32(h[offIfindex:]))
	binary.BigEndian.PutUint16(sll[8:], binary.NativeEndian.Uint16(h[offHatype:]))
	sll[10], sll[11] = h[offPkttype], h[offHalen]
	copy(sll[12:20], h[offAddr:offAddr+8])
	if tag, ok := vlanTag(h); ok {
		// The tag's protocol takes the place of the frame's, which follows
		// behind the tag's control information.
		copy(sll[n:], tag[2:])
		copy(sll[n+2:], sll[:2])
		copy(sll[:2], tag[:2])
		n += 4
	}
	i := b.N
	b.Append(sll[:n], ts, wire+uint32(n), r.port, dir)
	row := b.Data[i*b.Stride:][:b.Stride]
	kept := int(b.CapLen[i])
	kept += copy(row[kept:], data)
	b.CapLen[i] = uint16(kept)
}

// readStats takes over what the kernel counted since it was last asked: it
// answers and forgets. It must be called under mu.
func (r *ring) readStats() {
	if r.fd < 0 {
		return
	}
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return // cannot happen on a packet socket
	}
	r.packets += uint64(s.Packets)
	r.drops += uint64(s.Drops)
	r.freezes += uint64(s.Freeze_q_cnt)
}

// counts returns the kernel's counters.
func (r *ring) counts() (packets, drops, freezes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readStats()
	return r.packets, r.drops, r.freezes
}

// drained reports whether every frame that the kernel kept has been delivered.
func (r *ring) drained() bool {
	packets, drops, _ := r.counts()
	return r.delivered.Load() == packets-drops
}

// close shuts the socket, after which the counters are final. The receiver
// must not be in the ring.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fd < 0 {
		return
	}
	// So that no frame is counted after the last look at the counters: refuse
	// all, then give the ring back, which waits for whoever is filling it.
	_ = attach(r.fd, refuseAll)
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
		r.mem = nil
		_ = unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{})
	}
	r.readStats()
	unix.Close(r.fd)
	r.fd = -1
}

// undelivered returns how many frames a closed ring still held.
func (r *ring) undelivered() uint64 {
	packets, drops, _ := r.counts()
	return packets - drops - r.delivered.Load()
}
