package api

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// What a Host's methods return, wrapped with %w, when the caller is at fault;
// the errors of the log and of the diagnoser that say the same are as good. Any
// other error, save those of expressions and contexts, is the agent's own.
var (
	ErrInvalid     = errors.New("invalid")       // 400: the request makes no sense
	ErrNotFound    = errors.New("not found")     // 404: no such filter, snapshot, ...
	ErrExists      = errors.New("exists")        // 409: the name is taken
	ErrInUse       = errors.New("in use")        // 409: something else still needs it
	ErrUnavailable = errors.New("not available") // 503: starting, draining
)

// A Host is what the server needs of an agent. All methods may be called from
// any goroutine from Server.Start on, which may be before the agent has a log:
// what then cannot be answered is ErrUnavailable.
type Host interface {
	Diagnoser
	Monitor

	// Status returns the counts of every stage; the server adds the rates.
	Status() *Status
	// Ready returns nil when headers are being captured and questions answered,
	// else what is missing.
	Ready() error
	// Ports returns the port table. The caller does not change it.
	Ports() *packet.PortTable
	// Reload reads the configuration again and applies what can change.
	Reload(ctx context.Context) (*ReloadResponse, error)
	// Gatherer has the metrics.
	Gatherer() prometheus.Gatherer
}

// A Diagnoser answers questions about the headers held; it is what
// diagnoser.Diagnoser does.
type Diagnoser interface {
	// Query calls rows with blocks of rows in order, and stops when it returns
	// an error, which it then returns. It holds nothing of the log during the
	// call.
	Query(ctx context.Context, q diagnoser.Query, rows func(*diagnoser.Rows) error) (*diagnoser.Footer, error)
	Count(ctx context.Context, q diagnoser.Query) (uint64, *diagnoser.Footer, error)
	Aggregate(ctx context.Context, q diagnoser.Query, a *expr.Aggregate) (*fold.Result, *diagnoser.Footer, error)
	Explain(q diagnoser.Query) (string, error)

	Snapshot(name string, ttl time.Duration) (Snapshot, error)
	Snapshots() []Snapshot
	Release(name string) error
}

// A Monitor keeps what is installed, and alerts.
type Monitor interface {
	Filters() []Filter
	InstallFilter(name string, e *expr.Expr) (Filter, error)
	RemoveFilter(name string) error

	Indexes() []Index
	InstallIndex(a packet.Attr) (Index, error)
	RemoveIndex(a packet.Attr) error

	Aggregates() []Aggregate
	InstallAggregate(name, filter string, a *expr.Aggregate) (Aggregate, error)
	RemoveAggregate(name string) error

	Triggers() []Trigger
	InstallTrigger(name, filter string, t *expr.Trigger) (Trigger, error)
	RemoveTrigger(name string) error

	// Alerts returns the alerts raised at since or later that are still kept, in
	// order of Seq.
	Alerts(since time.Time) []Alert
	// Follow delivers every alert raised from now on. The channel is closed when
	// ctx is done, and when the receiver falls so far behind that alerts would
	// have to wait for it.
	Follow(ctx context.Context) <-chan Alert
}
