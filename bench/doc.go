// Package bench measures how fast this machine takes headers in and answers
// questions about them: generated traffic goes through the real pipeline
// (capture queue, spray, rings, writers, multilog with its filters, aggregates
// and indexes, monitor), as the agent runs it.
//
// Beside each figure stands the speed at which the machine copies 64 bytes from
// one large region to another, measured in the same run, so that figures of
// different machines, or of a busy one, can be compared.
package bench
