package turns_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"kaban/internal/turns"
)

// Only some compute at a time, however many there are, and all come to their end.
func TestTurns(t *testing.T) {
	for _, most := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			all := turns.New(most)
			var now, peak atomic.Int64
			var group sync.WaitGroup
			begun := time.Now()
			const crowd, rounds = 30, 3
			for range crowd {
				group.Go(func() {
					var own turns.Turn
					own.Enter(all)
					defer own.End()
					for range rounds {
						own.Work()
						peak.Store(max(peak.Load(), now.Add(1)))
						time.Sleep(time.Millisecond)
						now.Add(-1)
						own.Rest()
						time.Sleep(time.Second)
					}
				})
			}
			group.Wait()
			if n := peak.Load(); n != int64(most) {
				t.Errorf("%d computed at a time, want %d", n, most)
			}
			if took := time.Since(begun); took > rounds*2*time.Second {
				t.Errorf("it took %v: those that wait for their peers hold turns", took)
			}
		})
	}
}

// A read waits for a turn behind the bytes, not before them and not behind an error.
func TestARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := turns.New(1)
		var own, other turns.Turn
		own.Enter(all)
		other.Enter(all)
		p := make([]byte, 1)
		if n, err := own.Read(strings.NewReader("x"), p); n != 1 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		var done atomic.Bool
		go func() {
			other.Read(strings.NewReader("x"), p)
			done.Store(true)
		}()
		synctest.Wait()
		if done.Load() {
			t.Error("two compute at a time")
		}
		if _, err := own.Read(iotest.ErrReader(io.ErrUnexpectedEOF), p); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if !done.Load() {
			t.Error("a read that fails keeps the turn")
		}
		other.End()
		own.Work() // it is free
		own.End()
	})
}

// A handshake that ends gives its turn back once, and needs none any more.
func TestAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := turns.New(1)
		var none, own, other turns.Turn
		own.Enter(all)
		other.Enter(all)
		none.Work()
		none.Rest()
		if none.End() {
			t.Error("there was no handshake, and it has ended")
		}
		own.Work()
		go other.Work()
		synctest.Wait()
		if !other.End() || other.End() { // while it waits for its turn
			t.Error("a handshake does not end once")
		}
		if !own.End() || own.End() {
			t.Error("a handshake does not end once")
		}
		synctest.Wait()
		own.Work()
		own.Rest()
		var third turns.Turn
		third.Enter(all)
		third.Work() // it is free
		third.End()
	})
}

func TestForProcessors(t *testing.T) {
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 1, 8: 4} {
		before := runtime.GOMAXPROCS(processors)
		got := turns.ForProcessors().Most()
		runtime.GOMAXPROCS(before)
		if got != want {
			t.Errorf("%d processors: %d compute at a time, want %d", processors, got, want)
		}
	}
}
