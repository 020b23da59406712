package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func states(as []*Alert) string {
	var out []string
	for _, a := range as {
		out = append(out, fmt.Sprintf("%s %s %v", a.Trigger, a.State, a.Value))
	}
	return strings.Join(out, ", ")
}

// send publishes n headers of 100 bytes at t, from 10.0.0.src.
func send(t testing.TB, l *multilog.Log, at int64, src byte, n int) {
	t.Helper()
	for range n {
		publish(t, l, &header{ts: at, src: src, dport: 80, flags: 2, wire: 100})
	}
}

// A window is compared as a whole: no bucket of these alone passes the
// threshold.
func TestWindowIsTheSumOverItsWholeLength(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: time.Millisecond})
	install(t, m, "sum", "SUM(pkt_len) > 450 over 10ms every 1ms")
	for i := range 10 {
		send(t, l, ms(float64(i)), 1, 1)
		m.look(at(float64(i)))
	}
	if got, want := states(m.Alerts(time.Time{})), "sum firing 500"; got != want {
		t.Fatalf("alerts %q, want %q", got, want)
	}
}

func TestFiringResolvesWhenTrafficStops(t *testing.T) {
	for name, offset := range map[string]time.Duration{"live": 0, "recorded": 5 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			m, l := newMonitor(t, Options{})
			install(t, m, "busy", "COUNT() > 2 over 100ms every 1ms")
			install(t, m, "silent", "COUNT() < 1 over 100ms every 1ms")
			send(t, l, ms(0), 1, 3)
			send(t, l, ms(50), 1, 1)
			m.look(at(50).Add(offset))
			if got, want := states(m.Alerts(time.Time{})), "busy firing 3"; got != want {
				t.Fatalf("alerts %q, want %q", got, want)
			}
			m.look(at(2000).Add(offset))
			if got, want := states(m.Alerts(time.Time{})), "busy firing 3, busy resolved 1, silent firing 0"; got != want {
				t.Fatalf("alerts %q, want %q", got, want)
			}
		})
	}
}

// A recording may pause for less than a second without its later headers
// becoming late.
func TestRecordedTrafficMayPause(t *testing.T) {
	m, l := newMonitor(t, Options{})
	install(t, m, "two", "COUNT() == 2 over 10ms every 10ms")
	year := 365 * 24 * time.Hour
	send(t, l, ms(1), 1, 1)
	m.look(at(1).Add(year))
	m.look(at(901).Add(year))
	send(t, l, ms(2), 1, 1)
	send(t, l, ms(100), 1, 1)
	m.look(at(902).Add(year))
	if got, want := states(m.Alerts(time.Time{})), "two firing 2, two resolved 0"; got != want {
		t.Fatalf("alerts %q, want %q", got, want)
	}
	if s := m.Stats(); s.Late != 0 || s.Reordered != 0 {
		t.Fatalf("late %d, reordered %d", s.Late, s.Reordered)
	}
}

func TestHeadersTooOldForEveryWindowAreCountedLate(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: 5 * time.Millisecond})
	install(t, m, "n", "COUNT() > 1 over 10ms every 1ms")
	send(t, l, ms(100), 1, 1)
	m.look(at(100))
	send(t, l, ms(50), 1, 3)
	m.look(at(100))
	info := m.Triggers()[0]
	if info.Late != 3 || info.Alerts != 0 || m.Stats().Late != 3 {
		t.Fatalf("late %d, alerts %d, stats %+v", info.Late, info.Alerts, m.Stats())
	}
	if err := m.RemoveTrigger("n"); err != nil {
		t.Fatal(err)
	}
	if m.Stats().Late != 3 {
		t.Fatalf("late headers forgotten with the trigger: %+v", m.Stats())
	}
}

// A header that is late by less than the lateness makes a window fire that was
// evaluated without it.
func TestLateHeaderFiresAnEvaluatedWindow(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: 5 * time.Millisecond})
	install(t, m, "n", "COUNT() > 1 over 1ms every 1ms")
	send(t, l, ms(95), 1, 1)
	send(t, l, ms(103), 1, 1)
	m.look(at(103)) // windows up to 98 are evaluated
	if n := len(m.Alerts(time.Time{})); n != 0 {
		t.Fatalf("%d alerts before the late header", n)
	}
	send(t, l, ms(95), 1, 1)
	m.look(at(103))
	if got, want := states(m.Alerts(time.Time{})), "n firing 2, n resolved 0"; got != want {
		t.Fatalf("alerts %q, want %q", got, want)
	}
	if info := m.Triggers()[0]; info.Reordered != 1 || info.Late != 0 {
		t.Fatalf("reordered %d, late %d", info.Reordered, info.Late)
	}
}

func TestFallingBehindSkipsAndCounts(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: time.Millisecond, MaxBehind: 10})
	install(t, m, "n", "COUNT() > 0 over 100ms every 1ms")
	install(t, m, "last", "COUNT() == 4 over 10ms every 1ms")
	for i := range 500 {
		send(t, l, ms(float64(i)), 1, 1)
	}
	for i := range 3 {
		send(t, l, ms(498-float64(i)), 1, 1)
	}
	send(t, l, ms(510), 1, 1)
	m.look(at(510))
	for _, info := range m.Triggers() {
		if info.Evaluations+info.Skipped != 509 || info.Skipped == 0 {
			t.Errorf("%s: %d evaluated, %d skipped, of 509", info.Name, info.Evaluations, info.Skipped)
		}
		if got := info.Evaluated; !got.Equal(at(509)) {
			t.Errorf("%s: evaluated up to %v, want %v", info.Name, got, at(509))
		}
	}
	if m.Stats().Skipped == 0 {
		t.Error("no skipped windows in the statistics")
	}
}

// Capture time may jump by years; windows in between are known to be empty.
func TestJumpInTimeIsNotWalked(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: time.Millisecond})
	install(t, m, "n", "COUNT() > 0 over 10ms every 1ms")
	install(t, m, "by", "COUNT() BY src_ip > 0 over 10ms every 1ms")
	send(t, l, ms(0), 1, 1)
	send(t, l, ms(1e9), 2, 1)
	send(t, l, ms(1e9+5), 2, 1)
	m.look(at(1e9 + 5))
	want := "n firing 1, n resolved 0, n firing 1"
	var n, by []*Alert
	for _, a := range m.Alerts(time.Time{}) {
		if a.Trigger == "n" {
			n = append(n, a)
		} else {
			by = append(by, a)
		}
	}
	if states(n) != want || len(by) != 3 || by[2].Group[0] != (Label{"src_ip", "10.0.0.2"}) {
		t.Fatalf("alerts %q and %q", states(n), states(by))
	}
	if s := m.Stats(); s.Skipped != 0 || s.Late != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestGroupsThatFireAreBounded(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: time.Millisecond, MaxFiring: 2})
	install(t, m, "by", "COUNT() BY src_ip > 0 over 10ms every 10ms")
	for src := range byte(5) {
		send(t, l, ms(1), src, 1)
	}
	m.look(at(1))
	m.look(at(12))
	if info := m.Triggers()[0]; info.Firing != 2 || info.FiringOverflow != 3 || m.Stats().FiringOverflow != 3 {
		t.Fatalf("firing %d, overflow %d, want 2 and 3", info.Firing, info.FiringOverflow)
	}
}

func TestGroupsWithoutRoomAreCounted(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: time.Millisecond})
	agg, err := expr.ParseAggregate("COUNT() BY src_ip")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.InstallAggregate(AggregateSpec{Name: "small", Agg: agg, MaxGroups: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.InstallTrigger(TriggerSpec{Name: "t", Aggregate: "small", Trigger: mustTrigger(t, "COUNT() BY src_ip > 0 over 10ms every 1ms")}); err != nil {
		t.Fatal(err)
	}
	for src := range byte(5) {
		send(t, l, ms(1), src, 1)
	}
	m.look(at(1))
	m.look(at(5))
	if info := m.Triggers()[0]; info.Firing != 2 || info.OverflowHeaders != 3 {
		t.Fatalf("firing %d, overflow %d, want 2 and 3", info.Firing, info.OverflowHeaders)
	}
	r, evicted, err := m.Value("small")
	if err != nil || evicted != 0 || len(r.Rows) != 2 || r.OverflowHeaders != 3 {
		t.Fatalf("value %+v, evicted %d, %v", r, evicted, err)
	}
}

func TestInstallingChecksWhatIsWrong(t *testing.T) {
	m, _ := newMonitor(t, Options{})
	if _, err := m.InstallFilter("web", mustExpr(t, "dst_port == 443")); err != nil {
		t.Fatal(err)
	}
	count, err := expr.ParseAggregate("COUNT()")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.InstallAggregate(AggregateSpec{Name: "n", Filter: "web", Agg: count, Bucket: 2 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	ok := TriggerSpec{Name: "t", Filter: "web", Trigger: mustTrigger(t, "COUNT() > 1 over 10ms every 2ms")}
	if _, err := m.InstallTrigger(ok); err != nil {
		t.Fatal(err)
	}
	if _, err := m.InstallTrigger(TriggerSpec{Name: "u", Aggregate: "n", Trigger: ok.Trigger}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*TriggerSpec)
		is     error
		text   string
	}{
		{func(s *TriggerSpec) { s.Name = "" }, nil, "needs a name"},
		{func(s *TriggerSpec) { s.Name = "t" }, multilog.ErrExists, `"t"`},
		{func(s *TriggerSpec) { s.Filter = "nix" }, multilog.ErrNotFound, `filter "nix"`},
		{func(s *TriggerSpec) { s.Filter, s.Aggregate = "", "nix" }, multilog.ErrNotFound, `aggregate "nix"`},
		{func(s *TriggerSpec) { s.Trigger = nil }, nil, "no condition"},
		{func(s *TriggerSpec) { s.Trigger = mustTrigger(t, "COUNT() > 1 over 10ms every 3ms") }, nil, "window 10ms is not a multiple of every 3ms"},
		{func(s *TriggerSpec) { s.Trigger = mustTrigger(t, "COUNT() > 1 over 1h every 1ms") }, nil, "evaluate it every 3ms or more"},
		{func(s *TriggerSpec) {
			s.Filter, s.Aggregate = "", "n"
			s.Trigger = mustTrigger(t, "COUNT() > 1 over 3ms every 3ms")
		}, nil, "not a multiple of the bucket"},
		{func(s *TriggerSpec) {
			s.Filter, s.Aggregate = "", "n"
			s.Trigger = mustTrigger(t, "SUM(pkt_len) > 1 over 2ms every 2ms")
		}, nil, "is COUNT(), not SUM(pkt_len)"},
		{func(s *TriggerSpec) { s.Labels = map[string]string{"a-b": "c"} }, nil, `label "a-b"`},
		{func(s *TriggerSpec) { s.Labels = map[string]string{"severity": "c"} }, nil, "set by the agent"},
		{func(s *TriggerSpec) { s.Annotations = map[string]string{"1": "c"} }, nil, `annotation "1"`},
	} {
		s := ok
		s.Name = "new"
		c.change(&s)
		_, err := m.InstallTrigger(s)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("error %v, want one with %q", err, c.text)
		}
	}
	if err := m.RemoveFilter("web"); !errors.Is(err, multilog.ErrInUse) || !strings.Contains(err.Error(), `aggregate "n", trigger "t"`) {
		t.Errorf("filter in use: %v", err)
	}
	if err := m.RemoveAggregate("n"); !errors.Is(err, multilog.ErrInUse) {
		t.Errorf("aggregate in use: %v", err)
	}
	if err := m.RemoveTrigger("nix"); !errors.Is(err, multilog.ErrNotFound) {
		t.Errorf("no such trigger: %v", err)
	}
	for _, err := range []error{m.RemoveTrigger("t"), m.RemoveTrigger("u"), m.RemoveAggregate("n"), m.RemoveFilter("web")} {
		if err != nil {
			t.Error(err)
		}
	}
	if as := m.log.Aggregates(); len(as) != 0 {
		t.Errorf("%d aggregates are left in the log", len(as))
	}
}

func TestSlowFollowerIsCutOffAndOthersAreNot(t *testing.T) {
	m, l := newMonitor(t, Options{Lateness: time.Millisecond, Follow: 4, Keep: 10})
	install(t, m, "n", "COUNT() > 0 over 1ms every 1ms")
	ctx, cancel := context.WithCancel(context.Background())
	slow, fast, gone := m.Follow(context.Background()), m.Follow(context.Background()), m.Follow(ctx)
	cancel()
	if _, open := <-gone; open {
		t.Fatal("an alert before any was raised")
	}
	got := 0
	for i := range 20 {
		send(t, l, ms(float64(10*i)), 1, 1)
		m.look(at(float64(10 * i)))
		for len(fast) > 0 {
			if a := <-fast; a.Seq != uint64(got+1) {
				t.Fatalf("alert %d after %d", a.Seq, got)
			}
			got++
		}
	}
	if got < 30 {
		t.Fatalf("the fast follower got %d alerts", got)
	}
	n := 0
	for range slow {
		n++
	}
	if n != 4 || m.Stats().FollowersCut != 1 {
		t.Fatalf("the slow follower got %d alerts, %d were cut off", n, m.Stats().FollowersCut)
	}
	if kept := m.Alerts(time.Time{}); len(kept) != 10 || kept[9].Seq != uint64(got) {
		t.Fatalf("%d alerts kept", len(kept))
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-fast; open {
		t.Fatal("a follower outlives the monitor")
	}
	if _, open := <-m.Follow(context.Background()); open {
		t.Fatal("a closed monitor is followed")
	}
}

// The goroutine itself, with the real clock.
func TestMonitorRuns(t *testing.T) {
	m, l := newMonitor(t, Options{})
	install(t, m, "n", "COUNT() > 9 over 50ms every 1ms")
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err == nil {
		t.Error("started twice")
	}
	alerts := m.Follow(context.Background())
	send(t, l, time.Now().UnixNano(), 1, 10)
	for _, want := range []State{Firing, Resolved} {
		select {
		case a := <-alerts:
			if a.State != want {
				t.Fatalf("state %s, want %s", a.State, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no alert %s within a minute", want)
		}
	}
}

func TestNothingNewAllocatesNothing(t *testing.T) {
	m, l := newMonitor(t, Options{})
	for i := range 100 {
		install(t, m, fmt.Sprintf("n%d", i), fmt.Sprintf("COUNT() > %d over 100ms every 1ms", i))
		install(t, m, fmt.Sprintf("g%d", i), fmt.Sprintf("COUNT() BY src_ip > %d over 100ms every 1ms", i))
	}
	send(t, l, ms(0), 1, 50)
	m.look(at(0))
	m.look(at(50))
	now := 51.0
	if n := testing.AllocsPerRun(40, func() { m.look(at(now)); now++ }); n != 0 {
		t.Fatalf("%v allocations a look", n)
	}
}
