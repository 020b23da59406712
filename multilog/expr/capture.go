package expr

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/confluo/confluo/packet"
)

// capturePrefix marks an expression as a capture filter.
const capturePrefix = "bpf:"

// MaxCaptureFilter is the longest capture filter, in bytes. The time that
// libpcap needs to compile one grows with the cube of its length: seconds for
// 4,096 bytes of "port 1 or port 2 or ...".
const MaxCaptureFilter = 1024

// portLinks is what Names may know beyond names.
type portLinks interface {
	PortLink(i uint16) packet.LinkType
}

// A captureFilter is a capture-filter expression with one program for each
// link type. The programs of the link types that the parser reads are made
// with it; that of any other when the first frame of it comes, once.
type captureFilter struct {
	text  string
	links portLinks // nil: every frame is Ethernet

	mu    sync.Mutex // for adding to progs
	progs atomic.Pointer[map[packet.LinkType]bpfProgram]
}

// captureLinks are the link types compiled ahead.
var captureLinks = []packet.LinkType{
	packet.LinkEthernet, packet.LinkRaw, packet.LinkSLL, packet.LinkSLL2, packet.LinkIPv4, packet.LinkIPv6,
	packet.LinkNull, packet.LinkLoop, packet.LinkPPP, packet.LinkCHDLC,
}

func parseCapture(src, text string, names Names) (*Expr, error) {
	if text == "" {
		return &Expr{}, nil // as for tcpdump, no filter is every packet
	}
	at := strings.Index(src, capturePrefix) + len(capturePrefix)
	at += len(src[at:]) - len(strings.TrimLeft(src[at:], " \t\r\n"))
	fail := func(format string, args ...any) error {
		return &Error{src, column(src, at), text, fmt.Sprintf(format, args...)}
	}
	if len(text) > MaxCaptureFilter {
		return nil, fail("a capture filter of at most %d bytes, not %d", MaxCaptureFilter, len(text))
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, fail("a capture filter without NUL characters")
	}
	f := &captureFilter{text: text}
	f.links, _ = names.(portLinks)
	progs := make(map[packet.LinkType]bpfProgram)
	links := captureLinks
	if f.links == nil {
		links = links[:1]
	}
	var firstErr error
	compiled := false
	for _, link := range links {
		prog, err := compileCapture(text, link)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		compiled = compiled || err == nil
		progs[link] = prog
	}
	if !compiled {
		return nil, fail("a capture filter as tcpdump takes it, up to the end: %v", firstErr)
	}
	f.progs.Store(&progs)
	return &Expr{&node{op: opCapture, capture: f}, capturePrefix + text}, nil
}

// program returns the program for a link type, nil if the filter says nothing
// about it (such as "ether host" about raw IP), which then matches no frame.
func (f *captureFilter) program(link packet.LinkType) bpfProgram {
	if prog, ok := (*f.progs.Load())[link]; ok {
		return prog
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	progs := *f.progs.Load()
	if prog, ok := progs[link]; ok {
		return prog
	}
	prog, err := compileCapture(f.text, link)
	if err != nil {
		prog = nil
	}
	more := maps.Clone(progs)
	more[link] = prog
	f.progs.Store(&more)
	return prog
}

func (f *captureFilter) link(port uint16) packet.LinkType {
	if f.links == nil {
		return packet.LinkEthernet
	}
	return f.links.PortLink(port)
}

// match runs the filter over the slice of row i, with pkt_len for its length.
func (f *captureFilter) match(c *packet.Columns, i int) bool {
	return f.program(f.link(c.InPort[i])).run(frame(c, i), c.PktLen[i]) != 0
}

// eval sets bit i of out for each row i that matches.
func (f *captureFilter) eval(c *packet.Columns, out *packet.Bitmap) {
	*out = packet.Bitmap{}
	link := f.link(c.InPort[0])
	prog := f.program(link)
	for i := range c.N {
		if l := f.link(c.InPort[i]); l != link {
			link, prog = l, f.program(l)
		}
		if prog.run(frame(c, i), c.PktLen[i]) != 0 {
			out[i/64] |= 1 << (i % 64)
		}
	}
}

func frame(c *packet.Columns, i int) []byte { return c.Data[i*c.Stride:][:c.CapLen[i]] }
