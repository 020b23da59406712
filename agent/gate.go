package agent

import "sync"

// A gate counts those who use something that shall be taken away: when it is
// closed nobody comes in any more, and close waits until all have left.
type gate struct {
	mu     sync.Mutex
	open   bool
	inside int
	empty  chan struct{} // closed when the last one leaves a closed gate
}

// unlock lets users in.
func (g *gate) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
}

// enter reports whether the gate is open; if so, leave must be called. It may be
// entered by who is inside already, but may be closed then.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.inside++
	}
	return g.open
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
	}
}

// close keeps everyone out and waits for those inside. It is called once.
func (g *gate) close() {
	g.mu.Lock()
	g.open = false
	empty := make(chan struct{})
	if g.inside > 0 {
		g.empty = empty
	} else {
		close(empty)
	}
	g.mu.Unlock()
	<-empty
}
