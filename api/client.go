package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/confluo/confluo/diagnoser"
)

// DefaultSocket is where an agent listens unless it is configured otherwise.
const DefaultSocket = "/run/confluo/host.sock"

// ErrNoAgent is what a Client's methods return when nobody listens.
var ErrNoAgent = errors.New("no agent")

// A Client asks one agent. It may be used from any goroutine. Answers that are
// not a 2xx come back as an [*Error].
type Client struct {
	base string
	http *http.Client
	addr string // for errors
}

// NewClient returns a client of the agent that listens on a unix socket.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{
		base: "http://confluo",
		addr: socket,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
			DisableCompression: true,
		}},
	}
}

// NewTLSClient returns a client of the agent that listens on addr, host:port,
// with TLS: ca is the PEM file of the authority that signed the agent's
// certificate, cert and key those of the client.
func NewTLSClient(addr, ca, cert, key string) (*Client, error) {
	pool, err := loadPool(ca)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("api: certificate %s: %w", cert, err)
	}
	return &Client{
		base: "https://" + addr,
		addr: addr,
		http: &http.Client{Transport: &http.Transport{
			TLSClientConfig:    &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
			DisableCompression: true,
		}},
	}, nil
}

// Close closes connections that wait for a next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request and returns the answer if it is a 2xx. A nil body sends
// none.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // method and URL say nothing to who named a socket
		}
		if op := new(net.OpError); errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w at %s: %w", ErrNoAgent, c.addr, err)
		}
		return nil, fmt.Errorf("agent at %s: %w", c.addr, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := &Error{Status: resp.StatusCode}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || json.Unmarshal(text, e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return nil, e
}

// call is do for answers of one JSON value, read into a new T.
func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var v T
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return v, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, fmt.Errorf("agent at %s: answer to %s %s: %w", c.addr, method, path, err)
	}
	return v, nil
}

// Status returns the state of the pipeline.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return call[*Status](ctx, c, "GET", "/v1/status", nil)
}

// Query asks for headers and calls row with each line of NDJSON, which is valid
// until it returns. When row returns an error, Query stops the query and
// returns that error.
func (c *Client) Query(ctx context.Context, req *QueryRequest, row func(line []byte) error) (*diagnoser.Footer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // tells the agent that a caller has left early
	resp, err := c.do(ctx, "POST", "/v1/query", req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := newLines(resp.Body)
	for lines.Scan() {
		line := lines.Bytes()
		// No attribute has the name of a key of QueryEnd.
		if bytes.HasPrefix(line, []byte(`{"footer":`)) || bytes.HasPrefix(line, []byte(`{"error":`)) {
			var end QueryEnd
			if err := json.Unmarshal(line, &end); err != nil {
				return nil, fmt.Errorf("agent at %s: last line: %w", c.addr, err)
			}
			if end.Error != "" {
				return nil, &Error{Message: end.Error}
			}
			return end.Footer, nil
		}
		if err := row(line); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("agent at %s: %w", c.addr, err)
	}
	return nil, fmt.Errorf("agent at %s: the answer broke off before its footer", c.addr)
}

func newLines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), 1<<20)
	return s
}

// Count asks for the number of headers.
func (c *Client) Count(ctx context.Context, req *CountRequest) (*CountResponse, error) {
	return call[*CountResponse](ctx, c, "POST", "/v1/count", req)
}

// Aggregate asks for a function over headers.
func (c *Client) Aggregate(ctx context.Context, req *AggregateRequest) (*AggregateResponse, error) {
	return call[*AggregateResponse](ctx, c, "POST", "/v1/aggregate", req)
}

// Explain asks how the question of a QueryRequest, CountRequest or
// AggregateRequest would be answered.
func (c *Client) Explain(ctx context.Context, req any) (*Explanation, error) {
	switch r := req.(type) {
	case QueryRequest:
		r.Explain = true
		return call[*Explanation](ctx, c, "POST", "/v1/query", r)
	case CountRequest:
		r.Explain = true
		return call[*Explanation](ctx, c, "POST", "/v1/count", r)
	case AggregateRequest:
		r.Explain = true
		return call[*Explanation](ctx, c, "POST", "/v1/aggregate", r)
	case ExportRequest:
		r.Explain = true
		return call[*Explanation](ctx, c, "POST", "/v1/export", r)
	}
	return nil, fmt.Errorf("api: a %T cannot be explained", req)
}

// Export writes a capture file of the headers to w.
func (c *Client) Export(ctx context.Context, req *ExportRequest, w io.Writer) (*diagnoser.Footer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.do(ctx, "POST", "/v1/export", req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	// Trailers are known once the body has ended.
	if msg := resp.Trailer.Get(ErrorTrailer); msg != "" {
		return nil, &Error{Message: msg}
	}
	f := new(diagnoser.Footer)
	if err := json.Unmarshal([]byte(resp.Trailer.Get(FooterTrailer)), f); err != nil {
		return nil, fmt.Errorf("agent at %s: footer of the export: %w", c.addr, err)
	}
	return f, nil
}

// Filters lists the installed filters.
func (c *Client) Filters(ctx context.Context) ([]Filter, error) {
	return call[[]Filter](ctx, c, "GET", "/v1/filters", nil)
}

// InstallFilter installs a filter.
func (c *Client) InstallFilter(ctx context.Context, spec FilterSpec) (*Filter, error) {
	return call[*Filter](ctx, c, "POST", "/v1/filters", spec)
}

// Indexes lists the indexed attributes.
func (c *Client) Indexes(ctx context.Context) ([]Index, error) {
	return call[[]Index](ctx, c, "GET", "/v1/indexes", nil)
}

// InstallIndex indexes an attribute.
func (c *Client) InstallIndex(ctx context.Context, spec IndexSpec) (*Index, error) {
	return call[*Index](ctx, c, "POST", "/v1/indexes", spec)
}

// Aggregates lists the installed aggregates with their values.
func (c *Client) Aggregates(ctx context.Context) ([]Aggregate, error) {
	return call[[]Aggregate](ctx, c, "GET", "/v1/aggregates", nil)
}

// InstallAggregate installs an aggregate.
func (c *Client) InstallAggregate(ctx context.Context, spec AggregateSpec) (*Aggregate, error) {
	return call[*Aggregate](ctx, c, "POST", "/v1/aggregates", spec)
}

// Triggers lists the installed triggers.
func (c *Client) Triggers(ctx context.Context) ([]Trigger, error) {
	return call[[]Trigger](ctx, c, "GET", "/v1/triggers", nil)
}

// InstallTrigger installs a trigger.
func (c *Client) InstallTrigger(ctx context.Context, spec TriggerSpec) (*Trigger, error) {
	return call[*Trigger](ctx, c, "POST", "/v1/triggers", spec)
}

// Snapshots lists the snapshots held.
func (c *Client) Snapshots(ctx context.Context) ([]Snapshot, error) {
	return call[[]Snapshot](ctx, c, "GET", "/v1/snapshots", nil)
}

// TakeSnapshot names the present moment.
func (c *Client) TakeSnapshot(ctx context.Context, spec SnapshotSpec) (*Snapshot, error) {
	return call[*Snapshot](ctx, c, "POST", "/v1/snapshots", spec)
}

// Remove removes something installed: kind is the path's element, filters,
// indexes, aggregates, triggers or snapshots.
func (c *Client) Remove(ctx context.Context, kind, name string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/"+kind+"/"+url.PathEscape(name), nil)
	return err
}

// Alerts returns the alerts since a time that the agent still keeps; the zero
// time is all of them.
func (c *Client) Alerts(ctx context.Context, since time.Time) ([]Alert, error) {
	return call[[]Alert](ctx, c, "GET", "/v1/alerts"+alertQuery(since, false), nil)
}

// Follow calls f with every alert from now on, before them those since a time
// unless it is zero, until ctx is done or f returns an error.
func (c *Client) Follow(ctx context.Context, since time.Time, f func(Alert) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.do(ctx, "GET", "/v1/alerts"+alertQuery(since, true), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := newLines(resp.Body)
	for lines.Scan() {
		var v struct {
			Alert
			QueryEnd
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return fmt.Errorf("agent at %s: alert: %w", c.addr, err)
		}
		if v.Error != "" {
			return &Error{Message: v.Error}
		}
		if err := f(v.Alert); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("agent at %s: %w", c.addr, err)
	}
	return fmt.Errorf("agent at %s: it has stopped", c.addr)
}

func alertQuery(since time.Time, follow bool) string {
	q := url.Values{}
	if !since.IsZero() {
		q.Set("since", since.Format(time.RFC3339Nano))
	}
	if follow {
		q.Set("follow", "1")
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// Reload asks the agent to read its configuration again.
func (c *Client) Reload(ctx context.Context) (*ReloadResponse, error) {
	return call[*ReloadResponse](ctx, c, "POST", "/v1/reload", nil)
}
