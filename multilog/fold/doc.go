// Package fold is the state of an aggregate: COUNT, SUM, MIN, MAX, AVG,
// DISTINCT, QUANTILE and TOPK, each optionally BY attributes, folded over
// chunks of headers, merged, subtracted and read.
//
// An aggregate without BY whose function is one of the first five is scalar:
// all there is to know of it fits a [Partial], 32 bytes of plain memory. Every
// other one has a [State]:
//
//	           ┌ groups ───────────────────────────┐
//	BY key ──► │ key │ headers │ sum, min or max   │
//	           └───────────────────────────────────┘
//	           ┌ groups ───────────────────────────┐      ┌ values ─────────────────┐
//	BY key ──► │ key │ headers │ live lost sketch ─┼──┐   │ group, value │ headers  │
//	           └───────────────────────────────────┘  │   └─────────────────────────┘
//	                                                  └► HyperLogLog or DDSketch
//
// DISTINCT, QUANTILE and TOPK all read one thing, how many headers of a group
// had which value, and so are exact while there is room for the values. Beyond
// it the groups with most values go to a sketch (DISTINCT: HyperLogLog of
// precision 14; QUANTILE: DDSketch of 1 % relative accuracy). TOPK has none:
// values that find no room are counted, and their number is the bound of every
// count. The same holds for groups that find no room. An answer says which of
// this happened; nothing is left out in silence.
//
// Merging is associative and commutative as long as the answer is exact: the
// same headers give the same answer however they were divided among states.
//
// A State grows to what it has seen and keeps its memory, so that a state which
// is reset and used again for the like allocates nothing.
package fold
