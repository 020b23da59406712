package monitor

import (
	"fmt"
	"time"
)

// Options say how a Monitor works. The zero Options take the defaults.
type Options struct {
	// Every is how often the log is looked at (default 1 ms). Each trigger has
	// its own distance of evaluations, in capture time.
	Every time.Duration
	// Lateness is how long a window waits for headers that are captured in time
	// and published late (default 20 ms, twice the time that AF_PACKET may hold
	// a block back).
	Lateness time.Duration
	// MaxGroups bounds the groups of a trigger that is on no named aggregate
	// (default 65,536). See fold.Options.
	MaxGroups int
	// MaxFiring bounds the groups that fire at the same time, a trigger (default
	// 10,000). Those for which there is no room raise no alert and are counted.
	MaxFiring int
	// MaxBehind is how many windows of each length are evaluated at one look at
	// the log; of the others only the newest is (default 10,000). Those left out
	// are counted.
	MaxBehind int
	// Keep is how many alerts are kept for Alerts (default 10,000).
	Keep int
	// Follow is how many alerts may wait for a follower before it is cut off
	// (default 1,024).
	Follow int
	// Sinks take the alerts. Close closes them.
	Sinks []Sink
}

func (o Options) withDefaults() (Options, error) {
	duration := func(name string, d *time.Duration, def, least time.Duration) error {
		if *d == 0 {
			*d = def
		}
		if *d < least {
			return fmt.Errorf("monitor: %s %v is less than %v", name, *d, least)
		}
		return nil
	}
	number := func(name string, n *int, def int) error {
		if *n == 0 {
			*n = def
		}
		if *n < 1 {
			return fmt.Errorf("monitor: %s %d is less than 1", name, *n)
		}
		return nil
	}
	for _, err := range []error{
		duration("Every", &o.Every, time.Millisecond, 10*time.Microsecond),
		duration("Lateness", &o.Lateness, 20*time.Millisecond, 0),
		number("MaxGroups", &o.MaxGroups, 65536),
		number("MaxFiring", &o.MaxFiring, 10000),
		number("MaxBehind", &o.MaxBehind, 10000),
		number("Keep", &o.Keep, 10000),
		number("Follow", &o.Follow, 1024),
	} {
		if err != nil {
			return o, err
		}
	}
	return o, nil
}
