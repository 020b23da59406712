package conformance

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/confluo/confluo/capture"
	"github.com/confluo/confluo/packet"
)

func everyFrame(t *testing.T, h Harness) {
	rig, _ := h.exchange(t, h.MaxFrame, Frames(2000, h.MaxFrame), nil)
	closeSource(t, rig)
}

func snapLength(t *testing.T, h Harness) {
	rig, _ := h.exchange(t, 96, Frames(500, h.MaxFrame), nil)
	closeSource(t, rig)
}

func room(t *testing.T, h Harness) {
	rooms := []int{1, 2, 7, 64, 255, 256}
	rig, _ := h.exchange(t, 128, Frames(1500, 256), func(i int) int { return rooms[i%len(rooms)] })
	closeSource(t, rig)
}

func emptyAfterWait(t *testing.T, h Harness) {
	rig := h.open(t, Setup{SnapLen: 128})
	defer closeSource(t, rig)
	b := newBatch(t, 128)
	for _, q := range rig.Source.Queues() {
		for _, wait := range []time.Duration{0, 30 * time.Millisecond} {
			deadline := time.Now().Add(patience)
			for {
				b.N = 0
				start := time.Now()
				if err := q.Recv(b, wait); err != nil {
					t.Fatalf("Recv without frames: %v", err)
				}
				took := time.Since(start)
				if b.N == 0 && took >= wait/2 {
					break
				}
				if b.N == 0 {
					t.Fatalf("Recv returned empty after %v, asked to wait %v", took, wait)
				}
				if time.Now().After(deadline) {
					t.Fatal("foreign frames never end")
				}
			}
		}
	}
}

func endOfFile(t *testing.T, h Harness) {
	for _, n := range []int{0, 1, packet.ChunkSize, packet.ChunkSize + 1} {
		rig := h.open(t, Setup{SnapLen: 128, Frames: Frames(n, 256)})
		b := newBatch(t, 128)
		got := 0
		for _, q := range rig.Source.Queues() {
			var err error
			for err == nil {
				b.N = 0
				err = q.Recv(b, time.Second)
				got += b.N
			}
			for range 3 {
				b.N = 0
				if !errors.Is(err, io.EOF) || b.N != 0 {
					t.Fatalf("%d frames: Recv at the end = %d frames, %v; want io.EOF", n, b.N, err)
				}
				err = q.Recv(b, time.Second)
			}
		}
		if got != n {
			t.Errorf("%d frames came, want %d", got, n)
		}
		if s := rig.Source.Stats().State; s != "done" {
			t.Errorf("state at the end is %q, want done", s)
		}
		closeSource(t, rig)
	}
}

func closeDuringRecv(t *testing.T, h Harness) {
	rig := h.open(t, Setup{SnapLen: 128, Frames: Frames(5000, 256)})
	var wg, entered sync.WaitGroup
	for _, q := range rig.Source.Queues() {
		b := newBatch(t, 128)
		entered.Add(1)
		wg.Go(func() {
			entered.Done()
			for {
				b.N = 0
				err := q.Recv(b, 10*time.Minute)
				if errors.Is(err, capture.ErrClosed) {
					return
				}
				if h.Recorded && errors.Is(err, io.EOF) {
					runtime.Gosched() // not closed yet
					continue
				}
				if err != nil {
					t.Errorf("Recv = %v, want ErrClosed", err)
					return
				}
			}
		})
	}
	entered.Wait()
	time.Sleep(20 * time.Millisecond) // lets the receivers go to sleep; nothing depends on it
	done := make(chan struct{})
	go func() {
		closeSource(t, rig)
		wg.Wait()
		close(done)
	}()
	within(t, "Close and every Recv return", done)
}

func closeTwice(t *testing.T, h Harness) {
	rig := h.open(t, Setup{SnapLen: 128, Frames: Frames(10, 256)})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { closeSource(t, rig) })
	}
	wg.Wait()
	closeSource(t, rig)
	b := newBatch(t, 128)
	for _, q := range rig.Source.Queues() {
		if err := q.Recv(b, time.Second); !errors.Is(err, capture.ErrClosed) || b.N != 0 {
			t.Errorf("Recv after Close = %d frames, %v; want ErrClosed", b.N, err)
		}
	}
	first := rig.Source.Stats()
	if second := rig.Source.Stats(); second.Received != first.Received || dropped(second) != dropped(first) {
		t.Errorf("Stats change after Close: %+v, then %+v", first, second)
	}
}

// closeUndelivered sends frames, receives some of them, closes, and expects
// each of the others to be delivered after all or counted as dropped.
func closeUndelivered(t *testing.T, h Harness) {
	n := min(h.Window, 32)
	rig := h.open(t, Setup{SnapLen: 128})
	c := collect(t, rig, 128, nil)
	frames := Frames(2*n, 256)
	if err := rig.Send(datas(frames[:n])); err != nil {
		t.Error(err)
	}
	if !c.waitFor(n) {
		t.Errorf("of %d frames, %d came", n, c.ours.Load())
	}
	c.finish()
	if err := rig.Send(datas(frames[n:])); err != nil {
		t.Error(err)
	}
	time.Sleep(300 * time.Millisecond) // the wire may take a moment; what matters is that the sum is right then
	closeSource(t, rig)
	b := newBatch(t, 128)
	late := uint64(0)
	for _, q := range rig.Source.Queues() {
		for {
			b.N = 0
			err := q.Recv(b, time.Second)
			late += uint64(b.N)
			if errors.Is(err, capture.ErrClosed) {
				break
			}
			if err != nil {
				t.Fatalf("Recv after Close: %v", err)
			}
		}
	}
	st := rig.Source.Stats()
	if want := uint64(n) + c.foreign + late; st.Received != want {
		t.Errorf("%d received by Stats, %d by Recv", st.Received, want)
	}
	if sum := st.Received + dropped(st); sum < uint64(2*n)+c.foreign {
		t.Errorf("received %d and drops %v make %d, but %d were sent", st.Received, st.Drops, sum, uint64(2*n)+c.foreign)
	}
}

func overload(t *testing.T, h Harness) {
	rig := h.open(t, Setup{SnapLen: 128, Tiny: true})
	defer closeSource(t, rig)
	frames := datas(Frames(h.Flood, h.MaxFrame))
	if err := rig.Send(frames); err != nil {
		t.Fatal(err)
	}
	c := collect(t, rig, 128, nil)
	// The sum must come out by itself, without another frame being sent.
	deadline := time.Now().Add(patience)
	var st capture.Stats
	for {
		st = rig.Source.Stats()
		if st.Received+dropped(st) >= uint64(h.Flood) || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	c.finish()
	st = rig.Source.Stats()
	if got := st.Received + dropped(st); got != uint64(h.Flood)+c.foreign {
		t.Errorf("received %d + drops %v = %d, want %d sent and %d foreign", st.Received, st.Drops, got, h.Flood, c.foreign)
	}
	if uint64(len(c.frames))+c.foreign != st.Received {
		t.Errorf("Recv delivered %d, Stats says %d", uint64(len(c.frames))+c.foreign, st.Received)
	}
	if dropped(st) == 0 {
		t.Errorf("%d frames overflowed nothing: Harness.Flood is too small to show a drop", h.Flood)
	}
}

func statsMonotone(t *testing.T, h Harness) {
	frames := Frames(1000, 256)
	rig := h.open(t, Setup{SnapLen: 128, Frames: frames})
	c := collect(t, rig, 128, nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var last capture.Stats
			for {
				st := rig.Source.Stats()
				if st.Received < last.Received || st.Bytes < last.Bytes || dropped(st) < dropped(last) {
					t.Errorf("Stats went back: %+v, then %+v", last, st)
					return
				}
				last = st
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	if !h.Recorded {
		all := datas(frames)
		for at := 0; at < len(all); at += h.Window {
			end := min(at+h.Window, len(all))
			if err := rig.Send(all[at:end]); err != nil {
				t.Error(err)
			}
			if !c.waitFor(end) {
				t.Errorf("of %d frames sent, %d came", end, c.ours.Load())
				break
			}
		}
	}
	c.finish()
	closeSource(t, rig)
	close(stop)
	wg.Wait()
	if st := rig.Source.Stats(); st.Received != uint64(len(frames))+c.foreign {
		t.Errorf("final count is %d, want %d", st.Received, uint64(len(frames))+c.foreign)
	}
}

func allocates(t *testing.T, h Harness) {
	const runs = 20
	rig := h.open(t, Setup{SnapLen: 128, Frames: Frames((runs+4)*packet.ChunkSize, 256)})
	defer closeSource(t, rig)
	b := newBatch(t, 128)
	frames := datas(Frames(min(h.Window, 16), 256))
	for _, q := range rig.Source.Queues() {
		b.N = 0
		if err := q.Recv(b, 10*time.Millisecond); err != nil { // warms up
			t.Fatal(err)
		}
		if rig.Send != nil {
			if err := rig.Send(frames); err != nil {
				t.Fatal(err)
			}
		}
		// One row of room a call, so that calls with frames and calls without
		// are both among them.
		var fail error
		room := 1
		if h.Recorded {
			room = packet.ChunkSize
		}
		n := testing.AllocsPerRun(runs, func() {
			b.N = packet.ChunkSize - room
			if err := q.Recv(b, time.Millisecond); err != nil && fail == nil {
				fail = err
			}
		})
		if fail != nil {
			t.Fatal(fail)
		}
		if n != 0 {
			t.Errorf("Recv allocates %v times a call", n)
		}
	}
}
