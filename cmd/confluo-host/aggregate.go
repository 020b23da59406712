package main

import (
	"fmt"

	"github.com/confluo/confluo/api"
)

type aggregateCmd struct {
	Eval aggregateEvalCmd `cmd:"" help:"Evaluate an aggregate over headers held, or over a capture file."`
	Add  aggregateAddCmd  `cmd:"" help:"Install an aggregate, which from then on is kept up to date."`
	Rm   removeCmd        `cmd:"" help:"Remove an installed aggregate."`
	Ls   aggregateLsCmd   `cmd:"" help:"List installed aggregates with their values."`
}

type aggregateEvalCmd struct {
	selectFlags
	formatFlag
	footerFlag
	Where     string `placeholder:"EXPR" help:"Filter expression, or bpf: and a capture filter. Empty: every header."`
	Limit     int    `placeholder:"N" help:"Groups at most, those of the largest values."`
	Aggregate string `arg:"" help:"COUNT(), SUM(x), MIN(x), MAX(x), AVG(x), DISTINCT(x), QUANTILE(x, 0.99) or TOPK(x, 10), each optionally BY attribute, ..."`
}

// Help implements kong.HelpProvider.
func (*aggregateEvalCmd) Help() string {
	return `Examples:

  confluo-host aggregate eval 'SUM(pkt_len) BY dst_ip' --where 'tcp' --last 1m --limit 10

  confluo-host aggregate eval --pcap web.pcap 'TOPK(dst_port, 5)' -o json`
}

func (c *aggregateEvalCmd) Run(a *app) error {
	sel, err := c.selection(c.Where)
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usagef("--limit %d: want a number of groups, or 0 for all", c.Limit)
	}
	req := api.AggregateRequest{Selection: sel, Aggregate: c.Aggregate}
	if c.Explain {
		return a.explain(&c.selectFlags, req, c.Output)
	}
	resp, err := c.asker(a).Aggregate(a.ctx, &req)
	if err != nil {
		return err
	}
	if c.Limit > 0 {
		resp.Result.KeepLargest(c.Limit)
	}
	if err := a.writeResult(c.Output, resp); err != nil {
		return err
	}
	for _, note := range resp.Notes {
		fmt.Fprintln(a.err, "confluo-host: note:", note)
	}
	a.writeFooter(c.Footer, c.Output, resp.Footer)
	return nil
}

// writeResult writes the value of an aggregate: a line for each group, for TOPK
// for each value of each group.
func (a *app) writeResult(format string, resp *api.AggregateResponse) error {
	switch format {
	case "json":
		return a.writeJSON(format, resp)
	case "ndjson":
		return writeList[api.ResultRow](a, format, resp.Rows, nil)
	}
	names, rows := resp.Table()
	columns := make([]column[[]api.Value], len(names))
	for i, name := range names {
		columns[i] = column[[]api.Value]{name: name, number: i >= len(resp.By), text: func(r *[]api.Value) string { return (*r)[i].Text }}
	}
	return writeList(a, format, rows, columns)
}

// bytesText writes a number of bytes for people.
func bytesText(n uint64) string {
	const units = "KMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1000, 0
	for f >= 999.5 && u < len(units)-1 {
		f, u = f/1000, u+1
	}
	return fmt.Sprintf("%.3g %cB", f, units[u])
}

type aggregateAddCmd struct {
	agentFlags
	Name      string `arg:"" help:"Name of the aggregate."`
	Aggregate string `arg:"" help:"Such as 'SUM(pkt_len) BY dst_ip'."`
	Filter    string `placeholder:"NAME" help:"Installed filter whose matches it folds; without it, every header."`
}

// Help implements kong.HelpProvider.
func (*aggregateAddCmd) Help() string {
	return "Example:\n\n  confluo-host aggregate add web_bytes 'SUM(pkt_len) BY src_ip' --filter web"
}

func (c *aggregateAddCmd) Run(a *app) error {
	v, err := c.client().InstallAggregate(a.ctx, api.AggregateSpec{Name: c.Name, Filter: c.Filter, Aggregate: c.Aggregate})
	if err != nil {
		return err
	}
	return a.installed("aggregate "+v.Name, v.FromOffset)
}

type aggregateLsCmd struct{ listFlags }

func (c *aggregateLsCmd) Run(a *app) error {
	l, err := c.client().Aggregates(a.ctx)
	if err != nil {
		return err
	}
	return list(a, &c.listFlags, l, []column[api.Aggregate]{
		{name: "name", text: func(v *api.Aggregate) string { return v.Name }},
		{name: "filter", text: func(v *api.Aggregate) string { return v.Filter }},
		{name: "aggregate", text: func(v *api.Aggregate) string { return v.Aggregate }},
		{name: "from_offset", number: true, text: func(v *api.Aggregate) string { return fmt.Sprint(v.FromOffset) }},
		{name: "value", text: func(v *api.Aggregate) string { return v.Result.Summary() }},
	})
}
