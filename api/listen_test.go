package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestSocketHasItsModeAndGroupAndGoesWithTheServer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = 12345 // only root may give a file to any group
	}
	l, err := listenUnix(socket, 0o620, strconv.Itoa(gid))
	must(t, err)
	info, err := os.Stat(socket)
	must(t, err)
	if got := info.Mode().Perm(); got != 0o620 {
		t.Errorf("mode %o", got)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != uint32(gid) {
		t.Errorf("group %d, want %d", got, gid)
	}
	if l.Addr().String() != socket {
		t.Errorf("address %s", l.Addr())
	}
	must(t, l.Close())
	if left, _ := filepath.Glob(socket + "*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())

	l, err := listenUnix(socket, 0o600, "")
	must(t, err)
	defer l.Close()
	if _, err := listenUnix(socket, 0o600, ""); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second server on a live socket: %v", err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	c, err := net.Dial("unix", socket)
	must(t, err) // the first one still has it
	c.Close()
}

func TestOfServersThatStartAtOnceOneHasTheSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	var wg sync.WaitGroup
	won := make(chan net.Listener, 8)
	for range 8 {
		wg.Go(func() {
			if l, err := listenUnix(socket, 0o600, ""); err == nil {
				won <- l
			}
		})
	}
	wg.Wait()
	close(won)
	n := 0
	for l := range won {
		n++
		l.Close()
	}
	if n != 1 {
		t.Errorf("%d servers have the socket", n)
	}
}

func TestSocketOfAnotherProcessIsNotRemoved(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := listenUnix(socket, 0o600, "")
	must(t, err)
	must(t, os.Remove(socket))
	other, err := net.Listen("unix", socket)
	must(t, err)
	defer other.Close()
	must(t, l.Close())
	if _, err := os.Stat(socket); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoSocketIsNeverReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(file, []byte("data"), 0o600))
	if _, err := listenUnix(file, 0o600, ""); err == nil {
		t.Error("listens in place of a file")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "data" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestOptionsNameTheSettingThatMakesNoSense(t *testing.T) {
	for _, tc := range []struct {
		opt  Options
		says string
	}{
		{Options{}, "neither"},
		{Options{TCP: "0.0.0.0:1"}, "loopback"},
		{Options{TCP: "192.0.2.1:1"}, "loopback"},
		{Options{TCP: "127.0.0.1:1", Cert: "c"}, "together"},
		{Options{TCP: "127.0.0.1:1", ClientCA: "c"}, "client authority"},
		{Options{Socket: "s", Cert: "c", Key: "k"}, "no TCP address"},
		{Options{Socket: strings.Repeat("s", 108)}, "too many"},
		{Options{Socket: "s", Mode: fs.ModeSetuid | 0o600}, "permission bits"},
		{Options{Socket: "s", MaxBody: -1}, "under zero"},
	} {
		if err := tc.opt.Validate(); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v; want ...%s...", tc.opt, err, tc.says)
		}
	}
	for _, opt := range []Options{{Socket: "s"}, {TCP: "127.0.0.1:0"}, {TCP: "[::1]:0"}, {TCP: "localhost:0"}, {TCP: ":1", Cert: "c", Key: "k"}} {
		if err := opt.Validate(); err != nil {
			t.Errorf("%+v: %v", opt, err)
		}
	}
}

func TestOverTLSOnlyClientsOfTheAuthorityAreLetIn(t *testing.T) {
	dir := t.TempDir()
	ours, others := newAuthority(t, dir, "ours"), newAuthority(t, dir, "others")
	cert, key := ours.issue(t, "server")
	s, _ := startServer(t, newModelHost(t, 3), Options{TCP: "127.0.0.1:0", Cert: cert, Key: key, ClientCA: ours.file})
	addr := s.Addrs()[1].String()

	ask := func(ca string, cert, key string) error {
		c, err := NewTLSClient(addr, ca, cert, key)
		must(t, err)
		defer c.Close()
		st, err := c.Status(t.Context())
		if err == nil && st.Log.ReadTail != 3 {
			t.Errorf("status %+v", st)
		}
		return err
	}
	goodCert, goodKey := ours.issue(t, "client")
	badCert, badKey := others.issue(t, "stranger")
	if err := ask(ours.file, goodCert, goodKey); err != nil {
		t.Errorf("a client of the authority: %v", err)
	}
	if err := ask(ours.file, badCert, badKey); err == nil {
		t.Error("a client of another authority is let in")
	}
	if err := ask(others.file, goodCert, goodKey); err == nil {
		t.Error("the client takes a server of another authority")
	}
}

func TestPlainTCPOnLoopbackAnswers(t *testing.T) {
	s := NewServer(newModelHost(t, 3), Options{TCP: "127.0.0.1:0"})
	must(t, s.Start())
	defer s.Shutdown(context.Background())
	c := &Client{base: "http://" + s.Addrs()[0].String(), http: NewClient("").http}
	c.http.Transport = nil
	defer c.Close()
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// An authority signs certificates for the length of a test.
type authority struct {
	file, dir string
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir, file: filepath.Join(dir, name+".ca")}
	a.cert, a.key = certificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, a.file, "")
	return a
}

func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	certificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a, cert, key)
	return cert, key
}

func certificate(t *testing.T, c *x509.Certificate, by *authority, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	must(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	if keyFile != "" {
		b, err := x509.MarshalECPrivateKey(key)
		must(t, err)
		must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b}), 0o600))
	}
	return cert, key
}
