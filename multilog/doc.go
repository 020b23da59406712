// Package multilog is the Atomic MultiLog (paper, section 3): an append-only
// log of packet headers, with indexes, filter logs and aggregate logs that
// always agree with it.
//
// A header has one offset, its record number, in every part of the log.
//
//   - Claim moves globalWriteTail by one fetch-and-add a batch. Offsets are
//     unique and dense; a batch that the log may not be able to take is refused
//     before it is claimed.
//   - A Lane appends batches: columns and slices, then filter and aggregate
//     entries, then a mark. globalReadTail moves over marked batches in offset
//     order. Whoever finds the next batch marked moves it, so no lane waits for
//     another.
//   - A reader takes globalReadTail once and sees exactly the headers below it.
//
// # Memory
//
// Headers live in a fixed number of segments, each a power of two of headers,
// in one region outside the Go heap that is touched at start. When free
// segments run short the retention goroutine evicts the oldest one, after
// everything in it is published, every Hold has passed it and no reader has it
// pinned. Nothing is ever freed or faulted in while the log runs.
//
// # Who writes what
//
//   - globalWriteTail: whoever claims. globalReadTail: any lane, by
//     compare-and-swap, forward only.
//   - rows of a segment: the lane whose batch claimed them, before it marks.
//   - a stream (filter or aggregate log of one lane in one segment): that lane.
//   - limit, oldest, a segment's logical number: the retention goroutine.
//   - index blocks: the index goroutine, once, after their rows are published.
package multilog
