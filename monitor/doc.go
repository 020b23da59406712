// Package monitor watches the log: it keeps the filters, aggregates and
// triggers that operators install, evaluates the triggers, and delivers the
// alerts that they raise.
//
//	             ┌ source ─────────────────────────────────────────────┐
//	             │         ┌ series: every 1ms ─────────────────────┐  │
//	multilog ─Feed────────►│ buckets ─┬► window 100ms ─► triggers   │  │──► alerts ─┬► journal, followers
//	             │         │          └► window 1s    ─► triggers   │  │            ├► log
//	             │         └────────────────────────────────────────┘  │            └► webhook
//	             │         ┌ series: every 1s ── ...                   │
//	             └─────────────────────────────────────────────────────┘
//
// A source reads one aggregate of the log once, however many triggers are on
// it. A series keeps its headers in time buckets as wide as the distance of its
// triggers' evaluations. A window is the aggregate over the whole length that
// triggers ask for, kept up to date by adding the bucket that enters and
// subtracting the one that leaves. Triggers that differ in their comparison
// alone share the window.
//
// # Time
//
// Windows are of capture time. A window that ends at time t holds the headers
// with t-length <= ts < t, as a query from WindowFrom to WindowTo does. It is
// evaluated when the watermark has reached its end: the newest capture time
// seen, plus what has passed on the clock since, minus [Options.Lateness].
// Time therefore goes on when traffic stops, and so alerts resolve, and it does
// for recorded traffic as well, from the recording's own time on.
//
// A header that comes after its windows were evaluated still counts: in every
// window that is yet to come, and in those that ended less than the lateness
// ago, which are evaluated again and fire if they now do. One that is too old
// for any of them is counted as late.
//
// # Goroutines
//
// One goroutine reads the log and evaluates. All exported methods may be called
// from any goroutine; those that install, remove and list wait for the
// evaluation under way. Delivery never makes it wait.
//
// Locks are taken in this order: Monitor.mu, then a journal's or a sink's own.
package monitor
