package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/api/render"
)

type queryCmd struct {
	selectFlags
	rowFlags
	footerFlag
	Order   string `enum:"time,offset," default:"" placeholder:"ORDER" help:"time (the capture time) or offset (the order in which headers were captured); default time, with --pcap offset."`
	Numeric bool   `short:"n" help:"Write protocols, EtherTypes, ports and the like as numbers."`
	Expr    string `arg:"" optional:"" help:"Filter expression, or bpf: and a capture filter as tcpdump takes it. Empty: every header."`
}

// Help implements kong.HelpProvider.
func (*queryCmd) Help() string {
	return `Examples:

  confluo-host query --last 5m 'dst_port == 443 && tcp.syn && !tcp.ack'

  confluo-host query --from 09:30 --to 09:31 --fields ts,src_ip,pkt_len -o csv 'src_ip in 10.0.0.0/8'

  confluo-host query --pcap web.pcap --limit 10 'bpf:tcp port 80 and host 10.0.0.1'`
}

func (c *queryCmd) Run(a *app) error {
	sel, err := c.selection(c.Expr)
	if err != nil {
		return err
	}
	fields, err := render.ParseFields(c.Fields)
	if err != nil {
		return asUsage(fmt.Errorf("--fields: %w", err))
	}
	if c.Limit < 0 {
		return usagef("--limit %d: want a number of rows, or 0 for all", c.Limit)
	}
	req := api.QueryRequest{Selection: sel, Fields: render.Names(fields), Limit: c.Limit, Order: c.Order, Numeric: c.Numeric}
	if c.Pcap != "" && req.Order == "" {
		req.Order = "offset"
	}
	if c.Explain {
		return a.explain(&c.selectFlags, req, c.Output)
	}
	out, err := render.New(c.Output, a.out, fields, a.colour)
	if err != nil {
		return asUsage(err)
	}
	f, err := c.asker(a).Query(a.ctx, &req, out)
	if err != nil {
		if errors.Is(err, errReaderLeft) {
			return err
		}
		// What was read stays on the screen, and the error below it; JSON stays
		// without its end, so that no program takes it for whole.
		if _, mistake := misunderstood(err); c.Output != "json" && !mistake {
			// An error of the output itself is the one there is already.
			if late := out.Close(nil); !errors.Is(err, late) {
				err = errors.Join(err, late)
			}
		}
		return err
	}
	if err := out.Close(f); err != nil {
		return err
	}
	a.writeFooter(c.Footer, c.Output, f)
	return nil
}

// explain writes how a question would be answered.
func (a *app) explain(sel *selectFlags, req any, format string) error {
	e, err := sel.asker(a).Explain(a.ctx, req)
	if err != nil {
		return err
	}
	switch format {
	case "table":
		_, err = fmt.Fprintln(a.out, e.Plan)
	case "csv":
		_, err = fmt.Fprintf(a.out, "plan\n%s\n", render.AppendCSV(nil, []byte(e.Plan)))
	default:
		err = a.writeJSON(format, e)
	}
	return err
}

// writeJSON writes v indented for -o json, on one line for ndjson.
func (a *app) writeJSON(format string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if format == "json" {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(b.Bytes())
	return err
}
