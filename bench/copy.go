package bench

import (
	"fmt"
	"time"

	"github.com/confluo/confluo/multilog/offheap"
)

// A copier measures what the memory of this machine gives: copies of 64 bytes
// from one large region to another, both touched beforehand, by one core.
type copier struct {
	region   *offheap.Region
	src, dst []byte
}

func newCopier(bytes int) (*copier, error) {
	r, err := offheap.Map(2*bytes, offheap.Auto)
	if err != nil {
		return nil, err
	}
	c := &copier{region: r, src: offheap.Carve[byte](r, bytes), dst: offheap.Carve[byte](r, bytes)}
	for i := 0; i < bytes; i += 64 {
		c.src[i] = byte(i >> 6)
	}
	return c, nil
}

// rate returns copies a second.
func (c *copier) rate() (float64, error) {
	began := time.Now()
	src, dst := c.src, c.dst
	for len(src) >= 64 && len(dst) >= 64 {
		copy(dst[:64], src[:64])
		src, dst = src[64:], dst[64:]
	}
	took := time.Since(began)
	for i := 0; i < len(c.src); i += len(c.src) / 16 { // also keeps the copies from being left out
		if c.dst[i] != c.src[i] {
			return 0, fmt.Errorf("bench: byte %d was not copied", i)
		}
	}
	return float64(len(c.src)/64) / took.Seconds(), nil
}

func (c *copier) close() error { return c.region.Free() }
