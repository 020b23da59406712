package main

import (
	"fmt"

	"github.com/confluo/confluo/api"
)

type countCmd struct {
	selectFlags
	formatFlag
	footerFlag
	Expr string `arg:"" optional:"" help:"Filter expression, or bpf: and a capture filter as tcpdump takes it. Empty: every header."`
}

// Help implements kong.HelpProvider.
func (*countCmd) Help() string {
	return `Prints one integer, unless another form is asked for.

Examples:

  confluo-host count --last 1m 'tcp.syn && !tcp.ack'

  confluo-host count --pcap web.pcap 'vlan == 100 && ip6'`
}

func (c *countCmd) Run(a *app) error {
	sel, err := c.selection(c.Expr)
	if err != nil {
		return err
	}
	req := api.CountRequest{Selection: sel}
	if c.Explain {
		return a.explain(&c.selectFlags, req, c.Output)
	}
	resp, err := c.asker(a).Count(a.ctx, &req)
	if err != nil {
		return err
	}
	switch c.Output {
	case "table":
		_, err = fmt.Fprintln(a.out, resp.Count)
	case "csv":
		_, err = fmt.Fprintf(a.out, "count\n%d\n", resp.Count)
	default:
		err = a.writeJSON(c.Output, resp)
	}
	if err != nil {
		return err
	}
	a.writeFooter(c.Footer, c.Output, resp.Footer)
	return nil
}
