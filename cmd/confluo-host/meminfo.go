package main

import (
	"fmt"
	"strings"
)

// parseMemAvailable reads the line MemAvailable of /proc/meminfo, in bytes
// (proc_meminfo(5)).
func parseMemAvailable(meminfo string) (uint64, error) {
	for line := range strings.SplitSeq(meminfo, "\n") {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no line MemAvailable")
}
