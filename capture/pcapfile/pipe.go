package pcapfile

import (
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/confluo/confluo/capture"
)

// A pipeReader reads from a descriptor that may have nothing for a while (a
// FIFO, standard input).
type pipeReader struct {
	fd    int
	wake  int  // an eventfd; readable once the source is being closed
	block bool // wait for bytes; otherwise Read returns errAgain when there are none
	fds   [2]unix.PollFd
}

// Read returns capture.ErrClosed when woken.
func (p *pipeReader) Read(b []byte) (int, error) {
	for {
		var timeout time.Duration
		if p.block {
			timeout = time.Hour
		}
		n, err := p.wait(timeout)
		switch {
		case err != nil:
			return 0, err
		case n == 0 && p.block:
			continue
		case n == 0:
			return 0, errAgain
		}
		n, err = unix.Read(p.fd, b)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// wait waits for the descriptor to have something to read, at most so long; it
// may return 0 earlier. It returns capture.ErrClosed when woken.
func (p *pipeReader) wait(timeout time.Duration) (n int, err error) {
	p.fds = [2]unix.PollFd{{Fd: int32(p.wake), Events: unix.POLLIN}, {Fd: int32(p.fd), Events: unix.POLLIN}}
	ts := unix.NsecToTimespec(int64(max(timeout, 0)))
	n, err = unix.Ppoll(p.fds[:], &ts, nil)
	switch {
	case err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, err
	case p.fds[0].Revents != 0:
		return 0, capture.ErrClosed
	}
	return n, nil
}
