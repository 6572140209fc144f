package limit

import (
	"sync/atomic"
	"time"
)

// Rate is a token bucket: it holds up to Burst tokens and gains Count in each Per.
// A Rate without a positive Count and Per limits nothing.
type Rate struct {
	Count int
	Per   time.Duration
	Burst int // 0 or less: Count
}

// maxWhole bounds the time in which a bucket fills, so that times stay in range.
const maxWhole = 1 << 60 // 36 years

// bucket is the state of a token bucket: the time at which it is full again. It is
// the whole state, as in the generic cell rate algorithm. The zero bucket is full.
type bucket struct{ full time.Duration }

// pace is a Rate as times.
type pace struct {
	every time.Duration // in which a bucket gains a token; 0: nothing is limited
	whole time.Duration // in which it gains all of them
}

func paceOf(rate Rate) (p pace) {
	if rate.Count <= 0 || rate.Per <= 0 {
		return pace{}
	}
	if rate.Burst <= 0 {
		rate.Burst = rate.Count
	}
	p.every = max(rate.Per/time.Duration(rate.Count), 1)
	p.whole = min(time.Duration(rate.Burst), maxWhole/p.every) * p.every
	return p
}

// period is how long a bucket is remembered: it owes at most as much as it holds.
func (p *pace) period() time.Duration { return 2 * p.whole }

// cost returns the time in which a bucket gains n tokens.
func (p *pace) cost(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	if time.Duration(n) >= p.whole/p.every {
		return p.whole
	}
	return time.Duration(n) * p.every
}

// Limiter has a token bucket for each key.
type Limiter struct {
	name  string
	pace  atomic.Pointer[pace] // what a bucket depends on is loaded while its shard is locked
	table table[bucket]

	exceeded atomic.Uint64 // how often somebody had to wait
}

// NewLimiter returns a limiter on a monotonic clock, with full buckets. The name is
// for ExceededError.
func NewLimiter(name string, rate Rate, clock func() time.Duration) *Limiter {
	l := &Limiter{name: name}
	p := paceOf(rate)
	l.pace.Store(&p)
	l.table.init(clock, p.period())
	return l
}

// Set changes the rate. All buckets are full then, unless it is the same rate.
func (l *Limiter) Set(rate Rate) {
	p := paceOf(rate)
	if *l.pace.Load() == p {
		return
	}
	l.pace.Store(&p) // before: no bucket of the other rate comes after
	l.table.reset(p.period())
}

// limits reports whether there is something to count for a key.
func (l *Limiter) limits(key Key) bool { return key != 0 && l.pace.Load().every != 0 }

// Take takes n tokens and returns 0, or takes none and returns the time after which
// n will be there. More tokens than a bucket holds count as all of them.
func (l *Limiter) Take(key Key, n int) (wait time.Duration) {
	if !l.limits(key) || n <= 0 {
		return 0
	}
	s := l.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := l.pace.Load()
	if p.every == 0 {
		return 0
	}
	now := s.tickLocked()
	b := s.atLocked(key)
	full := max(b.full, now) + p.cost(n)
	if wait = full - p.whole - now; wait > 0 {
		l.exceeded.Add(1)
		return wait
	}
	b.full = full
	return 0
}

// Check is Take with an *ExceededError instead of the time.
func (l *Limiter) Check(key Key, n int) error {
	if wait := l.Take(key, n); wait > 0 {
		return &ExceededError{Limit: l.name, RetryAfter: wait}
	}
	return nil
}

// Reserve takes n tokens even if fewer are there, and returns the time after which
// the bucket has one again: a server that reads no sooner does not refuse anything
// and still keeps the rate. A bucket owes at most as much as it holds, so nobody
// waits longer than it takes to fill, whatever many connections of one key do at
// the same time.
func (l *Limiter) Reserve(key Key, n int) (wait time.Duration) {
	if !l.limits(key) {
		return 0
	}
	s := l.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := l.pace.Load()
	if p.every == 0 {
		return 0
	}
	now := s.tickLocked()
	b := s.atLocked(key)
	b.full = min(max(b.full, now)+p.cost(n), now+2*p.whole-p.every)
	if wait = b.full + p.every - p.whole - now; wait > 0 {
		l.exceeded.Add(1)
		return wait
	}
	return 0
}

// Give gives n tokens back that were taken for something that did not happen.
func (l *Limiter) Give(key Key, n int) {
	if !l.limits(key) {
		return
	}
	s := l.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := l.pace.Load()
	if p.every == 0 {
		return
	}
	s.tickLocked()
	b := s.atLocked(key)
	b.full -= min(p.cost(n), b.full) // a time in the past is a full bucket
}

// Keys returns how many keys are remembered. A key that is moved on to the next
// generation counts twice for a while.
func (l *Limiter) Keys() int {
	if l.pace.Load().every == 0 {
		return 0
	}
	return l.table.keys()
}
