package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/diagnoser"
)

type exportCmd struct {
	selectFlags
	footerFlag
	Write string `short:"w" required:"" placeholder:"FILE" help:"Capture file to write; - is standard output."`
	Limit int    `placeholder:"N" help:"Packets at most."`
	Expr  string `arg:"" optional:"" help:"Filter expression, or bpf: and a capture filter as tcpdump takes it. Empty: every header."`
}

// Help implements kong.HelpProvider.
func (*exportCmd) Help() string {
	return `The file has the slices that are kept: the first bytes of each frame, up to the snap length.

Examples:

  confluo-host export --last 30s -w syn.pcap 'tcp.syn'

  confluo-host export --pcap big.pcap.zst -w - 'dst_ip == 10.0.0.1' | tshark -r -`
}

func (c *exportCmd) Run(a *app) error {
	sel, err := c.selection(c.Expr)
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usagef("--limit %d: want a number of packets, or 0 for all", c.Limit)
	}
	req := api.ExportRequest{Selection: sel, Limit: c.Limit}
	if c.Explain {
		return a.explain(&c.selectFlags, req, "table")
	}
	if c.Write == "-" && a.outTTY {
		return usagef("-w -: a capture file does not go to a terminal")
	}
	out, err := createExport(c.Write, c.Pcap, a.out)
	if err != nil {
		return err
	}
	f, err := c.export(a, &req, out)
	if err := errors.Join(err, out.end(err == nil)); err != nil {
		return err
	}
	a.writeFooter(c.Footer, "pcap", f)
	return nil
}

func (c *exportCmd) export(a *app, req *api.ExportRequest, out *exportFile) (*diagnoser.Footer, error) {
	w := &counter{w: out.w}
	defer a.progress(func() string { return bytesText(uint64(w.n.Load())) + " written" })()
	return c.asker(a).Export(a.ctx, req, w)
}

// An exportFile is a file that appears under its name when it is whole.
type exportFile struct {
	w    io.Writer
	f    *os.File
	path string // to rename f to; empty: f was there before
}

// createExport opens what -w names. What is there and no regular file (a FIFO, a
// device) is written to as it is.
func createExport(path, source string, stdout io.Writer) (*exportFile, error) {
	if path == "-" {
		return &exportFile{w: stdout}, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &exportFile{w: f, f: f}, err
	case err == nil:
		if in, err := os.Stat(source); source != "" && err == nil && os.SameFile(in, info) {
			return nil, usagef("-w %s: it is the file that is read", path)
		}
		// A link (also /dev/stdout, turned to a file) stays a link.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, err
		}
	}
	dir, base := filepath.Split(path)
	f, err := os.OpenFile(fmt.Sprintf("%s.%s.%d", dir, base, os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &exportFile{w: f, f: f, path: path}, nil
}

// end closes the file and, when it is whole, gives it its name.
func (e *exportFile) end(whole bool) error {
	if e.f == nil {
		return nil
	}
	err := e.f.Close()
	switch {
	case e.path == "":
		return err
	case whole && err == nil:
		return os.Rename(e.f.Name(), e.path)
	}
	return errors.Join(err, os.Remove(e.f.Name()))
}
