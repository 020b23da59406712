package monitor

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A receiver is a webhook's other end: it answers with status, after pause.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	pause  chan struct{} // requests wait until it is closed; nil: they do not
	got    []postableAlert
	header http.Header
}

func newReceiver(t *testing.T, start func(*httptest.Server)) *receiver {
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the client went away
		}
		r.mu.Lock()
		status, pause := r.status, r.pause
		r.mu.Unlock()
		if pause != nil {
			select {
			case <-pause:
			case <-req.Context().Done():
				return
			}
		}
		var as []postableAlert
		if err := json.Unmarshal(body, &as); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.header = req.Header.Clone()
		if status == http.StatusOK {
			r.got = append(r.got, as...)
		}
		w.WriteHeader(status)
	}))
	start(r.Server)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(status int, pause chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.pause = status, pause
}

func (r *receiver) received() []postableAlert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]postableAlert(nil), r.got...)
}

func newWebhook(t *testing.T, o WebhookOptions) *Webhook {
	t.Helper()
	w, err := NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func checkCounts(t *testing.T, w *Webhook) WebhookStats {
	t.Helper()
	s := w.Stats()
	if s.Taken != s.Delivered+s.Rejected+s.Dropped+uint64(s.Waiting) {
		t.Errorf("counts do not add up: %+v", s)
	}
	return s
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func testAlert(n int, s State) *Alert {
	return &Alert{
		Seq: uint64(n), State: s, Trigger: "busy", Expr: "COUNT() BY src_ip > 1 over 1s every 1s", Severity: "critical",
		Labels: map[string]string{"team": "net", "empty": ""}, Annotations: map[string]string{"runbook": "do"},
		Group: []Label{{"src_ip", fmt.Sprintf("10.0.0.%d", n)}}, Raised: time.Now(), Started: time.Now(), Value: 2.5, Threshold: 1,
		From: at(0), To: at(1000), FirstOffset: 7, LastOffset: 9, HasOffsets: true,
	}
}

func TestWebhookPostsWhatAlertmanagerTakes(t *testing.T) {
	r := newReceiver(t, func(s *httptest.Server) { s.StartTLS() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWebhook(t, WebhookOptions{
		URL: r.URL + "/api/v2/alerts", CA: ca, Host: "hv1", Generator: "http://hv1/x", Headers: map[string]string{"Authorization": "Bearer x"},
	})
	a := testAlert(1, Firing)
	w.Alert(a)
	b := testAlert(1, Resolved)
	b.NoValue, b.HasOffsets = true, false
	w.Alert(b)
	waitFor(t, "two alerts", func() bool { return len(r.received()) == 2 })
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	checkCounts(t, w)
	got := r.received()
	want := map[string]string{"alertname": "busy", "severity": "critical", "host": "hv1", "team": "net", "src_ip": "10.0.0.1"}
	if fmt.Sprint(got[0].Labels) != fmt.Sprint(want) || fmt.Sprint(got[1].Labels) != fmt.Sprint(want) {
		t.Errorf("labels %v and %v, want %v", got[0].Labels, got[1].Labels, want)
	}
	for k, v := range map[string]string{
		"summary": "busy for src_ip 10.0.0.1 is firing: " + a.Expr + ", value 2.5", "expression": a.Expr, "value": "2.5", "threshold": "1",
		"window_from": "2026-03-01T00:00:00Z", "first_offset": "7", "last_offset": "9", "runbook": "do",
	} {
		if got[0].Annotations[k] != v {
			t.Errorf("annotation %s is %q, want %q", k, got[0].Annotations[k], v)
		}
	}
	if !got[0].StartsAt.Equal(a.Started) || got[0].EndsAt.Before(time.Now()) || !got[1].EndsAt.Equal(b.Raised) || got[1].Annotations["value"] != "none" {
		t.Errorf("times and value: %+v", got)
	}
	if got[0].GeneratorURL != "http://hv1/x" || r.header.Get("Authorization") != "Bearer x" {
		t.Errorf("generator %q, header %v", got[0].GeneratorURL, r.header)
	}
}

// A receiver that hangs, fails and comes back: alerts never wait, nothing is
// lost but the oldest for want of room, and everything is counted.
func TestWebhookOutlivesItsReceiver(t *testing.T) {
	r := newReceiver(t, func(s *httptest.Server) { s.Start() })
	var log bytes.Buffer
	w := newWebhook(t, WebhookOptions{
		URL: r.URL, Timeout: 50 * time.Millisecond, Queue: 20, Batch: 5, Backoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	r.set(http.StatusOK, make(chan struct{})) // hangs
	for i := range 100 {
		w.Alert(testAlert(i, Firing))
		checkCounts(t, w)
	}
	if s := checkCounts(t, w); s.Waiting < 20 || s.Waiting > 25 || s.Dropped+s.Delivered != uint64(100-s.Waiting) || s.Active != 100 {
		t.Errorf("with a receiver that hangs: %+v", s)
	}
	waitFor(t, "a time-out", func() bool { return w.Stats().Failures > 0 })
	r.set(http.StatusServiceUnavailable, nil)
	failures := w.Stats().Failures
	waitFor(t, "an error", func() bool { return w.Stats().Failures > failures+2 })
	r.set(http.StatusOK, nil)
	waitFor(t, "delivery", func() bool { return w.Stats().Waiting == 0 })
	s := checkCounts(t, w)
	got := r.received()
	if uint64(len(got)) != s.Delivered || s.Rejected != 0 || s.Taken != 100 {
		t.Errorf("%d received, %+v", len(got), s)
	}
	for i := 1; i < len(got); i++ { // in order
		var a, b int
		if _, err := fmt.Sscanf(got[i-1].Labels["src_ip"]+" "+got[i].Labels["src_ip"], "10.0.0.%d 10.0.0.%d", &a, &b); err != nil || a >= b {
			t.Errorf("%v after %v: %v", got[i].Labels, got[i-1].Labels, err)
		}
	}
	if last := got[len(got)-1].Labels["src_ip"]; last != "10.0.0.99" {
		t.Errorf("the newest alert received is %s", last)
	}

	r.set(http.StatusBadRequest, nil)
	w.Alert(testAlert(200, Firing))
	waitFor(t, "a refusal", func() bool { return w.Stats().Rejected == 1 })
	r.set(http.StatusServiceUnavailable, nil)
	w.Alert(testAlert(201, Firing))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if s := checkCounts(t, w); s.Waiting != 0 || s.Taken != 102 {
		t.Errorf("after Close: %+v", s)
	}
	for _, want := range []string{"webhook failed", "takes alerts again", "webhook refused alerts"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has no %q:\n%s", want, &log)
		}
	}
}

func TestWebhookRepeatsWhatFires(t *testing.T) {
	r := newReceiver(t, func(s *httptest.Server) { s.Start() })
	w := newWebhook(t, WebhookOptions{URL: r.URL, Repeat: 20 * time.Millisecond, Batch: 2})
	for i := range 3 {
		w.Alert(testAlert(i, Firing))
	}
	waitFor(t, "repeated alerts", func() bool { return w.Stats().Repeated > 6 })
	for i := range 3 {
		w.Alert(testAlert(i, Resolved))
	}
	waitFor(t, "the last to be sent", func() bool { return w.Stats().Waiting == 0 })
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s := checkCounts(t, w)
	got := r.received()
	if uint64(len(got)) != s.Delivered+s.Repeated || s.Active != 0 {
		t.Errorf("%d received, %+v", len(got), s)
	}
}

// Evaluation goes on, at its own speed, while no sink takes anything.
func TestSinksDoNotBlockEvaluation(t *testing.T) {
	r := newReceiver(t, func(s *httptest.Server) { s.Start() })
	hang := make(chan struct{})
	r.set(http.StatusOK, hang)
	wh := newWebhook(t, WebhookOptions{URL: r.URL, Timeout: time.Minute, Queue: 10})
	reader, writer := io.Pipe() // nobody reads yet
	ls := NewLogSink(slog.New(slog.NewTextHandler(writer, nil)))
	m, l := newMonitor(t, Options{Lateness: time.Millisecond, Sinks: []Sink{wh, ls}})
	install(t, m, "n", "COUNT() > 0 over 1ms every 1ms")
	for i := range 2000 {
		send(t, l, ms(float64(2*i)), 1, 1)
		m.look(at(float64(2 * i)))
	}
	alerts := m.Stats().Alerts
	if alerts < 3000 {
		t.Fatalf("%d alerts", alerts)
	}
	s := checkCounts(t, wh)
	if s.Taken != alerts || s.Waiting < 10 {
		t.Errorf("%d alerts, webhook %+v", alerts, s)
	}
	close(hang)
	var text bytes.Buffer
	done := make(chan error)
	go func() {
		_, err := io.Copy(&text, reader)
		done <- err
	}()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(text.String(), "\n"); uint64(lines)+ls.Dropped() != alerts || ls.Dropped() == 0 {
		t.Errorf("%d lines and %d dropped of %d alerts", lines, ls.Dropped(), alerts)
	}
	if !strings.Contains(text.String(), "msg=alert state=firing trigger=n") {
		t.Errorf("log: %.300s", &text)
	}
	checkCounts(t, wh)
}

// A sink that is put in place later hears of what fires already.
func TestNewSinkHearsWhatFires(t *testing.T) {
	r := newReceiver(t, func(s *httptest.Server) { s.Start() })
	m, l := newMonitor(t, Options{Lateness: time.Millisecond})
	install(t, m, "by", "COUNT() BY in_port > 0 over 1s every 1ms")
	send(t, l, ms(1), 1, 1)
	m.look(at(1))
	m.look(at(10))
	wh := newWebhook(t, WebhookOptions{URL: r.URL})
	if err := m.SetSinks([]Sink{wh}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the alert", func() bool { return len(r.received()) == 1 })
	if got := r.received()[0].Labels["in_port"]; got != "eth7" {
		t.Errorf("in_port %q, want the port's name", got)
	}
	if err := m.SetSinks(nil); err != nil {
		t.Fatal(err)
	}
}

func TestWebhookOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]WebhookOptions{
		`webhook url "nix"`:    {URL: "nix"},
		"timeout -1s":          {URL: "http://u:secret@h/", Timeout: -time.Second},
		"queue -1":             {URL: "http://h/", Queue: -1},
		"no such file":         {URL: "https://h/", CA: "/nonexistent/ca.pem"},
		"no certificate in":    {URL: "https://h/", CA: "webhook_test.go"},
		`webhook url "ftp://h`: {URL: "ftp://h"},
	} {
		w, err := NewWebhook(o)
		if err == nil {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
