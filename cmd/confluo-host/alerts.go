package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/confluo/confluo/api"
)

type alertsCmd struct {
	listFlags
	Follow bool     `short:"f" help:"Go on with the alerts to come, until interrupted."`
	Since  timeFlag `placeholder:"TIME" help:"Alerts raised at this time or later, such as --since=-10m; with --follow, those before the ones to come."`
}

// Help implements kong.HelpProvider.
func (*alertsCmd) Help() string {
	return "Examples:\n\n  confluo-host alerts --since -1h -o json\n\n  confluo-host alerts --follow"
}

var alertColumns = []column[api.Alert]{
	{name: "time", usual: 30, text: func(v *api.Alert) string { return timeText(v.Time) }},
	{name: "state", usual: 8, text: func(v *api.Alert) string { return v.State }},
	{name: "severity", usual: 8, text: func(v *api.Alert) string { return v.Severity }},
	{name: "trigger", usual: 16, text: func(v *api.Alert) string { return v.Trigger }},
	{name: "group", usual: 24, text: func(v *api.Alert) string { return groupText(v.Group) }},
	{name: "value", usual: 12, number: true, text: func(v *api.Alert) string {
		if v.NoValue {
			return ""
		}
		return numberText(v.Value)
	}},
	{name: "threshold", usual: 12, number: true, text: func(v *api.Alert) string { return numberText(v.Threshold) }},
	{name: "window", usual: 8, text: func(v *api.Alert) string { return v.WindowTo.Sub(v.WindowFrom).String() }},
	{name: "offsets", usual: 20, text: func(v *api.Alert) string {
		if v.NoOffsets {
			return ""
		}
		return fmt.Sprintf("%d..%d", v.FirstOffset, v.LastOffset)
	}},
	{name: "expr", text: func(v *api.Alert) string { return v.Expr }},
}

func (c *alertsCmd) Run(a *app) error {
	if !c.Follow {
		l, err := c.client().Alerts(a.ctx, c.Since.t)
		if err != nil {
			return err
		}
		return list(a, &c.listFlags, l, alertColumns)
	}
	if c.Output == "json" {
		return usagef("--follow goes with -o table, ndjson and csv: what has no end is no JSON")
	}
	seen := 0
	write, err := c.writer(a)
	if err != nil {
		return err
	}
	err = c.client().Follow(a.ctx, c.Since.t, func(v api.Alert) error {
		if err := write(&v); err != nil {
			return err
		}
		if seen++; seen == c.Limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || a.ctx.Err() != nil { // to be interrupted is how it ends
		return nil
	}
	return err
}

var errEnough = errors.New("as many as asked for")

// writer returns what writes one alert as it comes. A table cannot fit its
// columns to what has not come yet; they have room for the usual.
func (c *alertsCmd) writer(a *app) (func(*api.Alert) error, error) {
	columns, err := choose(&c.rowFlags, alertColumns)
	if err != nil {
		return nil, err
	}
	header := true
	return func(v *api.Alert) error {
		var b strings.Builder
		switch c.Output {
		case "ndjson":
			return a.writeJSON(c.Output, v)
		case "csv":
			if header {
				csvHeader(&b, columns)
			}
			csvLine(&b, columns, v)
		default:
			width := make([]int, len(columns))
			for i, col := range columns {
				width[i] = max(col.usual, len(col.name))
			}
			if header {
				b.WriteString(bold(tableLine(columns, width, func(c *column[api.Alert]) string { return c.name }), a.colour) + "\n")
			}
			b.WriteString(tableLine(columns, width, func(c *column[api.Alert]) string { return dash(c.text(v)) }) + "\n")
		}
		header = false
		_, err := a.out.Write([]byte(b.String()))
		return err
	}, nil
}

// timeText writes a time for people, in UTC like all times.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func numberText(f float64) string { return fmt.Sprintf("%.10g", f) }

func groupText(g map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(g)) {
		parts = append(parts, k+"="+g[k])
	}
	return strings.Join(parts, " ")
}
