package index

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// asking is a store that notes when somebody asks it for its rooms.
type asking struct {
	store.Store
	note func()
}

func (a asking) Rooms(ctx context.Context) ([]store.Room, error) {
	a.note()
	return a.Store.Rooms(ctx)
}

// The goroutine of the index has a thread of low priority, which nobody else gets.
func TestLowPriority(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	niceness := func() int {
		priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, syscall.Gettid())
		if err != nil {
			t.Error(err)
		}
		return 20 - priority
	}
	usual := niceness()
	for _, c := range []struct {
		eager bool
		want  int
	}{{false, min(usual+10, 19)}, {true, usual}} {
		asked := make(chan int, 10)
		x := Open(asking{memory.New(0), func() { asked <- niceness() }}, "", Options{Eager: c.eager})
		if got := <-asked; got != c.want {
			t.Errorf("eager %t: the index works with a niceness of %d, want %d", c.eager, got, c.want)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if got := niceness(); got != usual {
			t.Errorf("another thread has a niceness of %d, want %d", got, usual)
		}
	}
	for range 100 { // the thread of the index is gone
		got := make(chan int)
		go func() { got <- niceness() }()
		if n := <-got; n != usual {
			t.Errorf("a goroutine that came later has a niceness of %d, want %d", n, usual)
		}
	}
}

func TestIdleOf(t *testing.T) {
	got := idleOf([]byte("cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 2"))
	if want := 4500 * time.Millisecond; got != want {
		t.Errorf("idle for %v, want %v", got, want)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu 1 2 3 x 5 6", "intr 1 2 3 4 5 6", "cpu  0 0 0 0 0 0 0 0 0 0"} {
		if got := idleOf([]byte(bad)); got >= 0 {
			t.Errorf("%q: idle for %v, want that it is not known", bad, got)
		}
	}
	if before := idleTime(); before < 0 {
		t.Error("this machine does not tell how idle it is")
	}
}
