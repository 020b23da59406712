// Command confluo-host is the agent of one hypervisor host, and its command
// line: what it installs, asks and shows goes to the running agent over its
// socket, or with --pcap through the same pipeline over a capture file.
//
// It exits with 0 on success, 1 on failure, and 2 when the command line, or an
// expression in it, is not understood.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/multilog/expr"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:])) }

// An app is what a command has of the process that it runs in.
type app struct {
	ctx    context.Context // done on SIGINT and SIGTERM
	out    io.Writer
	err    io.Writer
	outTTY bool // out is a terminal
	errTTY bool
	colour bool // of out

	// late is what went wrong beside an answer that stands: the command writes
	// its answer, and fails.
	late error
}

func run(args []string) int {
	// A write to a closed pipe is an error like any other: what is running ends
	// in order, and quietly.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	a := &app{
		ctx:    ctx,
		out:    stdout{os.Stdout},
		err:    os.Stderr,
		outTTY: term.IsTerminal(int(os.Stdout.Fd())),
		errTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
	a.colour = a.outTTY && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"

	if len(args) > 0 && args[0] == completeCommand {
		for _, word := range complete(args[1:]) {
			fmt.Fprintln(a.out, word)
		}
		return exitOK
	}
	parser, err := newParser(new(grammar))
	if err != nil {
		return a.report(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return a.report(asUsage(err))
	}
	return a.report(errors.Join(kctx.Run(a), a.late))
}

func newParser(g *grammar) (*kong.Kong, error) {
	return kong.New(g,
		kong.Name("confluo-host"),
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"socket": api.DefaultSocket},
	)
}

// stdout is standard output; it marks the error of a reader that has left.
type stdout struct{ f *os.File }

var errReaderLeft = errors.New("the reader of standard output has left")

func (s stdout) Write(b []byte) (int, error) {
	n, err := s.f.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errReaderLeft
	}
	return n, err
}

// A usageError is a mistake in the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// misunderstood reports whether err is a mistake in the command line, and the
// expression with the place of the mistake where it is in one.
func misunderstood(err error) (in *expr.Error, ok bool) {
	var usage *usageError
	var remote *api.Error
	switch {
	case errors.As(err, &in):
		return in, true
	case errors.As(err, &remote) && remote.Column > 0:
		return &expr.Error{Src: remote.Expr, Col: remote.Column}, true
	}
	return nil, errors.As(err, &usage) || errors.Is(err, api.ErrInvalid) || remote != nil && remote.Status == 400
}

// report writes err to standard error, an expression with a caret below its
// mistake, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil || errors.Is(err, errReaderLeft) {
		return exitOK
	}
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if errors.Is(err, errChecked) {
		return exitFailure
	}
	fmt.Fprintf(a.err, "confluo-host: %v\n", err)
	if errors.Is(err, api.ErrNoAgent) {
		fmt.Fprintln(a.err, "  start one with: confluo-host run -c FILE; name its socket with --socket; or read a capture file with --pcap")
	}

	caret, usage := misunderstood(err)
	if !usage {
		return exitFailure
	}
	if caret == nil {
		return exitUsage
	}
	for line := range strings.SplitSeq(caret.Caret(), "\n") {
		fmt.Fprintf(a.err, "  %s\n", line)
	}
	return exitUsage
}
