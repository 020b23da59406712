//go:build dpdk

package dpdk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/yerden/go-dpdk/eal"
	"golang.org/x/sys/unix"
)

var errNoEAL = errors.New("EAL is not initialised: call InitEAL first")

// ealState is the process's EAL, which can be initialised once, in success or
// failure.
var ealState struct {
	sync.Mutex
	asked []string // the options as arguments; nil: not tried yet
	err   error
}

// InitEAL initialises DPDK's EAL for the process. Called again with equal
// options it does nothing and returns what the first call did; with others it
// returns an error, since EAL cannot be initialised twice.
func InitEAL(o EALOptions) error {
	if err := o.Validate(); err != nil {
		return err
	}
	asked := o.args(nil)
	s := &ealState
	s.Lock()
	defer s.Unlock()
	if s.asked != nil {
		if !slices.Equal(s.asked, asked) {
			return fmt.Errorf("dpdk: eal: already initialised with %q; %q needs a restart of the process",
				strings.Join(s.asked[1:], " "), strings.Join(asked[1:], " "))
		}
		return s.err
	}
	cpus, err := allowedCPUs()
	if err != nil {
		return fmt.Errorf("dpdk: eal: %w", err)
	}
	args := o.args(cpus)
	s.asked = asked
	if _, err := eal.Init(args); err != nil {
		s.err = fmt.Errorf("dpdk: eal: init with %q: %w (its messages say more)", strings.Join(args, " "), err)
	}
	return s.err
}

func ealReady() error {
	s := &ealState
	s.Lock()
	defer s.Unlock()
	if s.asked == nil {
		return errNoEAL
	}
	return s.err
}

func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("allowed CPUs: %w", err)
	}
	var cpus []int
	for c := 0; len(cpus) < set.Count(); c++ {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
