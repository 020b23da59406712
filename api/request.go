package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// decode reads the body of r, one JSON object with known keys, into v. An empty
// body is an empty object.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, v any) error {
	rc := http.NewResponseController(w)
	// A server of tests has no deadlines; a body that dribbles in holds only its
	// own goroutine there.
	rc.SetReadDeadline(time.Now().Add(s.opt.WriteTimeout))
	defer rc.SetReadDeadline(time.Time{}) // else the connection's own watch for a client gone would end the answer

	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, s.opt.MaxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("request body: more than %d bytes", tooLarge.Limit)}
	}
	return &Error{Status: http.StatusBadRequest, Message: "request body: " + err.Error()}
}

// withTimeout bounds the time of an answer to sel.
func (s *Server) withTimeout(r *http.Request, sel *Selection) (context.Context, context.CancelFunc) {
	d := time.Duration(sel.Timeout)
	if d <= 0 {
		d = s.opt.QueryTimeout
	}
	return context.WithTimeoutCause(r.Context(), d, &Error{
		Status:  http.StatusGatewayTimeout,
		Message: fmt.Sprintf("stopped after %s, the time limit of the answer", d),
	})
}

// Compile checks sel and returns the query that it stands for. Names of ports
// in expressions are those of the port table; now is the end of Last.
func (sel *Selection) Compile(ports *packet.PortTable, now time.Time) (diagnoser.Query, error) {
	q := diagnoser.Query{
		Filter: sel.Filter, Snapshot: sel.Snapshot,
		From: sel.From, To: sel.To,
		FromOffset: sel.FromOffset, ToOffset: sel.ToOffset,
	}
	switch {
	case sel.Last < 0 || sel.Timeout < 0:
		return q, fmt.Errorf("%w: a duration under zero", ErrInvalid)
	case sel.Last > 0 && !(sel.From.IsZero() && sel.To.IsZero()):
		return q, fmt.Errorf("%w: last excludes from and to", ErrInvalid)
	case sel.Last > 0:
		q.From = now.Add(-time.Duration(sel.Last))
	case !sel.From.IsZero() && !sel.To.IsZero() && sel.To.Before(sel.From):
		return q, fmt.Errorf("%w: to (%s) lies before from (%s)", ErrInvalid, sel.To.Format(time.RFC3339Nano), sel.From.Format(time.RFC3339Nano))
	case sel.ToOffset != 0 && sel.ToOffset < sel.FromOffset:
		return q, fmt.Errorf("%w: to_offset (%d) lies before from_offset (%d)", ErrInvalid, sel.ToOffset, sel.FromOffset)
	}
	if sel.Where != "" {
		e, err := ParseWhere(sel.Where, ports)
		if err != nil {
			return q, err
		}
		q.Where = e
	}
	return q, nil
}

// toError makes an answer of what went wrong: the caller's mistakes get a 4xx
// status, anything unknown is the agent's own.
func toError(ctx context.Context, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if ctx.Err() != nil {
		if errors.As(context.Cause(ctx), &own) {
			return own
		}
		return &Error{Status: http.StatusServiceUnavailable, Message: "stopped: " + context.Cause(ctx).Error()}
	}
	e := &Error{Status: http.StatusInternalServerError, Message: err.Error()}
	var bad *expr.Error
	if errors.As(err, &bad) {
		e.Status, e.Column, e.Expr = http.StatusBadRequest, bad.Col, bad.Src
		return e
	}
	for _, m := range mistakes {
		if errors.Is(err, m.err) {
			e.Status = m.status
			break
		}
	}
	return e
}

// mistakes are the caller's, and the status that says so.
var mistakes = []struct {
	err    error
	status int
}{
	{ErrInvalid, http.StatusBadRequest},
	{diagnoser.ErrInvalid, http.StatusBadRequest},
	{ErrNotFound, http.StatusNotFound},
	{multilog.ErrNotFound, http.StatusNotFound},
	{diagnoser.ErrNoSnapshot, http.StatusNotFound},
	{ErrExists, http.StatusConflict},
	{multilog.ErrExists, http.StatusConflict},
	{diagnoser.ErrExists, http.StatusConflict},
	{ErrInUse, http.StatusConflict},
	{multilog.ErrInUse, http.StatusConflict},
	{diagnoser.ErrTooMany, http.StatusConflict},
	{ErrUnavailable, http.StatusServiceUnavailable},
	{diagnoser.ErrClosed, http.StatusServiceUnavailable},
}

func writeError(w http.ResponseWriter, e *Error) {
	writeJSON(w, e.Status, e)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status = http.StatusInternalServerError
		b = []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
