package fold

import (
	"errors"
	"fmt"
	"math"

	"github.com/confluo/confluo/multilog/expr"
	"github.com/confluo/confluo/packet"
)

// Options bound the memory of a State. The zero Options take the defaults.
type Options struct {
	// MaxGroups is how many groups there may be, 1 to 16,777,214 (default
	// 65,536). Headers of further groups are counted as overflow.
	MaxGroups int
	// MaxDistinct is how many different values DISTINCT, QUANTILE and TOPK hold
	// exactly, over all groups, 1 to 16,777,214. Default: 65,536, or 1,048,576
	// for TOPK and with BY. A value takes 24 to 40 bytes.
	MaxDistinct int
	// MaxSketches is how many groups may go over to a sketch when MaxDistinct
	// is reached, 1 or more (default 1,024). A sketch takes 16 to 20 KiB.
	MaxSketches int
}

// MaxK is the largest k of TOPK.
const MaxK = 65536

func (o Options) withDefaults(a *expr.Aggregate) (Options, error) {
	if o.MaxGroups == 0 {
		o.MaxGroups = 65536
	}
	if o.MaxDistinct == 0 {
		o.MaxDistinct = 65536
		if a.Func == expr.TopK || len(a.By) > 0 {
			o.MaxDistinct = 1 << 20
		}
	}
	if o.MaxSketches == 0 {
		o.MaxSketches = 1024
	}
	switch {
	case o.MaxGroups < 1 || o.MaxGroups > maxRows:
		return o, fmt.Errorf("fold: MaxGroups %d is not within 1..%d", o.MaxGroups, maxRows)
	case o.MaxDistinct < 1 || o.MaxDistinct > maxRows:
		return o, fmt.Errorf("fold: MaxDistinct %d is not within 1..%d", o.MaxDistinct, maxRows)
	case o.MaxSketches < 1 || o.MaxSketches > maxRows:
		return o, fmt.Errorf("fold: MaxSketches %d is not within 1..%d", o.MaxSketches, maxRows)
	}
	return o, nil
}

// Check says what is wrong with an aggregate: a function that its attribute
// does not suit, a parameter out of range, too many attributes after BY.
func Check(a *expr.Aggregate) error {
	if a.Func > expr.TopK {
		return fmt.Errorf("fold: function %d does not exist", a.Func)
	}
	if a.Func != expr.Count {
		if int(a.Arg) >= packet.NumAttrs {
			return fmt.Errorf("fold: attribute %d does not exist", a.Arg)
		}
		kind := a.Arg.Info().Kind
		switch a.Func {
		case expr.Sum, expr.Avg, expr.Quantile:
			if kind != packet.KindUint {
				return fmt.Errorf("fold: %s of %s: it is not a number", funcNames[a.Func], a.Arg)
			}
		case expr.Min, expr.Max:
			if kind != packet.KindUint && kind != packet.KindTime {
				return fmt.Errorf("fold: %s of %s: it is neither a number nor a time", funcNames[a.Func], a.Arg)
			}
		}
	}
	if a.Func == expr.Quantile && !(a.Param >= 0 && a.Param <= 1) {
		return fmt.Errorf("fold: quantile %v is not within 0..1", a.Param)
	}
	if a.Func == expr.TopK && !(a.Param >= 1 && a.Param <= MaxK && a.Param == math.Trunc(a.Param)) {
		return fmt.Errorf("fold: k %v of TOPK is not a whole number within 1..%d", a.Param, MaxK)
	}
	if len(a.By) > MaxBy {
		return fmt.Errorf("fold: BY %d attributes; at most %d", len(a.By), MaxBy)
	}
	for _, by := range a.By {
		if int(by) >= packet.NumAttrs {
			return errors.New("fold: BY an attribute that does not exist")
		}
	}
	return nil
}

// CanSubtract reports whether [State.Subtract] can work for an aggregate at
// all: not for MIN and MAX, which forget what was below the extreme.
func CanSubtract(a *expr.Aggregate) bool { return a.Func != expr.Min && a.Func != expr.Max }

var funcNames = [...]string{
	expr.Count: "COUNT", expr.Sum: "SUM", expr.Min: "MIN", expr.Max: "MAX", expr.Avg: "AVG",
	expr.Distinct: "DISTINCT", expr.Quantile: "QUANTILE", expr.TopK: "TOPK",
}
