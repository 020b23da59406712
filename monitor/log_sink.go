package monitor

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
)

// A LogSink writes alerts to a log. It is safe for concurrent use.
type LogSink struct {
	log     *slog.Logger
	queue   chan *Alert
	done    sync.WaitGroup
	dropped atomic.Uint64
}

// NewLogSink returns a sink that writes to log, warnings for alerts that fire.
// When log takes no lines, up to 1,024 alerts wait for it and further ones are
// dropped and counted.
func NewLogSink(log *slog.Logger) *LogSink {
	s := &LogSink{log: log, queue: make(chan *Alert, 1024)}
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		for a := range s.queue {
			s.write(a)
		}
	}()
	return s
}

// Alert implements Sink.
func (s *LogSink) Alert(a *Alert) {
	select {
	case s.queue <- a:
	default:
		s.dropped.Add(1)
	}
}

// Close writes what waits and ends the sink.
func (s *LogSink) Close() error {
	close(s.queue)
	s.done.Wait()
	return nil
}

// Dropped returns how many alerts were not written.
func (s *LogSink) Dropped() uint64 { return s.dropped.Load() }

func (s *LogSink) write(a *Alert) {
	level := slog.LevelWarn
	if a.State == Resolved {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("state", string(a.State)), slog.String("trigger", a.Trigger), slog.String("severity", a.Severity),
		slog.Uint64("seq", a.Seq), slog.String("expr", a.Expr),
	}
	if a.Filter != "" {
		attrs = append(attrs, slog.String("filter", a.Filter))
	}
	var group []any
	for _, g := range a.Group {
		group = append(group, slog.String(g.Name, g.Value))
	}
	if len(group) > 0 {
		attrs = append(attrs, slog.Group("group", group...))
	}
	if !a.NoValue {
		attrs = append(attrs, slog.Float64("value", a.Value))
	}
	attrs = append(attrs, slog.Time("from", a.From), slog.Time("to", a.To))
	if a.HasOffsets {
		attrs = append(attrs, slog.Uint64("first_offset", a.FirstOffset), slog.Uint64("last_offset", a.LastOffset))
	}
	s.log.LogAttrs(context.Background(), level, "alert", attrs...)
}
