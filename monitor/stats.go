package monitor

import (
	"cmp"
	"slices"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// value folds all that an aggregate has seen.
type value struct {
	state  *fold.State
	part   fold.Partial
	scalar bool
	agg    *expr.Aggregate
}

// Partial implements multilog.Folder.
func (v *value) Partial(_ int64, p *fold.Partial) { v.part.Merge(*p) }

// Rows implements multilog.Folder.
func (v *value) Rows(_ int64, c *packet.Columns, m *packet.Bitmap) {
	if v.scalar {
		v.part.Merge(fold.FoldScalar(v.agg, c, m))
		return
	}
	v.state.Add(c, m)
}

// Filters returns the installed filters, in the order of installation.
func (m *Monitor) Filters() []*multilog.Filter { return m.log.Filters() }

// An AggregateInfo is an installed aggregate.
type AggregateInfo struct {
	AggregateSpec
	FromOffset uint64 // it saw every header from here on, and none before
	Triggers   int    // on it
}

// Aggregates returns the aggregates that InstallAggregate installed, by name.
func (m *Monitor) Aggregates() []AggregateInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	on := map[string]int{}
	for _, t := range m.triggers {
		on[t.spec.Aggregate]++
	}
	var out []AggregateInfo
	for name, a := range m.aggregates {
		info := AggregateInfo{a.spec, a.log.From(), on[name]}
		info.Bucket = a.log.Bucket()
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b AggregateInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// A TriggerInfo is an installed trigger and what became of it.
type TriggerInfo struct {
	TriggerSpec
	FromOffset  uint64    // its windows hold every header from here on, and none before
	Evaluations uint64    // window ends evaluated
	Firing      int       // groups that fire now; 0 or 1 without BY and TOPK
	LastFired   time.Time // zero: never
	Alerts      uint64    // raised

	// Evaluated is the end of the newest window that was evaluated, in capture
	// time; zero before the first header.
	Evaluated time.Time

	// FiringOverflow counts, at each evaluation, groups that should have fired
	// and found no room (Options.MaxFiring).
	FiringOverflow uint64
	// OverflowHeaders are the headers of the newest window compared whose group
	// or value found no room (MaxGroups): they count in no group.
	OverflowHeaders uint64

	// Of the series of windows that the trigger shares with others that have
	// the same filter, aggregate and distance of evaluations:
	Late      uint64 // headers that came too late for every window
	Reordered uint64 // headers that came after their window was evaluated, and count
	Skipped   uint64 // windows not evaluated, because the monitor fell behind (Options.MaxBehind)
}

// Triggers returns the installed triggers, by name.
func (m *Monitor) Triggers() []TriggerInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]TriggerInfo, 0, len(m.triggers))
	for _, t := range m.triggers {
		out = append(out, m.info(t))
	}
	slices.SortFunc(out, func(a, b TriggerInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (m *Monitor) info(t *trigger) TriggerInfo {
	w := t.win
	info := TriggerInfo{
		TriggerSpec: t.spec.clone(), FromOffset: w.s.from,
		Evaluations: w.evaluations - t.before, Firing: t.firing, LastFired: t.lastFired, Alerts: t.alerts,
		FiringOverflow: t.overflow, OverflowHeaders: w.rows.OverflowHeaders,
		Late: w.s.tooLate, Reordered: w.s.reordered, Skipped: w.s.skipped,
	}
	if w.s.started {
		info.Evaluated = time.Unix(0, w.s.end*w.s.every).UTC()
	}
	return info
}

// counts are those of Stats that outlive what they count.
type counts struct {
	Evaluations uint64 // windows compared, a trigger
	Overflow    uint64 // see TriggerInfo.FiringOverflow
	Late        uint64 // see TriggerInfo, each series counted once
	Reordered   uint64
	Skipped     uint64
}

// Stats are counts of the whole monitor; those of events never go back.
type Stats struct {
	Triggers     int
	Firing       int    // triggers that fire
	FiringGroups int    // groups that fire
	Alerts       uint64 // raised
	FollowersCut uint64 // followers that were too slow
	Evicted      uint64 // headers that retention took before a trigger's source had read them

	Evaluations    uint64 // windows compared with a threshold, or known to be as before
	FiringOverflow uint64 // see TriggerInfo
	Late           uint64
	Reordered      uint64
	Skipped        uint64

	ReadTo    uint64    // offset up to which the log was looked at
	Watermark time.Time // windows that end up to here are evaluated; zero before the first header
}

// Stats returns the counts of now.
func (m *Monitor) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{
		Triggers: len(m.triggers), Evicted: m.evicted, ReadTo: m.pos,
		Evaluations: m.gone.Evaluations, FiringOverflow: m.gone.Overflow,
		Late: m.gone.Late, Reordered: m.gone.Reordered, Skipped: m.gone.Skipped,
	}
	s.Alerts, s.FollowersCut = m.journal.counts()
	for _, t := range m.triggers {
		if t.firing > 0 {
			s.Firing++
		}
		s.FiringGroups += t.firing
		s.Evaluations += t.win.evaluations - t.before
		s.FiringOverflow += t.overflow
	}
	for _, src := range m.order {
		for _, sr := range src.series {
			s.Late += sr.tooLate
			s.Reordered += sr.reordered
			s.Skipped += sr.skipped
		}
	}
	if m.clock.known {
		s.Watermark = time.Unix(0, m.clock.last-int64(m.opt.Lateness)).UTC()
	}
	return s
}
