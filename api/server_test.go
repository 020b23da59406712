package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer serves h on a socket until the test ends.
func startServer(t *testing.T, h Host, opt Options) (*Server, *Client) {
	t.Helper()
	if opt.Socket == "" {
		opt.Socket = filepath.Join(t.TempDir(), "s")
	}
	s := NewServer(h, opt)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c := NewClient(opt.Socket)
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

func TestQueryStreamsTheRowsOfTheLogInOrder(t *testing.T) {
	h := newModelHost(t, 1000)
	_, c := startServer(t, h, Options{})
	for _, tc := range []struct {
		req   QueryRequest
		match func(i int) bool
		limit int
	}{
		{QueryRequest{}, func(int) bool { return true }, 1000},
		{QueryRequest{Selection: Selection{Where: "arp"}}, func(i int) bool { return i%5 == 4 }, 1000},
		{QueryRequest{Selection: Selection{Where: "tcp.syn"}, Limit: 7}, func(i int) bool { return i%5 == 0 }, 7},
		{QueryRequest{Selection: Selection{From: t0.Add(10 * time.Millisecond), To: t0.Add(20 * time.Millisecond)}},
			func(i int) bool { return i >= 10 && i < 20 }, 1000},
		{QueryRequest{Selection: Selection{FromOffset: 3, ToOffset: 9}}, func(i int) bool { return i >= 3 && i < 9 }, 1000},
		{QueryRequest{Selection: Selection{Where: "bpf:tcp port 443"}}, func(i int) bool { return i%5 != 4 && i%2 == 1 }, 1000},
		{QueryRequest{Selection: Selection{Where: `in_port == "eth \"0\""`}}, func(int) bool { return true }, 1000},
		{QueryRequest{Selection: Selection{Where: "udp"}}, func(int) bool { return false }, 1000},
	} {
		tc.req.Fields = []string{"offset"}
		var want, got []string
		for i := range 1000 {
			if tc.match(i) && len(want) < tc.limit {
				want = append(want, fmt.Sprintf(`{"offset":%d}`, i))
			}
		}
		f, err := c.Query(t.Context(), &tc.req, func(line []byte) error {
			got = append(got, string(line))
			return nil
		})
		if err != nil {
			t.Fatalf("%+v: %v", tc.req, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: rows (-want +got):\n%s", tc.req, diff)
		}
		if f.Returned != uint64(len(want)) {
			t.Errorf("%+v: footer says %d returned, want %d", tc.req, f.Returned, len(want))
		}
	}
}

func TestRowsHaveTheFieldsAskedForWithNullForWhatIsAbsent(t *testing.T) {
	_, c := startServer(t, newModelHost(t, 5), Options{})
	for _, tc := range []struct {
		req  QueryRequest
		want string
	}{
		{QueryRequest{Selection: Selection{FromOffset: 0, ToOffset: 1}},
			`{"ts":"2026-01-02T03:04:05Z","src_ip":"10.0.0.1","src_port":40000,"dst_ip":"10.0.1.0","dst_port":80,"proto":"tcp","tcp_flags":2,"pkt_len":60}`},
		{QueryRequest{Selection: Selection{FromOffset: 4, ToOffset: 5}, Fields: []string{"dst_port", "arp", "tcp.syn", "in_port", "eth_type", "src_mac"}},
			`{"dst_port":null,"arp":true,"tcp.syn":null,"in_port":"eth \"0\"","eth_type":"arp","src_mac":"02:00:00:00:00:02"}`},
		{QueryRequest{Selection: Selection{FromOffset: 1, ToOffset: 2}, Numeric: true, Fields: []string{"proto", "in_port", "tcp.ack", "direction"}},
			`{"proto":6,"in_port":0,"tcp.ack":true,"direction":1}`},
	} {
		var got string
		if _, err := c.Query(t.Context(), &tc.req, func(line []byte) error { got = string(line); return nil }); err != nil {
			t.Fatal(err)
		}
		if got != tc.want {
			t.Errorf("row\n%s\nwant\n%s", got, tc.want)
		}
	}
}

func TestErrorBeforeRowsHasItsStatusAndAfterRowsIsTheLastLine(t *testing.T) {
	h := newModelHost(t, 1000)
	s := NewServer(h, Options{Socket: "x"})
	post := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/query", strings.NewReader(`{"fields":["offset"]}`)))
		return w
	}
	h.failAt = 500
	w := post()
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if w.Code != 200 || len(lines) != 501 || lines[500] != `{"error":"the model's disk is on fire"}` {
		t.Errorf("status %d, %d lines, the last %s", w.Code, len(lines), lines[len(lines)-1])
	}
	var e Error
	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/query", strings.NewReader(`{"snapshot":"nope"}`)))
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 404 || e.Message == "" {
		t.Errorf("unknown snapshot: status %d, body %s", w.Code, w.Body)
	}
}

func TestCountAndAggregateAgreeWithTheModel(t *testing.T) {
	h := newModelHost(t, 1000)
	_, c := startServer(t, h, Options{})
	n, err := c.Count(t.Context(), &CountRequest{Selection{Where: "dst_port == 443"}})
	if err != nil || n.Count != 400 {
		t.Fatalf("count %+v, %v; want 400", n, err)
	}
	for _, text := range []string{"COUNT()", "SUM(pkt_len) BY dst_port", "MIN(ts)", "AVG(pkt_len)", "TOPK(dst_ip, 3)", "TOPK(dst_port, 2) BY dst_ip", "DISTINCT(src_port)", "QUANTILE(pkt_len, 0.5)"} {
		req := &AggregateRequest{Selection: Selection{Where: "tcp"}, Aggregate: text}
		got, err := c.Aggregate(t.Context(), req)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		q, err := req.Compile(h.ports, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		agg := mustAggregate(t, text)
		want, _, err := h.Aggregate(t.Context(), q, agg)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(comparable(t, want), comparable(t, got.Result)); diff != "" {
			t.Errorf("%s (-fold's own JSON +the API's):\n%s", text, diff)
		}
		columns, rows := got.Table()
		wantColumns, wantRows := want.Table()
		var gotRows [][]string
		for _, r := range rows {
			var cells []string
			for _, v := range r {
				cells = append(cells, v.Text)
			}
			gotRows = append(gotRows, cells)
		}
		if diff := cmp.Diff([]any{wantColumns, wantRows}, []any{columns, gotRows}); diff != "" {
			t.Errorf("table of %s (-fold's own +the API's):\n%s", text, diff)
		}
	}
}

// comparable returns v as JSON has it, without what only the API's form has.
func comparable(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "by")
	for _, r := range m["rows"].([]any) {
		if r := r.(map[string]any); r["exact"] == true {
			delete(r, "exact")
		}
	}
	return m
}

func TestGroupsByPortBearTheNamesOfPorts(t *testing.T) {
	_, c := startServer(t, newModelHost(t, 10), Options{})
	got, err := c.Aggregate(t.Context(), &AggregateRequest{Aggregate: "COUNT() BY in_port"})
	if err != nil {
		t.Fatal(err)
	}
	if name := got.Rows[0].Group["in_port"].Text; name != `eth "0"` {
		t.Errorf("group %q", name)
	}
}

func TestExportIsACaptureFileOfTheSlices(t *testing.T) {
	h := newModelHost(t, 1000)
	_, c := startServer(t, h, Options{})
	var file bytes.Buffer
	f, err := c.Export(t.Context(), &ExportRequest{Selection: Selection{Where: "arp"}}, &file)
	if err != nil || f.Returned != 200 {
		t.Fatalf("footer %+v, %v", f, err)
	}
	r, err := pcapgo.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4; i < 1000; i += 5 {
		data, ci, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if !bytes.Equal(data, modelFrame(i)) || !ci.Timestamp.Equal(t0.Add(time.Duration(i)*time.Millisecond)) || ci.Length != 60+i {
			t.Fatalf("packet %d: %x, %+v", i, data, ci)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Fatalf("after the last packet: %v", err)
	}

	h.failAt = 3
	var e *Error
	if _, err := c.Export(t.Context(), &ExportRequest{}, io.Discard); !errors.As(err, &e) || !strings.Contains(e.Message, "on fire") {
		t.Errorf("an export that fails: %v", err)
	}
}

func TestEveryMistakeGetsItsStatusAndSaysWhatIsAllowed(t *testing.T) {
	h := newModelHost(t, 10)
	s := NewServer(h, Options{Socket: "x", MaxBody: 1000})
	must(t, install(h, &h.filters, Filter{Name: "web"}, func(Filter) bool { return false }))
	must(t, install(h, &h.aggregates, Aggregate{Name: "a", Filter: "web"}, func(Aggregate) bool { return false }))
	for _, tc := range []struct {
		method, path, body string
		status, column     int
		says               string
	}{
		{"GET", "/v1/nothing", "", 404, 0, "no such path"},
		{"PUT", "/v1/status", "", 405, 0, "want GET"},
		{"GET", "/v1/query", "", 405, 0, "want POST"},
		{"POST", "/v1/count", `{"where":"dst_port = 80"}`, 400, 10, "column 10"},
		{"POST", "/v1/count", `{"were":"tcp"}`, 400, 0, "were"},
		{"POST", "/v1/count", `{"where":1}`, 400, 0, "request body"},
		{"POST", "/v1/count", `[]`, 400, 0, "request body"},
		{"POST", "/v1/count", `{`, 400, 0, "request body"},
		{"POST", "/v1/count", `{} {}`, 400, 0, "something follows"},
		{"POST", "/v1/count", `{"where":"` + strings.Repeat(" ", 2000) + `"}`, 413, 0, "1000 bytes"},
		{"POST", "/v1/count", `{"last":"5 minutes"}`, 400, 0, "250ms"},
		{"POST", "/v1/count", `{"last":"5m","from":"2026-01-01T00:00:00Z"}`, 400, 0, "excludes"},
		{"POST", "/v1/count", `{"to":"2026-01-01T00:00:00Z","from":"2026-01-02T00:00:00Z"}`, 400, 0, "before"},
		{"POST", "/v1/count", `{"from_offset":5,"to_offset":4}`, 400, 0, "before"},
		{"POST", "/v1/count", `{"snapshot":"x"}`, 404, 0, "not found"},
		{"POST", "/v1/query", `{"fields":["nope"]}`, 400, 0, "src_ip"},
		{"POST", "/v1/query", `{"fields":["ts","ts"]}`, 400, 0, "twice"},
		{"POST", "/v1/query", `{"limit":-1}`, 400, 0, "0 (none) or more"},
		{"POST", "/v1/query", `{"order":"down"}`, 400, 0, "time or offset"},
		{"POST", "/v1/export", `{"limit":-1}`, 400, 0, "0 (none) or more"},
		{"POST", "/v1/aggregate", `{"aggregate":"SUM(nothing)"}`, 400, 5, "column 5"},
		{"POST", "/v1/aggregate", `{}`, 400, 1, "column 1"},
		{"POST", "/v1/filters", `{"name":"web","expr":"tcp"}`, 409, 0, "exists"},
		{"POST", "/v1/filters", `{"name":"../web","expr":"tcp"}`, 400, 0, "letters"},
		{"POST", "/v1/filters", `{"expr":"tcp"}`, 400, 0, "letters"},
		{"DELETE", "/v1/filters/nope", "", 404, 0, "not found"},
		{"DELETE", "/v1/filters/web", "", 409, 0, "in use"},
		{"POST", "/v1/indexes", `{"attr":"color"}`, 400, 0, "color"},
		{"DELETE", "/v1/indexes/color", "", 400, 0, "color"},
		{"POST", "/v1/triggers", `{"name":"t","trigger":"SUM(pkt_len) over 1s"}`, 400, 14, "column 14"},
		{"POST", "/v1/snapshots", `{"name":"s"}`, 400, 0, "ttl"},
		{"POST", "/v1/snapshots", `{"name":"s","ttl":"-5s"}`, 400, 0, "duration"},
		{"GET", "/v1/alerts?since=yesterday", "", 400, 0, "RFC 3339"},
		{"GET", "/v1/alerts?follow=yes", "", 400, 0, "0 or 1"},
		{"GET", "/v1/alerts?sinse=1", "", 400, 0, "sinse"},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body)))
		var e Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Errorf("%s %s %s: %d %s: %v", tc.method, tc.path, tc.body, w.Code, w.Body, err)
			continue
		}
		if w.Code != tc.status || e.Column != tc.column || !strings.Contains(e.Message, tc.says) {
			t.Errorf("%s %s %.80s: %d, column %d, %q; want %d, column %d, ...%q...", tc.method, tc.path, tc.body, w.Code, e.Column, e.Message, tc.status, tc.column, tc.says)
		}
	}
	r := httptest.NewRequest("POST", "/v1/reload", nil)
	r.Header.Set("Origin", "https://example.org")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 403 || h.reloads != 0 {
		t.Errorf("a page of a browser reloads the agent: status %d", w.Code)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsInstalledIsListedAndRemoved(t *testing.T) {
	ctx := t.Context()
	_, c := startServer(t, newModelHost(t, 10), Options{})
	f, err := c.InstallFilter(ctx, FilterSpec{Name: "web", Expr: "dst_port in {80,443}"})
	must(t, err)
	if f.FromOffset != 10 || f.Name != "web" {
		t.Errorf("filter %+v", f)
	}
	_, err = c.InstallIndex(ctx, IndexSpec{"dst_port"})
	must(t, err)
	_, err = c.InstallAggregate(ctx, AggregateSpec{"bytes", "web", "SUM(pkt_len) BY dst_ip"})
	must(t, err)
	_, err = c.InstallTrigger(ctx, TriggerSpec{"hot", "web", "SUM(pkt_len) > 1GB over 100ms every 1ms"})
	must(t, err)
	s, err := c.TakeSnapshot(ctx, SnapshotSpec{"now", Duration(time.Minute)})
	must(t, err)
	if s.EndOffset != 10 || s.Expires.Sub(s.Taken) != time.Minute {
		t.Errorf("snapshot %+v", s)
	}
	names := func() string {
		var out []string
		fs, err := c.Filters(ctx)
		must(t, err)
		for _, v := range fs {
			out = append(out, v.Name+"="+v.Expr)
		}
		xs, err := c.Indexes(ctx)
		must(t, err)
		for _, v := range xs {
			out = append(out, v.Attr)
		}
		as, err := c.Aggregates(ctx)
		must(t, err)
		for _, v := range as {
			out = append(out, v.Name+"="+v.Aggregate)
		}
		ts, err := c.Triggers(ctx)
		must(t, err)
		for _, v := range ts {
			out = append(out, v.Name)
		}
		ss, err := c.Snapshots(ctx)
		must(t, err)
		for _, v := range ss {
			out = append(out, v.Name)
		}
		return strings.Join(out, " | ")
	}
	if got, want := names(), "web=dst_port in {80, 443} | dst_port | bytes=SUM(pkt_len) BY dst_ip | hot | now"; got != want {
		t.Errorf("installed %s, want %s", got, want)
	}
	for _, x := range [][2]string{{"triggers", "hot"}, {"aggregates", "bytes"}, {"filters", "web"}, {"indexes", "dst_port"}, {"snapshots", "now"}} {
		must(t, c.Remove(ctx, x[0], x[1]))
	}
	if got := names(); got != "" {
		t.Errorf("left: %s", got)
	}
	r, err := c.Reload(ctx)
	must(t, err)
	if len(r.Applied) != 1 {
		t.Errorf("reload %+v", r)
	}
}

func TestExplainSaysHowAndDoesNotAnswer(t *testing.T) {
	_, c := startServer(t, newModelHost(t, 10), Options{})
	for _, req := range []any{QueryRequest{}, CountRequest{}, AggregateRequest{Aggregate: "COUNT()"}, ExportRequest{}} {
		e, err := c.Explain(t.Context(), req)
		if err != nil || e.Plan != "brute force over every header" {
			t.Errorf("%T: %+v, %v", req, e, err)
		}
	}
}

func TestFollowDeliversOldAlertsThenNewOnesOnceEach(t *testing.T) {
	h := newModelHost(t, 1)
	s, c := startServer(t, h, Options{})
	for i := range 3 {
		h.raise(strconv.Itoa(i))
	}
	var got []string
	errDone := errors.New("done")
	err := c.Follow(t.Context(), t0.Add(time.Second), func(a Alert) error {
		got = append(got, a.Trigger)
		if len(got) < 5 {
			h.raise("new")
			return nil
		}
		return errDone
	})
	if diff := cmp.Diff([]string{"1", "2", "new", "new", "new"}, got); diff != "" || err != errDone {
		t.Errorf("%v; alerts (-want +got):\n%s", err, diff)
	}
	if l, err := c.Alerts(t.Context(), t0.Add(2*time.Second)); err != nil || len(l) == 0 || l[0].Seq != 3 {
		t.Errorf("since: %+v, %v", l, err)
	}

	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.followers) == 0 }) // the one above is gone
	// A follower that falls behind is told, and one of an agent that stops too.
	following := make(chan error, 1)
	go func() {
		following <- c.Follow(t.Context(), time.Time{}, func(Alert) error { return nil })
	}()
	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.followers) == 1 })
	h.mu.Lock()
	for f := range h.followers {
		delete(h.followers, f)
		close(f)
	}
	h.mu.Unlock()
	if err := <-following; err == nil || !strings.Contains(err.Error(), "faster than they were read") {
		t.Errorf("a follower that lags: %v", err)
	}
	go func() {
		following <- c.Follow(context.Background(), time.Time{}, func(Alert) error { return nil })
	}()
	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.followers) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(t, s.Shutdown(ctx))
	if err := <-following; err == nil || !strings.Contains(err.Error(), "has stopped") {
		t.Errorf("a follower of an agent that stops: %v", err)
	}
}

// waitFor waits for something that must come to be.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("waited in vain")
}

func TestQueryStopsWhenItsClientLeaves(t *testing.T) {
	h := newModelHost(t, 100_000)
	h.stall = time.Millisecond
	_, c := startServer(t, h, Options{})
	gone := errors.New("gone")
	if _, err := c.Query(t.Context(), &QueryRequest{}, func([]byte) error { return gone }); err != gone {
		t.Fatal(err)
	}
	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.queries == 0 })
}

func TestQueryStopsAtItsTimeLimitAndSaysSo(t *testing.T) {
	h := newModelHost(t, 100_000)
	h.stall = time.Millisecond
	_, c := startServer(t, h, Options{})
	var e *Error
	_, err := c.Query(t.Context(), &QueryRequest{Selection: Selection{Timeout: Duration(50 * time.Millisecond)}}, func([]byte) error { return nil })
	if !errors.As(err, &e) || !strings.Contains(e.Message, "50ms") {
		t.Errorf("%v", err)
	}
}

func TestReaderThatNeverReadsIsCutOff(t *testing.T) {
	h := newModelHost(t, 200_000)
	socket := filepath.Join(t.TempDir(), "s")
	startServer(t, h, Options{Socket: socket, WriteTimeout: 200 * time.Millisecond})
	conn, err := net.Dial("unix", socket)
	must(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{\"fields\":[\"all\"]}")
	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.queries == 1 })
	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.queries == 0 })
	rest, err := io.ReadAll(conn)
	if bytes.Contains(rest, []byte(`{"footer"`)) {
		t.Errorf("the answer of %d bytes went through whole (%v); it must be larger than the socket's buffers for this test", len(rest), err)
	}
}

func TestHealthReadinessAndMetrics(t *testing.T) {
	h := newModelHost(t, 3)
	s := NewServer(h, Options{Socket: "x"})
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	if code, body := get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, _ := get("/readyz"); code != 200 {
		t.Errorf("readyz of a ready agent: %d", code)
	}
	h.notReady = errors.New("no source is up")
	if code, body := get("/readyz"); code != 503 || body != "no source is up\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "\nconfluo_model_headers 3\n") {
		t.Errorf("metrics: %d %q", code, body)
	}
}

func TestStatusHasTheRatesBetweenItsSamples(t *testing.T) {
	var r rates
	at := func(second int, headers uint64) *Status {
		return &Status{
			Time:    t0.Add(time.Duration(second) * time.Second),
			Spray:   SprayStatus{WriteTail: headers},
			Sources: []SourceStatus{{Name: "eth0", Received: headers, Bytes: 100 * headers}},
			Writers: []WriterStatus{{Name: "0", Headers: headers}},
		}
	}
	now := at(7, 500)
	if r.fill(now); now.Spray.HeadersPerSecond != 0 {
		t.Errorf("a rate without samples: %v", now.Spray.HeadersPerSecond)
	}
	r.older, r.old = at(5, 100), at(6, 200)
	r.fill(now)
	if now.Spray.HeadersPerSecond != 200 || now.Sources[0].HeadersPerSecond != 200 || now.Sources[0].BytesPerSecond != 20000 || now.Writers[0].HeadersPerSecond != 200 {
		t.Errorf("rates %+v", now)
	}
	restarted := at(7, 50)
	if r.fill(restarted); restarted.Sources[0].HeadersPerSecond != 0 {
		t.Errorf("rate of a count that went back: %v", restarted.Sources[0].HeadersPerSecond)
	}

	h := newModelHost(t, 5)
	s, c := startServer(t, h, Options{})
	waitFor(t, func() bool { s.rates.mu.Lock(); defer s.rates.mu.Unlock(); return s.rates.old != nil })
	st, err := c.Status(t.Context())
	if err != nil || st.Log.ReadTail != 5 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestConnectionIsUsedAgainAfterAStreamAndASlowStart(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	startServer(t, newModelHost(t, 10), Options{Socket: socket, WriteTimeout: 100 * time.Millisecond})
	conn, err := net.Dial("unix", socket)
	must(t, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprintf(conn, "POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		resp, err := http.ReadResponse(r, nil)
		must(t, err)
		b, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Contains(b, []byte(`{"footer"`)) {
			t.Fatalf("%s, %v", b, err)
		}
		time.Sleep(250 * time.Millisecond) // longer than the deadlines of the answer before
	}
}
