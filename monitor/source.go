package monitor

import (
	"github.com/confluo/confluo/multilog"
	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/multilog/fold"
	"github.com/confluo/confluo/packet"
)

// A source is one aggregate of the log, read once and divided among the series
// of its triggers. It implements multilog.Folder.
type source struct {
	key    sourceKey
	agg    *multilog.Aggregate
	spec   *expr.Aggregate
	width  int64 // of the aggregate's own buckets, ns
	feed   *multilog.Feed
	scalar bool
	series []*series

	proto *fold.State   // that all states are like
	spare []*fold.State // reset

	lo, hi uint64 // offsets that are being read, for buckets to note
}

// A sourceKey tells sources apart: the name of an aggregate that the operator
// installed, or what an aggregate that triggers brought along is made of.
type sourceKey struct {
	named  string
	filter string
	agg    string
	width  int64
}

func newSource(log *multilog.Log, key sourceKey, agg *multilog.Aggregate, maxGroups int) (*source, error) {
	proto, err := fold.New(agg.Spec(), fold.Options{MaxGroups: maxGroups})
	if err != nil {
		return nil, err
	}
	return &source{
		key: key, agg: agg, spec: agg.Spec(), width: int64(agg.Bucket()), scalar: agg.Scalar(), proto: proto,
		// Windows begin with what is published from now on.
		feed: log.Feed(agg, log.ReadTail()),
	}, nil
}

// read folds everything below offset to that was not read before, and returns
// the headers that retention took first.
func (s *source) read(to uint64) (evicted uint64) {
	s.lo, s.hi = s.feed.Pos(), to
	return s.feed.Advance(to, s)
}

// Partial implements multilog.Folder.
func (s *source) Partial(bucket int64, p *fold.Partial) {
	if p.Headers == 0 {
		return // they match and lack the attribute
	}
	for _, sr := range s.series {
		if b := sr.take(floorDiv(bucket*s.width, sr.every), p.Headers); b != nil {
			b.part.Merge(*p)
		}
	}
}

// Rows implements multilog.Folder. A scalar aggregate comes this way where the
// log had no room for its versions.
func (s *source) Rows(bucket int64, c *packet.Columns, m *packet.Bitmap) {
	if s.scalar {
		p := fold.FoldScalar(s.spec, c, m)
		s.Partial(bucket, &p)
		return
	}
	headers := uint64(m.Count())
	for _, sr := range s.series {
		b := sr.take(floorDiv(bucket*s.width, sr.every), headers)
		if b == nil {
			continue
		}
		if b.state == nil {
			b.state = s.newState()
		}
		b.state.Add(c, m)
	}
}

func (s *source) newState() *fold.State {
	if n := len(s.spare); n > 0 {
		st := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return st
	}
	return s.proto.NewLike()
}

// release empties b.
func (s *source) release(b *bucket) {
	if b.state != nil {
		b.state.Reset()
		s.spare = append(s.spare, b.state)
	}
	*b = bucket{}
}
