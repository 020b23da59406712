package config

import (
	"testing"

	"github.com/confluo/confluo/multilog"
)

func TestDefaultColumnsAreTheLogs(t *testing.T) {
	if got := Default().MultiLog.Stored(); got != multilog.DefaultColumns {
		t.Errorf("columns %v by default, the log's are %v", got.Attrs(), multilog.DefaultColumns.Attrs())
	}
}
