package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits sun_path of unix(7), less the suffix of the name
// that a socket has until its mode is set, and the NUL.
const maxSocketPath = 108 - len(newSuffix) - 1

const newSuffix = ".new"

// A socketListener removes its socket when closed, unless another process has
// put its own in that place.
type socketListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// listenUnix listens on a unix socket at path. A socket that is there already
// is replaced only when nobody listens on it. The socket appears under its name
// with mode and group set, so no moment lets in who should not be.
func listenUnix(path string, mode fs.FileMode, group string) (_ net.Listener, err error) {
	gid, err := lookupGroup(group)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("api: socket %s: %w", path, err)
	}
	defer unlock()

	switch old, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("api: %w", err)
	case old.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("api: %s is there and is not a socket", path)
	default:
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("api: socket %s: another process listens on it", path)
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, fmt.Errorf("api: socket %s: cannot tell whether another process listens on it: %w", path, err)
		}
	}

	// Bound under another name; renamed when it is as it should be. Nobody
	// else makes that name: the directory is locked.
	tmp := path + newSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("api: %w", err)
	}
	ul, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	ul.SetUnlinkOnClose(false)
	defer func() {
		if err != nil {
			ul.Close()
			os.Remove(tmp)
		}
	}()
	if gid >= 0 {
		if err := os.Chown(tmp, -1, gid); err != nil {
			return nil, fmt.Errorf("api: group %s: %w", group, err)
		}
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	info, err := os.Lstat(tmp)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return &socketListener{UnixListener: ul, path: path, info: info}, nil
}

// Addr returns the socket's path.
func (l *socketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening and removes the socket.
func (l *socketListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

// lockDir keeps two agents that start at once from each taking the other's
// socket for a stale one.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || tries == 100 {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lookupGroup returns the number of a group, -1 for the empty name.
func lookupGroup(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("api: socket group: %w", err)
	}
	return strconv.Atoi(g.Gid)
}

// isLoopback reports whether only this machine can reach addr, host:port.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// listenTCP listens on addr, with TLS when there is a certificate, and then
// only for clients that an authority of clientCA vouches for when there is one.
func listenTCP(addr, cert, key, clientCA string) (net.Listener, error) {
	var conf *tls.Config
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("api: certificate %s: %w", cert, err)
		}
		conf = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
	}
	if clientCA != "" {
		pool, err := loadPool(clientCA)
		if err != nil {
			return nil, err
		}
		conf.ClientCAs, conf.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if conf != nil {
		l = tls.NewListener(l, conf)
	}
	return l, nil
}

func loadPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("api: authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("api: authority %s: no PEM certificate in it", file)
	}
	return pool, nil
}
