package monitor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"
)

// WebhookOptions say where alerts are posted, in the format of Alertmanager's
// API v2 (POST /api/v2/alerts).
type WebhookOptions struct {
	URL       string            // the whole address, http or https
	Timeout   time.Duration     // longest wait for an answer (default 5 s)
	Headers   map[string]string // HTTP header fields of each request
	CA        string            // file of PEM certificates that may have signed the receiver's; empty: the system's
	Host      string            // label host: this agent's name
	Generator string            // generatorURL of alerts; empty: none

	// Repeat is how often an alert that fires is posted again (default 1 m),
	// each time to end four times as late unless it comes again: so it lives on
	// whatever the receiver's resolve time-out is, and ends when the agent does.
	Repeat time.Duration
	// Queue is how many alerts may wait (default 10,000). When one more comes,
	// the oldest is dropped.
	Queue int
	// Batch is how many alerts are posted at once (default 64).
	Batch int
	// Backoff is the wait after the first failure (default 100 ms). It doubles
	// with each further one, up to MaxBackoff (default 30 s).
	Backoff, MaxBackoff time.Duration
	// Log is told when the receiver begins and ceases to fail; nil: nobody is.
	Log *slog.Logger
}

func (o WebhookOptions) withDefaults() (WebhookOptions, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return o, fmt.Errorf("monitor: webhook url %q: want http:// or https://, a host and a path such as /api/v2/alerts", o.URL)
	}
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"timeout", &o.Timeout, 5 * time.Second}, {"repeat", &o.Repeat, time.Minute},
		{"backoff", &o.Backoff, 100 * time.Millisecond}, {"max backoff", &o.MaxBackoff, 30 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < 0 {
			return o, fmt.Errorf("monitor: webhook %s: %s %v is negative", u.Redacted(), d.name, *d.v)
		}
	}
	if o.Queue == 0 {
		o.Queue = 10000
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Queue < 1 || o.Batch < 1 {
		return o, fmt.Errorf("monitor: webhook %s: queue %d and batch %d must be 1 or more", u.Redacted(), o.Queue, o.Batch)
	}
	return o, nil
}

// WebhookStats are counts of one webhook. Taken = Delivered + Rejected +
// Dropped + Waiting at every moment.
type WebhookStats struct {
	Taken     uint64 // alerts
	Delivered uint64
	Rejected  uint64 // refused by the receiver for good
	Dropped   uint64 // oldest ones, for want of room, and those that waited at Close
	Waiting   int

	Repeated uint64 // times that a firing alert was posted again
	Failures uint64 // requests without success
	Active   int    // alerts that fire
}

// A Webhook posts alerts to a receiver such as Alertmanager, in order, and again
// until the receiver has taken them. It is safe for concurrent use.
type Webhook struct {
	opt    WebhookOptions
	name   string // the URL without a password
	client *http.Client

	mu     sync.Mutex
	queue  []*Alert          // waiting, not in flight
	flight int               // alerts of the request under way
	active map[string]active // alerts that fire, by identity
	stats  WebhookStats

	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	closed chan struct{} // Close was called
	done   chan struct{} // the goroutine has ended
}

// An active is an alert that fires, and when it was posted last.
type active struct {
	alert *Alert
	sent  time.Time
}

// NewWebhook starts a webhook, which Close ends.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("monitor: webhook ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("monitor: webhook ca %s: no certificate in PEM form", o.CA)
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	w := &Webhook{
		opt: o, client: &http.Client{Transport: tr, Timeout: o.Timeout},
		active: map[string]active{}, wake: make(chan struct{}, 1),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
	if u, err := url.Parse(o.URL); err == nil {
		w.name = u.Redacted()
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go w.run()
	return w, nil
}

// Alert implements Sink.
func (w *Webhook) Alert(a *Alert) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Taken++
	key := episodeID(a)
	if a.State == Firing {
		w.active[key] = active{a, a.Raised}
	} else {
		delete(w.active, key)
	}
	if len(w.queue) == w.opt.Queue {
		w.queue = slices.Delete(w.queue, 0, 1)
		w.stats.Dropped++
	}
	w.queue = append(w.queue, a)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// episodeID tells apart the alerts of different triggers and groups.
func episodeID(a *Alert) string {
	id := fmt.Sprintf("%q", a.Trigger)
	for _, g := range a.Group {
		id += fmt.Sprintf(" %s=%q", g.Name, g.Value)
	}
	return id
}

// Stats returns the counts of now.
func (w *Webhook) Stats() WebhookStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Waiting, s.Active = len(w.queue)+w.flight, len(w.active)
	return s
}

// URL returns the receiver's address, without a password.
func (w *Webhook) URL() string { return w.name }

// Close gives what waits one more chance, for two seconds or the time-out if
// that is shorter, counts the rest as dropped and ends the webhook.
func (w *Webhook) Close() error {
	close(w.closed)
	stop := time.AfterFunc(min(w.opt.Timeout, 2*time.Second), w.cancel)
	<-w.done
	stop.Stop()
	w.cancel()
	w.client.CloseIdleConnections()
	return nil
}

func (w *Webhook) run() {
	defer close(w.done)
	repeat := time.NewTicker(max(w.opt.Repeat/4, time.Millisecond))
	defer repeat.Stop()
	for {
		for w.send() {
		}
		select {
		case <-w.wake:
		case <-repeat.C:
			w.repeat()
		case <-w.closed:
			for w.send() {
			}
			w.mu.Lock()
			w.stats.Dropped += uint64(len(w.queue))
			w.queue = nil
			w.mu.Unlock()
			return
		}
	}
}

// send posts the oldest alerts that wait until the receiver has taken or
// refused them, and reports whether there may be more to do.
func (w *Webhook) send() bool {
	w.mu.Lock()
	n := min(len(w.queue), w.opt.Batch)
	batch := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	w.flight = n
	w.mu.Unlock()
	if n == 0 {
		return false
	}
	err := w.persist(batch)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flight = 0
	var refused *refusal
	switch {
	case err == nil:
		w.stats.Delivered += uint64(n)
	case errors.As(err, &refused):
		w.stats.Rejected += uint64(n)
	default:
		w.stats.Dropped += uint64(n)
		return false
	}
	return true
}

// persist posts batch until the receiver has taken or refused it, or the webhook
// closes.
func (w *Webhook) persist(batch []*Alert) error {
	wait := w.opt.Backoff
	for failed := false; ; failed = true {
		err := w.post(batch)
		var refused *refusal
		switch {
		case err == nil:
			if failed {
				w.tell(slog.LevelInfo, "webhook takes alerts again")
			}
			return nil
		case errors.As(err, &refused):
			w.tell(slog.LevelError, "webhook refused alerts", "alerts", len(batch), "error", err)
			return err
		case !failed:
			w.tell(slog.LevelWarn, "webhook failed; will try again", "error", err)
		}
		select {
		case <-w.closed:
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, w.opt.MaxBackoff)
	}
}

// repeat posts the alerts that fire and were not posted for long. When that
// fails, they are due again next time.
func (w *Webhook) repeat() {
	now := time.Now()
	w.mu.Lock()
	var due []*Alert
	for _, a := range w.active {
		if now.Sub(a.sent) >= w.opt.Repeat {
			due = append(due, a.alert)
		}
	}
	w.mu.Unlock()
	for batch := range slices.Chunk(due, w.opt.Batch) {
		if w.post(batch) != nil {
			return
		}
		w.mu.Lock()
		w.stats.Repeated += uint64(len(batch))
		for _, a := range batch {
			if key := episodeID(a); w.active[key].alert == a {
				w.active[key] = active{a, now}
			}
		}
		w.mu.Unlock()
	}
}

// A refusal is an answer that will be the same next time.
type refusal struct{ status, body string }

func (r *refusal) Error() string { return fmt.Sprintf("receiver answers %s: %s", r.status, r.body) }

func (w *Webhook) post(batch []*Alert) error {
	err := w.try(batch)
	if err != nil {
		w.mu.Lock()
		w.stats.Failures++
		w.mu.Unlock()
	}
	return err
}

func (w *Webhook) try(batch []*Alert) error {
	until := time.Now().Add(4 * w.opt.Repeat)
	out := make([]postableAlert, len(batch))
	for i, a := range batch {
		out[i] = postable(a, w.opt.Host, w.opt.Generator, until)
	}
	body, err := json.Marshal(out)
	if err != nil {
		return &refusal{"nothing", err.Error()}
	}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.opt.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("monitor: webhook %s: %w", w.name, err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range w.opt.Headers {
		req.Header.Set(k, v)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("monitor: webhook: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // what it says matters only for the message
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusRequestTimeout:
		return &refusal{resp.Status, string(bytes.TrimSpace(text))}
	}
	return fmt.Errorf("monitor: webhook %s: receiver answers %s: %s", w.name, resp.Status, bytes.TrimSpace(text))
}

func (w *Webhook) tell(level slog.Level, msg string, args ...any) {
	if w.opt.Log != nil {
		w.opt.Log.Log(w.ctx, level, msg, append([]any{"url", w.name}, args...)...)
	}
}
