package ringbuf_test

import (
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/confluo/confluo/ringbuf"
)

func TestNewRefusesSizesThatAreNoPowerOfTwo(t *testing.T) {
	for n := 0; n <= 17; n++ {
		_, err := ringbuf.New(make([]int, n))
		if want := n == 1 || n == 2 || n == 4 || n == 8 || n == 16; (err == nil) != want {
			t.Errorf("%d slots: error %v", n, err)
		}
	}
}

func TestRingEqualsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := 1 << rapid.IntRange(0, 5).Draw(t, "log size")
		r, err := ringbuf.New(make([]int, size))
		if err != nil {
			t.Fatal(err)
		}
		var model []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if r.Len() != len(model) {
					t.Fatalf("length %d, want %d", r.Len(), len(model))
				}
			},
			"push": func(t *rapid.T) {
				want := rapid.IntRange(0, size+2).Draw(t, "want")
				n := r.Free(want)
				if room := min(want, size-len(model)); n != room {
					t.Fatalf("Free(%d) = %d, want %d", want, n, room)
				}
				for i := range n {
					*r.Slot(i) = next
					model = append(model, next)
					next++
				}
				r.Push(n)
			},
			"pull": func(t *rapid.T) {
				want := rapid.IntRange(0, size+2).Draw(t, "want")
				n := r.Ready(want)
				if there := min(want, len(model)); n != there {
					t.Fatalf("Ready(%d) = %d, want %d", want, n, there)
				}
				for i := range n {
					if got := *r.Peek(i); got != model[i] {
						t.Fatalf("slot %d holds %d, want %d", i, got, model[i])
					}
				}
				r.Release(n)
				model = model[n:]
			},
		})
	})
}

func TestEveryValueArrivesOnceAndInOrderBetweenGoroutines(t *testing.T) {
	r, err := ringbuf.New(make([]uint64, 8))
	if err != nil {
		t.Fatal(err)
	}
	const total = 200_000
	go func() {
		for v := uint64(0); v < total; {
			n := r.Free(3)
			for i := range n {
				*r.Slot(i) = v
				v++
			}
			r.Push(n)
			if n == 0 {
				runtime.Gosched()
			}
		}
	}()
	for want := uint64(0); want < total; {
		n := r.Ready(5)
		for i := range n {
			if got := *r.Peek(i); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
		r.Release(n)
		if n == 0 {
			runtime.Gosched()
		}
	}
}

func BenchmarkPushPull(b *testing.B) {
	r, err := ringbuf.New(make([]uint64, 64))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var sum uint64
	for i := 0; b.Loop(); i++ {
		r.Free(1)
		*r.Slot(0) = uint64(i)
		r.Push(1)
		r.Ready(1)
		sum += *r.Peek(0)
		r.Release(1)
	}
	sink = sum
}

var sink uint64
