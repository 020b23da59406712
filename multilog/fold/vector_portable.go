//go:build !(goexperiment.simd && amd64)

package fold

import "github.com/confluo/confluo/packet"

func presentWord(layers []packet.Layers, p packet.Layers) uint64 { return presentWordPlain(layers, p) }

func sum32(col []uint32, m *packet.Bitmap) uint64 { return sum32Plain(col, m) }

func minMax32(col []uint32, m *packet.Bitmap) (lo, hi uint64) { return minMaxPlain(col, m) }
