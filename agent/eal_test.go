package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHugePagesAreUsedWhereThereAreEnough(t *testing.T) {
	const mounted = "hugetlbfs /dev/hugepages hugetlbfs rw,relatime 0 0\n"
	for _, tc := range []struct {
		name   string
		mounts string
		free   map[string]string // by pool
		memory int64
		want   bool
	}{
		{"enough of 2 MiB", mounted, map[string]string{"hugepages-2048kB": "128\n"}, 256 << 20, true},
		{"one too few", mounted, map[string]string{"hugepages-2048kB": "127\n"}, 256 << 20, false},
		{"one of 1 GiB", mounted, map[string]string{"hugepages-2048kB": "0\n", "hugepages-1048576kB": "1\n"}, 256 << 20, true},
		{"not mounted", "proc /proc proc rw 0 0\n", map[string]string{"hugepages-2048kB": "128\n"}, 256 << 20, false},
		{"memory as needed", mounted, map[string]string{"hugepages-2048kB": "32\n"}, 0, true},
		{"memory as needed, few pages", mounted, map[string]string{"hugepages-2048kB": "31\n"}, 0, false},
		{"no pools", mounted, nil, 0, false},
		{"strange pools", mounted, map[string]string{"hugepages-hugekB": "9\n", "hugepages-2048kB": "many\n"}, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			mounts := filepath.Join(dir, "mounts")
			if err := os.WriteFile(mounts, []byte(tc.mounts), 0o644); err != nil {
				t.Fatal(err)
			}
			for pool, free := range tc.free {
				if err := os.MkdirAll(filepath.Join(dir, pool), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, pool, "free_hugepages"), []byte(free), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := freeHugePages(dir, mounts, tc.memory); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
