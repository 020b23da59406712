package pcapfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// maxZstdWindow bounds the memory of the zstd decoder, which the compressed
// file asks for: the window that the zstd command itself accepts unasked.
const maxZstdWindow = 128 << 20

// An input gives the uncompressed bytes of one file. What is compressed is
// told by its first bytes.
type input struct {
	file   *os.File
	raw    *bufio.Reader
	plain  io.Reader // nil until the first bytes have been seen
	closer func()    // of plain; or nil

	// Of a pipe: what reads it, and what the decoder reads in the end: the
	// same, or a pipe that a decompressor fills.
	pipe, last *pipeReader
	pump       sync.WaitGroup
	pumpErr    error // why the pump ended; read after pump.Wait
}

// openInput opens a file, or standard input if its name is "-". Wake is an
// eventfd that ends a read of a pipe when it becomes readable; without one
// (negative) only regular files are taken.
func openInput(name string, wake int) (*input, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("pcapfile: %w", err)
		}
	}
	in := &input{file: f}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case fi.IsDir():
		err = fmt.Errorf("%s is a directory", name)
	case fi.Mode().IsRegular():
		in.raw = bufio.NewReaderSize(f, 256<<10)
	case wake < 0:
		err = fmt.Errorf("%s is no regular file, which is needed to read it twice", name)
	default:
		in.pipe = &pipeReader{fd: int(f.Fd()), wake: wake}
		in.last = in.pipe
		in.raw = bufio.NewReaderSize(in.pipe, 64<<10)
	}
	if err != nil {
		in.close()
		return nil, fmt.Errorf("pcapfile: %w", err)
	}
	return in, nil
}

// Read implements io.Reader. After errAgain it may be called again.
func (in *input) Read(b []byte) (int, error) {
	if in.plain == nil {
		if err := in.detect(); err != nil {
			return 0, err
		}
	}
	n, err := in.plain.Read(b)
	if err == io.EOF && in.last != in.pipe {
		in.pump.Wait()
		if in.pumpErr != nil {
			err = in.pumpErr
		}
	}
	return n, err
}

// detect looks at the first bytes and sets plain.
func (in *input) detect() error {
	b, err := in.raw.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var open func(io.Reader) (io.Reader, func(), error)
	switch {
	case len(b) >= 2 && b[0] == 0x1f && b[1] == 0x8b:
		open = openGzip
	case len(b) == 4 && string(b) == "\x28\xb5\x2f\xfd":
		open = openZstd
	default:
		in.plain = in.raw
		return nil
	}
	if in.pipe != nil {
		return in.startPump(open)
	}
	in.plain, in.closer, err = open(in.raw)
	return err
}

func openGzip(r io.Reader) (io.Reader, func(), error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, fmt.Errorf("gzip: %w", err)
	}
	return &compressed{z, "gzip"}, func() { z.Close() }, nil
}

func openZstd(r io.Reader) (io.Reader, func(), error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, nil, fmt.Errorf("zstd: %w", err)
	}
	return &compressed{z, "zstd"}, z.Close, nil
}

// compressed names the decoder in its errors.
type compressed struct {
	r    io.Reader
	name string
}

func (c *compressed) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", c.name, err)
	}
	return n, err
}

// startPump decompresses in a goroutine of its own, into another pipe: a
// decompressor that has been told "not yet" cannot be asked again, a pipe can.
func (in *input) startPump(open func(io.Reader) (io.Reader, func(), error)) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	in.last = &pipeReader{fd: p[0], wake: in.pipe.wake}
	in.pipe.block = true // the pump waits as long as it takes
	w := os.NewFile(uintptr(p[1]), "decompressed")
	in.pump.Go(func() {
		defer w.Close()
		r, done, err := open(in.raw)
		if err == nil {
			_, err = io.Copy(w, r)
			done()
		}
		in.pumpErr = err
	})
	in.plain = in.last
	in.closer = func() { unix.Close(p[0]) }
	return nil
}

// close releases the input. A pump that still reads a pipe must have been
// woken before.
func (in *input) close() {
	if in.closer != nil {
		in.closer()
	}
	in.pump.Wait()
	if in.file != os.Stdin {
		in.file.Close()
	}
}
