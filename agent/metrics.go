package agent

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/api"
)

// A metric is one family that the agent exports; docs/metrics.md lists them.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	desc       *prometheus.Desc
}

var metrics []*metric // in the order of the documentation

func newMetric(kind prometheus.ValueType, name, help string, labels ...string) *metric {
	m := &metric{name: "confluo_" + name, help: help, kind: kind, labels: labels}
	m.desc = prometheus.NewDesc(m.name, help, labels, nil)
	metrics = append(metrics, m)
	return m
}

func counter(name, help string, labels ...string) *metric {
	return newMetric(prometheus.CounterValue, name, help, labels...)
}

func gauge(name, help string, labels ...string) *metric {
	return newMetric(prometheus.GaugeValue, name, help, labels...)
}

var (
	mBuild = gauge("build_info", "1; the version of the agent, and of Go that it was built with.", "version", "goversion")
	mState = gauge("state", "1 for the state that the agent is in, 0 for the others.", "state")
	mStart = gauge("start_time_seconds", "When the agent was started, in seconds since 1970.")

	mSourceUp       = gauge("source_up", "1 while the source captures: its device is up, or its file is being read.", "source", "kind")
	mSourceReceived = counter("source_received_headers_total", "Headers that the source delivered.", "source", "kind")
	mSourceBytes    = counter("source_received_bytes_total", "Bytes on the wire of the frames that the source delivered.", "source", "kind")
	mSourceDropped  = counter("source_dropped_headers_total", "Frames that the source's device saw and that were not delivered, by cause.", "source", "kind", "cause")

	mClaimed      = counter("spray_claimed_headers_total", "Headers that were given an offset (globalWriteTail).")
	mSprayDropped = counter("spray_dropped_headers_total", "Headers that were delivered and not given an offset, by cause.", "source", "cause")
	mRingBatches  = gauge("ring_batches", "Batches that wait in the ring.", "ring")
	mRingCapacity = gauge("ring_capacity_batches", "Batches that the ring has room for.", "ring")

	mWriterHeaders = counter("writer_headers_total", "Headers that the writer has written.", "writer")
	mWriterBatches = counter("writer_batches_total", "Batches that the writer has written.", "writer")

	mReceived = counter("received_headers_total", "The ledger: headers that sources delivered, and that were lost before they could.")
	mStored   = counter("stored_headers_total", "The ledger: headers published in the log (globalReadTail), also those that retention has since let go.")
	mDropped  = counter("dropped_headers_total", "The ledger: headers lost at any stage, by cause.", "cause")
	mInFlight = gauge("in_flight_headers", "The ledger: headers between source and log.")
	mEvicted  = counter("evicted_headers_total", "Headers that were stored and that retention has since let go.")

	mCapacity   = gauge("log_capacity_headers", "Headers that memory has room for.")
	mMemory     = gauge("log_memory_bytes", "Memory that is reserved for headers, logs and indexes.")
	mOldest     = gauge("log_oldest_time_seconds", "Capture time of the oldest header held, in seconds since 1970; 0 when there is none.")
	mNewest     = gauge("log_newest_time_seconds", "Capture time of the newest header held, in seconds since 1970; 0 when there is none.")
	mFilters    = gauge("filters", "Filters that are installed.")
	mAggregates = gauge("aggregates", "Aggregates that are installed.")
	mIndexes    = gauge("indexes", "Indexes that are installed.")
	mSnapshots  = gauge("snapshots", "Snapshots that are held.")
	mMatched    = counter("filter_matched_headers_total", "Headers that the installed filter has matched.", "filter")

	mTriggers    = gauge("triggers", "Triggers that are installed.")
	mFiring      = gauge("triggers_firing", "Triggers that fire.")
	mGroups      = gauge("trigger_firing_groups", "Groups of the trigger that fire; 0 or 1 without BY.", "trigger")
	mEvaluations = counter("trigger_evaluations_total", "Windows that were compared with a threshold.")
	mWatermark   = gauge("trigger_watermark_seconds", "Capture time up to which windows are evaluated, in seconds since 1970; 0 before the first header.")
	mLate        = counter("trigger_late_headers_total", "Headers that came too late for every window.")
	mReordered   = counter("trigger_reordered_headers_total", "Headers that came after their window was evaluated, and count.")
	mSkipped     = counter("trigger_skipped_windows_total", "Windows that were not evaluated because the monitor fell behind.")
	mOverflow    = counter("trigger_firing_overflow_total", "Groups that should have fired and found no room.")
	mUnread      = counter("trigger_unread_headers_total", "Headers that retention took before the monitor had read them.")
	mAlerts      = counter("alerts_total", "Alerts that were raised.")
	mUndelivered = counter("alerts_undelivered_total", "Alerts that a receiver did not take: refused for good, or dropped for want of room.")
	mCut         = counter("alert_followers_cut_total", "Followers of alerts that were too slow.")
	mPosted      = counter("webhook_delivered_alerts_total", "Alerts that the receiver has taken, since it was configured.", "url")
	mWaiting     = gauge("webhook_waiting_alerts", "Alerts that wait for the receiver.", "url")
	mFailures    = counter("webhook_failures_total", "Requests to the receiver without success, since it was configured.", "url")
)

// A collector reads the agent's counters when it is asked for them; nothing is
// counted twice.
type collector struct{ a *Agent }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(m *metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, labels...)
	}
	a := c.a
	s := a.Status()
	emit(mBuild, 1, s.Version, runtime.Version())
	for _, name := range stateNames {
		emit(mState, truth(name == s.State), name)
	}
	if !s.Started.IsZero() {
		emit(mStart, seconds(s.Started))
	}
	done, err := a.use()
	if err != nil {
		return
	}
	defer done()
	c.stages(emit, s)
	c.log(emit, &s.Log)
	for _, f := range a.log.Filters() {
		emit(mMatched, float64(f.Matched()), f.Name())
	}
	c.alerts(emit, s)
}

func (c collector) stages(emit func(*metric, float64, ...string), s *api.Status) {
	led := c.a.pipe.Ledger()
	for i := range led.Sources {
		src, kind := &led.Sources[i], s.Sources[i].Kind
		emit(mSourceUp, truth(src.Stats.State == "up"), src.Name, kind)
		emit(mSourceReceived, float64(src.Stats.Received), src.Name, kind)
		emit(mSourceBytes, float64(src.Stats.Bytes), src.Name, kind)
		for _, d := range src.Stats.Drops {
			emit(mSourceDropped, float64(d.N), src.Name, kind, d.Cause)
		}
		emit(mSprayDropped, float64(src.RingFull), src.Name, pipeline.CauseRingFull)
		emit(mSprayDropped, float64(src.MemoryFull), src.Name, pipeline.CauseMemoryFull)
	}
	emit(mClaimed, float64(s.Spray.WriteTail))
	for _, r := range s.Rings {
		emit(mRingBatches, float64(r.Depth), r.Name)
		emit(mRingCapacity, float64(r.Capacity), r.Name)
	}
	for _, w := range s.Writers {
		emit(mWriterHeaders, float64(w.Headers), w.Name)
		emit(mWriterBatches, float64(w.Batches), w.Name)
	}
	emit(mReceived, float64(s.Ledger.Received))
	emit(mStored, float64(s.Ledger.Stored))
	for cause, n := range s.Ledger.Dropped {
		emit(mDropped, float64(n), cause)
	}
	emit(mInFlight, float64(s.Ledger.InFlight))
	emit(mEvicted, float64(s.Ledger.Evicted))
}

func (c collector) log(emit func(*metric, float64, ...string), s *api.LogStatus) {
	emit(mCapacity, float64(c.a.log.Capacity()))
	emit(mMemory, float64(s.MemoryTotal))
	emit(mOldest, seconds(s.FromTime))
	emit(mNewest, seconds(s.ToTime))
	emit(mFilters, float64(s.Filters))
	emit(mAggregates, float64(s.Aggregates))
	emit(mIndexes, float64(s.Indexes))
	emit(mSnapshots, float64(s.Snapshots))
}

func (c collector) alerts(emit func(*metric, float64, ...string), s *api.Status) {
	m := c.a.mon.Stats()
	emit(mTriggers, float64(m.Triggers))
	emit(mFiring, float64(m.Firing))
	for _, t := range c.a.mon.Triggers() {
		emit(mGroups, float64(t.Firing), t.Name)
	}
	emit(mEvaluations, float64(m.Evaluations))
	emit(mWatermark, seconds(m.Watermark))
	emit(mLate, float64(m.Late))
	emit(mReordered, float64(m.Reordered))
	emit(mSkipped, float64(m.Skipped))
	emit(mOverflow, float64(m.FiringOverflow))
	emit(mUnread, float64(m.Evicted))
	emit(mAlerts, float64(m.Alerts))
	emit(mUndelivered, float64(s.Monitor.Undelivered))
	emit(mCut, float64(m.FollowersCut))
	for _, w := range c.a.sinks.Load().webhooks {
		st := w.Stats()
		emit(mPosted, float64(st.Delivered), w.URL())
		emit(mWaiting, float64(st.Waiting), w.URL())
		emit(mFailures, float64(st.Failures), w.URL())
	}
}

// seconds since 1970; 0 for no time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func newRegistry(a *Agent) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{a}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gatherer implements api.Host: the agent's metrics, and those of Go and of the
// process.
func (a *Agent) Gatherer() prometheus.Gatherer { return a.registry }
