package gate

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestResourcesAreReleasedOnceAndNeverUnderAReceiver(t *testing.T) {
	for range 2000 {
		var in, released atomic.Int32
		woken := make(chan struct{}, 1)
		g := New(func() {
			if in.Load() != 0 {
				t.Error("released while a receiver was inside")
			}
			released.Add(1)
		}, func() { woken <- struct{}{} })
		var wg sync.WaitGroup
		wg.Go(func() {
			for g.Enter() {
				in.Store(1)
				if g.Closing() {
					<-woken
				}
				in.Store(0)
				g.Leave()
			}
		})
		for range 2 {
			wg.Go(func() {
				g.Close()
				if released.Load() != 1 {
					t.Errorf("Close returned with the resources released %d times", released.Load())
				}
			})
		}
		wg.Wait()
		if g.Enter() {
			t.Fatal("a closed gate lets a receiver in")
		}
	}
}

func TestTwoReceiversInOneQueuePanic(t *testing.T) {
	g := New(func() {}, func() {})
	g.Enter()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	g.Enter()
}
