//go:build cgo

package expr

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/google/gopacket/pcap"

	"github.com/confluo/confluo/packet"
)

// compileCapture compiles a capture filter for frames of one link type with
// libpcap, exactly as tcpdump does for a capture file of that link type.
//
// The handle to compile with comes from a capture file without packets rather
// than from pcap.CompileBPFFilter: gopacket's link types there are 8 bits wide,
// which leaves out Linux cooked v2 (276), and they are numbered as on this
// system (DLT_) instead of as in capture files (LINKTYPE_, as in ours).
func compileCapture(text string, link packet.LinkType) (prog bpfProgram, err error) {
	h, err := openEmptyCapture(link)
	if err != nil {
		return nil, fmt.Errorf("libpcap: link type %d: %w", link, err)
	}
	defer h.Close()
	insns, err := h.CompileBPFFilter(text)
	if err != nil {
		return nil, fmt.Errorf("libpcap: %w", err)
	}
	out := make([]bpfInsn, len(insns))
	for i, in := range insns {
		out[i] = bpfInsn{in.Code, in.Jt, in.Jf, in.K}
	}
	return newBPFProgram(out)
}

// openEmptyCapture opens a capture file of the given link type that holds no
// packet. The file is the reading end of a pipe.
func openEmptyCapture(link packet.LinkType) (*pcap.Handle, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	var head [24]byte
	binary.LittleEndian.PutUint32(head[0:], 0xa1b2c3d4)
	binary.LittleEndian.PutUint16(head[4:], 2) // version 2.4
	binary.LittleEndian.PutUint16(head[6:], 4)
	binary.LittleEndian.PutUint32(head[16:], 65535) // snap length
	binary.LittleEndian.PutUint32(head[20:], uint32(link))
	if _, err := w.Write(head[:]); err != nil {
		return nil, err
	}
	// libpcap opens the pipe once more by name, so that the descriptor that it
	// closes with the handle is its own and not the one of r.
	h, err := pcap.OpenOffline(fmt.Sprintf("/proc/self/fd/%d", r.Fd()))
	if err != nil {
		return nil, err
	}
	return h, nil
}
