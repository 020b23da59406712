package pcapfile

import (
	"fmt"
	"math"
	"slices"

	"github.com/confluo/confluo/packet"
)

// Options are the settings of a source.
type Options struct {
	// Name is the name of the source in the configuration.
	Name string

	// Paths are the files, read one after the other by one queue. "-" is
	// standard input. A FIFO may be named too.
	Paths []string

	// Speed is the pace, as a multiple of the recorded one: 1 delivers each
	// frame as long after the first one as it was captured after it. 0, the
	// default, is as fast as the frames are received.
	Speed float64

	// Loops is how often the files are read. 0 is once, as is 1; negative is
	// without end.
	Loops int

	// Stamp chooses the time of a frame: "recorded" (the default, also when
	// empty) is the one in the file, moved later in every further loop by the
	// time that the loops before it spanned; "now" is when it was delivered,
	// so that a replay looks like live traffic.
	Stamp string

	// Port enters a port in the agent's port table and returns its index. It
	// is called by the goroutine in Recv, at the first frame of each interface
	// of each file. The name is that of the file without its folder (the whole
	// path if two of Paths share it), and for an interface of a pcapng file
	// then ":" and its name, or its number if it has none.
	Port func(name string, link packet.LinkType) (uint16, error)
}

// Validate says what is wrong with the options, if anything.
func (o *Options) Validate() error {
	switch {
	case o.Name == "":
		return fmt.Errorf("pcapfile: name is empty")
	case len(o.Paths) == 0:
		return fmt.Errorf("pcapfile: paths: at least one file is needed")
	case slices.Contains(o.Paths, ""):
		return fmt.Errorf("pcapfile: paths: a file name is empty")
	case !(o.Speed >= 0) || math.IsInf(o.Speed, 0):
		return fmt.Errorf("pcapfile: speed %v is not allowed: 0 (as fast as possible) or a positive factor", o.Speed)
	case o.Loops != 0 && o.Loops != 1 && slices.Contains(o.Paths, "-"):
		return fmt.Errorf("pcapfile: loops %d is not allowed with standard input, which can be read once only", o.Loops)
	case o.Stamp != "" && o.Stamp != StampRecorded && o.Stamp != StampNow:
		return fmt.Errorf("pcapfile: stamp %q is not allowed: %q or %q", o.Stamp, StampRecorded, StampNow)
	case o.Port == nil:
		return fmt.Errorf("pcapfile: no port table is given")
	}
	return nil
}

// What the setting Stamp may be.
const (
	StampRecorded = "recorded"
	StampNow      = "now"
)
