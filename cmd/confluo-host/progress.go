package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// progressAfter is how long a command runs before it shows its progress: what
// is done at once needs none.
const progressAfter = 400 * time.Millisecond

// progress shows on a terminal how far a long command is: what line says, on one
// line of standard error, rewritten now and then and gone after stop. Where
// standard error is no terminal it does nothing. A line must fit a terminal; it
// is asked for from another goroutine.
func (a *app) progress(line func() string) (stop func()) {
	if !a.errTTY {
		return func() {}
	}
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTimer(progressAfter)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-end:
				if shown {
					fmt.Fprint(a.err, "\r\x1b[K")
				}
				return
			case <-tick.C:
				fmt.Fprintf(a.err, "\r\x1b[K%s", line())
				shown = true
				tick.Reset(200 * time.Millisecond)
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		done.Wait()
	})
}

// A counter is a writer that counts what goes through it.
type counter struct {
	w io.Writer
	n atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(int64(n))
	return n, err
}
