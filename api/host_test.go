package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// modelHost is a host whose log is a list of headers in the order of time, and
// whose answers are those of brute force: what the server says is compared with
// it. It is no part of the agent.
type modelHost struct {
	ports *packet.PortTable
	cols  *packet.Columns
	reg   *prometheus.Registry

	// Faults.
	stall    time.Duration // before each row of a query
	failAt   int           // row at which a query fails; 0: none
	notReady error

	mu         sync.Mutex
	filters    []Filter
	indexes    []Index
	aggregates []Aggregate
	triggers   []Trigger
	snapshots  []Snapshot
	alerts     []Alert
	followers  map[chan Alert]struct{}
	reloads    int
	queries    int // under way
}

// t0 is the capture time of the model's first header; each next one comes 1 ms
// later.
var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newModelHost returns a host with n headers: of every five one is ARP, four
// are TCP from 10.0.0.1 to 10.0.1.x, port 80 or 443, the first of each
// connection a SYN.
func newModelHost(t testing.TB, n int) *modelHost {
	t.Helper()
	h := &modelHost{ports: new(packet.PortTable), reg: prometheus.NewRegistry(), followers: make(map[chan Alert]struct{})}
	if _, err := h.ports.Add(packet.Port{Name: `eth "0"`, Link: packet.LinkEthernet}); err != nil {
		t.Fatal(err)
	}
	h.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "confluo_model_headers", Help: "Headers."}, func() float64 { return float64(n) }))

	h.cols = packet.NewColumns(n)
	h.cols.Stride = 64
	parser := packet.NewParser(h.ports)
	for at := 0; at < n; at += packet.ChunkSize {
		b, err := packet.NewBatch(nil, 64)
		if err != nil {
			t.Fatal(err)
		}
		for i := at; i < min(n, at+packet.ChunkSize); i++ {
			b.Append(modelFrame(i), t0.Add(time.Duration(i)*time.Millisecond).UnixNano(), uint32(60+i%1000), 0, packet.DirIn)
		}
		parser.Parse(&b.Frames, 0, b.N, sub(h.cols, at, b.N))
		h.cols.Data = append(h.cols.Data, b.Data[:b.N*b.Stride]...)
	}
	h.cols.N = n
	return h
}

func modelFrame(i int) []byte {
	f := make([]byte, 54)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2})
	if i%5 == 4 {
		binary.BigEndian.PutUint16(f[12:], 0x0806)
		copy(f[14:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
		return f[:42]
	}
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], 40)
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 1, byte(i % 7)})
	tcp := ip[20:]
	binary.BigEndian.PutUint16(tcp, uint16(40000+i%100))
	binary.BigEndian.PutUint16(tcp[2:], []uint16{80, 443}[i%2])
	tcp[12] = 5 << 4
	tcp[13] = 0x10
	if i%5 == 0 {
		tcp[13] = 0x02
	}
	return f
}

// sub is rows at..at+n of c.
func sub(c *packet.Columns, at, n int) *packet.Columns {
	s := *c
	e := at + n
	s.N = n
	s.Ts = c.Ts[at:e]
	s.SrcIPHi, s.SrcIPLo, s.DstIPHi, s.DstIPLo = c.SrcIPHi[at:e], c.SrcIPLo[at:e], c.DstIPHi[at:e], c.DstIPLo[at:e]
	s.OuterSrcHi, s.OuterSrcLo, s.OuterDstHi, s.OuterDstLo = c.OuterSrcHi[at:e], c.OuterSrcLo[at:e], c.OuterDstHi[at:e], c.OuterDstLo[at:e]
	s.SrcPort, s.DstPort, s.TCPFlags, s.TCPWindow = c.SrcPort[at:e], c.DstPort[at:e], c.TCPFlags[at:e], c.TCPWindow[at:e]
	s.Proto, s.TTL, s.DSCP, s.ECN, s.Tunnel = c.Proto[at:e], c.TTL[at:e], c.DSCP[at:e], c.ECN[at:e], c.Tunnel[at:e]
	s.TCPSeq, s.TCPAck, s.IPID, s.PktLen, s.PayloadLen = c.TCPSeq[at:e], c.TCPAck[at:e], c.IPID[at:e], c.PktLen[at:e], c.PayloadLen[at:e]
	s.Frag, s.EthType, s.VLAN, s.InPort, s.CapLen = c.Frag[at:e], c.EthType[at:e], c.VLAN[at:e], c.InPort[at:e], c.CapLen[at:e]
	s.SrcMAC, s.DstMAC, s.FlowHash = c.SrcMAC[at:e], c.DstMAC[at:e], c.FlowHash[at:e]
	s.VNI, s.Tag, s.Layers = c.VNI[at:e], c.Tag[at:e], c.Layers[at:e]
	s.Direction, s.Reason = c.Direction[at:e], c.Reason[at:e]
	if len(c.Data) >= e*c.Stride {
		s.Data = c.Data[at*c.Stride : e*c.Stride]
	}
	return &s
}

// match returns the rows that q selects.
func (h *modelHost) match(q diagnoser.Query) ([]int, error) {
	end := uint64(h.cols.N)
	h.mu.Lock()
	defer h.mu.Unlock()
	if q.Snapshot != "" {
		i := slices.IndexFunc(h.snapshots, func(s Snapshot) bool { return s.Name == q.Snapshot })
		if i < 0 {
			return nil, fmt.Errorf("snapshot %q: %w", q.Snapshot, ErrNotFound)
		}
		end = h.snapshots[i].EndOffset
	}
	if q.Filter != "" && !slices.ContainsFunc(h.filters, func(f Filter) bool { return f.Name == q.Filter }) {
		return nil, fmt.Errorf("filter %q: %w", q.Filter, ErrNotFound)
	}
	if q.ToOffset != 0 {
		end = min(end, q.ToOffset)
	}
	var rows []int
	for i := q.FromOffset; i < end; i++ {
		ts := time.Unix(0, h.cols.Ts[i])
		if !q.From.IsZero() && ts.Before(q.From) || !q.To.IsZero() && !ts.Before(q.To) {
			continue
		}
		if q.Where == nil || q.Where.Match(h.cols, int(i)) {
			rows = append(rows, int(i))
		}
	}
	return rows, nil
}

func (h *modelHost) Query(ctx context.Context, q diagnoser.Query, out func(*diagnoser.Rows) error) (*diagnoser.Footer, error) {
	h.mu.Lock()
	h.queries++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.queries--
		h.mu.Unlock()
	}()
	rows, err := h.match(q)
	if err != nil {
		return nil, err
	}
	f := &diagnoser.Footer{EndOffset: uint64(h.cols.N), Matched: uint64(len(rows)), Plan: "brute force"}
	for n, i := range rows {
		if q.Limit > 0 && n == q.Limit {
			f.Limited = true
			break
		}
		if h.failAt > 0 && n == h.failAt {
			return nil, fmt.Errorf("the model's disk is on fire")
		}
		if h.stall > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(h.stall):
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := out(&diagnoser.Rows{N: 1, Offsets: []uint64{uint64(i)}, Cols: sub(h.cols, i, 1)}); err != nil {
			return nil, err
		}
		f.Returned++
	}
	return f, nil
}

func (h *modelHost) Count(_ context.Context, q diagnoser.Query) (uint64, *diagnoser.Footer, error) {
	rows, err := h.match(q)
	return uint64(len(rows)), &diagnoser.Footer{Matched: uint64(len(rows))}, err
}

func (h *modelHost) Aggregate(_ context.Context, q diagnoser.Query, a *expr.Aggregate) (*fold.Result, *diagnoser.Footer, error) {
	rows, err := h.match(q)
	if err != nil {
		return nil, nil, err
	}
	s, err := fold.New(a, fold.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, i := range rows {
		s.Add(sub(h.cols, i, 1), &packet.Bitmap{1})
	}
	return s.Result(), &diagnoser.Footer{Matched: uint64(len(rows))}, nil
}

func (h *modelHost) Explain(q diagnoser.Query) (string, error) {
	_, err := h.match(q)
	return "brute force over every header", err
}

func (h *modelHost) Snapshot(name string, ttl time.Duration) (Snapshot, error) {
	s := Snapshot{Name: name, EndOffset: uint64(h.cols.N), Taken: t0, Expires: t0.Add(ttl)}
	return s, install(h, &h.snapshots, s, func(o Snapshot) bool { return o.Name == name })
}
func (h *modelHost) Snapshots() []Snapshot { return snapshotOf(h, &h.snapshots) }
func (h *modelHost) Release(name string) error {
	return uninstall(h, &h.snapshots, func(o Snapshot) bool { return o.Name == name })
}

func (h *modelHost) Filters() []Filter { return snapshotOf(h, &h.filters) }
func (h *modelHost) InstallFilter(name string, e *expr.Expr) (Filter, error) {
	f := Filter{Name: name, Expr: e.String(), FromOffset: uint64(h.cols.N)}
	return f, install(h, &h.filters, f, func(o Filter) bool { return o.Name == name })
}
func (h *modelHost) RemoveFilter(name string) error {
	for _, a := range h.Aggregates() {
		if a.Filter == name {
			return fmt.Errorf("filter %q: %w by aggregate %q", name, ErrInUse, a.Name)
		}
	}
	return uninstall(h, &h.filters, func(o Filter) bool { return o.Name == name })
}

func (h *modelHost) Indexes() []Index { return snapshotOf(h, &h.indexes) }
func (h *modelHost) InstallIndex(a packet.Attr) (Index, error) {
	x := Index{Attr: a.String(), FromOffset: uint64(h.cols.N)}
	return x, install(h, &h.indexes, x, func(o Index) bool { return o.Attr == x.Attr })
}
func (h *modelHost) RemoveIndex(a packet.Attr) error {
	return uninstall(h, &h.indexes, func(o Index) bool { return o.Attr == a.String() })
}

func (h *modelHost) Aggregates() []Aggregate { return snapshotOf(h, &h.aggregates) }
func (h *modelHost) InstallAggregate(name, filter string, a *expr.Aggregate) (Aggregate, error) {
	v := Aggregate{Name: name, Filter: filter, Aggregate: fold.Text(a)}
	return v, install(h, &h.aggregates, v, func(o Aggregate) bool { return o.Name == name })
}
func (h *modelHost) RemoveAggregate(name string) error {
	return uninstall(h, &h.aggregates, func(o Aggregate) bool { return o.Name == name })
}

func (h *modelHost) Triggers() []Trigger { return snapshotOf(h, &h.triggers) }
func (h *modelHost) InstallTrigger(name, filter string, t *expr.Trigger) (Trigger, error) {
	v := Trigger{Name: name, Filter: filter, Trigger: fmt.Sprint(t.Threshold)}
	return v, install(h, &h.triggers, v, func(o Trigger) bool { return o.Name == name })
}
func (h *modelHost) RemoveTrigger(name string) error {
	return uninstall(h, &h.triggers, func(o Trigger) bool { return o.Name == name })
}

func install[T any](h *modelHost, l *[]T, v T, same func(T) bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(*l, same) {
		return fmt.Errorf("name %w already", ErrExists)
	}
	*l = append(*l, v)
	return nil
}

func uninstall[T any](h *modelHost, l *[]T, same func(T) bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(*l)
	if *l = slices.DeleteFunc(*l, same); len(*l) == n {
		return ErrNotFound
	}
	return nil
}

func snapshotOf[T any](h *modelHost, l *[]T) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(*l)
}

func (h *modelHost) Alerts(since time.Time) []Alert {
	return slices.DeleteFunc(snapshotOf(h, &h.alerts), func(a Alert) bool { return a.Time.Before(since) })
}

func (h *modelHost) Follow(ctx context.Context) <-chan Alert {
	c := make(chan Alert, 16)
	h.mu.Lock()
	h.followers[c] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(ctx, func() { h.unfollow(c) })
	return c
}

func (h *modelHost) unfollow(c chan Alert) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.followers[c]; ok {
		delete(h.followers, c)
		close(c)
	}
}

// raise adds an alert and delivers it.
func (h *modelHost) raise(trigger string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := Alert{Seq: uint64(len(h.alerts) + 1), Time: t0.Add(time.Duration(len(h.alerts)) * time.Second), Trigger: trigger, State: Firing}
	h.alerts = append(h.alerts, a)
	for c := range h.followers {
		select {
		case c <- a:
		default: // it lags: let go of it
			delete(h.followers, c)
			close(c)
		}
	}
}

func (h *modelHost) Status() *Status {
	return &Status{State: "running", Time: time.Now(), Started: t0, Log: LogStatus{ReadTail: uint64(h.cols.N)}}
}
func (h *modelHost) Ready() error                  { return h.notReady }
func (h *modelHost) Ports() *packet.PortTable      { return h.ports }
func (h *modelHost) Gatherer() prometheus.Gatherer { return h.reg }
func (h *modelHost) Reload(context.Context) (*ReloadResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reloads++
	return &ReloadResponse{Applied: []string{"filters"}, NeedsRestart: []string{}}, nil
}
