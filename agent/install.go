package agent

import (
	"fmt"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// installIndexes installs the configured indexes. It comes before sources are
// opened, since it reserves memory, which takes its time.
func (a *Agent) installIndexes(cfg *config.Config) error {
	for _, attr := range cfg.Indexes {
		if _, err := a.mlog.InstallIndex(packet.Attr(attr)); err != nil {
			return fmt.Errorf("agent: indexes: %w", err)
		}
	}
	return nil
}

// install installs the configured filters and aggregates. It comes after
// sources are opened, since expressions may name their ports, and before they
// are asked for frames.
func (a *Agent) install(cfg *config.Config) error {
	for i := range cfg.Filters {
		if err := a.installFilter(&cfg.Filters[i]); err != nil {
			return err
		}
	}
	for i := range cfg.Aggregates {
		if err := a.installAggregate(&cfg.Aggregates[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) installFilter(f *config.Filter) error {
	e, err := expr.Parse(f.Where, portNames{&a.ports})
	if err != nil {
		return fmt.Errorf("agent: filters: %s: where: %w", f.Name, err)
	}
	if _, err := a.mlog.InstallFilter(multilog.FilterSpec{Name: f.Name, Expr: e}); err != nil {
		return fmt.Errorf("agent: filters: %w", err)
	}
	return nil
}

func (a *Agent) installAggregate(g *config.Aggregate) error {
	spec, err := expr.ParseAggregate(g.Compute)
	if err != nil {
		return fmt.Errorf("agent: aggregates: %s: compute: %w", g.Name, err)
	}
	if _, err := a.mlog.InstallAggregate(multilog.AggregateSpec{Name: g.Name, Filter: g.Filter, Agg: spec, Bucket: g.Bucket}); err != nil {
		return fmt.Errorf("agent: aggregates: %w", err)
	}
	return nil
}
