//go:build dpdk

package e2e

var buildFlags = []string{"-tags", "dpdk"}
