package agent

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestGateIsClosedWhenEveryoneHasLeft(t *testing.T) {
	var g gate
	if g.enter() {
		t.Fatal("a gate is open before it was unlocked")
	}
	g.unlock()
	var gone atomic.Bool // what the gate guards
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for g.enter() {
				if nested := g.enter(); nested {
					g.leave()
				}
				if gone.Load() {
					t.Error("it was gone while someone was inside")
				}
				g.leave()
			}
		})
	}
	g.close()
	gone.Store(true)
	wg.Wait()
	if g.enter() {
		t.Error("a closed gate lets someone in")
	}
}

func TestGateClosesWhenNobodyIsInside(t *testing.T) {
	var g gate
	g.unlock()
	g.close()
}
