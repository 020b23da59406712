package dpdk

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsThatContradictAreNamed(t *testing.T) {
	good := func() Options {
		return Options{Name: "s", Ports: []Port{{Device: "net_null0,size=64"}, {Device: "0000:3b:00.0"}, {Device: "net_null1"}}}
	}
	for _, c := range []struct {
		change func(*Options)
		want   string // in the error; empty for none
	}{
		{func(o *Options) {}, ""},
		{func(o *Options) {
			o.Ports[0] = Port{Device: "net_null0", Queues: 4, RSS: RSSOn, Descriptors: 512, MTU: 9000}
		}, ""},
		{func(o *Options) { o.Mempool = Mempool{Mbufs: 4096, DataRoom: 10000} }, ""},
		{func(o *Options) { o.Idle = Idle{Busy: true} }, ""},
		{func(o *Options) { o.Idle = Idle{Polls: 10, Sleep: time.Millisecond} }, ""},
		{func(o *Options) { o.Name = "" }, "a source has no name"},
		{func(o *Options) { o.Ports = nil }, `source "s": no ports`},
		{func(o *Options) { o.Ports[1].Device = "" }, "port 1: device is empty"},
		{func(o *Options) { o.Ports[1].Device = "net null" }, `port 1: device "net null" has white space`},
		{func(o *Options) { o.Ports[1].Device = ",iface=x" }, "has no name before the comma"},
		{func(o *Options) { o.Ports[1].Device = strings.Repeat("n", 64) }, "is longer than 63 bytes"},
		{func(o *Options) { o.Ports[1].Device = "0000:3b:00.0,x" }, "arguments are key=value"},
		{func(o *Options) { o.Ports[2].Device = "net_null0" }, `port 2: device "net_null0" is there twice`},
		{func(o *Options) { o.Ports[0].Queues = -1 }, "port 0: queues -1 is not within 0..1024"},
		{func(o *Options) { o.Ports[0].Descriptors = 65536 }, "descriptors 65536 is not within 0..65535"},
		{func(o *Options) { o.Ports[0].MTU = 67 }, "mtu 67 is not within 68..65385"},
		{func(o *Options) { o.Ports[0].RSS = "yes" }, `rss "yes" is none of auto, on, off`},
		{func(o *Options) { o.Mempool.Mbufs = 100 }, "mempool mbufs 100 is not within 512..16777216"},
		{func(o *Options) { o.Mempool.DataRoom = 65536 }, "mempool data_room 65536 is not within 64..65407"},
		{func(o *Options) { o.Idle.Polls = -1 }, "idle polls -1 is not within"},
		{func(o *Options) { o.Idle.Sleep = 2 * time.Second }, "idle sleep 2s is not within 0..1s"},
		{func(o *Options) { o.Idle = Idle{Busy: true, Polls: 1} }, "idle busy contradicts"},
	} {
		o := good()
		c.change(&o)
		err := o.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", o, err, c.want)
		}
	}
}

func TestEALOptionsThatContradictAreNamed(t *testing.T) {
	one, negative := 1, -1
	for _, c := range []struct {
		o    EALOptions
		want string
	}{
		{EALOptions{}, ""},
		{EALOptions{Hugepages: true, InMemory: true, MemoryMiB: 1024, PCI: []string{"3b:00.0", "0000:3b:00.1,x=y"}}, ""},
		{EALOptions{Lcores: "0-3", MainLcore: &one, Vdevs: []string{"net_null0,size=1"}}, ""},
		{EALOptions{MemoryMiB: 1}, "memory 1 MiB is not within 16..1048576"},
		{EALOptions{InMemory: true}, "in_memory needs hugepages"},
		{EALOptions{FilePrefix: "a/b"}, `file_prefix "a/b"`},
		{EALOptions{MainLcore: &one}, "main_lcore 1 needs lcores"},
		{EALOptions{Lcores: "0-1", MainLcore: &negative}, "main_lcore -1 is negative"},
		{EALOptions{Lcores: "0 1"}, `lcores "0 1" has white space`},
		{EALOptions{PCI: []string{"eth0"}}, `pci "eth0" is no PCI address`},
		{EALOptions{Vdevs: []string{"net null"}}, `vdevs: device "net null" has white space`},
		{EALOptions{Vdevs: []string{"0000:3b:00.0"}}, "it belongs under pci"},
		{EALOptions{Args: []string{"-v", "--"}}, `argument "--" is not one that EAL takes`},
	} {
		err := c.o.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestEALOptionsBecomeItsArguments(t *testing.T) {
	three := 3
	for _, c := range []struct {
		o    EALOptions
		want string
	}{
		{EALOptions{}, "confluo-host --no-huge --no-shconf -m 256 --lcores=0@(2,5) --no-pci"},
		{EALOptions{Hugepages: true}, "confluo-host --lcores=0@(2,5) --no-pci"},
		{EALOptions{
			Hugepages: true, MemoryMiB: 512, FilePrefix: "p", InMemory: true, Lcores: "1-3", MainLcore: &three,
			PCI: []string{"3b:00.0", "3b:00.1"}, Vdevs: []string{"net_null0,size=1"}, Args: []string{"--log-level=8"},
		}, "confluo-host -m 512 --in-memory --file-prefix=p --lcores=1-3 --main-lcore=3" +
			" --allow=3b:00.0 --allow=3b:00.1 --vdev=net_null0,size=1 --log-level=8"},
	} {
		if diff := cmp.Diff(strings.Fields(c.want), c.o.args([]int{2, 5})); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.o, diff)
		}
	}
}
