package index

import (
	"runtime"
	"testing"
	"time"
)

func TestSpare(t *testing.T) {
	const passed = time.Second
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, test := range []struct {
		name              string
		others, idle, own time.Duration
		processors        int
		want              float64
	}{
		{"nothing to do", 0, ms(2000), 0, 2, 1.5},
		{"the server has one of two", ms(1000), ms(900), ms(100), 2, 0.5},
		{"the server has all", ms(1950), ms(0), ms(50), 2, 1.95 * slowed},
		{"other programs have all", ms(300), ms(0), ms(50), 2, 0.3 * slowed},
		{"what the index takes is free", ms(300), ms(1200), ms(500), 2, 1.2},
		{"the process may have only one of many", ms(500), ms(60_000), 0, 1, 0.5 * slowed},
		{"the clocks disagree", ms(-10), ms(2000), ms(10), 2, 1.5},
		{"the machine does not tell", ms(500), -passed, ms(100), 2, 1},
	} {
		if got := spare(passed, test.others, test.idle, test.own, test.processors); got < test.want-1e-9 || got > test.want+1e-9 {
			t.Errorf("%s: %v processors, want %v", test.name, got, test.want)
		}
	}
}

// TestLeft sees that the index never stands still, and that the load is measured anew.
func TestLeft(t *testing.T) {
	var l load
	if got := l.left(time.Millisecond, 0, 0); got != minShare {
		t.Errorf("before the first measurement it may take %v of a processor, want %v", got, minShare)
	}
	l.at, l.own = time.Now().Add(-time.Hour), 0
	l.used, l.idle = processorTime(), idleTime()-100*time.Hour
	if got, want := l.left(0, 0, 0), float64(runtime.GOMAXPROCS(0))-reserved; got < max(want-0.1, minShare) {
		t.Errorf("with nobody else it may take %v of a processor, want %v", got, want)
	}
}

// TestCrowdedLeft sees that the index takes hardly anything while too many entries come, unless it
// lags for too long.
func TestCrowdedLeft(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries uint64 // in an hour
		lag     time.Duration
		held    bool
	}{
		{"5,000 a second", 5_000 * 3600, 0, false},
		{"20,000 a second", 20_000 * 3600, time.Second, true},
		{"20,000 a second for long", 20_000 * 3600, crowdedLag, false},
	} {
		l := load{at: time.Now().Add(-time.Hour), used: processorTime(), idle: idleTime() - 100*time.Hour, grown: 7}
		got := l.left(0, 7+test.entries, test.lag)
		if held := got == crowdedShare; held != test.held {
			t.Errorf("%s: it may take %v of a processor, held back is %t, want %t", test.name, got, held, test.held)
		}
		if l.grown != 7+test.entries {
			t.Errorf("%s: %d entries are noted, want %d", test.name, l.grown, 7+test.entries)
		}
	}
}

// TestWork sees that work is measured in processor time of the goroutine.
func TestWork(t *testing.T) {
	end := work()
	began := threadTime()
	sum := 0
	for threadTime()-began < 20*time.Millisecond {
		for i := range 1000 {
			sum += i
		}
	}
	if got := end(); got < 20*time.Millisecond {
		t.Errorf("work of 20 ms is %v (%d)", got, sum)
	}
}
