package agent

import (
	"io"
	"log/slog"

	"github.com/confluo/confluo/agent/config"
)

// newHandler makes a handler of the given format, text or json, whose level can
// change while it is in use.
func newHandler(w io.Writer, level *slog.LevelVar, format string) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

func (a *Agent) setLevel(cfg *config.Config) {
	var l slog.Level
	// The configuration allows only names that slog has.
	if err := l.UnmarshalText([]byte(cfg.Agent.Log.Level)); err == nil {
		a.level.Set(l)
	}
}
