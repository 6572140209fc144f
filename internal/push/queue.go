package push

import (
	"container/heap"
	"maps"
	"slices"
	"time"
)

const (
	// tripAfter is how many accounts must fail, without an answer in between, until their push
	// service is left alone. Fewer may have subscriptions with a fault of their own, and
	// one person must not be able to keep everybody else's pushes waiting.
	tripAfter = 3
	// firstRest and lastRest bound how long that is. It doubles with each attempt that
	// fails, and is shortened at random by up to a half.
	firstRest = 5 * time.Second
	lastRest  = 5 * time.Minute
	// maxIdleHosts is how many push services are remembered for which nothing waits.
	maxIdleHosts = 1024
	// maxHeld is of how many subscriptions is known that they are left alone. More are tried
	// when a new notice comes.
	maxHeld = 16_384
)

// job is a notice on its way. Its Service's lock guards it, but for what attempts read, which
// does not change while they do.
type job struct {
	to       *Subscription
	notice   Notice
	host     *host
	due      time.Time // of the next attempt
	deadline time.Time // after which it is not worth delivering
	attempts int       // that have failed
	bare     bool      // it is sent without its text
	flying   bool      // an attempt is being made
	doubtful bool      // it counts as queue.doubtful
	place    int       // in host.waiting
	// What happened while it was flying, so that it does not come back: it was taken back, or
	// a later notice of the same topic was pushed.
	removed, superseded bool
}

// recipient is a subscription of an account.
type recipient struct{ account, id string }

func (j *job) recipient() recipient { return recipient{j.notice.Account, j.to.id} }

// host is a push service.
type host struct {
	name    string
	waiting ordered[*job] // by when they are due
	flying  int

	struck []string  // accounts that have failed since the last answer, tripAfter at most
	rests  int       // in a row
	rest   time.Time // until when it is left alone

	// next is when an attempt may be made; the zero time if as many are being made as may
	// be. It is only up to date while something waits.
	next             time.Time
	nextPlace, place int  // in the heaps of its group; -1 if nothing waits
	trusted          bool // it has answered promptly the last time
	idle             bool
}

// limit returns how many attempts may be made at once: one, after a rest, to see whether it works.
func (h *host) limit() int {
	switch {
	case h.hasTripped():
		return 1
	case h.trusted:
		return maxFlyingPerHost
	}
	return maxDoubtfulPerHost
}

// hasTripped reports whether enough has failed to leave the push service alone.
func (h *host) hasTripped() bool { return len(h.struck) >= tripAfter }

// fail notes that an attempt for an account has failed, and that the push service asks to wait.
// It reports whether the push service is left alone from now on that was not before.
func (h *host) fail(account string, wait time.Duration, now time.Time) (tripped bool) {
	if !h.hasTripped() && !slices.Contains(h.struck, account) {
		h.struck = append(h.struck, account)
	}
	if !h.hasTripped() {
		return false
	}
	if now.Before(h.rest) { // attempts that were made at the same time count as one
		h.rest = later(h.rest, now.Add(wait))
		return false
	}
	tripped = h.rests == 0
	h.rests++
	h.rest = later(now.Add(pause(firstRest, lastRest, h.rests)), now.Add(wait))
	return tripped
}

// answer notes that the push service works. It reports whether it had been left alone.
func (h *host) answer() (recovered bool) {
	recovered = h.rests > 0
	h.struck, h.rests, h.rest = nil, 0, time.Time{}
	return recovered
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// group has the hosts for which something waits and that are trusted, or the others.
type group struct {
	size     int            // jobs that wait
	byNext   ordered[*host] // by host.next
	byLength ordered[*host] // those for which most waits come first
}

func newGroup() group {
	return group{
		byNext: ordered[*host]{
			less:  func(a, b *host) bool { return !a.next.IsZero() && (b.next.IsZero() || a.next.Before(b.next)) },
			place: func(h *host) *int { return &h.nextPlace },
		},
		byLength: ordered[*host]{
			less:  func(a, b *host) bool { return len(a.waiting.items) > len(b.waiting.items) },
			place: func(h *host) *int { return &h.place },
		},
	}
}

func (g *group) add(h *host) {
	g.byNext.add(h)
	g.byLength.add(h)
}

func (g *group) remove(h *host) {
	g.byNext.remove(h)
	g.byLength.remove(h)
}

// soonest returns the host at which an attempt may be made first, or nil.
func (g *group) soonest() *host {
	if len(g.byNext.items) == 0 || g.byNext.items[0].next.IsZero() {
		return nil
	}
	return g.byNext.items[0]
}

// longest returns how much waits for the host for which most does.
func (g *group) longest() int {
	if len(g.byLength.items) == 0 {
		return 0
	}
	return len(g.byLength.items[0].waiting.items)
}

// queue has the jobs that wait and fly. It does not lock.
type queue struct {
	most     int
	size     int // jobs that wait
	flying   int
	doubtful int // of those that fly
	hosts    map[string]*host
	trusted  group
	doubted  group
	accounts map[string][]*job
	held     map[recipient]time.Time // until when subscriptions are left alone that have failed
	idle     int                     // hosts for which nothing waits or flies
}

func newQueue(most int) queue {
	return queue{
		trusted: newGroup(), doubted: newGroup(),
		most: most, hosts: make(map[string]*host), accounts: make(map[string][]*job), held: make(map[recipient]time.Time),
	}
}

// isDueBefore and placeOf order the jobs of a host.
func isDueBefore(a, b *job) bool { return a.due.Before(b.due) }
func placeOf(j *job) *int        { return &j.place }

// waiting returns the job that waits for a subscription and has the topic of a notice, or nil.
func (q *queue) waiting(to *Subscription, n *Notice) *job {
	for _, j := range q.accounts[n.Account] {
		if !j.flying && j.to.id == to.id && j.notice.sameTopic(n) {
			return j
		}
	}
	return nil
}

// supersede keeps jobs that are flying and have the topic of a new notice from coming back.
func (q *queue) supersede(to *Subscription, n *Notice) {
	for _, j := range q.accounts[n.Account] {
		if j.flying && j.to.id == to.id && j.notice.sameTopic(n) && j.notice.Seq <= n.Seq {
			j.superseded = true
		}
	}
}

// hold leaves a subscription alone: all its jobs wait, those that are yet to come included.
func (q *queue) hold(r recipient, until, now time.Time) {
	if len(q.held) >= maxHeld {
		maps.DeleteFunc(q.held, func(_ recipient, until time.Time) bool { return !until.After(now) })
	}
	if _, known := q.held[r]; known || len(q.held) < maxHeld {
		q.held[r] = later(until, q.held[r])
	}
	for _, j := range q.accounts[r.account] {
		if !j.flying && j.to.id == r.id && j.due.Before(until) {
			j.due = until
			j.host.waiting.fix(j)
			q.refresh(j.host)
		}
	}
}

// add adds a new job, and returns how many others had to go: one of the account if it has
// maxPerAccount, and one of the push service with the most if the queue is full. All that are
// doubted count as one, so neither a push service that does not answer nor many of them take room
// that others need. Of its jobs it is one that would be attempted late.
func (q *queue) add(j *job, now time.Time) (displaced int) {
	if all := q.accounts[j.notice.Account]; len(all) >= maxPerAccount {
		if i := slices.IndexFunc(all, func(j *job) bool { return !j.flying }); i >= 0 {
			q.remove(all[i])
			displaced++
		}
	}
	q.accounts[j.notice.Account] = append(q.accounts[j.notice.Account], j)
	q.enqueue(j)
	if q.size > q.most {
		g := &q.trusted
		if q.doubted.size >= g.longest() {
			g = &q.doubted
		}
		waiting := g.byLength.items[0].waiting.items
		q.remove(waiting[len(waiting)-1])
		displaced++
	}
	q.sweep(now)
	return displaced
}

// enqueue makes a job wait that is in the list of its account.
func (q *queue) enqueue(j *job) {
	h := j.host
	if h == nil {
		if h = q.hosts[j.to.host]; h == nil {
			h = &host{name: j.to.host, nextPlace: -1, place: -1, waiting: ordered[*job]{less: isDueBefore, place: placeOf}}
			q.hosts[h.name] = h
		}
		j.host = h
	}
	if h.idle {
		h.idle = false
		q.idle--
	}
	j.flying = false
	h.waiting.add(j)
	q.size++
	q.groupOf(h).size++
	q.refresh(h)
}

// dequeue takes a job out of those that wait.
func (q *queue) dequeue(j *job) {
	j.host.waiting.remove(j)
	q.size--
	q.groupOf(j.host).size--
	q.refresh(j.host)
}

// remove forgets a job that waits.
func (q *queue) remove(j *job) {
	q.dequeue(j)
	q.unlist(j)
}

// unlist takes a job out of the list of its account.
func (q *queue) unlist(j *job) {
	account := j.notice.Account
	all := q.accounts[account]
	if i := slices.Index(all, j); i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	if len(all) == 0 {
		delete(q.accounts, account)
		return
	}
	q.accounts[account] = all
}

// removeAll forgets the jobs of an account that fit, and returns how many waited. Those that fly
// do not come back.
func (q *queue) removeAll(account string, fits func(*job) bool) (removed int) {
	for _, j := range slices.Clone(q.accounts[account]) {
		switch {
		case !fits(j):
		case j.flying:
			j.removed = true
		default:
			q.remove(j)
			removed++
		}
	}
	return removed
}

// take returns a job that is due and lets it fly, or when to ask again; the zero time if nothing
// is to be expected. It may be one whose deadline is over, which does not fly.
func (q *queue) take(now time.Time) (j *job, expired bool, next time.Time) {
	h := q.soonest()
	switch {
	case h == nil:
		return nil, false, time.Time{}
	case h.next.After(now):
		return nil, false, h.next
	}
	j = h.waiting.items[0]
	if !now.Before(j.deadline) {
		q.remove(j)
		return j, true, time.Time{}
	}
	j.flying, j.removed, j.superseded, j.doubtful = true, false, false, !h.trusted
	h.flying++
	q.flying++
	if j.doubtful {
		q.doubtful++
	}
	q.dequeue(j)
	return j, false, time.Time{}
}

// soonest returns the host at which an attempt may be made first, or nil if none may be made
// before another one has ended.
func (q *queue) soonest() (first *host) {
	if q.flying >= maxFlying {
		return nil
	}
	first = q.trusted.soonest()
	if q.doubtful >= maxDoubtful {
		return first
	}
	if h := q.doubted.soonest(); first == nil || h != nil && h.next.Before(first.next) {
		first = h
	}
	return first
}

// land ends an attempt at a host, that was made while the host was doubtful or not.
func (q *queue) land(h *host, doubtful bool) {
	h.flying--
	q.flying--
	if doubtful {
		q.doubtful--
	}
	q.refresh(h)
}

// groupOf returns the group that a host belongs to.
func (q *queue) groupOf(h *host) *group {
	if h.trusted {
		return &q.trusted
	}
	return &q.doubted
}

// trust notes whether a host has answered promptly.
func (q *queue) trust(h *host, trusted bool) {
	if h.trusted == trusted {
		return
	}
	waits := len(h.waiting.items)
	g := q.groupOf(h)
	g.remove(h)
	g.size -= waits
	h.trusted = trusted
	if waits > 0 {
		g = q.groupOf(h)
		g.add(h)
		g.size += waits
	}
}

// hurry makes all jobs due, but forgets those of hosts and subscriptions that are left alone. It
// returns how many that were.
func (q *queue) hurry(now time.Time) (lost int) {
	for _, h := range q.hosts {
		lost += q.hurryHost(h, now)
	}
	return lost
}

// hurryHost is hurry for one host.
func (q *queue) hurryHost(h *host, now time.Time) (lost int) {
	for _, j := range slices.Clone(h.waiting.items) {
		if h.rest.After(now) || q.held[j.recipient()].After(now) {
			q.remove(j)
			lost++
			continue
		}
		j.due = now
		h.waiting.fix(j)
	}
	q.refresh(h)
	return lost
}

// drain forgets all jobs that wait, and returns how many.
func (q *queue) drain() (lost int) {
	for _, h := range q.hosts {
		for len(h.waiting.items) > 0 {
			q.remove(h.waiting.items[len(h.waiting.items)-1])
			lost++
		}
	}
	return lost
}

// refresh brings a host to its place after anything about it has changed.
func (q *queue) refresh(h *host) {
	if len(h.waiting.items) == 0 {
		q.groupOf(h).remove(h)
		q.rest(h)
		return
	}
	h.next = time.Time{}
	if h.flying < h.limit() {
		h.next = later(h.waiting.items[0].due, h.rest)
	}
	g := q.groupOf(h)
	if h.place < 0 {
		g.add(h)
		return
	}
	g.byNext.fix(h)
	g.byLength.fix(h)
}

// rest forgets a host for which nothing waits or flies, unless there is something to remember.
func (q *queue) rest(h *host) {
	switch {
	case h.flying > 0 || h.idle:
	case len(h.struck) == 0 && !h.trusted:
		delete(q.hosts, h.name)
	default:
		h.idle = true
		q.idle++
	}
}

// sweep forgets the hosts for which nothing waits, if there are too many of them: first those of
// which there is least to remember.
func (q *queue) sweep(now time.Time) {
	for _, fits := range []func(*host) bool{
		func(h *host) bool { return !h.trusted && !h.rest.After(now) },
		func(h *host) bool { return !h.trusted },
		func(h *host) bool { return true },
	} {
		if q.idle <= maxIdleHosts {
			return
		}
		for name, h := range q.hosts {
			if h.idle && fits(h) {
				delete(q.hosts, name)
				q.idle--
			}
		}
	}
}

// ordered is a heap whose elements know their place, -1 if they are in none.
type ordered[T any] struct {
	items []T
	less  func(a, b T) bool
	place func(T) *int
}

func (o *ordered[T]) add(x T) { heap.Push(o, x) }
func (o *ordered[T]) fix(x T) { heap.Fix(o, *o.place(x)) }

// remove does nothing if the element is not in the heap.
func (o *ordered[T]) remove(x T) {
	if i := *o.place(x); i >= 0 {
		heap.Remove(o, i)
	}
}

// The methods of heap.Interface.

func (o *ordered[T]) Len() int           { return len(o.items) }
func (o *ordered[T]) Less(i, j int) bool { return o.less(o.items[i], o.items[j]) }

func (o *ordered[T]) Swap(i, j int) {
	o.items[i], o.items[j] = o.items[j], o.items[i]
	*o.place(o.items[i]), *o.place(o.items[j]) = i, j
}

func (o *ordered[T]) Push(x any) {
	element := x.(T)
	*o.place(element) = len(o.items)
	o.items = append(o.items, element)
}

func (o *ordered[T]) Pop() any {
	last := len(o.items) - 1
	element := o.items[last]
	var none T
	o.items[last] = none
	o.items = o.items[:last]
	*o.place(element) = -1
	return element
}
