package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/confluo/confluo/api/render"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/packet"
)

// flushEvery is how long rows may wait in the server's buffers while others
// come.
const flushEvery = 200 * time.Millisecond

// A stream is the body of an answer of unknown length. Each write gives its
// reader a fresh deadline, so one that stops reading is cut off and one that is
// only slow is not. Nothing is sent before the first write, so that an error
// that comes earlier still gets its own status.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	rc      *http.ResponseController
	begun   bool
	flushed time.Time
}

func (s *Server) stream(w http.ResponseWriter) *stream {
	return &stream{s: s, w: w, rc: http.NewResponseController(w)}
}

func (st *stream) Write(b []byte) (int, error) {
	st.begun = true
	st.s.mayWrite(st.w)
	return st.w.Write(b)
}

// flush sends what the HTTP layer still holds. Errors show at the next write.
func (st *stream) flush() {
	st.begun = true
	st.s.mayWrite(st.w)
	st.rc.Flush()
	st.flushed = time.Now()
}

// due reports whether rows have waited long enough to be flushed; the first
// never wait.
func (st *stream) due() bool { return time.Since(st.flushed) >= flushEvery }

func (s *Server) explain(q diagnoser.Query) (any, error) {
	plan, err := s.host.Explain(q)
	if err != nil {
		return nil, err
	}
	return &Explanation{plan}, nil
}

// Compile checks r and returns the query and the fields that it stands for.
func (r *QueryRequest) Compile(ports *packet.PortTable, now time.Time) (diagnoser.Query, []render.Field, error) {
	q, err := r.Selection.Compile(ports, now)
	if err != nil {
		return q, nil, err
	}
	fields, err := render.ParseFields(r.Fields)
	if err != nil {
		return q, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch r.Order {
	case "", "time":
	case "offset":
		q.Order = diagnoser.ByOffset
	default:
		return q, nil, fmt.Errorf("%w order %q: want time or offset", ErrInvalid, r.Order)
	}
	if r.Limit < 0 {
		return q, nil, fmt.Errorf("%w limit %d: want 0 (none) or more", ErrInvalid, r.Limit)
	}
	q.Limit, q.Need = r.Limit, render.Need(fields)
	return q, fields, nil
}

func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	var req QueryRequest
	if err := s.decode(w, r, &req); err != nil {
		s.answer(w, r, 0, nil, err)
		return
	}
	ports := s.host.Ports()
	q, fields, err := req.Compile(ports, time.Now())
	if err != nil || req.Explain {
		var v any
		if err == nil {
			v, err = s.explain(q)
		}
		s.answer(w, r, http.StatusOK, v, err)
		return
	}
	ctx, cancel := s.withTimeout(r, &req.Selection)
	defer cancel()

	w.Header().Set("Content-Type", "application/x-ndjson")
	st := s.stream(w)
	out := render.NewNDJSON(st, fields)
	format := render.NewFormatter(fields, ports, req.Numeric)
	footer, err := s.host.Query(ctx, q, func(rows *diagnoser.Rows) error {
		for i := range rows.N {
			if err := out.Row(format.Row(rows, i)); err != nil {
				return err
			}
		}
		if st.due() {
			err := out.Flush()
			st.flush()
			return err
		}
		return nil
	})
	end := QueryEnd{Footer: footer}
	if err != nil {
		e := toError(ctx, err)
		if !st.begun {
			s.answer(w, r, 0, nil, e)
			return
		}
		end = QueryEnd{Error: e.Message}
	}
	line, err := json.Marshal(end)
	if err == nil {
		err = out.Line(line)
	}
	if err = errors.Join(err, out.Close(nil)); err != nil {
		s.log.Debug("answer not delivered", "path", r.URL.Path, "err", err)
	}
}

// Compile checks r and returns the query that it stands for.
func (r *ExportRequest) Compile(ports *packet.PortTable, now time.Time) (diagnoser.Query, error) {
	q, err := r.Selection.Compile(ports, now)
	if err != nil {
		return q, err
	}
	if r.Limit < 0 {
		return q, fmt.Errorf("%w limit %d: want 0 (none) or more", ErrInvalid, r.Limit)
	}
	q.Limit, q.Need, q.Slice = r.Limit, render.PcapNeed, true
	return q, nil
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	var req ExportRequest
	if err := s.decode(w, r, &req); err != nil {
		s.answer(w, r, 0, nil, err)
		return
	}
	ports := s.host.Ports()
	q, err := req.Compile(ports, time.Now())
	if err != nil || req.Explain {
		var v any
		if err == nil {
			v, err = s.explain(q)
		}
		s.answer(w, r, http.StatusOK, v, err)
		return
	}
	ctx, cancel := s.withTimeout(r, &req.Selection)
	defer cancel()

	w.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
	w.Header().Set("Trailer", FooterTrailer+", "+ErrorTrailer)
	st := s.stream(w)
	out := render.NewPcap(st, render.PcapOptions{Ports: ports})
	footer, err := s.host.Query(ctx, q, func(rows *diagnoser.Rows) error {
		if err := out.Rows(rows); err != nil {
			return err
		}
		if st.due() {
			err := out.Flush()
			st.flush()
			return err
		}
		return nil
	})
	if err == nil {
		err = out.Close()
	}
	switch {
	case err == nil:
		b, err := json.Marshal(footer)
		if err != nil {
			b = []byte("{}")
		}
		w.Header().Set(FooterTrailer, string(b))
	case !st.begun:
		w.Header().Del("Trailer")
		s.answer(w, r, 0, nil, toError(ctx, err))
	default:
		w.Header().Set(ErrorTrailer, strings.ReplaceAll(toError(ctx, err).Message, "\n", " "))
	}
}

// alerts answers with the alerts since a time, and with follow=1 goes on with
// those to come until the client leaves.
func (s *Server) alerts(w http.ResponseWriter, r *http.Request) {
	vs, err := parameters(r.URL, "since", "follow")
	var since time.Time
	if err == nil && vs.Get("since") != "" {
		if since, err = time.Parse(time.RFC3339Nano, vs.Get("since")); err != nil {
			err = fmt.Errorf("%w since %q: want a time of RFC 3339, such as 2006-01-02T15:04:05Z", ErrInvalid, vs.Get("since"))
		}
	}
	follow := vs.Get("follow")
	if err == nil && follow != "" && follow != "0" && follow != "1" {
		err = fmt.Errorf("%w follow %q: want 0 or 1", ErrInvalid, follow)
	}
	if err != nil || follow != "1" {
		var v any
		if err == nil {
			v = list[Alert](s.host.Alerts(since))
		}
		s.answer(w, r, http.StatusOK, v, err)
		return
	}

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.endless, cancel)()
	// Following begins before the look back, so that nothing falls between the
	// two; what both have is told apart by Seq.
	alerts := s.host.Follow(ctx)
	w.Header().Set("Content-Type", "application/x-ndjson")
	st := s.stream(w)
	enc := json.NewEncoder(st)
	var last uint64
	if vs.Get("since") != "" {
		for _, a := range s.host.Alerts(since) {
			last = a.Seq
			if enc.Encode(a) != nil {
				return
			}
		}
	}
	st.flush() // the client learns that it is connected
	for a := range alerts {
		if a.Seq <= last {
			continue
		}
		if enc.Encode(a) != nil {
			return
		}
		st.flush()
	}
	if ctx.Err() == nil {
		enc.Encode(QueryEnd{Error: "the alerts came faster than they were read; some were left out"})
	}
}
