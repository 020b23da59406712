//go:build dpdk

#include <string.h>
#include <time.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_pause.h>
#include <rte_prefetch.h>

#include "rx.h"

#define BURST 256  // packet.ChunkSize
#define MAC_BYTES 12 // addresses before the first tag or EtherType

static inline int64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void rx_sleep(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	nanosleep(&t, NULL);
}

static inline uint32_t put(uint8_t *dst, uint32_t at, uint32_t stride, const uint8_t *src, uint32_t n)
{
	n = RTE_MIN(n, stride - at);
	memcpy(dst + at, src, n);
	return at + n;
}

static inline uint32_t put_tag(uint8_t *tags, uint32_t at, uint16_t tpid, uint16_t tci)
{
	tags[at] = tpid >> 8;
	tags[at + 1] = tpid & 0xff;
	tags[at + 2] = tci >> 8;
	tags[at + 3] = tci & 0xff;
	return at + 4;
}

// Copies a frame of several segments, or one whose VLAN tags the device took
// out. Of the flags of rte_mbuf_core.h, QINQ_STRIPPED speaks of the outer tag
// and VLAN_STRIPPED of the inner or only one; each alone or both may be set.
static uint32_t copy_slow(const struct rte_mbuf *m, uint8_t *dst, uint32_t stride, uint32_t *wire_len)
{
	uint8_t tags[8];
	uint32_t ntags = 0, at = 0, pos = 0;

	if (m->ol_flags & RTE_MBUF_F_RX_QINQ_STRIPPED)
		ntags = put_tag(tags, ntags, RTE_ETHER_TYPE_QINQ, m->vlan_tci_outer);
	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
		ntags = put_tag(tags, ntags, RTE_ETHER_TYPE_VLAN, m->vlan_tci);
	*wire_len = m->pkt_len + ntags;

	for (; m != NULL && at < stride; m = m->next) {
		const uint8_t *src = rte_pktmbuf_mtod(m, const uint8_t *);
		uint32_t n = m->data_len;

		if (ntags != 0 && pos + n >= MAC_BYTES) {
			uint32_t head = MAC_BYTES - pos;

			at = put(dst, at, stride, src, head);
			at = put(dst, at, stride, tags, ntags);
			ntags = 0;
			src += head;
			n -= head;
			pos += head;
		}
		at = put(dst, at, stride, src, n);
		pos += n;
	}
	return at;
}

static inline int64_t timestamp(const struct rxq *q, struct rte_mbuf *m, int64_t clock)
{
	int64_t t;

	if (!(m->ol_flags & q->ts_flag))
		return clock;
	t = (int64_t)*RTE_MBUF_DYNFIELD(m, q->ts_offset, rte_mbuf_timestamp_t *) * q->ts_unit;
	if (q->ts_window != 0 && (t < clock - q->ts_window || t > clock + q->ts_window))
		return clock;
	return t;
}

// Polls until there are frames, the wait is over or stop is set.
static uint16_t poll(struct rxq *q, struct rte_mbuf **ms, uint16_t room, int64_t wait)
{
	int64_t deadline = 0, left;
	uint32_t i;
	uint16_t n;

	for (i = 0;; i++) {
		if (__atomic_load_n(&q->stop, __ATOMIC_ACQUIRE))
			return 0;
		n = rte_eth_rx_burst(q->port, q->queue, ms, room);
		if (likely(n != 0)) {
			q->empty = 0;
			q->sleep = q->sleep_first;
			return n;
		}
		q->empty++;
		if (wait <= 0)
			return 0;
		if (deadline == 0) {
			deadline = now(CLOCK_MONOTONIC) + wait;
			continue;
		}
		if (q->sleep_first != 0 && q->empty >= q->polls) {
			left = deadline - now(CLOCK_MONOTONIC);
			if (left <= 0)
				return 0;
			rx_sleep(RTE_MIN(q->sleep, left));
			q->sleep = RTE_MIN(2 * q->sleep, q->sleep_last);
		} else if (i % 16 == 0 && now(CLOCK_MONOTONIC) >= deadline) {
			return 0;
		} else {
			rte_pause();
		}
	}
}

uint32_t rx_burst_copy(struct rxq *q, uint8_t *data, uint32_t stride, int64_t *ts,
		       uint32_t *wire_len, uint16_t *cap_len, uint16_t *in_port, uint8_t *dir,
		       uint32_t room, int64_t wait)
{
	const uint64_t slow = RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED;
	struct rte_mbuf *ms[BURST];
	uint64_t bytes = 0;
	int64_t clock, t;
	uint32_t i, n;

	n = poll(q, ms, RTE_MIN(room, (uint32_t)BURST), wait);
	if (n == 0)
		return 0;
	clock = t = now(CLOCK_REALTIME);
	if (q->ts_offset >= 0)
		t = INT64_MIN;
	for (i = 0; i < RTE_MIN(n, 4u); i++)
		rte_prefetch0(rte_pktmbuf_mtod(ms[i], void *));
	for (i = 0; i < n; i++, data += stride) {
		struct rte_mbuf *m = ms[i];

		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod(ms[i + 4], void *));
		if (likely(m->nb_segs == 1 && !(m->ol_flags & slow))) {
			uint32_t c = RTE_MIN(m->pkt_len, stride);

			memcpy(data, rte_pktmbuf_mtod(m, void *), c);
			cap_len[i] = c;
			wire_len[i] = m->pkt_len;
		} else {
			cap_len[i] = copy_slow(m, data, stride, &wire_len[i]);
		}
		if (q->ts_offset >= 0)
			t = RTE_MAX(t, timestamp(q, m, clock));
		ts[i] = t;
		in_port[i] = q->in_port;
		dir[i] = q->dir;
		bytes += wire_len[i];
	}
	rte_pktmbuf_free_bulk(ms, n);
	// One writer: no read-modify-write is needed, only whole stores.
	__atomic_store_n(&q->received, q->received + n, __ATOMIC_RELAXED);
	__atomic_store_n(&q->bytes, q->bytes + bytes, __ATOMIC_RELAXED);
	return n;
}

uint32_t rx_discard(struct rxq *q, uint32_t max)
{
	struct rte_mbuf *ms[BURST];
	uint32_t done = 0;
	uint16_t n;

	while (done < max) {
		n = rte_eth_rx_burst(q->port, q->queue, ms, RTE_MIN(max - done, (uint32_t)BURST));
		if (n == 0)
			break;
		rte_pktmbuf_free_bulk(ms, n);
		done += n;
	}
	return done;
}

void rx_find_timestamp(struct rxq *q)
{
	int offset = rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
	int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);

	q->ts_offset = -1;
	q->ts_flag = 0;
	if (offset >= 0 && bit >= 0) {
		q->ts_offset = offset;
		q->ts_flag = UINT64_C(1) << bit;
	}
}
