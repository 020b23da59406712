// Package diagnoser answers ad-hoc questions about any moment that the log
// still holds: it plans (an index, an installed filter, or a vectorised scan),
// executes chunk by chunk, and streams results lazily in time order. It reads
// only what was published when the question was asked, and never holds a
// writer back.
package diagnoser

import (
	"time"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// A Query asks for headers. The zero Query asks for all that are held.
type Query struct {
	Where    *expr.Expr // nil: all
	Filter   string     // name of an installed filter; only its matches, or empty
	Snapshot string     // name of a snapshot whose read tail bounds the answer, or empty: now

	From, To             time.Time // capture time, From <= ts < To; zero: unbounded
	FromOffset, ToOffset uint64    // FromOffset <= offset < ToOffset; ToOffset zero: unbounded

	Limit int            // rows at most; 0: no limit
	Need  packet.AttrSet // attributes to return in Rows
	Slice bool           // also return the raw slices (export)
	Order Order
}

// Order is the order of rows.
type Order uint8

// The orders.
const (
	ByTime   Order = iota // capture time, then offset
	ByOffset              // offset: the order in which headers were claimed
)

// Rows is a block of up to packet.ChunkSize result rows, copied out of the log.
// It belongs to the receiver only until its callback returns.
type Rows struct {
	N       int
	Offsets []uint64
	Cols    *packet.Columns // columns of Query.Need; Data and Stride when Query.Slice
}

// A Footer says what an answer covered. Every answer ends with one.
type Footer struct {
	FirstOffset uint64    `json:"first_offset"` // first offset that was considered
	EndOffset   uint64    `json:"end_offset"`   // end (exclusive) of the offsets that were considered
	FromTime    time.Time `json:"from_time"`    // earliest and latest capture time considered
	ToTime      time.Time `json:"to_time"`
	Matched     uint64    `json:"matched"`  // headers that satisfied the query
	Scanned     uint64    `json:"scanned"`  // headers whose attributes were read
	Returned    uint64    `json:"returned"` // rows returned
	Limited     bool      `json:"limited"`  // stopped at Query.Limit

	// Dropped tells, by cause, of headers lost in the time range asked for:
	// "retention" for those that memory no longer holds, and the causes of the
	// ledger (spray_ring_full, kernel_ring, nic_imissed, ...).
	Dropped map[string]uint64 `json:"dropped,omitempty"`

	Plan string        `json:"plan"` // what --explain prints
	Took time.Duration `json:"took_ns"`
}
