// Package e2e runs the confluo-host program as an operator does, beside the
// programs that operators trust: tshark and tcpdump on the same capture files.
package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program is the confluo-host that the tests run, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "confluo-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "confluo-host")
	build := exec.Command("go", append(append([]string{"build"}, buildFlags...), "-o", program, "../cmd/confluo-host")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build confluo-host: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func skipOrFail(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CONFLUO_TEST_STRICT") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			skipOrFail(t, "%s is not installed", p)
		}
	}
}

// confluo runs the program and returns its standard output.
func confluo(args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("confluo-host %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// captures returns the capture files, by name relative to their folder.
func captures(t *testing.T) (root string, names []string) {
	t.Helper()
	root = os.Getenv("CONFLUO_CAPTURES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "captures")
	}
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".tsv") {
			name, _ := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if len(names) == 0 {
		// The rows of these files are compared one by one in package packet,
		// which makes its own; there is nothing here to be made.
		t.Skipf("no capture files in %s", root)
	}
	slices.Sort(names)
	return root, names
}

// each calls f for every name, two at a time.
func each(names []string, f func(i int, name string)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				f(i, names[i])
			}
		}()
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
}
