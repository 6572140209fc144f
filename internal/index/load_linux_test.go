package index

import (
	"testing"
	"time"
)

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
