// Package agent puts the rooms together from a configuration and runs them:
//
//	source ─ queue ─► capture goroutine ─► spray ─► rings ─► writers ─► multilog
//
// Each receive queue has one capture goroutine with a thread of its own, and
// one ring to every writer; each ring has a lane of the log. That goroutine is
// the only producer of its rings and a writer their only consumer, so nothing
// on the way takes a lock.
//
// The life of an [Agent] is New, Start, any number of Apply, Stop. Stop closes
// the sources, lets the rings drain, and returns the ledger, which then has
// nothing in flight: every header that a source received is stored or counted
// as dropped.
package agent
