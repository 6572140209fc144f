package session

import (
	"container/heap"
	"time"
)

// Expiry says when sessions of accounts end by themselves.
type Expiry struct {
	// Day returns the time of day in Unix milliseconds, which credentials expire by.
	Day func() int64
	// Elapsed returns the time since some moment, which nobody can set.
	Elapsed func() time.Duration
	// Renewed returns when the credential of a session expires that was to expire now,
	// 0 is never, or false if it has expired. It may block.
	Renewed func(s *Session, until int64) (later int64, ok bool)
}

// Times of expiries.
const (
	// expiryTick is how often the clocks are compared while a session expires
	// sometime: a machine may sleep, and its clock may be set.
	expiryTick = time.Second
	// maxDrift is how far the clocks drift apart before deadlines follow.
	maxDrift = 100 * time.Millisecond
	// maxExpiry bounds the time until a deadline.
	maxExpiry = 100 * 365 * 24 * time.Hour
)

// deadline is when a session ends.
type deadline struct {
	session *Session
	until   int64         // by the time of day
	at      time.Duration // by the other clock
	index   int           // in the heap
}

// expiries ends sessions whose credentials expire. One timer serves all of them, and
// sessions that do not expire cost nothing. It is guarded by Registry.mu.
//
// A session ends when its time of day comes, and no later than the time that was left
// when it began has passed: a clock that is set forward, or that goes on while the
// machine sleeps, ends it early enough, and one that is set back keeps nothing alive.
type expiries struct {
	Expiry
	registry  *Registry
	deadlines []*deadline // a heap
	of        map[*Session]*deadline
	timer     *time.Timer   // nil while there is nothing to wait for
	offset    time.Duration // from one clock to the other, which the deadlines follow
}

// Expire ends sessions by their credentials from now on. It must be called before the
// first Enter.
func (r *Registry) Expire(e Expiry) { r.expiries = &expiries{Expiry: e, registry: r} }

// Close stops what Expire has begun.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.expiries; e != nil && e.timer != nil {
		e.timer.Stop()
	}
	r.expiries = nil
}

// addLocked notes when a session ends.
func (e *expiries) addLocked(s *Session, until int64) {
	if e == nil || until == 0 {
		return
	}
	if e.of == nil {
		e.of = make(map[*Session]*deadline)
	}
	e.followLocked()
	d := &deadline{session: s, until: until, at: e.Elapsed() + e.left(until)}
	e.of[s] = d
	heap.Push(e, d)
	e.waitLocked()
}

// removeLocked forgets a session.
func (e *expiries) removeLocked(s *Session) {
	if e == nil {
		return
	}
	if d := e.of[s]; d != nil {
		heap.Remove(e, d.index)
		delete(e.of, s)
	}
}

// left returns how long it is until a time of day.
func (e *expiries) left(until int64) time.Duration {
	ms := min(max(until-e.Day(), 0), maxExpiry.Milliseconds())
	return time.Duration(ms) * time.Millisecond
}

// followLocked brings deadlines forward after the time of day was set.
func (e *expiries) followLocked() {
	offset := time.Duration(e.Day())*time.Millisecond - e.Elapsed()
	if drift := offset - e.offset; drift > -maxDrift && drift < maxDrift {
		return
	}
	e.offset = offset
	for _, d := range e.deadlines {
		d.at = min(d.at, e.Elapsed()+e.left(d.until))
	}
	heap.Init(e)
}

// waitLocked has the timer look again when that is due.
func (e *expiries) waitLocked() {
	switch {
	case len(e.deadlines) == 0:
		if e.timer != nil {
			e.timer.Stop()
		}
		return
	case e.timer == nil:
		e.timer = time.AfterFunc(e.pauseLocked(), e.look)
	default:
		e.timer.Reset(e.pauseLocked())
	}
}

func (e *expiries) pauseLocked() time.Duration {
	return min(max(e.deadlines[0].at-e.Elapsed(), 0), expiryTick)
}

// look ends the sessions that are due. It runs on the timer's goroutine.
func (e *expiries) look() {
	r := e.registry
	r.mu.Lock()
	e.followLocked()
	var due []*deadline
	for len(e.deadlines) > 0 && e.deadlines[0].at <= e.Elapsed() {
		d := heap.Pop(e).(*deadline)
		delete(e.of, d.session)
		due = append(due, d)
	}
	if r.expiries == e {
		e.waitLocked()
	}
	r.mu.Unlock()
	for _, d := range due {
		later, ok := e.Renewed(d.session, d.until)
		if !ok {
			d.session.owner.Revoke()
			continue
		}
		r.mu.Lock()
		if r.expiries == e && r.hasLocked(d.session) {
			e.addLocked(d.session, later)
		}
		r.mu.Unlock()
	}
}

// Len implements heap.Interface.
func (e *expiries) Len() int { return len(e.deadlines) }

// Less implements heap.Interface.
func (e *expiries) Less(i, j int) bool { return e.deadlines[i].at < e.deadlines[j].at }

// Swap implements heap.Interface.
func (e *expiries) Swap(i, j int) {
	d := e.deadlines
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push implements heap.Interface.
func (e *expiries) Push(x any) {
	d := x.(*deadline)
	d.index = len(e.deadlines)
	e.deadlines = append(e.deadlines, d)
}

// Pop implements heap.Interface.
func (e *expiries) Pop() any {
	last := len(e.deadlines) - 1
	d := e.deadlines[last]
	e.deadlines[last] = nil
	e.deadlines = e.deadlines[:last]
	return d
}
