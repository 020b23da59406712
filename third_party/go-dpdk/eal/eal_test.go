package eal

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestEALInitialisesOnceAndCleansUp(t *testing.T) {
	if err := Cleanup(); err == nil {
		t.Error("cleanup before init gave no error")
	}
	const cmd = "confluo-test --no-huge -m 64 --no-pci --no-shconf --no-telemetry '-l' \"0\" -- tail"
	n, err := InitCmd(cmd)
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	// EAL's own arguments end with the "--".
	if want := len(strings.Fields(cmd)) - 2; n != want {
		t.Errorf("EAL consumed %d arguments, want %d", n, want)
	}
	if HasHugePages() {
		t.Error("EAL has huge pages in spite of --no-huge")
	}
	if HasPCI() {
		t.Error("EAL has PCI in spite of --no-pci")
	}
	if n := LcoreCount(); n != 1 {
		t.Errorf("%d lcores, want 1", n)
	}
	if s := LcoreToSocket(0); s > 8 {
		t.Errorf("lcore 0 is on socket %d", s)
	}
	if _, err := Init([]string{"again", "--no-huge"}); !errors.Is(err, syscall.EALREADY) {
		t.Errorf("second init: %v, want %v", err, syscall.EALREADY)
	}
	if err := Cleanup(); err != nil {
		t.Errorf("cleanup: %v", err)
	}
	if err := Cleanup(); err == nil {
		t.Error("second cleanup gave no error")
	}
	if _, err := Init([]string{"again", "--no-huge", "--no-pci"}); err == nil {
		t.Error("EAL was initialised again after cleanup")
	}
}

func TestCommandLineIsSplitLikeAShellDoes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{" \t\n", nil},
		{"a", []string{"a"}},
		{"  a  --b=c\td ", []string{"a", "--b=c", "d"}},
		{`a 'b c' "d e"f`, []string{"a", "b c", "d ef"}},
		{`'' ""`, []string{"", ""}},
		{`a\ b "c\"d" 'e\f'`, []string{"a b", `c"d`, `e\f`}},
	} {
		got, err := split(c.in)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("split(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{`a 'b`, `a "b`, `a\`} {
		if _, err := InitCmd(in); !errors.Is(err, errUnbalanced) {
			t.Errorf("InitCmd(%q): %v, want %v", in, err, errUnbalanced)
		}
	}
}
