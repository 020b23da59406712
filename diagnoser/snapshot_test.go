package diagnoser_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

func TestASnapshotFreezesWhatAQuestionSees(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 64}, diagnoser.Options{})
	hs := traffic(9_000)
	write(t, l, hs[:5_000])
	s, err := d.Snapshot("before", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, hs[5_000:])
	n, f, err := d.Count(context.Background(), diagnoser.Query{Snapshot: "before"})
	if err != nil || n != 5_000 || f.EndOffset != 5_000 || s.EndOffset != 5_000 || s.Held {
		t.Errorf("count %d, %v, footer %+v, snapshot %+v", n, err, f, s)
	}
	if all := d.Snapshots(); len(all) != 1 || all[0] != s {
		t.Errorf("snapshots %+v", all)
	}
	if err := d.Release("before"); err != nil {
		t.Error(err)
	}
	if _, _, err := d.Count(context.Background(), diagnoser.Query{Snapshot: "before"}); !errors.Is(err, diagnoser.ErrNoSnapshot) {
		t.Errorf("count of a released snapshot: %v", err)
	}
	if err := d.Release("before"); !errors.Is(err, diagnoser.ErrNoSnapshot) {
		t.Errorf("released twice: %v", err)
	}
}

func TestASnapshotEndsWithItsTime(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{HoldSnapshots: true})
	write(t, l, traffic(100))
	if _, err := d.Snapshot("short", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(d.Snapshots()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the snapshot does not end")
		}
	}
	write(t, l, traffic(60_000)) // would stay full if the hold were still there
}

func TestWhatASnapshotCoversGoesUnlessItIsHeld(t *testing.T) {
	for name, hold := range map[string]bool{"held": true, "not held": false} {
		t.Run(name, func(t *testing.T) {
			l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{HoldSnapshots: hold})
			hs := traffic(60_000)
			write(t, l, hs[:10_000])
			if _, err := d.Snapshot("s", time.Hour); err != nil {
				t.Fatal(err)
			}
			next := 10_000
			for ; hold && fits(t, l, hs[next:next+100]); next += 100 {
			}
			if !hold {
				next = 40_000
				write(t, l, hs[10_000:next])
			}
			n, f, err := d.Count(context.Background(), diagnoser.Query{Snapshot: "s"})
			if err != nil {
				t.Fatal(err)
			}
			lost := f.Dropped[diagnoser.Retention]
			if n+lost != 10_000 || (lost == 0) != hold {
				t.Errorf("%d headers, %d lost", n, lost)
			}
			if err := d.Release("s"); err != nil {
				t.Fatal(err)
			}
			write(t, l, hs[next:]) // what was held may go
		})
	}
}

func TestSnapshotsAreBounded(t *testing.T) {
	l, d := newDiagnoser(t, multilog.Options{SegmentHeaders: 1024, Segments: 16}, diagnoser.Options{MaxSnapshots: 2, MaxTTL: time.Hour})
	write(t, l, traffic(10))
	for _, c := range []struct {
		name string
		ttl  time.Duration
		want error
	}{
		{"", time.Minute, diagnoser.ErrInvalid},
		{"a", 0, diagnoser.ErrInvalid},
		{"a", 2 * time.Hour, diagnoser.ErrInvalid},
		{"a", time.Hour, nil},
		{"a", time.Minute, diagnoser.ErrExists},
		{"b", time.Minute, nil},
		{"c", time.Minute, diagnoser.ErrTooMany},
	} {
		if _, err := d.Snapshot(c.name, c.ttl); !errors.Is(err, c.want) {
			t.Errorf("snapshot %q for %v: %v, want %v", c.name, c.ttl, err, c.want)
		}
	}
	d.Close()
	if all := d.Snapshots(); len(all) != 0 {
		t.Errorf("snapshots after the end: %v", all)
	}
	if _, err := d.Snapshot("d", time.Minute); !errors.Is(err, diagnoser.ErrClosed) {
		t.Errorf("snapshot after the end: %v", err)
	}
}

// fits writes hs, or reports that memory is full.
func fits(t *testing.T, l *multilog.Log, hs []header) bool {
	if l.WriteTail()+uint64(len(hs))+packet.ChunkSize > l.Capacity() {
		_, ok := l.Claim(len(hs))
		if ok {
			t.Fatal("more was claimed than fits")
		}
		return false
	}
	write(t, l, hs)
	return true
}
