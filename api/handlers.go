package api

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// get answers with what f returns, or with no content when that is nil.
func (s *Server) get(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		s.answer(w, r, http.StatusOK, v, err)
	})
}

// post reads the request's body, a T, and answers with what f makes of it.
func post[T any](s *Server, status int, f func(*http.Request, *T) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body T
		var v any
		err := s.decode(w, r, &body)
		if err == nil {
			v, err = f(r, &body)
		}
		s.answer(w, r, status, v, err)
	})
}

// remove answers a DELETE of what the path's last element names.
func (s *Server) remove(f func(name string) error) http.Handler {
	return s.get(func(r *http.Request) (any, error) { return nil, f(r.PathValue("name")) })
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, v any, err error) {
	s.mayWrite(w)
	switch {
	case err != nil:
		writeError(w, toError(r.Context(), err))
	case v == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		writeJSON(w, status, v)
	}
}

// mayWrite gives the reader of w the time of one write.
func (s *Server) mayWrite(w http.ResponseWriter) {
	// Not supported by recorders of tests, whose writes never wait.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout))
}

func (s *Server) status(*http.Request) (any, error) {
	st := s.host.Status()
	s.rates.fill(st)
	return st, nil
}

func (s *Server) reload(r *http.Request, _ *struct{}) (any, error) {
	v, err := s.host.Reload(r.Context())
	if err != nil {
		return nil, err
	}
	return map[string]any{"applied": list[string](v.Applied), "needs_restart": list[string](v.NeedsRestart)}, nil
}

func (s *Server) count(r *http.Request, req *CountRequest) (any, error) {
	q, err := req.Compile(s.host.Ports(), time.Now())
	if err != nil {
		return nil, err
	}
	if req.Explain {
		return s.explain(q)
	}
	ctx, cancel := s.withTimeout(r, &req.Selection)
	defer cancel()
	n, footer, err := s.host.Count(ctx, q)
	if err != nil {
		return nil, toError(ctx, err)
	}
	return &CountResponse{n, footer}, nil
}

func (s *Server) aggregate(r *http.Request, req *AggregateRequest) (any, error) {
	q, err := req.Compile(s.host.Ports(), time.Now())
	if err != nil {
		return nil, err
	}
	agg, err := expr.ParseAggregate(req.Aggregate)
	if err != nil {
		return nil, err
	}
	if req.Explain {
		return s.explain(q)
	}
	ctx, cancel := s.withTimeout(r, &req.Selection)
	defer cancel()
	res, footer, err := s.host.Aggregate(ctx, q, agg)
	if err != nil {
		return nil, toError(ctx, err)
	}
	return &AggregateResponse{NewResult(res, s.host.Ports()), footer}, nil
}

func (s *Server) installFilter(_ *http.Request, spec *FilterSpec) (any, error) {
	if err := allowedName("filter", spec.Name); err != nil {
		return nil, err
	}
	e, err := ParseWhere(spec.Expr, s.host.Ports())
	if err != nil {
		return nil, err
	}
	return s.host.InstallFilter(spec.Name, e)
}

func (s *Server) installIndex(_ *http.Request, spec *IndexSpec) (any, error) {
	a, err := parseAttr(spec.Attr)
	if err != nil {
		return nil, err
	}
	return s.host.InstallIndex(a)
}

func (s *Server) removeIndex(name string) error {
	a, err := parseAttr(name)
	if err != nil {
		return err
	}
	return s.host.RemoveIndex(a)
}

func parseAttr(name string) (packet.Attr, error) {
	a, ok := packet.AttrByName(name)
	if !ok {
		return 0, fmt.Errorf("%w attribute %q: there is none of that name; docs/expressions.md lists them", ErrInvalid, name)
	}
	return a, nil
}

func (s *Server) installAggregate(_ *http.Request, spec *AggregateSpec) (any, error) {
	if err := allowedName("aggregate", spec.Name); err != nil {
		return nil, err
	}
	a, err := expr.ParseAggregate(spec.Aggregate)
	if err != nil {
		return nil, err
	}
	return s.host.InstallAggregate(spec.Name, spec.Filter, a)
}

func (s *Server) installTrigger(_ *http.Request, spec *TriggerSpec) (any, error) {
	if err := allowedName("trigger", spec.Name); err != nil {
		return nil, err
	}
	t, err := expr.ParseTrigger(spec.Trigger)
	if err != nil {
		return nil, err
	}
	return s.host.InstallTrigger(spec.Name, spec.Filter, t)
}

func (s *Server) takeSnapshot(_ *http.Request, spec *SnapshotSpec) (any, error) {
	if err := allowedName("snapshot", spec.Name); err != nil {
		return nil, err
	}
	if spec.TTL <= 0 {
		return nil, fmt.Errorf("%w ttl of snapshot %s: want a duration over zero, such as 10m", ErrInvalid, spec.Name)
	}
	return s.host.Snapshot(spec.Name, time.Duration(spec.TTL))
}

// parameter reads one parameter of the query string; others than the allowed
// are the caller's mistake.
func parameters(u *url.URL, allowed ...string) (url.Values, error) {
	vs, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w query string: %w", ErrInvalid, err)
	}
next:
	for name := range vs {
		for _, a := range allowed {
			if name == a {
				continue next
			}
		}
		return nil, fmt.Errorf("%w parameter %q: want %v", ErrInvalid, name, allowed)
	}
	return vs, nil
}
