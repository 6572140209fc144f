package server

import "time"

// clock returns how much time has passed since some moment in the past. Only the
// differences of what it returns mean something.
type clock func() time.Duration

// stopwatch returns a clock that follows the machine's monotonic time, which
// nobody can set. All time-outs of this package hang on it; the time of day is in
// messages only, and the store's.
func stopwatch() clock {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// pulse is the time of a loop: the time in which it has run. What its manager's
// clock shows passes only as far as the loop could look around meanwhile, at most
// step for each round. So the time in which the process was stopped, or the
// machine slept, is nobody's silence: everybody has after it what was left of a
// time-out before.
type pulse struct {
	now   time.Duration // of this round; never 0
	shown time.Duration // what the clock showed
	step  time.Duration
}

func newPulse(c clock, step time.Duration) pulse {
	return pulse{now: 1, shown: c(), step: step}
}

// tick begins a round.
func (p *pulse) tick(c clock) {
	shown := c()
	p.now += min(max(shown-p.shown, 0), p.step)
	p.shown = shown
}
