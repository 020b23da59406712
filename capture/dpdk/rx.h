// The receive path in C. Included by cgo and by rx.c.

#ifndef CONFLUO_DPDK_RX_H
#define CONFLUO_DPDK_RX_H

#include <stdint.h>

// One receive queue. Lives in C memory. The first part is written by the
// control side while it holds the queue, except stop, which may be set at any
// time; the second part is written by rx_burst_copy alone.
struct rxq {
	uint32_t stop; // atomic: end the wait
	uint16_t port;
	uint16_t queue;
	uint16_t in_port;
	uint8_t dir;
	uint32_t polls;       // empty polls before the first sleep
	int64_t sleep_first;  // ns; 0: never sleep
	int64_t sleep_last;   // ns
	int32_t ts_offset;    // of the time stamp in the mbuf, or negative
	uint64_t ts_flag;     // in ol_flags: there is a time stamp
	int64_t ts_unit;      // ns in one unit of it
	int64_t ts_window;    // ns that it may be off the system clock; 0: any

	uint64_t received __attribute__((aligned(64))); // atomic
	uint64_t bytes;                                 // atomic
	uint64_t empty;                                 // empty polls in a row
	int64_t sleep;                                  // ns of the next sleep
};

// Receives one burst of at most room frames into the columns of a batch, row 0
// first, and frees the mbufs. When there is no frame it polls again, sleeping
// as the queue says, until wait ns are over or stop is set. Returns the number
// of rows written.
uint32_t rx_burst_copy(struct rxq *q, uint8_t *data, uint32_t stride, int64_t *ts,
		       uint32_t *wire_len, uint16_t *cap_len, uint16_t *in_port, uint8_t *dir,
		       uint32_t room, int64_t wait);

// Receives and frees up to max frames without waiting, and returns how many.
uint32_t rx_discard(struct rxq *q, uint32_t max);

// Looks for the time stamp field that a driver may have registered.
void rx_find_timestamp(struct rxq *q);

// Sleeps for ns nanoseconds, or less when a signal comes.
void rx_sleep(int64_t ns);

#endif
