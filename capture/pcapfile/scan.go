package pcapfile

import (
	"io"
	"slices"

	"github.com/confluo/confluo/packet"
)

// Info is what one pass over a capture file tells about it.
type Info struct {
	Frames      uint64
	Bytes       uint64 // of all frames on the wire
	MaxCapLen   int    // captured bytes of the frame with the most
	First, Last int64  // earliest and latest time, ns since the epoch; 0 when no frame has a time
	Nanoseconds bool   // a time is no whole number of microseconds
	Links       []packet.LinkType
}

// Scan reads a capture file from end to end without keeping anything of it. It
// takes regular files only. For a damaged file it returns what is known up to
// the damage, and a *DamageError.
func Scan(path string) (Info, error) {
	var info Info
	in, err := openInput(path, -1)
	if err != nil {
		return info, err
	}
	defer in.close()
	d := newDecoder(in, path)
	var f frame
	timed := false
	for {
		switch err := d.next(&f); {
		case err == io.EOF:
			return info, nil
		case err != nil:
			return info, err
		}
		info.Frames++
		info.Bytes += uint64(f.wire)
		info.MaxCapLen = max(info.MaxCapLen, len(f.data))
		if !slices.Contains(info.Links, f.iface.link) {
			info.Links = append(info.Links, f.iface.link)
		}
		if f.ts == 0 {
			continue
		}
		if !timed {
			info.First, info.Last, timed = f.ts, f.ts, true
		}
		info.First, info.Last = min(info.First, f.ts), max(info.Last, f.ts)
		info.Nanoseconds = info.Nanoseconds || f.ts%1000 != 0
	}
}
