package account

import (
	"runtime"
	"testing"
)

// Hashes leave one processor to messages.
func TestHashesLeaveAProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for processors, want := range map[int]int{1: 1, 2: 1, 3: 2, 8: 7} {
		runtime.GOMAXPROCS(processors)
		if got := newHasher(0, nil).free; got != want {
			t.Errorf("with %d processors %d hashes at a time, want %d", processors, got, want)
		}
	}
	if got := newHasher(5, nil).free; got != 5 {
		t.Errorf("%d hashes at a time, want the 5 of the option", got)
	}
}
