package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBadFiles holds every file of testdata/bad against the errors that it must
// give, which stand in the file NAME.want beside it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files (%v)", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(filepath.Base(f), data)
			if err == nil {
				t.Fatal("was read without an error")
			}
			got, golden := err.Error()+"\n", strings.TrimSuffix(f, ".yaml")+".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoodFiles reads what must be read: testdata/good and the configurations
// that are shipped.
func TestGoodFiles(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/good/*.yaml", "../../configs/*.yaml"} {
		fs, err := filepath.Glob(pattern)
		if err != nil || len(fs) < 4 {
			t.Fatalf("found %d files for %s (%v)", len(fs), pattern, err)
		}
		files = append(files, fs...)
	}
	for _, f := range files {
		if _, err := Load(f); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// TestKeysReachTheirFields writes every key in testdata/good/every-key.yaml to
// something else than its default, and looks at the outcome.
func TestKeysReachTheirFields(t *testing.T) {
	c, err := Load("testdata/good/every-key.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The element of a list is compared with one that has only defaults.
	unset := map[string]bool{}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		fresh := reflect.New(v.Type()).Elem()
		setDefaults(fresh)
		for _, f := range fieldsOf(v.Type()) {
			fv, p := v.Field(f.index), join(path, f.key)
			switch shapeOf(f.typ) {
			case shapeSection:
				walk(fv, p)
			case shapeOptional:
				if !fv.IsNil() {
					unset[p] = false
					walk(fv.Elem(), p)
				} else if _, ok := unset[p]; !ok {
					unset[p] = true
				}
			case shapeSections:
				if fv.Len() == 0 {
					unset[p] = true
				}
				for i := range fv.Len() {
					walk(fv.Index(i), p+"[]")
				}
			default:
				same := reflect.DeepEqual(fv.Interface(), fresh.Field(f.index).Interface())
				if was, ok := unset[p]; !ok || was {
					unset[p] = same
				}
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), "")
	for p, u := range unset {
		if u {
			t.Errorf("%s has its default after reading every-key.yaml", p)
		}
	}
	if c.Agent.Snaplen != 256 || c.MultiLog.Memory != 3<<30 || c.Sources[0].DPDK.Idle.Sleep != 20*time.Microsecond ||
		c.API.SocketMode != 0o600 || c.Triggers[0].Labels["team"] != "network" || c.Indexes[0].String() != "vni" {
		t.Errorf("read %+v", c)
	}
}

func TestFullFileIsTheDefault(t *testing.T) {
	c, err := Load(fullFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := c.Diff(Default()); diff != nil {
		t.Errorf("full.yaml differs from the defaults: %+v", diff)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("full.yaml differs from the defaults (-default +full):\n%s", diff)
	}
}

// TestExamplesInTheFullFileAreValid uncomments its optional parts: one source of
// each kind, and every list and section that is absent by default.
func TestExamplesInTheFullFileAreValid(t *testing.T) {
	for _, kind := range []string{"dpdk", "afpacket", "pcapfile"} {
		y := yamlWriter{with: map[string]bool{
			kind: true, "sources": true, "ports": true, "filters": true, "aggregates": true, "triggers": true,
			"webhooks": true, "tcp": true, "tls": true,
		}}
		text := strings.Join(y.section(reflect.TypeFor[Config]()), "\n")
		c, err := Parse(kind+".yaml", []byte(text))
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		if len(c.Sources) != 1 || len(c.Filters) != 1 || len(c.Alerts.Webhooks) != 1 || c.API.TCP == nil || c.API.TCP.TLS == nil {
			t.Errorf("%s: parts are missing: %+v", kind, c)
		}
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		seen := map[string]bool{}
		for _, f := range fieldsOf(typ) {
			p := join(path, f.key)
			if seen[f.key] {
				t.Errorf("%s: two fields", p)
			}
			seen[f.key] = true
			if f.doc == "" && shapeOf(f.typ) != shapeSection {
				t.Errorf("%s: no doc", p)
			}
			if f.required && f.example == "" && shapeOf(f.typ) != shapeSections {
				t.Errorf("%s: no example", p)
			}
			switch shapeOf(f.typ) {
			case shapeSection, shapeOptional, shapeSections:
				walk(f.section(), p)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestLoadNamesAFileThatIsNotThere(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "missing.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestHugeFilesAreRefused(t *testing.T) {
	_, err := Parse("huge.yaml", []byte(strings.Repeat("#\n", maxFileBytes/2+1)))
	if err == nil || !strings.Contains(err.Error(), "huge.yaml:1: found 4194306 bytes, expected at most 4194304") {
		t.Errorf("got %v", err)
	}
}

func TestErrorsCanBeTakenApart(t *testing.T) {
	_, err := Parse("f.yaml", []byte("agent: {snaplen: x}\nspray: 5\n"))
	var es Errors
	if !errors.As(err, &es) || len(es) != 2 {
		t.Fatalf("got %v", err)
	}
	var e *Error
	if !errors.As(err, &e) || e.Path != "agent.snaplen" || e.Line != 1 || e.Col != 18 {
		t.Errorf("first is %+v", e)
	}
}

// TestAliasesCannotMultiply gives a file in which few bytes stand for many
// values.
func TestAliasesCannotMultiply(t *testing.T) {
	var b strings.Builder
	b.WriteString("triggers:\n  - name: t\n    when: COUNT() > 5 over 1s every 1ms\n    labels: &l\n")
	for i := range 200 {
		fmt.Fprintf(&b, "      l%d: x\n", i)
	}
	for i := range 1000 {
		fmt.Fprintf(&b, "  - {name: t%d, when: COUNT() > 5 over 1s every 1ms, labels: *l}\n", i)
	}
	_, err := Parse("f.yaml", []byte(b.String()))
	const want = "f.yaml:155: triggers[50].labels.l150: found more than 10000 values given through aliases, expected fewer"
	if err == nil || err.Error() != want {
		t.Errorf("got %.200v\nwant %s", err, want)
	}
}
