//go:build !cgo

package expr

import (
	"errors"

	"github.com/confluo/confluo/packet"
)

// compileCapture says that there is no libpcap to compile with.
func compileCapture(string, packet.LinkType) (bpfProgram, error) {
	return nil, errors.New("bpf: needs libpcap, without which this program was built (CGO_ENABLED=0)")
}
