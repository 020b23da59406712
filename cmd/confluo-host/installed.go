package main

import (
	"fmt"

	"github.com/confluo/confluo/api"
)

type filterCmd struct {
	Add filterAddCmd `cmd:"" help:"Install a filter, whose matches are kept from then on."`
	Rm  removeCmd    `cmd:"" help:"Remove an installed filter."`
	Ls  filterLsCmd  `cmd:"" help:"List installed filters."`
}

type filterAddCmd struct {
	agentFlags
	Name string `arg:"" help:"Name of the filter."`
	Expr string `arg:"" help:"Filter expression, or bpf: and a capture filter."`
}

// Help implements kong.HelpProvider.
func (*filterAddCmd) Help() string {
	return "Example:\n\n  confluo-host filter add web 'dst_port in {80, 443} && tcp.syn'"
}

func (c *filterAddCmd) Run(a *app) error {
	v, err := c.client().InstallFilter(a.ctx, api.FilterSpec{Name: c.Name, Expr: c.Expr})
	if err != nil {
		return err
	}
	return a.installed("filter "+v.Name, v.FromOffset)
}

type filterLsCmd struct{ listFlags }

func (c *filterLsCmd) Run(a *app) error {
	l, err := c.client().Filters(a.ctx)
	if err != nil {
		return err
	}
	return list(a, &c.listFlags, l, []column[api.Filter]{
		{name: "name", text: func(v *api.Filter) string { return v.Name }},
		{name: "matched", number: true, text: func(v *api.Filter) string { return fmt.Sprint(v.Matched) }},
		{name: "from_offset", number: true, text: func(v *api.Filter) string { return fmt.Sprint(v.FromOffset) }},
		{name: "expr", text: func(v *api.Filter) string { return v.Expr }},
	})
}

type indexCmd struct {
	Add indexAddCmd `cmd:"" help:"Index an attribute from now on."`
	Rm  removeCmd   `cmd:"" help:"Remove an index."`
	Ls  indexLsCmd  `cmd:"" help:"List indexes."`
}

type indexAddCmd struct {
	agentFlags
	Attr string `arg:"" help:"Attribute, such as dst_port."`
}

func (c *indexAddCmd) Run(a *app) error {
	v, err := c.client().InstallIndex(a.ctx, api.IndexSpec{Attr: c.Attr})
	if err != nil {
		return err
	}
	return a.installed("index "+v.Attr, v.FromOffset)
}

type indexLsCmd struct{ listFlags }

func (c *indexLsCmd) Run(a *app) error {
	l, err := c.client().Indexes(a.ctx)
	if err != nil {
		return err
	}
	return list(a, &c.listFlags, l, []column[api.Index]{
		{name: "attr", text: func(v *api.Index) string { return v.Attr }},
		{name: "entries", number: true, text: func(v *api.Index) string { return fmt.Sprint(v.Entries) }},
		{name: "from_offset", number: true, text: func(v *api.Index) string { return fmt.Sprint(v.FromOffset) }},
	})
}

type triggerCmd struct {
	Add triggerAddCmd `cmd:"" help:"Install a trigger, which raises alerts from then on."`
	Rm  removeCmd     `cmd:"" help:"Remove an installed trigger."`
	Ls  triggerLsCmd  `cmd:"" help:"List installed triggers."`
}

type triggerAddCmd struct {
	agentFlags
	Name    string `arg:"" help:"Name of the trigger."`
	Trigger string `arg:"" help:"Such as 'SUM(pkt_len) > 1GB over 100ms every 1ms'."`
	Filter  string `placeholder:"NAME" help:"Installed filter whose matches it watches; without it, every header."`
}

// Help implements kong.HelpProvider.
func (*triggerAddCmd) Help() string {
	return "Example:\n\n  confluo-host trigger add syn_flood 'COUNT() BY dst_ip > 10000 over 1s every 100ms' --filter syn"
}

func (c *triggerAddCmd) Run(a *app) error {
	v, err := c.client().InstallTrigger(a.ctx, api.TriggerSpec{Name: c.Name, Filter: c.Filter, Trigger: c.Trigger})
	if err != nil {
		return err
	}
	return a.installed("trigger "+v.Name, v.FromOffset)
}

type triggerLsCmd struct{ listFlags }

func (c *triggerLsCmd) Run(a *app) error {
	l, err := c.client().Triggers(a.ctx)
	if err != nil {
		return err
	}
	return list(a, &c.listFlags, l, []column[api.Trigger]{
		{name: "name", text: func(v *api.Trigger) string { return v.Name }},
		{name: "severity", text: func(v *api.Trigger) string { return v.Severity }},
		{name: "firing", number: true, text: func(v *api.Trigger) string { return fmt.Sprint(v.Firing) }},
		{name: "alerts", number: true, text: func(v *api.Trigger) string { return fmt.Sprint(v.Alerts) }},
		{name: "last_fired", text: func(v *api.Trigger) string { return timeText(v.LastFired) }},
		{name: "evaluations", number: true, text: func(v *api.Trigger) string { return fmt.Sprint(v.Evaluations) }},
		{name: "from_offset", number: true, text: func(v *api.Trigger) string { return fmt.Sprint(v.FromOffset) }},
		{name: "filter", text: func(v *api.Trigger) string { return v.Filter }},
		{name: "trigger", text: func(v *api.Trigger) string { return v.Trigger }},
	})
}

type snapshotCmd struct {
	Take    snapshotTakeCmd `cmd:"" help:"Give the present moment a name that queries can ask for."`
	Release removeCmd       `cmd:"" help:"Let a snapshot go."`
	Ls      snapshotLsCmd   `cmd:"" help:"List snapshots."`
}

type snapshotTakeCmd struct {
	agentFlags
	Name string       `arg:"" help:"Name of the snapshot."`
	TTL  api.Duration `name:"ttl" default:"10m" placeholder:"DURATION" help:"Forget it after so long at most (default ${default})."`
}

func (c *snapshotTakeCmd) Run(a *app) error {
	v, err := c.client().TakeSnapshot(a.ctx, api.SnapshotSpec{Name: c.Name, TTL: c.TTL})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "snapshot %s stands for the headers below offset %d until %s\n", v.Name, v.EndOffset, timeText(v.Expires))
	return err
}

type snapshotLsCmd struct{ listFlags }

func (c *snapshotLsCmd) Run(a *app) error {
	l, err := c.client().Snapshots(a.ctx)
	if err != nil {
		return err
	}
	return list(a, &c.listFlags, l, []column[api.Snapshot]{
		{name: "name", text: func(v *api.Snapshot) string { return v.Name }},
		{name: "end_offset", number: true, text: func(v *api.Snapshot) string { return fmt.Sprint(v.EndOffset) }},
		{name: "taken", text: func(v *api.Snapshot) string { return timeText(v.Taken) }},
		{name: "expires", text: func(v *api.Snapshot) string { return timeText(v.Expires) }},
	})
}
