package limit

import "time"

// maxStrikes bounds the strikes of a key, so that doubling stays in range.
const maxStrikes = 20

// guesses is what is known about the attempts of a key: those since the bucket was
// full, and the strikes. A strike is an attempt that leaves the bucket empty. The
// zero value is a key that has made none.
type guesses struct {
	bucket
	next    time.Duration // no attempt before it
	strikes uint8         // at the time of next
	ticket  bool          // the next attempt is let in however slow attempts are made
}

// growth says how many attempts are free, and how the delay grows afterwards.
type growth struct {
	free   int           // attempts in a row without delay
	every  time.Duration // in which another one is free
	first  time.Duration // delay after the first strike; doubles with each
	most   time.Duration // bound of the delay
	forget time.Duration // without an attempt, after which a strike is forgotten
}

// backoff has the guesses of each key. A key may try once more after its delay,
// whatever it did before, so a delay locks nobody out.
type backoff struct {
	growth
	whole time.Duration
	worst uint8 // strikes of the longest delay; more are not counted
	table table[guesses]
}

func newBackoff(g growth, clock func() time.Duration) *backoff {
	b := &backoff{growth: g, whole: time.Duration(g.free) * g.every, worst: 1}
	for b.worst < maxStrikes && g.first<<(b.worst-1) < g.most {
		b.worst++
	}
	b.table.init(clock, max(b.whole, g.most+time.Duration(b.worst)*g.forget))
	return b
}

// charge is an attempt that was let in. It stands unless it is undone.
type charge struct {
	key  Key
	next time.Duration // of the strike that it was; 0: none
}

// take lets an attempt in, or returns when to try again. If attempts are made slow,
// one without a ticket waits for so long and then has one.
func (b *backoff) take(key Key, slow time.Duration) (taken charge, wait time.Duration) {
	if key == 0 {
		return charge{}, 0
	}
	s := b.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tickLocked()
	g := s.atLocked(key)
	switch {
	case now < g.next:
		return charge{}, g.next - now
	case slow > 0 && !g.ticket:
		b.decay(g, now)
		g.ticket, g.next = true, now+slow
		return charge{}, slow
	}
	g.ticket = false
	g.full = min(max(g.full, now)+b.every, now+b.whole)
	taken.key = key
	if g.full+b.every-b.whole <= now { // another one is free
		return taken, 0
	}
	b.decay(g, now)
	g.strikes = min(g.strikes+1, b.worst)
	g.next = now + b.delay(g.strikes)
	taken.next = g.next
	return taken, 0
}

// decay forgets strikes for the time that has passed since the delay of the last.
func (b *backoff) decay(g *guesses, now time.Duration) {
	if g.strikes > 0 {
		g.strikes -= uint8(min((now-g.next)/b.forget, time.Duration(g.strikes)))
	}
}

func (b *backoff) delay(strikes uint8) time.Duration {
	if strikes == 0 {
		return 0
	}
	return min(b.first<<(strikes-1), b.most)
}

// undo takes an attempt back.
func (b *backoff) undo(c charge, ticket bool) {
	if c.key == 0 {
		return
	}
	s := b.table.of(c.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickLocked()
	g := s.atLocked(c.key)
	g.full -= min(b.every, g.full)
	g.ticket = g.ticket || ticket
	if c.next != 0 && g.next == c.next && g.strikes > 0 {
		g.strikes--
		g.next = s.now // the strikes before it are forgotten from here on
	}
}

// reset forgets a key.
func (b *backoff) reset(key Key) {
	if key == 0 {
		return
	}
	s := b.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickLocked()
	*s.atLocked(key) = guesses{}
}

// slowness returns the delay of a key that has no attempt free, and 0 for others.
func (b *backoff) slowness(key Key) time.Duration {
	if key == 0 {
		return 0
	}
	s := b.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tickLocked()
	g := *s.atLocked(key)
	if max(g.full, now)+b.every-b.whole <= now {
		return 0
	}
	b.decay(&g, now)
	return b.delay(max(g.strikes, 1))
}

// count counts an attempt that is let in in any case.
func (b *backoff) count(key Key) (taken charge) {
	if key == 0 {
		return charge{}
	}
	s := b.table.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.tickLocked()
	g := s.atLocked(key)
	g.full = min(max(g.full, now)+b.every, now+b.whole)
	taken.key = key
	if g.full+b.every-b.whole > now {
		b.decay(g, now)
		g.strikes = min(g.strikes+1, b.worst)
		g.next = now
		taken.next = now
	}
	return taken
}
