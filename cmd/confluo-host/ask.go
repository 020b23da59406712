package main

import (
	"context"
	"io"

	"github.com/confluo/confluo/api"
	"github.com/confluo/confluo/api/render"
	"github.com/confluo/confluo/diagnoser"
)

// An asker answers questions about headers: the running agent, or the pipeline
// of this process over a capture file.
type asker interface {
	// Query writes rows of the fields of req to out, which it does not close.
	Query(ctx context.Context, req *api.QueryRequest, out render.Writer) (*diagnoser.Footer, error)
	Count(ctx context.Context, req *api.CountRequest) (*api.CountResponse, error)
	Aggregate(ctx context.Context, req *api.AggregateRequest) (*api.AggregateResponse, error)
	// Export writes a capture file to w.
	Export(ctx context.Context, req *api.ExportRequest, w io.Writer) (*diagnoser.Footer, error)
	// Explain takes one of the requests above, by value.
	Explain(ctx context.Context, req any) (*api.Explanation, error)
}

// asker returns who answers the command.
func (f *selectFlags) asker(a *app) asker {
	if f.Pcap != "" {
		return &offline{path: f.Pcap, decap: f.Decap, app: a}
	}
	return &remote{f.client()}
}

// remote is the running agent.
type remote struct{ *api.Client }

// Query implements asker.
func (r *remote) Query(ctx context.Context, req *api.QueryRequest, out render.Writer) (*diagnoser.Footer, error) {
	if nd, ok := out.(*render.NDJSON); ok {
		return r.Client.Query(ctx, req, nd.Line) // as it comes
	}
	fields, err := render.ParseFields(req.Fields)
	if err != nil {
		return nil, asUsage(err)
	}
	cells := make([]render.Cell, len(fields))
	return r.Client.Query(ctx, req, func(line []byte) error {
		if err := render.ScanRow(line, fields, cells); err != nil {
			return err
		}
		return out.Row(cells)
	})
}
