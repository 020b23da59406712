package fold

import (
	"encoding/binary"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

const (
	hllPrecision = 14
	// DistinctError is the relative standard error of a DISTINCT that is an
	// estimate: 1.04/sqrt(2^14) (Flajolet et al., HyperLogLog, AofA 2007).
	DistinctError = 0.008125
	// QuantileError is the relative error that a QUANTILE that is an estimate
	// never exceeds (Masson et al., DDSketch, VLDB 2019, section 2.1).
	QuantileError = 0.01
)

// quantileMapping is the same for all sketches, so that they merge.
var quantileMapping = func() mapping.IndexMapping {
	m, err := mapping.NewCubicallyInterpolatedMapping(QuantileError)
	if err != nil {
		panic(err) // a constant
	}
	return m
}()

// A sketch stands for the values of one group when they are too many. One of
// the two is not nil.
type sketch struct {
	distinct *hyperloglog.Sketch
	quantile *ddsketch.DDSketch
	value    [16]byte
}

func newSketch(f expr.Func) sketch {
	if f == expr.Quantile {
		// Sixty-four bits of values are some 2,300 bins: no store that collapses
		// bins is needed.
		return sketch{quantile: ddsketch.NewDDSketch(quantileMapping, store.NewDenseStore(), store.NewDenseStore())}
	}
	h, err := hyperloglog.NewSketch(hllPrecision, false)
	if err != nil {
		panic(err) // a constant
	}
	return sketch{distinct: h}
}

func (k *sketch) reset() {
	if k.quantile != nil {
		k.quantile.Clear()
		return
	}
	k.distinct.Reset()
}

func (k *sketch) add(v packet.Value, headers uint64) {
	if k.quantile != nil {
		// Fails for values that no mapping can index (beyond 1e300) only.
		_ = k.quantile.AddWithCount(float64(v.Lo), float64(headers))
		return
	}
	binary.BigEndian.PutUint64(k.value[:8], v.Hi)
	binary.BigEndian.PutUint64(k.value[8:], v.Lo)
	k.distinct.Insert(k.value[:])
}

// merge adds what o holds, a sketch of the same function.
func (k *sketch) merge(o *sketch) {
	var err error
	if k.quantile != nil {
		err = k.quantile.MergeWith(o.quantile)
	} else {
		err = k.distinct.Merge(o.distinct)
	}
	if err != nil {
		panic(err) // both were made by newSketch
	}
}
