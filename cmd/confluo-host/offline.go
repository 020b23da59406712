package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/api/render"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/mirror"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// offline answers questions about a capture file. Headers are looked at as the
// file is read, so memory does not grow with the file, unless rows are to come
// in the order of time.
type offline struct {
	app   *app
	path  string
	decap string // tunnels to strip; empty: all
}

// open begins to read the file.
func (o *offline) open(whole bool) (*captureFile, error) {
	decap := o.decap
	if decap == "" {
		decap = "all"
	}
	d, err := mirror.ParseDecap(decap)
	if err != nil {
		return nil, asUsage(fmt.Errorf("--%w", err))
	}
	return openCapture(o.path, d, whole)
}

// answer opens the file, compiles a question, starts it, and feeds it the file.
// The file is closed when it returns.
func (o *offline) answer(ctx context.Context, compile func(*packet.PortTable) (diagnoser.Query, error),
	start func(*captureFile, diagnoser.Query) (*diagnoser.Incremental, error)) (f *diagnoser.Footer, err error) {

	c, err := o.open(false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	q, err := c.compile(ctx, compile)
	if err != nil {
		return nil, err
	}
	q.Order = diagnoser.ByOffset
	inc, err := start(c, q)
	if err != nil {
		return nil, asUsage(err)
	}
	defer inc.Close()
	stop := o.app.progress(c.progress)
	err = c.feed(ctx, inc)
	stop()
	if err != nil {
		return nil, err
	}
	o.app.late = c.damage() // what came before it has its answer
	return inc.Finish()
}

// Query implements asker.
func (o *offline) Query(ctx context.Context, req *api.QueryRequest, out render.Writer) (*diagnoser.Footer, error) {
	fields, err := render.ParseFields(req.Fields)
	if err != nil {
		return nil, asUsage(err)
	}
	compile := func(ports *packet.PortTable) (diagnoser.Query, error) {
		q, _, err := req.Compile(ports, now)
		return q, err
	}
	emit := func(c *captureFile) func(*diagnoser.Rows) error {
		format := render.NewFormatter(fields, c.ports, req.Numeric)
		flushed := time.Now()
		return func(rows *diagnoser.Rows) error {
			for i := range rows.N {
				if err := out.Row(format.Row(rows, i)); err != nil {
					return err
				}
			}
			if time.Since(flushed) < rowsWait {
				return nil
			}
			flushed = time.Now()
			return out.Flush()
		}
	}
	if req.Order == "time" {
		return o.sorted(ctx, compile, emit)
	}
	return o.answer(ctx, compile, func(c *captureFile, q diagnoser.Query) (*diagnoser.Incremental, error) {
		return c.diagnoser.StartQuery(q, emit(c))
	})
}

// rowsWait is how long rows may wait for others before they are shown.
const rowsWait = 200 * time.Millisecond

// sorted answers a query over the whole file, in memory.
func (o *offline) sorted(ctx context.Context, compile func(*packet.PortTable) (diagnoser.Query, error),
	emit func(*captureFile) func(*diagnoser.Rows) error) (f *diagnoser.Footer, err error) {

	c, err := o.open(true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	q, err := c.compile(ctx, compile)
	if err != nil {
		return nil, err
	}
	stop := o.app.progress(c.progress)
	err = c.load(ctx)
	stop()
	if err != nil {
		return nil, err
	}
	o.app.late = c.damage()
	return c.diagnoser.Query(ctx, q, emit(c))
}

// Count implements asker.
func (o *offline) Count(ctx context.Context, req *api.CountRequest) (*api.CountResponse, error) {
	f, err := o.answer(ctx, compile(&req.Selection), func(c *captureFile, q diagnoser.Query) (*diagnoser.Incremental, error) {
		return c.diagnoser.StartCount(q)
	})
	if err != nil {
		return nil, err
	}
	return &api.CountResponse{Count: f.Matched, Footer: f}, nil
}

func compile(sel *api.Selection) func(*packet.PortTable) (diagnoser.Query, error) {
	return func(ports *packet.PortTable) (diagnoser.Query, error) { return sel.Compile(ports, now) }
}

// Aggregate implements asker.
func (o *offline) Aggregate(ctx context.Context, req *api.AggregateRequest) (*api.AggregateResponse, error) {
	agg, err := expr.ParseAggregate(req.Aggregate)
	if err != nil {
		return nil, err
	}
	var inc *diagnoser.Incremental
	var ports *packet.PortTable
	f, err := o.answer(ctx, compile(&req.Selection), func(c *captureFile, q diagnoser.Query) (*diagnoser.Incremental, error) {
		ports = c.ports
		inc, err = c.diagnoser.StartAggregate(q, agg, fold.Options{})
		return inc, err
	})
	if err != nil {
		return nil, err
	}
	return &api.AggregateResponse{Result: api.NewResult(inc.Result(), ports), Footer: f}, nil
}

// Export implements asker.
func (o *offline) Export(ctx context.Context, req *api.ExportRequest, w io.Writer) (*diagnoser.Footer, error) {
	var out *render.Pcap
	compile := func(ports *packet.PortTable) (diagnoser.Query, error) { return req.Compile(ports, now) }
	f, err := o.answer(ctx, compile, func(c *captureFile, q diagnoser.Query) (*diagnoser.Incremental, error) {
		out = render.NewPcap(w, render.PcapOptions{Ports: c.ports, Links: c.info.Links, First: c.info.First, Last: c.info.Last})
		return c.diagnoser.StartQuery(q, out.Rows)
	})
	if err != nil {
		return nil, err
	}
	return f, out.Close()
}

// Explain implements asker.
func (o *offline) Explain(ctx context.Context, req any) (*api.Explanation, error) {
	var sel *api.Selection
	switch r := req.(type) {
	case api.QueryRequest:
		sel = &r.Selection
	case api.CountRequest:
		sel = &r.Selection
	case api.AggregateRequest:
		if _, err := expr.ParseAggregate(r.Aggregate); err != nil {
			return nil, err
		}
		sel = &r.Selection
	case api.ExportRequest:
		sel = &r.Selection
	}
	c, err := o.open(false)
	if err != nil {
		return nil, err
	}
	q, err := c.compile(ctx, compile(sel))
	if err := errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	plan := "scan of the headers as the file is read"
	if q.Where != nil && !q.Where.All() {
		plan += "\ncheck " + q.Where.String()
	}
	return &api.Explanation{Plan: plan}, nil
}
