package api

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzAPI sends any request there is: none may bring the server down, none may
// be answered as if the agent were at fault, and every answer is what the API
// says it is.
func FuzzAPI(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/status", ""},
		{"POST", "/v1/query", `{"where":"tcp.syn && dst_port in {80, 443}","limit":3,"fields":["ts","in_port","tcp.syn"]}`},
		{"POST", "/v1/query", `{"where":"bpf:tcp port 80","order":"offset","numeric":true}`},
		{"POST", "/v1/count", `{"last":"5m","timeout":"1s"}`},
		{"POST", "/v1/count", `{"from":"2026-01-02T03:04:05Z","to_offset":9}`},
		{"POST", "/v1/aggregate", `{"aggregate":"TOPK(dst_ip, 3) BY proto"}`},
		{"POST", "/v1/aggregate", `{"aggregate":"QUANTILE(pkt_len, 0.99)","explain":true}`},
		{"POST", "/v1/export", `{"limit":2}`},
		{"POST", "/v1/filters", `{"name":"web","expr":"dst_port == 80"}`},
		{"DELETE", "/v1/filters/web", ""},
		{"POST", "/v1/indexes", `{"attr":"dst_port"}`},
		{"POST", "/v1/aggregates", `{"name":"a","aggregate":"COUNT()"}`},
		{"POST", "/v1/triggers", `{"name":"t","trigger":"COUNT() > 10 over 1s"}`},
		{"POST", "/v1/snapshots", `{"name":"s","ttl":"1m"}`},
		{"GET", "/v1/alerts?since=2026-01-02T03:04:05Z", ""},
		{"GET", "/metrics", ""},
		{"PATCH", "//v1/../%2e/", "\x00"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	h := newModelHost(f, 100)
	s := NewServer(h, Options{Socket: "x", MaxBody: 4096, QueryTimeout: 10 * time.Second})
	f.Fuzz(func(t *testing.T, method, target, body string) {
		if strings.ContainsAny(method+target, " \r\n") || method == "" || strings.Contains(target, "follow") {
			return // not one request line, or an answer without end
		}
		// As a server reads it, so that nothing comes in that HTTP would keep out.
		raw := method + " " + target + " HTTP/1.0\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(body))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s %q: %d %s", method, target, body, w.Code, w.Body)
		}
		answer := w.Body.Bytes()
		switch kind := w.Header().Get("Content-Type"); {
		case w.Code >= 400:
			var e Error
			if err := json.Unmarshal(answer, &e); err != nil || e.Message == "" {
				t.Fatalf("%s %s %q: %d %q is no error of the API", method, target, body, w.Code, answer)
			}
		case kind == "application/json":
			if !json.Valid(answer) {
				t.Fatalf("%s %s %q: %q is no JSON", method, target, body, answer)
			}
		case kind == "application/x-ndjson":
			lines := strings.SplitAfter(string(answer), "\n")
			var end QueryEnd
			for _, l := range lines[:len(lines)-1] {
				if !json.Valid([]byte(l)) {
					t.Fatalf("%s %s %q: line %q is no JSON", method, target, body, l)
				}
			}
			if err := json.Unmarshal([]byte(lines[len(lines)-2]), &end); err != nil || (end.Footer == nil) == (end.Error == "") {
				t.Fatalf("%s %s %q: last line %q", method, target, body, lines[len(lines)-2])
			}
		}
		// What was installed must not pile up over millions of requests.
		h.mu.Lock()
		h.filters, h.indexes, h.aggregates, h.triggers, h.snapshots = nil, nil, nil, nil, nil
		h.mu.Unlock()
	})
}
