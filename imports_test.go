package confluo_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/confluo/confluo"

// layers are the rooms from the bottom up. A package may import those of its
// own room and of rooms in layers below; rooms in one layer do not know of each
// other.
var layers = [][]string{
	{"packet", "internal/nettest"},
	{"multilog/offheap", "multilog/expr"},
	{"multilog/fold"},
	{"multilog", "ringbuf", "capture", "mirror"},
	{"spray"},
	{"writer", "diagnoser", "archiver", "monitor"},
	{"agent/pipeline", "agent/config"},
	{"api"},
	{"agent"},
	{"bench"},
	{"cmd", "scripts"},
}

func TestImportsRunOneWay(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "third_party" || d.Name() == "testdata" || d.Name() == ".git") {
			return fs.SkipDir
		}
		// Tests may put rooms together as they like.
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		room, layer := roomOf(dir)
		if layer < 0 {
			t.Errorf("%s: no room of the design", dir)
			return nil
		}
		seen[room] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			other, ok := strings.CutPrefix(name, module+"/")
			if !ok {
				continue
			}
			if r, l := roomOf(other); r != room && l >= layer {
				t.Errorf("%s imports %s: %s lies above %s", path, other, r, room)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		for _, room := range layer {
			if !seen[room] {
				t.Errorf("room %s has no Go file", room)
			}
		}
	}
}

// roomOf returns the room that a folder belongs to, the deepest one that
// contains it, and its layer.
func roomOf(dir string) (room string, layer int) {
	layer = -1
	for i, rooms := range layers {
		for _, r := range rooms {
			if (dir == r || strings.HasPrefix(dir, r+"/")) && len(r) > len(room) {
				room, layer = r, i
			}
		}
	}
	return room, layer
}
