package monitor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
)

// MaxWindow is how many times its distance of evaluations a window may be long.
const MaxWindow = 1 << 20

// TriggerSpec describes a trigger to install.
type TriggerSpec struct {
	Name string
	// Filter names an installed filter; empty means all headers.
	Filter string
	// Aggregate names an installed aggregate, which Trigger.Agg must equal.
	// Empty: the trigger brings its own. A trigger's buckets are as wide as its
	// Every, so Every must be a multiple of a named aggregate's bucket.
	Aggregate string
	// Trigger.Window must be a multiple of Trigger.Every, at most MaxWindow times.
	Trigger     *expr.Trigger
	Severity    string
	Labels      map[string]string
	Annotations map[string]string
}

// Validate says what is wrong with the specification by itself. Whether its
// filter or aggregate exists is for InstallTrigger to tell.
func (s *TriggerSpec) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("monitor: trigger %q: %w", s.Name, fmt.Errorf(format, args...))
	}
	if s.Name == "" {
		return fmt.Errorf("monitor: a trigger needs a name")
	}
	tr := s.Trigger
	if tr == nil {
		return bad("it has no condition")
	}
	if err := fold.Check(&tr.Agg); err != nil {
		return bad("%w", err)
	}
	switch {
	case tr.Op > expr.Ne:
		return bad("comparison %d does not exist", tr.Op)
	case tr.Every <= 0:
		return bad("every %v is not longer than 0", tr.Every)
	case tr.Window < tr.Every || tr.Window%tr.Every != 0:
		return bad("window %v is not a multiple of every %v", tr.Window, tr.Every)
	case tr.Window/tr.Every > MaxWindow:
		least := (tr.Window + MaxWindow - 1) / MaxWindow
		return bad("window %v is more than %d times every %v: evaluate it every %v or more", tr.Window, MaxWindow, tr.Every, least.Round(time.Millisecond))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		if !validLabel(name) {
			return bad("label %q: want letters, digits and _, beginning with no digit", name)
		}
		switch name {
		case labelName, labelSeverity, labelHost:
			return bad("label %q is set by the agent", name)
		}
		for _, a := range groupAttrs(&tr.Agg) {
			if name == labelOf(a.String()) {
				return bad("label %q is that of the groups", name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Annotations)) {
		if !validLabel(name) {
			return bad("annotation %q: want letters, digits and _, beginning with no digit", name)
		}
	}
	return nil
}

// clone returns a copy that shares nothing that a caller may change.
func (s TriggerSpec) clone() TriggerSpec {
	tr := *s.Trigger
	tr.Agg.By = slices.Clone(tr.Agg.By)
	s.Trigger = &tr
	s.Labels, s.Annotations = maps.Clone(s.Labels), maps.Clone(s.Annotations)
	return s
}
