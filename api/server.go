package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are the settings of a Server. The zero Options listen nowhere.
type Options struct {
	Socket string      // path of the unix socket; empty: none
	Mode   fs.FileMode // of the socket; zero: 0600
	Group  string      // that owns the socket, by name or number; empty: the process's

	TCP       string // host:port to listen on; empty: none
	Cert, Key string // PEM files; without them TCP must be an address of the loopback interface
	ClientCA  string // PEM file of the authorities whose clients alone are let in; empty: any client

	MaxBody      int64         // bytes of a request's body at most; zero: 1 MiB
	QueryTimeout time.Duration // of a request that names none; zero: 5 minutes
	WriteTimeout time.Duration // that a reader may take for 32 KiB; zero: 30 s
	Log          *slog.Logger  // zero: slog.Default

	sampleEvery time.Duration // distance of the samples for rates; zero: 1 s
}

// Validate names the first setting that makes no sense, and what is allowed.
func (o *Options) Validate() error {
	switch {
	case o.Socket == "" && o.TCP == "":
		return errors.New("api: neither a socket nor a TCP address to listen on")
	case (o.Cert == "") != (o.Key == ""):
		return errors.New("api: a certificate and its key must be given together")
	case o.TCP == "" && (o.Cert != "" || o.ClientCA != ""):
		return errors.New("api: TLS is for TCP, and there is no TCP address to listen on")
	case o.ClientCA != "" && o.Cert == "":
		return errors.New("api: a client authority needs a certificate and a key: clients are told apart by TLS")
	case o.TCP != "" && o.Cert == "" && !isLoopback(o.TCP):
		return fmt.Errorf("api: tcp %s: without TLS only an address of the loopback interface is allowed, such as 127.0.0.1:9465", o.TCP)
	case len(o.Socket) > maxSocketPath:
		return fmt.Errorf("api: socket %s: %d bytes are too many for the path of a unix socket (at most %d)", o.Socket, len(o.Socket), maxSocketPath)
	case o.Mode&^0o777 != 0:
		return fmt.Errorf("api: socket mode %#o: want permission bits only, such as 0660", uint32(o.Mode))
	case o.MaxBody < 0, o.QueryTimeout < 0, o.WriteTimeout < 0:
		return errors.New("api: a limit under zero")
	}
	return nil
}

// A Server answers the API of one Host.
type Server struct {
	host Host
	opt  Options
	log  *slog.Logger
	mux  *http.ServeMux
	http *http.Server

	rates rates
	wg    sync.WaitGroup

	base, endless      context.Context // of every request; of streams that have no end of their own
	stop, stopFollower context.CancelFunc

	mu        sync.Mutex
	listeners []net.Listener
}

// NewServer returns a server that does not listen yet.
func NewServer(host Host, opt Options) *Server {
	opt.Mode = cmp.Or(opt.Mode, 0o600)
	opt.MaxBody = cmp.Or(opt.MaxBody, 1<<20)
	opt.QueryTimeout = cmp.Or(opt.QueryTimeout, 5*time.Minute)
	opt.WriteTimeout = cmp.Or(opt.WriteTimeout, 30*time.Second)
	opt.sampleEvery = cmp.Or(opt.sampleEvery, time.Second)
	s := &Server{host: host, opt: opt, log: cmp.Or(opt.Log, slog.Default()), mux: http.NewServeMux()}
	s.base, s.stop = context.WithCancel(context.Background())
	s.endless, s.stopFollower = context.WithCancel(s.base)
	s.routes()
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.base },
	}
	return s
}

func (s *Server) routes() {
	handle := s.mux.Handle
	handle("GET /v1/status", s.get(s.status))
	handle("POST /v1/query", http.HandlerFunc(s.query))
	handle("POST /v1/count", post(s, http.StatusOK, s.count))
	handle("POST /v1/aggregate", post(s, http.StatusOK, s.aggregate))
	handle("POST /v1/export", http.HandlerFunc(s.export))

	handle("GET /v1/filters", s.get(func(*http.Request) (any, error) { return list[Filter](s.host.Filters()), nil }))
	handle("POST /v1/filters", post(s, http.StatusCreated, s.installFilter))
	handle("DELETE /v1/filters/{name}", s.remove(s.host.RemoveFilter))

	handle("GET /v1/indexes", s.get(func(*http.Request) (any, error) { return list[Index](s.host.Indexes()), nil }))
	handle("POST /v1/indexes", post(s, http.StatusCreated, s.installIndex))
	handle("DELETE /v1/indexes/{name}", s.remove(s.removeIndex))

	handle("GET /v1/aggregates", s.get(func(*http.Request) (any, error) { return list[Aggregate](s.host.Aggregates()), nil }))
	handle("POST /v1/aggregates", post(s, http.StatusCreated, s.installAggregate))
	handle("DELETE /v1/aggregates/{name}", s.remove(s.host.RemoveAggregate))

	handle("GET /v1/triggers", s.get(func(*http.Request) (any, error) { return list[Trigger](s.host.Triggers()), nil }))
	handle("POST /v1/triggers", post(s, http.StatusCreated, s.installTrigger))
	handle("DELETE /v1/triggers/{name}", s.remove(s.host.RemoveTrigger))

	handle("GET /v1/snapshots", s.get(func(*http.Request) (any, error) { return list[Snapshot](s.host.Snapshots()), nil }))
	handle("POST /v1/snapshots", post(s, http.StatusCreated, s.takeSnapshot))
	handle("DELETE /v1/snapshots/{name}", s.remove(s.host.Release))

	handle("GET /v1/alerts", http.HandlerFunc(s.alerts))
	handle("POST /v1/reload", post(s, http.StatusOK, s.reload))

	s.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		promhttp.HandlerFor(s.host.Gatherer(), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.host.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// ServeHTTP answers one request; it may be used without a listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Also clears what the connection's previous request left.
	s.mayWrite(w)
	// Browsers send it with what a page of another site makes them do; the
	// loopback interface without TLS must not be open to such pages.
	if r.Header.Get("Origin") != "" {
		writeError(w, &Error{Status: http.StatusForbidden, Message: "requests of web pages are not answered"})
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		s.noRoute(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// noRoute answers what the mux has no handler for, in JSON like the rest.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	rec := &statusRecorder{header: make(http.Header)}
	s.mux.ServeHTTP(rec, r)
	if allow := rec.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		writeError(w, &Error{Status: http.StatusMethodNotAllowed, Message: fmt.Sprintf("%s %s: want %s", r.Method, r.URL.Path, allow)})
		return
	}
	writeError(w, &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("%s: no such path; docs/api.md lists them", r.URL.Path)})
}

// statusRecorder keeps the headers of an answer and drops the rest.
type statusRecorder struct{ header http.Header }

func (r *statusRecorder) Header() http.Header         { return r.header }
func (r *statusRecorder) WriteHeader(int)             {}
func (r *statusRecorder) Write(b []byte) (int, error) { return len(b), nil }

// Start listens on the socket and the TCP address of the options and answers
// until Shutdown.
func (s *Server) Start() error {
	if err := s.opt.Validate(); err != nil {
		return err
	}
	var listeners []net.Listener
	fail := func(err error) error {
		for _, l := range listeners {
			l.Close()
		}
		return err
	}
	if s.opt.Socket != "" {
		l, err := listenUnix(s.opt.Socket, s.opt.Mode, s.opt.Group)
		if err != nil {
			return fail(err)
		}
		listeners = append(listeners, l)
	}
	if s.opt.TCP != "" {
		l, err := listenTCP(s.opt.TCP, s.opt.Cert, s.opt.Key, s.opt.ClientCA)
		if err != nil {
			return fail(err)
		}
		listeners = append(listeners, l)
	}
	s.mu.Lock()
	s.listeners = listeners
	s.mu.Unlock()
	for _, l := range listeners {
		s.wg.Go(func() {
			if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("api stopped", "addr", l.Addr().String(), "err", err)
			}
		})
	}
	s.wg.Go(func() { s.rates.run(s.endless, s.host, s.opt.sampleEvery) })
	return nil
}

// Addrs returns where the server listens: the path of the socket, then the TCP
// address (with the port that was chosen where the options said 0).
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []net.Addr
	for _, l := range s.listeners {
		out = append(out, l.Addr())
	}
	return out
}

// Shutdown stops listening and removes the socket at once, ends streams without
// end, and waits for the answers under way until ctx is done, when it cuts them
// off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopFollower()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.stop()
		err = errors.Join(err, s.http.Close())
	}
	s.stop()
	s.wg.Wait()
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	return nil
}

// allowedName says what a name of something installed may look like, so that it
// can stand in a path, a metric's label and a shell.
func allowedName(what, name string) error {
	ok := name != "" && len(name) <= 64 && !strings.ContainsRune("-.", rune(name[0]))
	for _, r := range name {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r))
	}
	if !ok {
		return fmt.Errorf("%w %s name %q: want 1 to 64 letters, digits, '_', '-' or '.', the first a letter, digit or '_'", ErrInvalid, what, name)
	}
	return nil
}
