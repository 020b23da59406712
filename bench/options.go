package bench

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
)

// Options say what is measured. The zero value of each has a default, but for
// Filters, Aggregates, Triggers and Indexes, of which there are none.
type Options struct {
	Filters    int           // of one to three predicates, each met by 0.1 % to 33 % of the headers
	Aggregates int           // COUNT, SUM, MAX and AVG in turn, on the filters in turn
	Triggers   int           // on the filters in turn, evaluated every millisecond
	Indexes    []packet.Attr // attributes to index
	Writers    int           // writer goroutines (default 1)
	Headers    int           // headers a run (Ingest: default 10,000,000; Query: 4,000,000, all held)
	Burst      int           // headers a burst, 1 to 256 (default 256)
	SnapLen    int           // bytes of slice a header (default 128)
	Mix        Mix           // of the traffic (default Zipf)
	Repeat     int           // runs; figures are medians (default 5)
	Memory     int64         // bytes of the log (default 1 GiB); Query takes what Headers need

	Done *atomic.Uint64 // headers taken in so far, for showing progress; may be nil

	copyBytes int // size of the regions of copier; tests make them smaller
}

// A Mix is a kind of traffic.
type Mix uint8

// The mixes.
const (
	Zipf     Mix = iota // 65,536 flows, few of them with most of the headers
	Uniform             // 65,536 flows with as many headers each
	Elephant            // four of five headers are of one flow
	IPv6                // as Uniform, over IPv6
)

var mixes = []string{Zipf: "zipf", Uniform: "uniform", Elephant: "elephant", IPv6: "ipv6"}

// String returns the name of the mix.
func (m Mix) String() string {
	if int(m) < len(mixes) {
		return mixes[m]
	}
	return fmt.Sprintf("mix %d", m)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mix) UnmarshalText(b []byte) error {
	i := slices.Index(mixes, string(b))
	if i < 0 {
		return fmt.Errorf("mix %q: want %s", b, strings.Join(mixes, ", "))
	}
	*m = Mix(i)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m Mix) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// Check says what is wrong with o: a value out of bounds.
func (o Options) Check() error {
	_, err := o.withDefaults(1)
	return err
}

func (o Options) withDefaults(headers int) (Options, error) {
	for _, x := range []struct {
		name        string
		n           *int
		def, lo, hi int
	}{
		{"filters", &o.Filters, 0, 0, 4096},
		{"aggregates", &o.Aggregates, 0, 0, 4096},
		{"triggers", &o.Triggers, 0, 0, 65536},
		{"writers", &o.Writers, 1, 1, 256},
		{"headers", &o.Headers, headers, 1, 1 << 40},
		{"burst", &o.Burst, packet.ChunkSize, 1, packet.ChunkSize},
		{"snap length", &o.SnapLen, 128, 64, 9216},
		{"repeat", &o.Repeat, 5, 1, 1000},
	} {
		if *x.n == 0 {
			*x.n = x.def
		}
		if *x.n < x.lo || *x.n > x.hi {
			return o, fmt.Errorf("bench: %s %d is not within %d..%d", x.name, *x.n, x.lo, x.hi)
		}
	}
	for i, a := range o.Indexes {
		if slices.Contains(o.Indexes[:i], a) {
			return o, fmt.Errorf("bench: index on %s twice", a)
		}
	}
	if o.Mix > IPv6 {
		return o, fmt.Errorf("bench: mix %d does not exist", o.Mix)
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Memory < 0 {
		return o, fmt.Errorf("bench: memory %d is negative", o.Memory)
	}
	if o.copyBytes == 0 {
		o.copyBytes = 256 << 20 // far larger than any cache
	}
	if o.Done == nil {
		o.Done = new(atomic.Uint64)
	}
	return o, nil
}

// log returns the options of the log.
func (o *Options) log(ports *packet.PortTable) multilog.Options {
	l := multilog.Options{Ports: ports, SnapLen: o.SnapLen, Memory: o.Memory, Columns: multilog.DefaultColumns}
	for _, a := range o.Indexes {
		l.Columns |= packet.SetOf(a)
	}
	return l
}

func names(as []packet.Attr) []string {
	out := make([]string, 0, len(as))
	for _, a := range as {
		out = append(out, a.String())
	}
	return out
}
