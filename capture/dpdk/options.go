package dpdk

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/confluo/confluo/packet"
)

// Options is one source. The zero value of every field but Name and Ports
// means its default.
type Options struct {
	Name    string // of the source in the configuration
	Ports   []Port
	Mempool Mempool
	Idle    Idle
}

// A Port is one DPDK port of a source.
type Port struct {
	// Device says which: the name of a port that exists, a PCI address
	// (0000:3b:00.0), or a virtual device with its arguments as DPDK writes them
	// (net_af_packet0,iface=eth1). A device that does not exist yet is created,
	// in the network namespace of the thread that calls Open, and removed by
	// Close. The name of a virtual device is its driver's name and a suffix.
	Device string
	Index  uint16 // index into the agent's port table: the frames' in_port

	Queues        int  // receive queues; 0: 1
	RSS           RSS  // how frames are spread over several queues
	Descriptors   int  // of each receive queue; 0: 2048, or what the device has nearest
	NoPromiscuous bool // receive only what the port's own filter lets in
	MTU           int  // bytes, set on the device; 0: left as it is
}

// RSS says whether the device spreads frames over the queues by a hash of
// addresses and ports (receive side scaling). The hash is symmetric where the
// driver takes a key: both directions of a connection meet in one queue.
type RSS string

// The values of RSS.
const (
	RSSAuto RSS = "auto" // also the empty string: with several queues, where the driver has it
	RSSOn   RSS = "on"   // Open fails where the driver does not have it
	RSSOff  RSS = "off"
)

// Mempool is the memory for frames that the device has received and Recv has
// not yet copied: one DPDK mempool for each receive queue, so that queues never
// contend. (DPDK's caches in front of a mempool belong to lcores. Capture
// threads are none, so there is no setting for a cache that would stay empty:
// mbufs are taken and given back a burst at a time.)
type Mempool struct {
	Mbufs    int // buffers of each queue; 0: the queue's descriptors and two bursts more
	DataRoom int // bytes of frame in each buffer; 0: 2048, or what the MTU takes if more
}

// Idle says what Recv does while its port has no frames: it polls, and unless
// Busy it sleeps between polls after Polls empty ones in a row. A sleep is
// never longer than the rest of Recv's wait, but the kernel may add some 50 µs.
type Idle struct {
	Busy  bool          // never sleep: one core a queue at 100 %
	Polls int           // empty polls before the first sleep; 0: 256
	Sleep time.Duration // between polls; 0: 10 µs, doubling up to 100 µs
}

const (
	defaultDescriptors = 2048
	defaultPolls       = 256
	adaptiveSleepMin   = 10 * time.Microsecond
	adaptiveSleepMax   = 100 * time.Microsecond
	defaultDataRoom    = 2048
	mbufHeadroom       = 128     // RTE_PKTMBUF_HEADROOM
	linkOverhead       = 14 + 8  // bytes of an Ethernet header with two VLAN tags, over the MTU
	maxQueues          = 1024    // RTE_MAX_QUEUES_PER_PORT
	maxMbufs           = 1 << 24 // some 37 GB: more is a slip
)

var pciAddress = regexp.MustCompile(`^([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$`)

// deviceName returns the name and the arguments of a device string.
func deviceName(device string) (name, args string) {
	name, args, _ = strings.Cut(device, ",")
	return name, args
}

// Validate checks what can be checked without DPDK.
func (o *Options) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("dpdk: source %q: %w", o.Name, fmt.Errorf(format, args...))
	}
	if o.Name == "" {
		return errors.New("dpdk: a source has no name")
	}
	if len(o.Ports) == 0 {
		return fail("no ports: at least one is needed")
	}
	seen := make(map[string]bool)
	for i := range o.Ports {
		p := &o.Ports[i]
		if err := p.validate(); err != nil {
			return fail("port %d: %w", i, err)
		}
		name, _ := deviceName(p.Device)
		if seen[name] {
			return fail("port %d: device %q is there twice", i, name)
		}
		seen[name] = true
	}
	if n := o.Mempool.Mbufs; n != 0 && (n < 2*packet.ChunkSize || n > maxMbufs) {
		return fail("mempool mbufs %d is not within %d..%d", n, 2*packet.ChunkSize, maxMbufs)
	}
	if n := o.Mempool.DataRoom; n != 0 && (n < 64 || n > 65535-mbufHeadroom) {
		return fail("mempool data_room %d is not within 64..%d", n, 65535-mbufHeadroom)
	}
	return o.Idle.validate(fail)
}

func (i Idle) validate(fail func(string, ...any) error) error {
	switch {
	case i.Polls < 0 || i.Polls > 1<<30:
		return fail("idle polls %d is not within 0..%d", i.Polls, 1<<30)
	case i.Sleep < 0 || i.Sleep > time.Second:
		return fail("idle sleep %v is not within 0..1s", i.Sleep)
	case i.Busy && (i.Sleep != 0 || i.Polls != 0):
		return fail("idle busy contradicts idle sleep and idle polls: a busy queue never sleeps")
	}
	return nil
}

// sleeps returns the polls before the first sleep and the range of sleeps;
// zero for never.
func (i Idle) sleeps() (polls int, first, last time.Duration) {
	polls = i.Polls
	if polls == 0 {
		polls = defaultPolls
	}
	switch {
	case i.Busy:
		return polls, 0, 0
	case i.Sleep != 0:
		return polls, i.Sleep, i.Sleep
	}
	return polls, adaptiveSleepMin, adaptiveSleepMax
}

func (p *Port) validate() error {
	name, args := deviceName(p.Device)
	switch {
	case p.Device == "":
		return errors.New("device is empty: name a port, a PCI address or a virtual device with its arguments")
	case strings.ContainsAny(p.Device, " \t\n\x00"):
		return fmt.Errorf("device %q has white space in it", p.Device)
	case name == "":
		return fmt.Errorf("device %q has no name before the comma", p.Device)
	case len(name) > 63: // RTE_DEV_NAME_MAX_LEN with its final zero
		return fmt.Errorf("device name %q is longer than 63 bytes", name)
	case pciAddress.MatchString(name) && args != "" && !strings.Contains(args, "="):
		return fmt.Errorf("device %q: arguments are key=value", p.Device)
	case p.Queues < 0 || p.Queues > maxQueues:
		return fmt.Errorf("queues %d is not within 0..%d", p.Queues, maxQueues)
	case p.Descriptors < 0 || p.Descriptors > 65535:
		return fmt.Errorf("descriptors %d is not within 0..65535", p.Descriptors)
	case p.MTU != 0 && (p.MTU < 68 || p.MTU > 65535-mbufHeadroom-linkOverhead):
		return fmt.Errorf("mtu %d is not within 68..%d", p.MTU, 65535-mbufHeadroom-linkOverhead)
	case !slices.Contains([]RSS{"", RSSAuto, RSSOn, RSSOff}, p.RSS):
		return fmt.Errorf("rss %q is none of auto, on, off", p.RSS)
	}
	return nil
}
