#!/usr/bin/env bash
# Sets everything up and runs every test: the second of the README's two commands.
#
# Tests that need DPDK, namespaces or another program run when this is root on
# Debian, and fail if something they need is missing then. Captures in
# ../shared/captures, or the folder in CONFLUO_CAPTURES, are used where they are.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --test
. scripts/go.sh
find_go
find_features
[ "$(id -u)" = 0 ] && [ "$TAGS" = dpdk ] && export CONFLUO_TEST_STRICT=1

say "formatting and vet"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { say "not gofmt-clean: $unformatted"; exit 1; }
go vet -tags "$TAGS" ./...

say "all tests (${FEATURES})"
go test -tags "$TAGS" -timeout 30m ./...

say "the DPDK binding"
(cd third_party/go-dpdk && { [ "$TAGS" != dpdk ] || go test -timeout 10m ./...; })

say "without vector instructions, DPDK and cgo"
# The captures were compared above; here it is the twins' turn.
CONFLUO_TEST_STRICT= CONFLUO_CAPTURES=none GOEXPERIMENT= CGO_ENABLED=0 go test -timeout 30m ./packet/... ./multilog/... ./diagnoser/... ./monitor/...

if [ "$CGO_ENABLED" = 1 ]; then
  say "under the race detector"
  CONFLUO_TEST_STRICT= CONFLUO_CAPTURES=none go test -race -short -timeout 30m ./ringbuf/... ./spray/... ./writer/... ./multilog/... ./monitor/... ./diagnoser/... ./agent/... ./api/...
fi
say "all passed"
