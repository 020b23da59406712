// Package nettest makes network namespaces, joined by veth pairs, for tests
// that capture real frames. Nothing that it makes outlives the test process:
// the namespaces have no name, so the kernel removes them with their
// interfaces when the last descriptor is closed, also after a crash.
//
// The namespaces are quiet: no IPv6 unless an end has an IPv6 address, and
// checksum and segmentation offloads are off, so that the frames on a veth are
// what they would be on a cable.
//
// It needs root and the ethtool command. A test on a machine without them is
// skipped, or fails when CONFLUO_TEST_STRICT=1.
package nettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Skip skips the test for a reason that lies with the machine, or fails it
// when the environment has CONFLUO_TEST_STRICT=1.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CONFLUO_TEST_STRICT") == "1" {
		t.Fatalf("CONFLUO_TEST_STRICT=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// A Lab is the set of namespaces of one test. It is removed when the test
// ends. Not safe for concurrent use.
type Lab struct {
	t testing.TB
}

// New returns an empty lab.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "network namespaces need root")
	}
	if _, err := exec.LookPath("ethtool"); err != nil {
		Skip(t, "this machine has no ethtool: %v", err)
	}
	return &Lab{t: t}
}

// A Namespace is one network namespace of a lab.
type Namespace struct {
	Name   string // for messages only
	t      testing.TB
	handle netns.NsHandle
}

// Namespace makes a network namespace with its loopback interface up.
func (l *Lab) Namespace(name string) *Namespace {
	l.t.Helper()
	handle, err := newHandle()
	if err != nil {
		Skip(l.t, "no network namespace can be made: %v", err)
	}
	ns := &Namespace{Name: name, t: l.t, handle: handle}
	l.t.Cleanup(func() { ns.handle.Close() })
	err = ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return errors.Join(setIPv6("all", false), setIPv6("default", false), netlink.LinkSetUp(lo))
	})
	if err != nil {
		l.t.Fatalf("namespace %s: %v", name, err)
	}
	return ns
}

func newHandle() (netns.NsHandle, error) {
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return netns.None(), err
	}
	defer old.Close()
	h, err := netns.New()
	if back := netns.Set(old); back != nil {
		return h, back // the thread stays locked, and so ends with its goroutine
	}
	runtime.UnlockOSThread()
	return h, err
}

// setIPv6 turns IPv6 on or off for an interface of the thread's namespace.
func setIPv6(iface string, on bool) error {
	v := "1"
	if on {
		v = "0"
	}
	path := filepath.Join("/proc/sys/net/ipv6/conf", iface, "disable_ipv6")
	err := os.WriteFile(path, []byte(v), 0)
	if errors.Is(err, os.ErrNotExist) && !on {
		return nil // a kernel without IPv6 is quiet already
	}
	return err
}

// An End is one end of a veth pair.
type End struct {
	NS   *Namespace
	Name string // of the interface, within NS
	Addr string // address with prefix length, such as 10.1.0.1/24; empty for none
}

// Veth joins two namespaces by a veth pair. It returns when both ends are up.
func (l *Lab) Veth(a, b End) {
	l.t.Helper()
	if err := veth(a, b); err != nil {
		l.t.Fatalf("veth %s/%s to %s/%s: %v", a.NS.Name, a.Name, b.NS.Name, b.Name, err)
	}
	for _, e := range []End{a, b} {
		e.NS.Run(l.t, "ethtool", "-K", e.Name, "rx", "off", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
	}
	for _, e := range []End{a, b} {
		if err := e.NS.Do(func() error { return waitUp(e.Name) }); err != nil {
			l.t.Fatalf("veth %s/%s: %v", e.NS.Name, e.Name, err)
		}
	}
}

func veth(a, b End) error {
	err := a.NS.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: a.Name},
			PeerName:      b.Name,
			PeerNamespace: netlink.NsFd(int(b.NS.handle)),
		})
	})
	if err != nil {
		return err
	}
	for _, e := range []End{a, b} {
		if err := e.NS.Do(e.configure); err != nil {
			return err
		}
	}
	return nil
}

func (e End) configure() error {
	link, err := netlink.LinkByName(e.Name)
	if err != nil {
		return err
	}
	if e.Addr != "" {
		addr, err := netlink.ParseAddr(e.Addr)
		if err != nil {
			return err
		}
		if addr.IP.To4() == nil {
			if err := setIPv6(e.Name, true); err != nil {
				return err
			}
			addr.Flags |= unix.IFA_F_NODAD // usable at once, and no frames for it
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

func waitUp(name string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("interface is %s after 10 s", link.Attrs().OperState)
		}
	}
}

// Do runs f on the calling goroutine with its thread in the namespace: what f
// opens (sockets, netlink, /proc/sys/net) and what processes f starts belong
// there. Goroutines that f starts do not.
func (ns *Namespace) Do(f func() error) error {
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// A thread that cannot go back stays locked, and so ends with its goroutine.
		if netns.Set(old) == nil {
			runtime.UnlockOSThread()
		}
		old.Close()
	}()
	if err := netns.Set(ns.handle); err != nil {
		return err
	}
	return f()
}

// DelLink removes an interface of the namespace, and with it the other end if
// it is a veth.
func (ns *Namespace) DelLink(t testing.TB, name string) {
	t.Helper()
	err := ns.withLink(name, netlink.LinkDel)
	if err != nil {
		t.Fatalf("remove %s/%s: %v", ns.Name, name, err)
	}
}

// SetLink takes an interface of the namespace up or down.
func (ns *Namespace) SetLink(t testing.TB, name string, up bool) {
	t.Helper()
	set := netlink.LinkSetDown
	if up {
		set = netlink.LinkSetUp
	}
	if err := ns.withLink(name, set); err != nil {
		t.Fatalf("set %s/%s up=%t: %v", ns.Name, name, up, err)
	}
}

// Counters returns the kernel's own counters of an interface.
func (ns *Namespace) Counters(t testing.TB, name string) netlink.LinkStatistics64 {
	t.Helper()
	var s netlink.LinkStatistics64
	err := ns.withLink(name, func(l netlink.Link) error {
		s = netlink.LinkStatistics64(*l.Attrs().Statistics)
		return nil
	})
	if err != nil {
		t.Fatalf("counters of %s/%s: %v", ns.Name, name, err)
	}
	return s
}

func (ns *Namespace) withLink(name string, f func(netlink.Link) error) error {
	return ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return f(link)
	})
}

// Run runs a command in the namespace and returns its standard output. The
// test fails when the command does, or takes more than a minute.
func (ns *Namespace) Run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := ns.start(cmd); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s %s in %s: %v\n%s%s", name, strings.Join(args, " "), ns.Name, err, out.Bytes(), errOut.Bytes())
	}
	return out.Bytes()
}

func (ns *Namespace) start(cmd *exec.Cmd) error { return ns.Do(cmd.Start) }

// A Process is a command that runs beside the test.
type Process struct {
	cmd  *exec.Cmd
	out  *bytes.Buffer
	errs *bytes.Buffer
	done chan error
}

// Start starts a command in the namespace. It is killed at the end of the test
// if it still runs.
func (ns *Namespace) Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(name, args...), out: new(bytes.Buffer), errs: new(bytes.Buffer), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.errs
	if err := ns.start(p.cmd); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.done <- p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits up to a minute for the process to end by itself, and returns what
// it wrote to standard output and standard error.
func (p *Process) Wait() (stdout, stderr []byte, err error) {
	select {
	case err = <-p.done:
	case <-time.After(time.Minute):
		p.cmd.Process.Kill()
		<-p.done
		err = errors.New("still running after a minute")
	}
	return p.out.Bytes(), p.errs.Bytes(), err
}
