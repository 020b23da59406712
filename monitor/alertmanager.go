package monitor

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Labels that the agent sets.
const (
	labelName     = "alertname"
	labelSeverity = "severity"
	labelHost     = "host"
)

// validLabel reports whether Prometheus takes name as that of a label:
// [a-zA-Z_][a-zA-Z0-9_]*.
func validLabel(name string) bool { return name != "" && labelOf(name) == name }

// labelOf makes the name of a label of any name, _ standing for what it may not
// hold.
func labelOf(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_', r >= '0' && r <= '9' && i > 0:
			b.WriteRune(r)
		case r >= '0' && r <= '9':
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// A postableAlert is an alert as Alertmanager's API v2 takes it (its
// api/v2/openapi.yaml, postableAlert).
type postableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// postable writes a. An alert that fires ends at until unless it is sent again.
// Times are by the clock, not capture times: Alertmanager compares them with
// its own.
func postable(a *Alert, host, generator string, until time.Time) postableAlert {
	p := postableAlert{Labels: identity(a, host), StartsAt: a.Started, EndsAt: until, GeneratorURL: generator}
	if a.State == Resolved {
		p.EndsAt = a.Raised
	}
	p.Annotations = map[string]string{
		"summary":     summary(a),
		"expression":  a.Expr,
		"value":       formatValue(a.Value),
		"threshold":   formatValue(a.Threshold),
		"window_from": a.From.Format(time.RFC3339Nano),
		"window_to":   a.To.Format(time.RFC3339Nano),
	}
	if a.NoValue {
		p.Annotations["value"] = "none"
	}
	if a.Filter != "" {
		p.Annotations["filter"] = a.Filter
	}
	if a.HasOffsets {
		p.Annotations["first_offset"] = strconv.FormatUint(a.FirstOffset, 10)
		p.Annotations["last_offset"] = strconv.FormatUint(a.LastOffset, 10)
	}
	for k, v := range a.Annotations {
		p.Annotations[k] = v
	}
	return p
}

// identity returns the labels by which Alertmanager tells alerts apart. It takes
// no empty ones.
func identity(a *Alert, host string) map[string]string {
	l := map[string]string{}
	for k, v := range a.Labels {
		l[k] = v
	}
	for _, g := range a.Group {
		l[labelOf(g.Name)] = g.Value
	}
	l[labelName], l[labelSeverity], l[labelHost] = a.Trigger, a.Severity, host
	for k, v := range l {
		if v == "" {
			delete(l, k)
		}
	}
	return l
}

func formatValue(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// summary says in a line what happened.
func summary(a *Alert) string {
	var b strings.Builder
	b.WriteString(a.Trigger)
	for i, g := range a.Group {
		sep := ", "
		if i == 0 {
			sep = " for "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, g.Name, g.Value)
	}
	value := formatValue(a.Value)
	if a.NoValue {
		value = "none"
	}
	fmt.Fprintf(&b, " is %s: %s, value %s", a.State, a.Expr, value)
	return b.String()
}
