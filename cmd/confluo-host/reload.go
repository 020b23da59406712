package main

import (
	"fmt"
	"strings"
)

type reloadCmd struct {
	agentFlags
	formatFlag
}

func (c *reloadCmd) Run(a *app) error {
	r, err := c.client().Reload(a.ctx)
	if err != nil {
		return err
	}
	switch c.Output {
	case "json", "ndjson":
		return a.writeJSON(c.Output, r)
	case "csv":
		var b strings.Builder
		b.WriteString("key,state\n")
		for _, k := range r.Applied {
			b.WriteString(k + ",applied\n")
		}
		for _, k := range r.NeedsRestart {
			b.WriteString(k + ",needs_restart\n")
		}
		_, err := fmt.Fprint(a.out, b.String())
		return err
	}
	if len(r.Applied)+len(r.NeedsRestart) == 0 {
		_, err := fmt.Fprintln(a.out, "nothing has changed")
		return err
	}
	for _, k := range r.Applied {
		if _, err := fmt.Fprintf(a.out, "applied: %s\n", k); err != nil {
			return err
		}
	}
	for _, k := range r.NeedsRestart {
		if _, err := fmt.Fprintf(a.out, "needs a restart: %s\n", k); err != nil {
			return err
		}
	}
	return nil
}
