package monitor

import (
	"slices"
	"time"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A State is what an alert says of a trigger, or of one of its groups.
type State string

// The states.
const (
	Firing   State = "firing"
	Resolved State = "resolved"
)

// A Label is one attribute of a group, with its value as text.
type Label struct{ Name, Value string }

// An Alert is a change of state of a trigger, or of one of its groups. It is
// immutable: who receives one must not change it.
type Alert struct {
	Seq     uint64    // from 1 on, without a gap, in the order in which alerts are raised
	Raised  time.Time // by the clock
	State   State
	Started time.Time // Raised of the alert that said Firing

	Trigger     string // name
	Expr        string // the trigger's canonical text
	Filter      string // name of the filter; empty: all headers
	Severity    string
	Labels      map[string]string
	Annotations map[string]string

	// Group is empty without BY and TOPK. With TOPK its last label is the value
	// that is frequent.
	Group []Label

	// Value is that of the window From..To. When NoValue is set there is none
	// (no header of the group is left, or the trigger was removed), and Value is 0.
	Value     float64
	NoValue   bool
	Threshold float64
	Headers   uint64 // headers in the window that the value speaks of

	// From <= ts < To, in capture time.
	From, To time.Time

	// FirstOffset and LastOffset are the first and the last header that made
	// the window fire; an alert that resolves repeats them. HasOffsets is false
	// when there is none: a window may fire because it is empty, and retention
	// may have been faster.
	FirstOffset, LastOffset uint64
	HasOffsets              bool
}

// A Sink takes alerts. Alert is called from the goroutine that evaluates and
// must not wait. Close is called once, after the last Alert.
type Sink interface {
	Alert(a *Alert)
	Close() error
}

// A groupKey identifies a group among those of one trigger: the values of BY in
// order, then the value of TOPK.
type groupKey [expr.MaxBy]packet.Value

func compareKeys(a, b groupKey) int {
	return slices.CompareFunc(a[:], b[:], func(x, y packet.Value) int {
		switch {
		case x.Less(y):
			return -1
		case y.Less(x):
			return 1
		}
		return 0
	})
}

// groupAttrs returns the attributes that tell the groups of an aggregate apart.
func groupAttrs(a *expr.Aggregate) []packet.Attr {
	attrs := slices.Clone(a.By)
	if a.Func == expr.TopK {
		attrs = append(attrs, a.Arg)
	}
	return attrs
}

// labels writes a group as text.
func labels(attrs []packet.Attr, k *groupKey, ports *packet.PortTable) []Label {
	var out []Label
	for i, a := range attrs {
		text := string(a.Format(nil, k[i]))
		if a.Info().Kind == packet.KindPort {
			if p := ports.Get(uint16(k[i].Lo)); p != nil {
				text = p.Name
			}
		}
		out = append(out, Label{a.String(), text})
	}
	return out
}
