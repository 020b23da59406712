package nettest

import (
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func TestNamespacesJoinedByAVethReachEachOther(t *testing.T) {
	lab := New(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	lab.Veth(End{a, "va", "10.9.0.1/24"}, End{b, "vb", "10.9.0.2/24"})
	out := string(a.Run(t, "ping", "-c", "3", "-i", "0.01", "-W", "5", "10.9.0.2"))
	if !strings.Contains(out, " 3 received") {
		t.Errorf("ping: %s", out)
	}
	// Three requests, three replies and the ARP exchanges; nothing else, since
	// the namespaces are quiet.
	if n := b.Counters(t, "vb").RxPackets; n < 4 || n > 6 {
		t.Errorf("vb received %d frames, want 3 echo requests and 1 to 3 of ARP", n)
	}
}

func TestIPv6EndIsReachable(t *testing.T) {
	lab := New(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	lab.Veth(End{a, "va", "fd00::1/64"}, End{b, "vb", "fd00::2/64"})
	a.Run(t, "ping", "-c", "1", "-W", "10", "-w", "10", "fd00::2")
}

func TestDoComesBackToTheNamespaceItCameFrom(t *testing.T) {
	ns := New(t).Namespace("a")
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	err = ns.Do(func() error {
		in, err := netns.Get()
		if err != nil {
			return err
		}
		defer in.Close()
		if in.Equal(before) {
			t.Error("Do ran in the namespace of the test")
		}
		ifs, err := net.Interfaces()
		if len(ifs) != 1 {
			t.Errorf("a new namespace has interfaces %v, want lo alone", ifs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if !after.Equal(before) {
		t.Error("the thread did not come back")
	}
}

func TestDelLinkRemovesBothEnds(t *testing.T) {
	lab := New(t)
	a, b := lab.Namespace("a"), lab.Namespace("b")
	lab.Veth(End{NS: a, Name: "va"}, End{NS: b, Name: "vb"})
	a.DelLink(t, "va")
	err := b.Do(func() error {
		_, err := netlink.LinkByName("vb")
		return err
	})
	if _, ok := err.(netlink.LinkNotFoundError); !ok {
		t.Errorf("vb after va was removed: %v, want not found", err)
	}
}

func TestProcessRunsInTheNamespace(t *testing.T) {
	ns := New(t).Namespace("a")
	p := ns.Start(t, "cat", "/proc/self/net/dev")
	out, _, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(out); !strings.Contains(s, "lo:") || strings.Contains(s, "eth0:") {
		t.Errorf("interfaces of the process:\n%s", s)
	}
}
