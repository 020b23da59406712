package packet

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestPortTableNumbersPortsInOrder(t *testing.T) {
	var table PortTable
	if table.Len() != 0 || table.Get(0) != nil {
		t.Fatal("a new table is not empty")
	}
	vxlan := []uint16{4789}
	for i, name := range []string{"eth0", "eth1", "tap0"} {
		n, err := table.Add(Port{Name: name, Link: LinkEthernet, Tag: uint32(i), Decap: Decap{VXLAN: vxlan}})
		if err != nil || int(n) != i {
			t.Fatalf("Add(%s) = %d, %v", name, n, err)
		}
	}
	vxlan[0] = 1 // the caller's to change
	if p := table.Get(2); p == nil || p.Name != "tap0" || p.Tag != 2 || p.Decap.VXLAN[0] != 4789 {
		t.Errorf("Get(2) = %+v", p)
	}
	if table.Get(3) != nil || table.Len() != 3 {
		t.Errorf("Get(3) = %v, Len = %d", table.Get(3), table.Len())
	}
	if n, ok := table.ByName("eth1"); !ok || n != 1 {
		t.Errorf("ByName(eth1) = %d, %t", n, ok)
	}
	if _, ok := table.ByName("eth9"); ok {
		t.Error("a name that was never added is found")
	}
}

func TestPortTableRefusesNamesThatCannotTellPortsApart(t *testing.T) {
	var table PortTable
	table.Add(Port{Name: "eth0"})
	for name, want := range map[string]string{"eth0": "taken by port 0", "": "needs a name", "  ": "needs a name"} {
		if _, err := table.Add(Port{Name: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add(%q): %v, want an error with %q", name, err, want)
		}
	}
	if table.Len() != 1 {
		t.Errorf("Len = %d after refusals", table.Len())
	}
}

func TestPortTableIsReadWhileItGrows(t *testing.T) {
	var table PortTable
	const ports = 200
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var b *Batch
			b, _ = NewBatch(nil, 128)
			b.Append(frame(innerTCP()...), 0, 64, 0, DirIn)
			p, c := NewParser(&table), NewColumns(1)
			for table.Len() < ports {
				n := table.Len()
				if n == 0 {
					continue
				}
				if got := table.Get(uint16(n - 1)); got == nil || got.Name != fmt.Sprint("port", n-1) {
					t.Errorf("port %d of %d is %+v", n-1, n, got)
					return
				}
				b.Port[0] = uint16(n - 1)
				p.Parse(&b.Frames, 0, 1, c)
				if c.Tag[0] != uint32(n-1) || c.Layers[0]&LayerTCP == 0 {
					t.Errorf("port %d: tag %d, layers %s", n-1, c.Tag[0], allLayerNames(c.Layers[0]))
					return
				}
			}
		}()
	}
	for i := range ports {
		if _, err := table.Add(Port{Name: fmt.Sprint("port", i), Link: LinkEthernet, Tag: uint32(i)}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
