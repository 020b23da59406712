package monitor

import (
	"context"
	"sync"
	"time"
)

// A journal keeps the newest alerts and passes new ones to followers.
type journal struct {
	mu        sync.Mutex
	ring      []*Alert // as many as are kept, in the order of their numbers modulo len
	seq       uint64   // of the last
	waiting   int      // alerts that may wait for a follower
	followers map[*follower]struct{}
	cut       uint64
	closed    bool
}

type follower struct {
	c    chan *Alert
	stop func() bool // ends the wait for the follower's context
}

func newJournal(keep, waiting int) *journal {
	return &journal{ring: make([]*Alert, keep), waiting: waiting, followers: map[*follower]struct{}{}}
}

// add numbers a and passes it on. A follower that has not taken earlier ones is
// cut off.
func (j *journal) add(a *Alert) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	a.Seq = j.seq
	j.ring[a.Seq%uint64(len(j.ring))] = a
	for f := range j.followers {
		select {
		case f.c <- a:
		default:
			j.remove(f)
			j.cut++
		}
	}
}

// remove closes f's channel, once.
func (j *journal) remove(f *follower) {
	if _, ok := j.followers[f]; ok {
		delete(j.followers, f)
		f.stop()
		close(f.c)
	}
}

func (j *journal) since(t time.Time) []*Alert {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []*Alert
	n := uint64(len(j.ring))
	first := uint64(1)
	if j.seq > n {
		first = j.seq - n + 1
	}
	for s := first; s <= j.seq; s++ {
		if a := j.ring[s%n]; !a.Raised.Before(t) {
			out = append(out, a)
		}
	}
	return out
}

func (j *journal) follow(ctx context.Context) <-chan *Alert {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := &follower{c: make(chan *Alert, j.waiting)}
	if j.closed {
		close(f.c)
		return f.c
	}
	j.followers[f] = struct{}{}
	f.stop = context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.remove(f)
	})
	return f.c
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for f := range j.followers {
		j.remove(f)
	}
}

func (j *journal) counts() (alerts, cut uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq, j.cut
}
