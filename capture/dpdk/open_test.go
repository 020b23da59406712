//go:build dpdk

package dpdk

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yerden/go-dpdk/ethdev"
	"github.com/yerden/go-dpdk/mbuf"
	"github.com/yerden/go-dpdk/mempool"
)

func TestEALIsInitialisedOnceWithOneConfiguration(t *testing.T) {
	if err := InitEAL(testEAL); err != nil {
		t.Errorf("again with the same options: %v", err)
	}
	other := testEAL
	other.MemoryMiB = 512
	err := InitEAL(other)
	if err == nil || !strings.Contains(err.Error(), "already initialised with") || !strings.Contains(err.Error(), "-m 512") {
		t.Errorf("with other options: %v", err)
	}
}

func TestOpenNeedsEAL(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), openWithoutEAL+"=1")
	out, err := cmd.Output()
	if want := "dpdk: source early: EAL is not initialised: call InitEAL first"; err != nil || string(out) != want {
		t.Errorf("open before InitEAL: %q, %v, want %q", out, err, want)
	}
}

func TestOpenSaysWhatCannotBe(t *testing.T) {
	open(t, Port{Device: "net_null_taken"})
	for _, c := range []struct {
		why  string
		o    Options
		want string
	}{
		{"no such driver", Options{Ports: []Port{{Device: "net_nowhere0"}}},
			"source bad: port net_nowhere0: create device net_nowhere0: "},
		{"no such card", Options{Ports: []Port{{Device: "0000:ff:1f.7"}}},
			"source bad: port 0000:ff:1f.7: create device 0000:ff:1f.7: "},
		{"no such interface", Options{Ports: []Port{{Device: "net_af_packet_bad,iface=nowhere0"}}},
			"create device net_af_packet_bad,iface=nowhere0: "},
		{"device of another source", Options{Ports: []Port{{Device: "net_null_taken"}}},
			"port net_null_taken: the device is in use by source TestOpenSaysWhatCannotBe"},
		{"too many queues", Options{Ports: []Port{{Device: "net_ring_bad", Queues: 1000}}},
			"queues 1000: driver net_ring has at most "},
		{"mtu that cannot be set", Options{Ports: []Port{{Device: "net_ring_bad", MTU: 1400}}},
			"mtu 1400: driver net_ring cannot set it: operation not supported"},
		{"more mbufs than memory", Options{Ports: []Port{{Device: "net_null_bad"}}, Mempool: Mempool{Mbufs: 1 << 20}},
			"mempool of 1048576 mbufs of 2048 bytes for queue 0: cannot allocate memory"},
		{"second port", Options{Ports: []Port{{Device: "net_null_good"}, {Device: "net_nowhere1"}}},
			"port net_nowhere1: create device"},
	} {
		c.o.Name = "bad"
		before := ethdev.CountAvail()
		s, err := Open(c.o)
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", c.why)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, want %q in it", c.why, err, c.want)
		}
		if n := ethdev.CountAvail(); n != before {
			t.Errorf("%s: %d ports are left, want %d", c.why, n, before)
		}
	}
}

func TestArgumentsOfADeviceThatExistsAreRefused(t *testing.T) {
	s := open(t, Port{Device: "net_null_once,size=100"})
	if _, _, err := attach("net_null_once,size=200"); err == nil || !strings.Contains(err.Error(), `exists already, so its arguments "size=200" cannot be given`) {
		t.Errorf("attach of a device that exists: %v", err)
	}
	if p, created, err := attach("net_null_once"); err != nil || created || !p.IsValid() {
		t.Errorf("attach by name: port %d, created %t, %v", p, created, err)
	}
	if s.Name() != t.Name() {
		t.Errorf("name %q", s.Name())
	}
}

func TestPortThatExistedBeforeStaysAndOpensAgain(t *testing.T) {
	first, f := newRing(t, Port{})
	name := first.(*source).ports[0].name
	for round := range byte(5) {
		s := first
		if round != 0 {
			s = open(t, Port{Device: name, Index: uint16(round)})
		}
		f.send(0, f.mbufs(bytes.Repeat([]byte{round}, 60))...)
		if g := receive(t, s.Queues()[0], 64, 1)[0]; g.data[0] != round || g.port != uint16(round) {
			t.Errorf("round %d: frame %x of port %d", round, g.data, g.port)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := ethdev.GetPortByName(name); err != nil {
			t.Fatalf("round %d: the port that the source did not make is gone: %v", round, err)
		}
	}
}

func TestIdleQueueSleepsBetweenPollsUnlessBusy(t *testing.T) {
	const wait = 100 * time.Millisecond
	polls := func(idle Idle) uint64 {
		s := openAll(t, Options{Name: "idle", Ports: []Port{{Device: "net_ring_idle"}}, Idle: idle})
		defer s.Close()
		q := s.Queues()[0].(*queue)
		if err := q.Recv(newBatch(t, 64), wait); err != nil {
			t.Fatal(err)
		}
		return uint64(q.c.empty)
	}
	slow := polls(Idle{Polls: 5, Sleep: 20 * time.Millisecond})
	adaptive := polls(Idle{})
	busy := polls(Idle{Busy: true})
	// At most one poll a sleep, and a few for signals that cut a sleep short.
	if slow < 5 || slow > 5+5+50 {
		t.Errorf("%d polls in %v with sleeps of 20 ms", slow, wait)
	}
	if most := uint64(defaultPolls + wait/adaptiveSleepMin); adaptive < slow || adaptive > most {
		t.Errorf("%d polls in %v with adaptive sleeps, want at most %d", adaptive, wait, most)
	}
	if busy <= adaptive {
		t.Errorf("a busy queue polled %d times, an adaptive one %d times", busy, adaptive)
	}
}

// TestVirtioUserReceivesFromAVhostPort is the way in from a software switch
// with vhost-user ports, such as OVS-DPDK.
func TestVirtioUserReceivesFromAVhostPort(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	vhost, _, err := attach("net_vhost_t,iface=" + socket + ",queues=1,client=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		vhost.Stop()
		if err := detach("net_vhost_t"); err != nil {
			t.Error(err)
		}
	})
	pool, err := mempool.CreateMbufPool("vhost", 2047, 2048+mbufHeadroom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Free)
	if err := vhost.DevConfigure(1, 1); err != nil {
		t.Fatal(err)
	}
	if err := vhost.RxqSetup(0, 512, pool); err != nil {
		t.Fatal(err)
	}
	if err := vhost.TxqSetup(0, 512); err != nil {
		t.Fatal(err)
	}
	if err := vhost.Start(); err != nil {
		t.Fatal(err)
	}
	s := open(t, Port{Device: "net_virtio_user_t,path=" + socket + ",server=1,queues=1", Index: 4})
	awaitState(t, s, "up")
	f := &feeder{t: t, port: vhost, pool: pool}
	var sent [][]byte
	for i := range byte(200) {
		sent = append(sent, bytes.Repeat([]byte{i}, 60+int(i)))
	}
	var ms []*mbuf.Mbuf = f.mbufs(sent...)
	for end := time.Now().Add(20 * time.Second); len(ms) > 0; time.Sleep(time.Millisecond) {
		ms = ms[vhost.TxBurst(0, ms):]
		if time.Now().After(end) {
			t.Fatalf("the vhost port took %d of %d frames", len(sent)-len(ms), len(sent))
		}
	}
	got := receive(t, s.Queues()[0], 128, len(sent))
	for i, g := range got {
		if !bytes.Equal(g.data, sent[i][:min(128, len(sent[i]))]) || int(g.wireLen) != len(sent[i]) || g.port != 4 {
			t.Errorf("frame %d: %d bytes %x", i, g.wireLen, g.data)
		}
	}
}
