//go:build !cgo

package expr

import (
	"strings"
	"testing"
)

// haveLibpcap tells the text-file tests whether capture filters compile.
const haveLibpcap = false

func TestCaptureFilterWithoutLibpcapSaysWhatItNeeds(t *testing.T) {
	if _, err := Parse("bpf:tcp", nil); err == nil || !strings.Contains(err.Error(), "libpcap") {
		t.Errorf("error %v does not say what is missing", err)
	}
}
