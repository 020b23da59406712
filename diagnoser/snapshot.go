package diagnoser

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/confluo/confluo/multilog"
)

// A Snapshot is a moment of the log that queries can name: they see the headers
// FirstOffset..EndOffset-1 whatever came in since. What it covers stays in
// memory only if Held; otherwise retention takes the oldest as ever, and
// answers say how many it took.
type Snapshot struct {
	Name        string    `json:"name"`
	FirstOffset uint64    `json:"first_offset"` // oldest header that was held
	EndOffset   uint64    `json:"end_offset"`   // the read tail that it froze
	Taken       time.Time `json:"taken"`
	Expires     time.Time `json:"expires"`
	Held        bool      `json:"held"`
}

type snapshot struct {
	Snapshot
	hold  *multilog.Hold
	timer *time.Timer
}

// Snapshot freezes the read tail under a name for as long as ttl, at most
// Options.MaxTTL.
func (d *Diagnoser) Snapshot(name string, ttl time.Duration) (Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return Snapshot{}, fmt.Errorf("diagnoser: %w", ErrClosed)
	case name == "":
		return Snapshot{}, fmt.Errorf("diagnoser: %w snapshot: it needs a name", ErrInvalid)
	case ttl <= 0 || ttl > d.opt.MaxTTL:
		return Snapshot{}, fmt.Errorf("diagnoser: %w snapshot %q: time-out %v is not within 0..%v", ErrInvalid, name, ttl, d.opt.MaxTTL)
	case d.snapshots[name] != nil:
		return Snapshot{}, fmt.Errorf("diagnoser: snapshot %q: %w", name, ErrExists)
	case len(d.snapshots) >= d.opt.MaxSnapshots:
		return Snapshot{}, fmt.Errorf("diagnoser: snapshot %q: %w: no more than %d are allowed at a time", name, ErrTooMany, d.opt.MaxSnapshots)
	}
	s := &snapshot{}
	first := d.log.First()
	if d.opt.HoldSnapshots {
		s.hold = d.log.Hold(first)
		first = max(first, d.log.First()) // what went before the hold was there
	}
	now := time.Now()
	s.Snapshot = Snapshot{Name: name, FirstOffset: first, EndOffset: d.log.ReadTail(),
		Taken: now, Expires: now.Add(ttl), Held: s.hold != nil}
	s.timer = time.AfterFunc(ttl, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.snapshots[name] == s {
			d.drop(s)
		}
	})
	d.snapshots[name] = s
	return s.Snapshot, nil
}

// Snapshots returns the snapshots there are, oldest first.
func (d *Diagnoser) Snapshots() []Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Snapshot, 0, len(d.snapshots))
	for _, s := range d.snapshots {
		out = append(out, s.Snapshot)
	}
	slices.SortFunc(out, func(a, b Snapshot) int {
		return cmp.Or(a.Taken.Compare(b.Taken), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// Release ends a snapshot before its time. Queries that already read it finish,
// without what it held.
func (d *Diagnoser) Release(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snapshots[name]
	if s == nil {
		return fmt.Errorf("diagnoser: %w: %q", ErrNoSnapshot, name)
	}
	d.drop(s)
	return nil
}

// Close ends all snapshots. Queries may still run, those of no snapshot also
// begin.
func (d *Diagnoser) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, s := range d.snapshots {
		d.drop(s)
	}
}

// drop ends s. d.mu is held.
func (d *Diagnoser) drop(s *snapshot) {
	delete(d.snapshots, s.Name)
	s.timer.Stop()
	if s.hold != nil {
		s.hold.Release()
	}
}

// snapshot returns the snapshot of that name.
func (d *Diagnoser) snapshot(name string) (Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.snapshots[name]
	if s == nil {
		return Snapshot{}, fmt.Errorf("diagnoser: %w: %q", ErrNoSnapshot, name)
	}
	return s.Snapshot, nil
}
