package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/monitor"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/spray"
)

// Speed is what both measurements end with.
type Speed struct {
	HeadersPerS     float64 `json:"headers_per_s"`
	NsPerHeader     float64 `json:"ns_per_header"`
	BytesPerHeader  float64 `json:"bytes_per_header"`   // of memory, with indexes and room for logs
	CopyHeadersPerS float64 `json:"copy_headers_per_s"` // 64-byte copies by one core
	RatioToCopy     float64 `json:"ratio_to_copy"`      // HeadersPerS / CopyHeadersPerS
}

// Setup is what was measured.
type Setup struct {
	Filters    int      `json:"filters"`
	Aggregates int      `json:"aggregates"`
	Triggers   int      `json:"triggers"`
	Indexes    []string `json:"indexes"`
	Writers    int      `json:"writers"`
	Headers    int      `json:"headers"`
	Burst      int      `json:"burst"`
	SnapLen    int      `json:"snaplen"`
	Mix        Mix      `json:"mix"`
	Repeat     int      `json:"repeat"`
	Cores      int      `json:"cores"`
	// The share of headers that the filters match, smallest to largest, and the
	// matches of a header.
	FilterShares     []float64 `json:"filter_shares"`
	MatchesPerHeader float64   `json:"matches_per_header"`
}

// An IngestResult is how fast headers were taken in: medians of the runs.
type IngestResult struct {
	Speed
	Setup
	Runs []float64 `json:"runs_headers_per_s"`

	// How far what works beside the writers was behind when the last header was
	// published: headers that an index had still to sort, and headers that the
	// monitor had not looked at or retention took before it did.
	IndexBehind   uint64 `json:"index_behind_headers"`
	MonitorBehind uint64 `json:"monitor_behind_headers"`
	MonitorMissed uint64 `json:"monitor_missed_headers"`
	Alerts        uint64 `json:"alerts"`
}

// A rig is a pipeline with what is installed on it.
type rig struct {
	opt     Options
	gen     *generator
	pipe    *pipeline.Pipeline
	log     *multilog.Log
	monitor *monitor.Monitor
	maker   *filterMaker
	setup   Setup
	copier  *copier
}

// newRig makes a pipeline and starts it. The traffic waits for run.
func newRig(o Options) (*rig, error) {
	r := &rig{opt: o}
	if err := r.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %w", err), r.close())
	}
	return r, nil
}

func (r *rig) start() error {
	o := &r.opt
	ports := new(packet.PortTable)
	if _, err := ports.Add(packet.Port{Name: "bench0", Link: packet.LinkEthernet}); err != nil {
		return err
	}
	p := newPool(o.Mix, o.SnapLen)
	r.gen, r.maker = newGenerator(p, o), newFilterMaker(p.parse(ports))
	var err error
	if r.copier, err = newCopier(o.copyBytes); err != nil {
		return err
	}
	r.pipe, err = pipeline.New(pipeline.Options{Log: o.log(ports), Policy: spray.Block, Writers: o.Writers}, []capture.Source{r.gen})
	if err != nil {
		return err
	}
	r.log = r.pipe.Log()
	if r.monitor, err = monitor.New(r.log, monitor.Options{}); err != nil {
		return err
	}
	if err := r.install(); err != nil {
		return err
	}
	if o.Triggers > 0 {
		if err := r.monitor.Start(); err != nil {
			return err
		}
	}
	r.pipe.Start()
	return nil
}

// aggregates are installed in turn; triggers watch the first.
var aggregates = []string{"SUM(pkt_len)", "COUNT()", "MAX(pkt_len)", "AVG(payload_len)"}

func (r *rig) install() error {
	o := &r.opt
	r.setup = Setup{Filters: o.Filters, Aggregates: o.Aggregates, Triggers: o.Triggers, Indexes: names(o.Indexes), Writers: o.Writers,
		Headers: o.Headers, Burst: o.Burst, SnapLen: o.SnapLen, Mix: o.Mix, Repeat: o.Repeat, Cores: runtime.GOMAXPROCS(0), FilterShares: []float64{}}
	for _, a := range o.Indexes {
		if _, err := r.log.InstallIndex(a); err != nil {
			return err
		}
	}
	for i := range o.Filters {
		e, share, err := r.maker.next()
		if err != nil {
			return err
		}
		if _, err := r.monitor.InstallFilter(filterName(i), e); err != nil {
			return err
		}
		r.setup.FilterShares = append(r.setup.FilterShares, share)
		r.setup.MatchesPerHeader += share
	}
	slices.Sort(r.setup.FilterShares)
	on := func(i int) string {
		if o.Filters == 0 {
			return ""
		}
		return filterName(i % o.Filters)
	}
	for i := range o.Aggregates {
		a, err := expr.ParseAggregate(aggregates[i%len(aggregates)])
		if err != nil {
			return err
		}
		if _, err := r.monitor.InstallAggregate(monitor.AggregateSpec{Name: fmt.Sprint("a", i), Filter: on(i), Agg: a}); err != nil {
			return err
		}
	}
	for i := range o.Triggers {
		// Thresholds of many sizes, so that some fire now and then.
		t, err := expr.ParseTrigger(fmt.Sprintf("SUM(pkt_len) > %dMB over %dms every 1ms", 1<<(i%12), 10*(1+i%10)))
		if err != nil {
			return err
		}
		if _, err := r.monitor.InstallTrigger(monitor.TriggerSpec{Name: fmt.Sprint("t", i), Filter: on(i), Trigger: t}); err != nil {
			return err
		}
	}
	return nil
}

func filterName(i int) string { return fmt.Sprint("f", i) }

// run sends n headers and returns how long it took until all were published.
func (r *rig) run(ctx context.Context, n int) (time.Duration, error) {
	from := r.log.ReadTail()
	end := from + uint64(n)
	done := r.opt.Done.Load()
	began := time.Now()
	r.gen.send(uint64(n))
	for tail := from; tail < end; tail = r.log.ReadTail() {
		// Far shorter than a run, and long enough not to take a core's time.
		time.Sleep(100 * time.Microsecond)
		r.opt.Done.Store(done + tail - from)
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	took := time.Since(began)
	r.opt.Done.Store(done + uint64(n))
	return took, r.pipe.Err()
}

// bytesPerHeader returns the memory that a header takes.
func (r *rig) bytesPerHeader() (float64, error) {
	n, err := r.log.Options().BytesPerHeader()
	return n + float64(len(r.opt.Indexes))*multilog.IndexBytes(), err
}

// indexBehind returns the headers that the slowest index has still to sort.
func (r *rig) indexBehind() (n uint64) {
	tail := r.log.ReadTail()
	for _, x := range r.log.Indexes() {
		n = max(n, tail-min(tail, x.Sorted()))
	}
	return n
}

func (r *rig) close() error {
	var errs []error
	if r.pipe != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is under way is of no use any more
		errs = append(errs, r.pipe.Stop(ctx))
	}
	if r.monitor != nil {
		errs = append(errs, r.monitor.Close())
	}
	if r.pipe != nil {
		errs = append(errs, r.pipe.Close())
	}
	if r.copier != nil {
		errs = append(errs, r.copier.close())
	}
	return errors.Join(errs...)
}

// Ingest measures how fast headers are taken in, from a capture queue to the
// moment when the last of them is published.
func Ingest(ctx context.Context, o Options) (res *IngestResult, err error) {
	o, err = o.withDefaults(10_000_000)
	if err != nil {
		return nil, err
	}
	r, err := newRig(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	res = &IngestResult{Setup: r.setup}
	// All of memory has been written once before it counts.
	if _, err := r.run(ctx, int(min(r.log.Capacity(), uint64(o.Headers)))); err != nil {
		return nil, err
	}
	var copies, behind, looked []float64
	for range o.Repeat {
		n, err := r.copier.rate()
		if err != nil {
			return nil, err
		}
		took, err := r.run(ctx, o.Headers)
		if err != nil {
			return nil, err
		}
		copies = append(copies, n)
		res.Runs = append(res.Runs, float64(o.Headers)/took.Seconds())
		behind = append(behind, float64(r.indexBehind()))
		if o.Triggers > 0 {
			tail := r.log.ReadTail()
			looked = append(looked, float64(tail-min(tail, r.monitor.Stats().ReadTo)))
		}
	}
	st := r.monitor.Stats()
	res.IndexBehind, res.MonitorBehind = uint64(median(behind)), uint64(median(looked))
	res.MonitorMissed, res.Alerts = st.Evicted, st.Alerts
	if res.BytesPerHeader, err = r.bytesPerHeader(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	res.set(median(res.Runs), median(copies))
	return res, nil
}

func (s *Speed) set(headers, copies float64) {
	s.HeadersPerS, s.CopyHeadersPerS = headers, copies
	s.NsPerHeader, s.RatioToCopy = 1e9/headers, headers/copies
}

// median returns the median of vs, zero of none.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	vs = slices.Clone(vs)
	slices.Sort(vs)
	n := len(vs)
	if n%2 == 1 {
		return vs[n/2]
	}
	return (vs[n/2-1] + vs[n/2]) / 2
}
