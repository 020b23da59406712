package pcapfile

import (
	"errors"
	"fmt"
	"io"
)

// A DamageError says where a capture file stops being readable. All frames
// before that place have been delivered.
type DamageError struct {
	File   string // as it was named
	Frames uint64 // whole frames before the damage
	Offset int64  // where the unreadable record begins, in bytes of the uncompressed file
	Err    error  // what is wrong; wraps io.ErrUnexpectedEOF when the file ends too early
}

func (e *DamageError) Error() string {
	how := "damaged"
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		how = "cut short"
	}
	return fmt.Sprintf("pcapfile: %s: %s after %d packets, at byte %d: %v", e.File, how, e.Frames, e.Offset, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// short is the damage of a record that wants more bytes than there are.
func short(what string, have, want int) error {
	return fmt.Errorf("%s ends after %d of its %d bytes: %w", what, have, want, io.ErrUnexpectedEOF)
}
