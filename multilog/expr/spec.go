package expr

import (
	"time"

	"github.com/confluo/confluo/packet"
)

// A Func is an aggregate function. All are associative and commutative over
// the headers that they fold (paper, section 3.2).
type Func uint8

// The aggregate functions.
const (
	Count    Func = iota // headers
	Sum                  // of a numeric attribute
	Min                  // of a numeric attribute or ts
	Max                  // of a numeric attribute or ts
	Avg                  // of a numeric attribute
	Distinct             // number of different values of any attribute
	Quantile             // of a numeric attribute; Param is the quantile, 0..1
	TopK                 // the Param most frequent values of any attribute
)

// An Aggregate is a function over the headers that some filter selects,
// optionally one result for each combination of the By attributes. A header
// that lacks Arg or one of By contributes nothing.
type Aggregate struct {
	Func  Func
	Arg   packet.Attr // unused by Count
	Param float64     // quantile, or k
	By    []packet.Attr
}

// An Op compares an aggregate with a threshold.
type Op uint8

// The comparisons.
const (
	Gt Op = iota
	Ge
	Lt
	Le
	Eq
	Ne
)

// A Trigger fires when an aggregate over a window compares true with a
// threshold: "SUM(pkt_len) > 1GB over 100ms every 1ms". With By, each group is
// compared on its own; with TopK, the count of each of the k values is.
type Trigger struct {
	Agg       Aggregate
	Op        Op
	Threshold float64
	Window    time.Duration // whole length that the aggregate covers
	Every     time.Duration // distance of evaluations; equal to Window: tumbling
}
