package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/confluo/confluo/agent/pipeline"
	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/capture/pcapfile"
	"github.com/confluo/confluo/diagnoser"
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/packet"
	"github.com/confluo/confluo/spray"
)

// A captureFile is a capture file on its way through the agent's pipeline: the
// file as the only source, its log and a diagnoser. Every slice is kept as long
// as it is in the file, so that what was captured is what is looked at.
type captureFile struct {
	info  pcapfile.Info // what a pass over the file told; of a pipe nothing is known
	ports *packet.PortTable

	pipeline  *pipeline.Pipeline
	log       *multilog.Log
	hold      *multilog.Hold
	started   bool
	diagnoser *diagnoser.Diagnoser
}

const (
	maxSlice = 65535 // largest snap length of a log

	// segmentBytes is about how much of a file a segment of the log holds:
	// enough to be worth a round, little enough to be reserved in no time.
	segmentBytes = 4 << 20
	segments     = 8
	ringBatches  = 8

	// Where the largest slice is not known beforehand, every row has room for
	// any, and memory is for as few as the log runs with.
	fewSegments    = 5
	fewRingBatches = 2
)

// openCapture begins to read a capture file. With whole, the log has room for
// all of it, else for a part at a time.
func openCapture(path string, decap packet.Decap, whole bool) (*captureFile, error) {
	c := &captureFile{ports: new(packet.PortTable)}
	stride, frames := maxSlice, uint64(1<<62)
	if st, err := os.Stat(path); path != "-" && err == nil && st.Mode().IsRegular() {
		c.info, err = pcapfile.Scan(path)
		// Damage shows when the file is read; what comes before it counts.
		if damage := new(pcapfile.DamageError); err != nil && !errors.As(err, &damage) {
			return nil, err
		}
		stride, frames = min(max(c.info.MaxCapLen, 64), maxSlice), c.info.Frames
	} else if whole {
		return nil, usagef("%s is no regular file: it cannot be put in the order of time, which takes all of it; leave --order out", path)
	}
	source, err := pcapfile.Open(pcapfile.Options{
		Name:  "pcap",
		Paths: []string{path},
		Port: func(name string, link packet.LinkType) (uint16, error) {
			return c.ports.Add(packet.Port{Name: name, Link: link, Decap: decap})
		},
	})
	if err != nil {
		return nil, err
	}

	headers := uint64(packet.ChunkSize)
	for headers < 1<<16 && headers*uint64(stride) < segmentBytes && headers < frames {
		headers *= 2
	}
	opt := pipeline.Options{
		Log:         multilog.Options{Ports: c.ports, SnapLen: stride, SegmentHeaders: int(headers), Segments: segments},
		RingBatches: ringBatches,
		Policy:      spray.Block,
	}
	if stride == maxSlice {
		opt.Log.Segments, opt.RingBatches = fewSegments, fewRingBatches
	}
	if whole {
		opt.Log.Segments += int(frames / headers)
		if err := enoughMemory(&opt.Log); err != nil {
			source.Close()
			return nil, err
		}
	}
	if c.pipeline, err = pipeline.New(opt, []capture.Source{source}); err != nil {
		return nil, err
	}
	c.log = c.pipeline.Log()
	c.hold = c.log.Hold(0)
	c.diagnoser = diagnoser.New(c.log, diagnoser.Options{})
	return c, nil
}

// enoughMemory refuses a log that the machine has no memory for: it would be
// touched all the same, and something be killed for it.
func enoughMemory(o *multilog.Options) error {
	per, err := o.BytesPerHeader()
	if err != nil {
		return err
	}
	need := uint64(per * float64(o.Segments) * float64(o.SegmentHeaders))
	if free, err := availableMemory(); err == nil && need > free/10*9 {
		return fmt.Errorf("putting the file in the order of time takes %s of memory, and %s are available; leave --order out, or narrow the file down with export first",
			bytesText(need), bytesText(free))
	}
	return nil
}

// availableMemory is what the kernel thinks can be taken without swapping.
func availableMemory() (uint64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseMemAvailable(string(b))
}

// start runs the pipeline, once.
func (c *captureFile) start() {
	if !c.started {
		c.started = true
		c.pipeline.Start()
	}
}

// compile makes a query. Ports are known by name when their first frame is read;
// so where an expression is not understood, it is read again after the first.
func (c *captureFile) compile(ctx context.Context, f func(*packet.PortTable) (diagnoser.Query, error)) (diagnoser.Query, error) {
	q, err := f(c.ports)
	if err == nil {
		return q, nil
	}
	c.start()
	for c.log.ReadTail() == 0 {
		select {
		case <-c.pipeline.Ended():
			return f(c.ports)
		default:
		}
		if err := pause(ctx); err != nil {
			return q, err
		}
	}
	return f(c.ports)
}

// idle is how long to wait for the next headers when there are none.
const idle = 200 * time.Microsecond

// feed gives a question the headers of the file, part by part as they come,
// until it is answered or the file ends.
func (c *captureFile) feed(ctx context.Context, q *diagnoser.Incremental) error {
	c.start()
	for last := false; !last && !q.Done(); {
		select {
		case <-c.pipeline.Ended():
			// The rings are drained before the last look at the tail.
			if err := c.pipeline.Stop(ctx); err != nil {
				return err
			}
			last = true
		default:
		}
		tail := c.log.ReadTail()
		if tail == q.Pos() {
			if err := pause(ctx); err != nil {
				return err
			}
			continue
		}
		if err := q.Advance(ctx, tail); err != nil {
			return err
		}
		c.hold.Advance(q.Pos())
	}
	return nil
}

// load reads the whole file into the log.
func (c *captureFile) load(ctx context.Context) error {
	c.start()
	select {
	case <-c.pipeline.Ended():
		return c.pipeline.Stop(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(idle)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// damage returns what is wrong with the file, if it could not be read to its
// end.
func (c *captureFile) damage() error { return c.pipeline.Err() }

// progress says how far the file is read.
func (c *captureFile) progress() string {
	n := c.log.ReadTail()
	if c.info.Frames == 0 {
		return fmt.Sprintf("%d headers read", n)
	}
	return fmt.Sprintf("%d of %d headers read (%d %%)", n, c.info.Frames, 100*n/c.info.Frames)
}

// close ends everything, also in the middle of the file.
func (c *captureFile) close() error {
	c.hold.Release()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // who waits for room need not
	err := c.pipeline.Stop(ctx)
	c.diagnoser.Close()
	return errors.Join(err, c.pipeline.Close())
}
