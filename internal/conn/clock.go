package conn

import "time"

// Clock returns the time that has passed since some moment in the past. Only
// differences between its results mean something.
type Clock func() time.Duration

// Stopwatch returns a clock that follows the machine's monotonic time, which
// nobody can set. All time-outs of connections use it. Time of day is for messages
// and the store.
func Stopwatch() Clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// pulse is the time of a loop: the time for which it has run. Each round counts
// what the manager's clock shows, but at most step. If the process was stopped, or
// the machine slept, that time is therefore nobody's silence: afterwards everybody
// has what was left of a time-out before.
type pulse struct {
	now   time.Duration // of this round; never 0
	shown time.Duration // what the clock showed
	step  time.Duration
}

func newPulse(c Clock, step time.Duration) pulse {
	return pulse{now: 1, shown: c(), step: step}
}

// tick begins a round.
func (p *pulse) tick(c Clock) {
	shown := c()
	p.now += min(max(shown-p.shown, 0), p.step)
	p.shown = shown
}
