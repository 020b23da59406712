package monitor

import (
	"slices"
	"time"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A trigger is an installed trigger.
type trigger struct {
	spec  TriggerSpec
	text  string
	attrs []packet.Attr // that tell its groups apart
	win   *window

	since  int64  // ends up to here were evaluated before it was there
	before uint64 // evaluations of its window until then

	episodes  map[groupKey]*episode
	firing    int
	lastFired time.Time
	alerts    uint64
	overflow  uint64
}

// An episode is a group that fires, or has fired so recently that a late header
// could have one of the windows of that time evaluated again.
type episode struct {
	firing bool
	last   int64  // when it does not fire: the last end that it fired at
	mark   uint64 // evaluation that found it firing
	alert  *Alert // that said so
}

// A candidate is a group whose value some trigger may fire for.
type candidate struct {
	key     groupKey
	value   float64
	headers uint64
}

// An evaluation is the memory that evaluating windows takes, and where the
// alerts go.
type evaluation struct {
	log       *multilog.Log
	maxFiring int
	now       time.Time
	raise     func(*Alert)

	mark     uint64
	raised   []raisedAlert // by the window being evaluated
	resolved []groupKey
	spans    map[groupKey]*span
}

type raisedAlert struct {
	alert *Alert
	key   groupKey
}

// evaluate compares w with its triggers' thresholds. A window of the past was
// evaluated before: it may raise an alert for a group that has not fired since,
// and resolves none.
func (ev *evaluation) evaluate(w *window, past bool) {
	if !w.changed {
		return
	}
	if w.state == nil {
		ev.scalar(w, past)
	} else {
		ev.groups(w, past)
	}
	// What changed is still to be compared with at the newest end.
	w.changed = past
	if len(ev.raised) == 0 {
		return
	}
	ev.locate(w)
	ev.flush()
}

// flush delivers the alerts raised.
func (ev *evaluation) flush() {
	for i, r := range ev.raised {
		ev.raise(r.alert)
		ev.raised[i] = raisedAlert{}
	}
	ev.raised = ev.raised[:0]
}

func (ev *evaluation) scalar(w *window, past bool) {
	v, ok := w.scalar()
	for i := range w.triggers {
		c := &w.triggers[i]
		if on := ok && c.op.Compare(v, c.threshold); on == c.firing {
			continue
		}
		t := c.t
		if w.end <= t.since {
			continue
		}
		var key groupKey
		if c.firing {
			if !past {
				ev.resolve(t, key, v, !ok, w.part.Headers)
				c.firing = false
			}
			continue
		}
		c.firing = ev.fire(t, candidate{key, v, w.part.Headers})
	}
}

func (ev *evaluation) groups(w *window, past bool) {
	ev.candidates(w)
	if len(w.found) == 0 && w.tracking == 0 {
		return
	}
	for i := range w.triggers {
		c := &w.triggers[i]
		t := c.t
		if w.end <= t.since {
			continue
		}
		ev.mark++
		for j := range w.found {
			f := &w.found[j]
			if !c.op.Compare(f.value, c.threshold) {
				continue
			}
			if ep := t.episodes[f.key]; ep != nil && ep.firing {
				ep.mark = ev.mark
			} else if ev.fire(t, *f) {
				t.episodes[f.key].mark = ev.mark
			}
		}
		if past || len(t.episodes) == 0 {
			continue
		}
		ev.sweep(t)
	}
}

// candidates lists the groups of w whose values a trigger may fire for.
func (ev *evaluation) candidates(w *window) {
	w.state.ReadIf(&w.rows, w.wants)
	w.found = w.found[:0]
	for i := range w.rows.Rows {
		row := &w.rows.Rows[i]
		var f candidate
		n := copy(f.key[:], row.Group)
		if w.s.src.spec.Func != expr.TopK {
			f.value, _ = row.Value.Float()
			f.headers = row.Headers
			w.found = append(w.found, f)
			continue
		}
		for _, top := range row.Top {
			f.key[n], f.value, f.headers = top.Value, float64(top.Count), top.Count
			w.found = append(w.found, f)
		}
	}
}

// sweep resolves the groups of t that fire and were not found to, and forgets
// those that fired long ago.
func (ev *evaluation) sweep(t *trigger) {
	w := t.win
	ev.resolved = ev.resolved[:0]
	for key, ep := range t.episodes {
		switch {
		case ep.firing && ep.mark != ev.mark:
			ev.resolved = append(ev.resolved, key)
		case !ep.firing && ep.last <= w.end-w.s.late:
			delete(t.episodes, key)
			w.tracking--
		}
	}
	if len(ev.resolved) == 0 {
		return
	}
	slices.SortFunc(ev.resolved, compareKeys)
	w.state.Read(&w.all)
	for _, key := range ev.resolved {
		v, headers, ok := valueOf(&w.all, len(w.s.src.spec.By), &key)
		ev.resolve(t, key, v, !ok, headers)
	}
}

// valueOf looks a group up in a result whose groups are by attributes.
func valueOf(r *fold.Result, by int, key *groupKey) (v float64, headers uint64, ok bool) {
	i, found := slices.BinarySearchFunc(r.Rows, key, func(row fold.Row, key *groupKey) int {
		var k groupKey
		copy(k[:by], row.Group)
		want := *key
		clear(want[by:])
		return compareKeys(k, want)
	})
	if !found {
		return 0, 0, false
	}
	row := &r.Rows[i]
	if r.Agg.Func != expr.TopK {
		v, ok = row.Value.Float()
		return v, row.Headers, ok
	}
	for _, top := range row.Top {
		if top.Value == key[by] {
			return float64(top.Count), top.Count, true
		}
	}
	return 0, 0, false
}

// fire raises an alert for a group that does not fire, unless it fired at a
// later end already or there is no room. It reports whether the group fires.
func (ev *evaluation) fire(t *trigger, f candidate) bool {
	ep := t.episodes[f.key]
	if ep != nil && t.win.end <= ep.last {
		return false
	}
	if t.firing >= ev.maxFiring {
		t.overflow++
		return false
	}
	if ep == nil {
		ep = new(episode)
		t.episodes[f.key] = ep
		t.win.tracking++
	}
	ep.firing = true
	t.firing++
	a := ev.alert(t, Firing, f.value, f.headers)
	a.Started = ev.now
	a.Group = labels(t.attrs, &f.key, ev.log.Options().Ports)
	ep.alert = a
	t.lastFired = ev.now
	ev.raised = append(ev.raised, raisedAlert{a, f.key})
	return true
}

func (ev *evaluation) resolve(t *trigger, key groupKey, v float64, none bool, headers uint64) {
	ep := t.episodes[key]
	a := ev.alert(t, Resolved, v, headers)
	a.NoValue = none
	was := ep.alert
	a.Started, a.Group = was.Started, was.Group
	ep.firing, ep.last, ep.alert = false, t.win.end-1, nil
	t.firing--
	a.FirstOffset, a.LastOffset, a.HasOffsets = was.FirstOffset, was.LastOffset, was.HasOffsets
	ev.raised = append(ev.raised, raisedAlert{a, key})
}

// alert makes an alert about the present end of t's window.
func (ev *evaluation) alert(t *trigger, s State, v float64, headers uint64) *Alert {
	t.alerts++
	w := t.win
	return &Alert{
		Raised: ev.now, State: s,
		Trigger: t.spec.Name, Expr: t.text, Filter: w.s.src.agg.Filter().Name(),
		Severity: t.spec.Severity, Labels: t.spec.Labels, Annotations: t.spec.Annotations,
		Value: v, Threshold: t.spec.Trigger.Threshold, Headers: headers,
		From: time.Unix(0, (w.end-w.n)*w.s.every).UTC(), To: time.Unix(0, w.end*w.s.every).UTC(),
	}
}
