package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/confluo/confluo/agent/config"
	"github.com/confluo/confluo/capture/dpdk"
)

// initEAL sets DPDK's Environment Abstraction Layer up if a source needs it. A
// second agent in the same process must ask for the same.
func (a *Agent) initEAL(cfg *config.Config) error {
	if !slices.ContainsFunc(cfg.Sources, func(s config.Source) bool { return s.DPDK != nil }) {
		return nil
	}
	e := &cfg.DPDK.EAL
	if err := dpdk.InitEAL(e.EALOptions(freeHugePages("/sys/kernel/mm/hugepages", "/proc/mounts", int64(e.Memory)))); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// autoMemory is the memory that counts as enough huge pages when the
// configuration does not say how much EAL is to have.
const autoMemory = 64 << 20

// freeHugePages reports whether EAL could have memory bytes of huge pages: so
// many are free, of one size, and a hugetlbfs is mounted.
func freeHugePages(sys, mounts string, memory int64) bool {
	if memory == 0 {
		memory = autoMemory
	}
	data, err := os.ReadFile(mounts)
	if err != nil || !strings.Contains(string(data), " hugetlbfs ") {
		return false
	}
	pools, _ := filepath.Glob(filepath.Join(sys, "hugepages-*kB"))
	for _, pool := range pools {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(pool), "hugepages-"), "kB")
		size, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(pool, "free_hugepages"))
		if err != nil {
			continue
		}
		free, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && free*size<<10 >= memory {
			return true
		}
	}
	return false
}
