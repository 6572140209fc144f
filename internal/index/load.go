package index

import (
	"runtime"
	"time"

	"kaban/internal/processors"
)

const (
	// sampled is how long the load is measured.
	sampled = 250 * time.Millisecond
	// reserved is how many processors the index leaves to others of those that are free.
	reserved = 0.5
	// The index takes at most maxShare of a processor, or busyShare while messages come. It
	// reads 5,000 messages a second with a third.
	busyShare = 0.5
	maxShare  = 0.67
	// slowed is what the index takes at least, as a part of what the rest of the process takes:
	// so much are messages slowed where no processor is free. It never takes less than minShare.
	slowed   = 0.01
	minShare = 0.01
	// crowded is from how many entries a second on it takes only crowdedShare, even of processors
	// that are free: each message waits for the one before it, and for the disk, which the index writes to as well.
	// Where none is free, a thread of a low priority that works for a moment keeps one of Go's processors for
	// ten times as long. So it falls behind, and reads what has come once fewer do, or after crowdedLag.
	crowded      = 10_000
	crowdedShare = 0.001
	crowdedLag   = time.Minute
)

// load measures how much processor time is left for the index.
type load struct {
	at        time.Time
	used, own time.Duration // of the process up to at, and of the index since
	idle      time.Duration // of the machine up to at
	grown     uint64        // entries that have come up to at
	share     float64       // of a processor that the index may take
}

// left notes work of the index, how many entries have come so far, and for how long the index lags. It returns
// what share of a processor it may take so that others do not wait for it: the rest of the process, whose
// processors may be fewer than those of the machine, and other processes.
func (l *load) left(worked time.Duration, grown uint64, lag time.Duration) float64 {
	now := time.Now()
	l.own += worked
	if passed := now.Sub(l.at); passed >= sampled {
		used, idle := processorTime(), idleTime()
		if !l.at.IsZero() {
			l.share = max(spare(passed, used-l.used-l.own, idle-l.idle, l.own, processors.Count()), minShare)
			if lag < crowdedLag && isCrowded(grown-l.grown, passed) {
				l.share = crowdedShare
			}
		}
		l.at, l.used, l.idle, l.own, l.grown = now, used, idle, 0, grown
	}
	if l.share == 0 { // nothing has been measured
		return minShare
	}
	return l.share
}

// spare returns how many processors there were for the index for some time, in which others
// of the process have used some time, and the index its own. Idle is what nobody has used
// of the machine; below 0 if that is not known.
func spare(passed, others, idle, own time.Duration, processors int) float64 {
	busy := max(float64(others)/float64(passed), 0)
	free := float64(processors) - busy
	if idle >= 0 {
		free = min(free, float64(idle+own)/float64(passed))
	}
	return max(free-reserved, busy*slowed)
}

// isCrowded reports whether so many entries in some time are too many for the index to read beside them.
func isCrowded(entries uint64, passed time.Duration) bool {
	return float64(entries) > crowded*passed.Seconds()
}

// work measures the processor time of what follows. Its end is called by the same goroutine.
func work() (end func() time.Duration) {
	runtime.LockOSThread()
	began := threadTime()
	return func() time.Duration {
		defer runtime.UnlockOSThread()
		return threadTime() - began
	}
}

// started is an origin of times.
var started = time.Now()

// unknown is an idle time that is not known: it gets ever less.
func unknown() time.Duration { return -time.Since(started) }
