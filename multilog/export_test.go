package multilog

// WithBlock returns o with blocks of n headers, so that a test has many blocks
// in a small segment.
func WithBlock(o Options, n int) Options {
	o.block = n
	return o
}
