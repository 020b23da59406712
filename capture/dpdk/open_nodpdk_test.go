//go:build !dpdk

package dpdk

import (
	"errors"
	"testing"
)

func TestBuildWithoutDPDKSaysSo(t *testing.T) {
	const why = "this build has no DPDK (built without -tags dpdk)"
	o := Options{Name: "s", Ports: []Port{{Device: "net_null0"}}}
	if s, err := Open(o); s != nil || !errors.Is(err, ErrNotBuilt) || err.Error() != "dpdk: source s: "+why {
		t.Errorf("open: %v, %v", s, err)
	}
	if err := InitEAL(EALOptions{}); !errors.Is(err, ErrNotBuilt) || err.Error() != "dpdk: eal: "+why {
		t.Errorf("init: %v", err)
	}
	// A configuration is checked all the same.
	if _, err := Open(Options{Name: "s"}); err == nil || errors.Is(err, ErrNotBuilt) {
		t.Errorf("open without ports: %v", err)
	}
	if err := InitEAL(EALOptions{InMemory: true}); err == nil || errors.Is(err, ErrNotBuilt) {
		t.Errorf("init with a contradiction: %v", err)
	}
}
