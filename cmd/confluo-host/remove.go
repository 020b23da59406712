package main

import (
	"github.com/alecthomas/kong"
)

// removeCmd removes something installed; which kind of thing is told by the
// command that it stands under.
type removeCmd struct {
	agentFlags
	Name string `arg:"" help:"Name."`
}

func (c *removeCmd) Run(a *app, k *kong.Context) error {
	kind := map[string]string{
		"filter": "filters", "index": "indexes", "aggregate": "aggregates", "trigger": "triggers", "snapshot": "snapshots",
	}[k.Selected().Parent.Name]
	return c.client().Remove(a.ctx, kind, c.Name)
}
