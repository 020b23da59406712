package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/diagnoser"
)

// Version is the version of the API, the first element of the paths of all
// that this file describes. A change that an old client would misread takes a
// new version.
const Version = "v1"

// A Duration is a time.Duration written as text in JSON: "250ms", "1h30m".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// String writes d as MarshalText does.
func (d Duration) String() string { return time.Duration(d).String() }

// ParseDuration reads a duration as time.ParseDuration does, and whole or
// fractional days: "7d".
func ParseDuration(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if f, err := strconv.ParseFloat(n, 64); err == nil && f >= 0 && f < 1e5 {
			return time.Duration(f * float64(24*time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration: want a number with a unit, such as 250ms, 5m, 1h30m or 7d", s)
	}
	return d, nil
}

// A Selection says which headers a question is about. The zero Selection is all
// that are held.
type Selection struct {
	// Where is a filter expression, or a capture filter after "bpf:". Empty: all.
	Where string `json:"where,omitempty"`
	// Filter names an installed filter; only its matches are considered.
	Filter string `json:"filter,omitempty"`
	// Snapshot names a snapshot, whose moment the answer then is of.
	Snapshot string `json:"snapshot,omitempty"`

	// From and To bound the capture time, From <= ts < To. Last stands for a
	// From that long before the request's arrival, and excludes the two.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	Last Duration  `json:"last,omitzero"`

	// FromOffset and ToOffset bound the offset, FromOffset <= offset < ToOffset.
	// A ToOffset of zero is no bound.
	FromOffset uint64 `json:"from_offset,omitempty"`
	ToOffset   uint64 `json:"to_offset,omitempty"`

	// Timeout stops the answer when it takes longer; zero is the agent's own limit.
	Timeout Duration `json:"timeout,omitzero"`
	// Explain answers with an Explanation of how the question would be answered,
	// and does not answer it.
	Explain bool `json:"explain,omitempty"`
}

// A QueryRequest is the body of POST /v1/query. The answer is NDJSON: one
// object a header with the asked fields as keys, in that order, null where the
// header has no such attribute; the last line is a QueryEnd.
type QueryRequest struct {
	Selection
	// Fields are names of attributes, of bits (tcp.syn, arp), "offset", or "all";
	// empty is the usual eight.
	Fields []string `json:"fields,omitempty"`
	// Limit is the number of rows at most; zero is no limit.
	Limit int `json:"limit,omitempty"`
	// Order is "time" (by capture time, then offset; the default) or "offset".
	Order string `json:"order,omitempty"`
	// Numeric writes enumerations and ports as numbers in place of names.
	Numeric bool `json:"numeric,omitempty"`
}

// A QueryEnd is the last line of an answer to a query: the footer, or the error
// that ended it before all rows were written.
type QueryEnd struct {
	Footer *diagnoser.Footer `json:"footer,omitempty"`
	Error  string            `json:"error,omitempty"`
}

// A CountRequest is the body of POST /v1/count.
type CountRequest struct{ Selection }

// A CountResponse is the number of headers selected.
type CountResponse struct {
	Count  uint64            `json:"count"`
	Footer *diagnoser.Footer `json:"footer,omitempty"`
}

// An AggregateRequest is the body of POST /v1/aggregate: a function over the
// headers selected.
type AggregateRequest struct {
	Selection
	Aggregate string `json:"aggregate"` // such as SUM(pkt_len) BY dst_ip
}

// An AggregateResponse is the value of an aggregate.
type AggregateResponse struct {
	*Result
	Footer *diagnoser.Footer `json:"footer,omitempty"`
}

// A Result is the value of an aggregate: what package fold's results are in
// JSON, and with the names of ports.
type Result struct {
	Aggregate string      `json:"aggregate"` // its canonical text
	By        []string    `json:"by,omitempty"`
	Rows      []ResultRow `json:"rows"` // one for each group, in order of the groups; without BY there is one

	// Exact is whether every row is, and no header was left out; Notes say in
	// words what is not.
	Exact bool     `json:"exact"`
	Notes []string `json:"notes,omitempty"`
	// OverflowHeaders are in no row, because their group or value found no room.
	OverflowHeaders uint64 `json:"overflow_headers"`
	// RelativeError bounds the rows that are estimates.
	RelativeError float64 `json:"relative_error,omitempty"`
}

// A ResultRow is the value of one group.
type ResultRow struct {
	Group map[string]Value `json:"group,omitempty"` // by attribute
	// Value is null for MIN, MAX, AVG and QUANTILE of no headers. TOPK has Top in
	// its place.
	Value *Value `json:"value,omitempty"`
	// Top has the most frequent first, each the attribute's value under its name
	// and "headers", how many had it.
	Top     []map[string]Value `json:"top,omitempty"`
	Headers uint64             `json:"headers"` // that the value speaks of
	Exact   bool               `json:"exact"`
	Lost    uint64             `json:"lost_headers,omitempty"` // headers of the group whose value found no room
}

// An ExportRequest is the body of POST /v1/export. The answer is a capture file
// of the slices selected, in time order. Trailer Confluo-Footer is the
// footer as JSON; trailer Confluo-Error tells of an error that cut the file
// short.
type ExportRequest struct {
	Selection
	Limit int `json:"limit,omitempty"` // packets at most; zero is no limit
}

// The trailers of an export.
const (
	FooterTrailer = "Confluo-Footer"
	ErrorTrailer  = "Confluo-Error"
)

// An Explanation says how a question would be answered.
type Explanation struct {
	Plan string `json:"plan"`
}

// A FilterSpec is the body of POST /v1/filters: a filter to install.
type FilterSpec struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
}

// A Filter is an installed filter.
type Filter struct {
	Name       string `json:"name"`
	Expr       string `json:"expr"`
	FromOffset uint64 `json:"from_offset"` // it saw every header from here on, and none before
	Matched    uint64 `json:"matched"`     // headers since
}

// An IndexSpec is the body of POST /v1/indexes: an attribute to index.
type IndexSpec struct {
	Attr string `json:"attr"`
}

// An Index is an indexed attribute.
type Index struct {
	Attr       string `json:"attr"`
	FromOffset uint64 `json:"from_offset"` // it holds every header from here on, and none before
	Entries    uint64 `json:"entries"`     // headers that it holds
}

// An AggregateSpec is the body of POST /v1/aggregates: an aggregate to keep over
// an installed filter.
type AggregateSpec struct {
	Name      string `json:"name"`
	Filter    string `json:"filter,omitempty"` // installed filter; empty: every header
	Aggregate string `json:"aggregate"`
}

// An Aggregate is an installed aggregate with its present value.
type Aggregate struct {
	Name       string  `json:"name"`
	Filter     string  `json:"filter,omitempty"`
	Aggregate  string  `json:"aggregate"`
	FromOffset uint64  `json:"from_offset"` // it saw every header from here on, and none before
	Result     *Result `json:"result,omitempty"`
}

// A TriggerSpec is the body of POST /v1/triggers: a trigger to install.
type TriggerSpec struct {
	Name    string `json:"name"`
	Filter  string `json:"filter,omitempty"` // installed filter; empty: every header
	Trigger string `json:"trigger"`          // such as SUM(pkt_len) > 1GB over 100ms every 1ms
}

// A Trigger is an installed trigger.
type Trigger struct {
	Name        string    `json:"name"`
	Filter      string    `json:"filter,omitempty"`
	Trigger     string    `json:"trigger"`
	Severity    string    `json:"severity,omitempty"`
	FromOffset  uint64    `json:"from_offset"` // it saw every header from here on, and none before
	Evaluations uint64    `json:"evaluations"` // windows compared since it was installed
	Firing      int       `json:"firing"`      // groups that fire now (0 or 1 without BY)
	Alerts      uint64    `json:"alerts"`      // raised since it was installed
	LastFired   time.Time `json:"last_fired,omitzero"`
	Late        uint64    `json:"late,omitempty"`    // headers that came too late for every window
	Skipped     uint64    `json:"skipped,omitempty"` // windows not compared, because evaluation fell behind
}

// The states of an Alert.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// An Alert is a change of a trigger's state, of one group where it has BY.
type Alert struct {
	Seq         uint64            `json:"seq"`  // ascending in the order of alerts, unique in the agent's life
	Time        time.Time         `json:"time"` // when it was raised
	Trigger     string            `json:"trigger"`
	Expr        string            `json:"expr"` // the trigger's text
	Filter      string            `json:"filter,omitempty"`
	Severity    string            `json:"severity,omitempty"`
	State       string            `json:"state"`              // Firing or Resolved
	Started     time.Time         `json:"started,omitzero"`   // Time of the alert that said Firing
	Group       map[string]string `json:"group,omitempty"`    // attributes after BY, and of TOPK
	Value       float64           `json:"value"`              // of the window
	NoValue     bool              `json:"no_value,omitempty"` // there is none: no header of the group is left
	Threshold   float64           `json:"threshold"`
	Headers     uint64            `json:"headers"`     // in the window that the value speaks of
	WindowFrom  time.Time         `json:"window_from"` // capture times of the window, the end exclusive
	WindowTo    time.Time         `json:"window_to"`
	FirstOffset uint64            `json:"first_offset"` // first and last header that caused it
	LastOffset  uint64            `json:"last_offset"`
	NoOffsets   bool              `json:"no_offsets,omitempty"` // there is none: an empty window fired, or retention was faster
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// A SnapshotSpec is the body of POST /v1/snapshots: a name for the present
// moment, to be held for TTL at most.
type SnapshotSpec struct {
	Name string   `json:"name"`
	TTL  Duration `json:"ttl"`
}

// A Snapshot is a moment that queries can name.
type Snapshot struct {
	Name      string    `json:"name"`
	EndOffset uint64    `json:"end_offset"` // the read tail that it froze
	Taken     time.Time `json:"taken"`
	Expires   time.Time `json:"expires"`
}

// A ReloadResponse says what a reload of the configuration did.
type ReloadResponse struct {
	Applied      []string `json:"applied"`       // keys whose change is now in force
	NeedsRestart []string `json:"needs_restart"` // keys whose change waits for a restart
}

// A Status is the agent's pipeline, stage by stage. Counts are since the start
// of the agent and never go back; rates are of the last second or so.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	State   string    `json:"state"` // starting, running or draining
	Started time.Time `json:"started"`
	Time    time.Time `json:"time"`   // when this status was taken
	Config  string    `json:"config"` // the configuration file, or empty

	Sources []SourceStatus `json:"sources"`
	Spray   SprayStatus    `json:"spray"`
	Rings   []RingStatus   `json:"rings"`
	Writers []WriterStatus `json:"writers"`
	Log     LogStatus      `json:"log"`
	Monitor MonitorStatus  `json:"monitor"`
	Ledger  Ledger         `json:"ledger"`
}

// A SourceStatus is one configured way in.
type SourceStatus struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind"`  // dpdk, afpacket or pcapfile
	State    string         `json:"state"` // up, down, gone, done or failed
	Detail   string         `json:"detail,omitempty"`
	Received uint64         `json:"received"`
	Bytes    uint64         `json:"bytes"`           // on the wire
	Drops    []capture.Drop `json:"drops,omitempty"` // of this source's frames, those that spray dropped included

	HeadersPerSecond float64 `json:"headers_per_s"`
	BytesPerSecond   float64 `json:"bytes_per_s"`
}

// A SprayStatus is the stage that claims offsets.
type SprayStatus struct {
	WriteTail        uint64  `json:"write_tail"` // offsets claimed
	Dropped          uint64  `json:"dropped"`    // headers for which no ring had room
	HeadersPerSecond float64 `json:"headers_per_s"`
}

// A RingStatus is one ring between a capture queue and a writer.
type RingStatus struct {
	Name     string `json:"name"`
	Depth    int    `json:"depth"`    // batches waiting now
	Capacity int    `json:"capacity"` // batches
}

// A WriterStatus is one writer.
type WriterStatus struct {
	Name    string `json:"name"`
	Core    int    `json:"core"` // that it is pinned to; -1: none
	Batches uint64 `json:"batches"`
	Headers uint64 `json:"headers"`

	HeadersPerSecond float64 `json:"headers_per_s"`
}

// A LogStatus is the Atomic MultiLog.
type LogStatus struct {
	FirstOffset uint64    `json:"first_offset"` // oldest header held
	ReadTail    uint64    `json:"read_tail"`    // end of what queries see
	FromTime    time.Time `json:"from_time,omitzero"`
	ToTime      time.Time `json:"to_time,omitzero"`
	Segments    int       `json:"segments"`
	MemoryUsed  uint64    `json:"memory_used"` // bytes
	MemoryTotal uint64    `json:"memory_total"`
	Filters     int       `json:"filters"`
	Indexes     int       `json:"indexes"`
	Aggregates  int       `json:"aggregates"`
	Snapshots   int       `json:"snapshots"`
}

// A MonitorStatus is the evaluation of triggers.
type MonitorStatus struct {
	Triggers    int    `json:"triggers"`
	Firing      int    `json:"firing"` // triggers that fire now
	Alerts      uint64 `json:"alerts"`
	Evaluations uint64 `json:"evaluations"`
	Undelivered uint64 `json:"undelivered"` // alerts that a receiver did not take
}

// A Ledger accounts for every header: Received = Stored + InFlight + the sum of
// Dropped, exactly, when it was taken.
type Ledger struct {
	Received uint64            `json:"received"`          // delivered by sources, and lost before they could
	Stored   uint64            `json:"stored"`            // published in the log, also those that retention has since let go
	InFlight uint64            `json:"in_flight"`         // between source and log
	Dropped  map[string]uint64 `json:"dropped,omitempty"` // by cause
	Evicted  uint64            `json:"evicted"`           // stored, and since let go by retention
}

// An Error is the body of every answer that is not a 2xx, and the error that a
// Client returns for it.
type Error struct {
	Message string `json:"error"`
	// Column is where in Expr, an expression of the request, the mistake is, 1
	// for its first character; zero when the mistake is elsewhere.
	Column int    `json:"column,omitempty"`
	Expr   string `json:"expr,omitempty"`
	// Status is the HTTP status that the error came with.
	Status int `json:"-"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// list is a list that JSON shows as [] when it is empty.
type list[T any] []T

func (l list[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}
