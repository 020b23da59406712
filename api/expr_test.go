package api

import (
	"testing"

	"github.com/confluo/confluo/multilog/expr"
)

func mustAggregate(t *testing.T, text string) *expr.Aggregate {
	t.Helper()
	a, err := expr.ParseAggregate(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
