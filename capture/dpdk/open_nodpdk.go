//go:build !dpdk

package dpdk

import (
	"fmt"

	"github.com/confluo/confluo/capture"
)

// InitEAL returns ErrNotBuilt, or what Validate finds wrong with o.
func InitEAL(o EALOptions) error {
	if err := o.Validate(); err != nil {
		return err
	}
	return fmt.Errorf("dpdk: eal: %w", ErrNotBuilt)
}

// Open returns ErrNotBuilt, or what Validate finds wrong with o.
func Open(o Options) (capture.Source, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("dpdk: source %s: %w", o.Name, ErrNotBuilt)
}
