//go:build dpdk

// Package feed is for tests: ports over rings, so that what one port sends
// another receives, and mbufs with what only a network card gives them
// (stripped VLAN tags, time stamps, several segments).
package feed

/*
#cgo pkg-config: libdpdk
#cgo LDFLAGS: -lrte_net_ring
#include <stdlib.h>
#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <stdio.h>

static void vlan_stripped(struct rte_mbuf *m, uint16_t tci)
{
	m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = tci;
}

static void qinq_stripped(struct rte_mbuf *m, uint16_t outer)
{
	m->ol_flags |= RTE_MBUF_F_RX_QINQ | RTE_MBUF_F_RX_QINQ_STRIPPED;
	m->vlan_tci_outer = outer;
}

static int stamp(struct rte_mbuf *m, uint64_t t)
{
	static int offset = -1;
	static uint64_t flag;

	if (offset < 0 && rte_mbuf_dyn_rx_timestamp_register(&offset, &flag) != 0)
		return -1;
	*RTE_MBUF_DYNFIELD(m, offset, rte_mbuf_timestamp_t *) = t;
	m->ol_flags |= flag;
	return 0;
}

// Makes a port that receives from rings of 1024 frames, and one that sends into
// them.
static int connected(const char *to, const char *from, struct rte_ring **rings, unsigned int n)
{
	char name[RTE_RING_NAMESIZE];
	unsigned int i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s_%u", to, i);
		rings[i] = rte_ring_create(name, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
		if (rings[i] == NULL)
			return -1;
	}
	if (rte_eth_from_rings(to, rings, n, rings, n, 0) < 0)
		return -1;
	return rte_eth_from_rings(from, rings, n, rings, n, 0) < 0 ? -1 : 0;
}

static void free_rings(struct rte_ring **rings, unsigned int n)
{
	while (n-- > 0)
		rte_ring_free(rings[n]);
}

static int chain(struct rte_mbuf *head, struct rte_mbuf *tail) { return rte_pktmbuf_chain(head, tail); }
*/
import "C"

import (
	"errors"
	"unsafe"

	"github.com/yerden/go-dpdk/mbuf"
)

// Rings makes the port net_ring_NAME and the port net_ring_NAMEf, whose
// transmit queue i feeds the former's receive queue i. The rings are freed by
// free, which the caller calls when both ports are removed. Name has at most 20
// characters.
func Rings(name string, queues int) (free func(), err error) {
	to, from := C.CString(name), C.CString(name+"f")
	defer C.free(unsafe.Pointer(to))
	defer C.free(unsafe.Pointer(from))
	rings := make([]*C.struct_rte_ring, queues)
	if C.connected(to, from, &rings[0], C.uint(queues)) != 0 {
		return nil, errors.New("no ports over rings can be made")
	}
	return func() { C.free_rings(&rings[0], C.uint(queues)) }, nil
}

func c(m *mbuf.Mbuf) *C.struct_rte_mbuf { return (*C.struct_rte_mbuf)(unsafe.Pointer(m)) }

// VLANStripped marks m as a frame whose innermost tag the card took out.
func VLANStripped(m *mbuf.Mbuf, tci uint16) { C.vlan_stripped(c(m), C.uint16_t(tci)) }

// QinQStripped marks m as a frame whose outer tag of two the card took out.
func QinQStripped(m *mbuf.Mbuf, outer uint16) { C.qinq_stripped(c(m), C.uint16_t(outer)) }

// Stamp gives m a receive time stamp. Call it once before a source is opened
// that is to see stamps: it registers the field, as a driver does.
func Stamp(m *mbuf.Mbuf, t uint64) error {
	if C.stamp(c(m), C.uint64_t(t)) != 0 {
		return errors.New("no room for a time stamp in mbufs")
	}
	return nil
}

// Chain appends tail's segments to head's.
func Chain(head, tail *mbuf.Mbuf) error {
	if C.chain(c(head), c(tail)) != 0 {
		return errors.New("too many segments")
	}
	return nil
}
