package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/confluo/confluo/packet"
)

// Bytes is a size. In the file it has a unit: 256MiB, 1GB.
type Bytes int64

var byteUnits = []struct {
	name string
	n    Bytes
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String writes the size exactly, in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%u.n == 0 {
			return strconv.FormatInt(int64(b/u.n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// formatDuration writes a duration exactly, without the zero minutes and
// seconds that time.Duration.String appends.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Mode is a set of file permission bits, in the file octal digits in quotes.
type Mode fs.FileMode

// String writes the mode as in the file.
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return errors.New("a file mode of octal digits up to 0777")
	}
	*m = Mode(n)
	return nil
}

// Attr is an attribute of a header, in the file its name.
type Attr packet.Attr

// String writes the attribute's name.
func (a Attr) String() string { return packet.Attr(a).String() }

// UnmarshalText reads an attribute's name.
func (a *Attr) UnmarshalText(text []byte) error {
	got, ok := packet.AttrByName(string(text))
	if !ok {
		names := make([]string, packet.NumAttrs)
		for i := range names {
			names[i] = packet.Attr(i).String()
		}
		return fmt.Errorf("the name of an attribute%s", didYouMean(string(text), names))
	}
	*a = Attr(got)
	return nil
}

// Headers are HTTP header fields, whose values may be secrets: they are never
// written anywhere but into requests.
type Headers map[string]string

// String tells the names only.
func (h Headers) String() string {
	if len(h) == 0 {
		return "{}"
	}
	names := slices.Sorted(maps.Keys(h))
	return "{" + strings.Join(names, ": ..., ") + ": ...}"
}
