package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func reflectValue(v any) reflect.Value { return reflect.ValueOf(v) }

// FuzzConfig checks that no file makes the reader panic or lose the line of a
// mistake, and that what it accepts it accepts again.
func FuzzConfig(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data)
		if err != nil {
			var es Errors
			if !errors.As(err, &es) || len(es) == 0 || c != nil {
				t.Fatalf("error %v of type %T, config %v", err, err, c)
			}
			lines := 1
			for _, b := range data {
				if b == '\n' {
					lines++
				}
			}
			last := 0
			for _, e := range es {
				if e.Line < 1 || e.Line > lines+1 || e.Line < last || e.Msg == "" {
					t.Fatalf("error %+v in a file of %d lines, after one of line %d", e, lines, last)
				}
				last = e.Line
			}
			return
		}
		if d := c.Diff(c); d != nil {
			t.Fatalf("differs from itself: %v", d)
		}
		if d := Default().Diff(c); len(d) == 0 && !reflect.DeepEqual(format(reflectValue(*c)), format(reflectValue(*Default()))) {
			t.Fatalf("an unseen difference: %+v", c)
		}
	})
}
