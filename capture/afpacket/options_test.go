package afpacket

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/internal/nettest"
	"github.com/confluo/confluo/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMistakesInOptionsAreNamed(t *testing.T) {
	port := func(string, packet.LinkType) (uint16, error) { return 0, nil }
	for _, c := range []struct {
		o    Options
		want string // in the error; empty: none
	}{
		{Options{Name: "a", Interface: "eth0", Port: port}, ""},
		{Options{Name: "a", Interface: Any, Port: port, Queues: 4, Fanout: "cpu", Direction: "in", BlockTimeout: time.Second}, ""},
		{Options{Interface: "eth0", Port: port}, "name is empty"},
		{Options{Name: "a", Port: port}, `interface "" is not allowed`},
		{Options{Name: "a", Interface: "averylongname0123", Port: port}, `interface "averylongname0123" is not allowed`},
		{Options{Name: "a", Interface: "eth0", Port: port, Queues: -1}, "queues -1 is not within 1..256"},
		{Options{Name: "a", Interface: "eth0", Port: port, Fanout: "random"}, `fanout "random" is not allowed: "hash"`},
		{Options{Name: "a", Interface: "eth0", Port: port, BlockSize: 5000}, "block size 5000 is not a multiple of the page size"},
		{Options{Name: "a", Interface: "eth0", Port: port, Blocks: 1}, "blocks 1 is under 2"},
		{Options{Name: "a", Interface: "eth0", Port: port, Blocks: 1 << 20, BlockSize: 1 << 20}, "more than the 4 GiB"},
		{Options{Name: "a", Interface: "eth0", Port: port, BlockTimeout: time.Microsecond}, "block timeout 1µs is not a whole number of milliseconds"},
		{Options{Name: "a", Interface: "eth0", Port: port, Direction: "up"}, `direction "up" is not allowed: "in", "out" or "both"`},
		{Options{Name: "a", Interface: "eth0", Port: port, SnapLen: 70000}, "snap length 70000 is not within 1..65535"},
		{Options{Name: "a", Interface: "eth0", Port: port, Filter: []bpf.RawInstruction{}}, "a filter of 0 instructions"},
		{Options{Name: "a", Interface: "eth0", Port: port, Filter: make([]bpf.RawInstruction, 4097)}, "a filter of 4097 instructions"},
		{Options{Name: "a", Interface: "eth0"}, "no port table"},
	} {
		err := c.o.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	ns := nettest.New(t).Namespace("empty")
	full := errors.New("port table is full")
	for _, c := range []struct {
		o    Options
		want string
		is   error
	}{
		{Options{Interface: "eth9"}, `afpacket: interface "eth9" does not exist`, nil},
		{Options{Interface: "lo", Port: func(string, packet.LinkType) (uint16, error) { return 0, full }}, "afpacket: port lo: port table is full", full},
		{Options{Interface: "lo", Filter: []bpf.RawInstruction{{Op: unix.BPF_LD}}}, "afpacket: lo: attach a filter", unix.EINVAL},
	} {
		c.o.Name = "x"
		if c.o.Port == nil {
			c.o.Port = func(string, packet.LinkType) (uint16, error) { return 0, nil }
		}
		err := ns.Do(func() error {
			s, err := Open(c.o)
			if err == nil {
				s.Close()
			}
			return err
		})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}
