package index

import "time"

// sampled is how long the load is measured.
const sampled = 100 * time.Millisecond

// load measures how much processor time the process takes beside the index.
type load struct {
	at        time.Time
	used, own time.Duration // of the process up to at, and of the index since
	share     float64
}

// others notes work of the index, and returns how many processors the rest of the process
// took lately. Where the system does not tell, it is 0.
func (l *load) others(worked time.Duration) float64 {
	now := time.Now()
	l.own += worked
	passed := now.Sub(l.at)
	if passed < sampled {
		return l.share
	}
	used := processorTime()
	if !l.at.IsZero() {
		l.share = float64(used-l.used-l.own) / float64(passed)
	}
	l.at, l.used, l.own = now, used, 0
	return l.share
}
