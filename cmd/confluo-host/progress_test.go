package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// A terminal keeps what is written to it.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func TestProgressIsShownOnATerminalAndGoneAfterwards(t *testing.T) {
	term := new(terminal)
	stop := (&app{err: term, errTTY: true}).progress(func() string { return "half way" })
	for range 1000 {
		if strings.Contains(term.String(), "half way") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	stop() // once more does nothing
	if s := term.String(); !strings.Contains(s, "\r\x1b[Khalf way") || !strings.HasSuffix(s, "\r\x1b[K") {
		t.Errorf("shown %q", s)
	}
	// What is over before it is worth a line shows none, nor does anything
	// elsewhere than on a terminal.
	quick, file := new(terminal), new(terminal)
	(&app{err: quick, errTTY: true}).progress(func() string { return "half way" })()
	stop = (&app{err: file}).progress(func() string { return "half way" })
	time.Sleep(2 * progressAfter)
	stop()
	if quick.String() != "" || file.String() != "" {
		t.Errorf("shown %q, %q", quick.String(), file.String())
	}
}
