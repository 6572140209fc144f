package processors

import (
	"runtime"
	"testing"
)

func TestSpare(t *testing.T) {
	usual := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(usual)
	for _, c := range []struct {
		variable string
		more     int
	}{{"", 1}, {"2", 0}} {
		t.Setenv("GOMAXPROCS", c.variable)
		runtime.GOMAXPROCS(usual)
		for range 2 {
			Spare()
			if got := runtime.GOMAXPROCS(0); got != usual+c.more {
				t.Errorf("with GOMAXPROCS=%q: %d goroutines at a time, want %d", c.variable, got, usual+c.more)
			}
			if got := Count(); got != usual {
				t.Errorf("with GOMAXPROCS=%q: %d processors, want %d", c.variable, got, usual)
			}
		}
	}
}
