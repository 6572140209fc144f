package conn

import "kaban/internal/dispatch"

// posts are messages to a loop from other goroutines.
type posts struct {
	audiences     []*dispatch.Audience
	subscriptions []*dispatch.Subscription
	calls         []func()
}

// clear keeps the memory, unless it is much.
func (p *posts) clear() {
	const most = 1024
	if cap(p.audiences) > most || cap(p.subscriptions) > most || cap(p.calls) > most {
		*p = posts{}
		return
	}
	clear(p.audiences)
	clear(p.subscriptions)
	clear(p.calls)
	p.audiences, p.subscriptions, p.calls = p.audiences[:0], p.subscriptions[:0], p.calls[:0]
}

// Wake implements dispatch.Waker.
func (l *loop) Wake(a *dispatch.Audience) {
	l.mu.Lock()
	l.posts.audiences = append(l.posts.audiences, a)
	l.mu.Unlock()
	l.wake()
}

// WakeOne implements dispatch.Waker.
func (l *loop) WakeOne(s *dispatch.Subscription) {
	l.mu.Lock()
	l.posts.subscriptions = append(l.posts.subscriptions, s)
	l.mu.Unlock()
	l.wake()
}

// post has the loop make a call. Anybody may call it.
func (l *loop) post(call func()) {
	l.add(call)
	l.wake()
}

// add is post without the wake, which the caller owes.
func (l *loop) add(call func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts.calls = append(l.posts.calls, call)
}

func (l *loop) wake() {
	l.posted.Store(true)
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		l.poller.wake()
	}
}

// takePosts handles the posts.
func (l *loop) takePosts() {
	if !l.posted.Load() {
		return
	}
	l.posted.Store(false)
	l.mu.Lock()
	taken := l.posts
	l.posts, l.empty = l.empty, posts{}
	l.mu.Unlock()
	for _, call := range taken.calls {
		call()
	}
	for _, s := range taken.subscriptions {
		l.notifyFirst(s)
	}
	for _, a := range taken.audiences {
		notify := l.notifyFirst
		members := a.Members()
		if len(members) > flushesPerRound { // small rooms do not wait for a large one
			notify = l.notify
		}
		for _, s := range members {
			notify(s)
		}
	}
	taken.clear()
	l.mu.Lock()
	l.empty = taken
	l.mu.Unlock()
}

// note notes that a subscription may have something. It returns the handler if it
// has to look. A connection that takes nothing looks at all of its subscriptions
// when it does again, and one with a fetch under way looks when that is done.
func (l *loop) note(s *dispatch.Subscription) *Handler {
	h := s.Member().(*Handler)
	if s.Marked || h.blocked || h.isClosed() || s == h.fetching {
		return nil
	}
	s.Marked = true
	h.ready = append(h.ready, s)
	return h
}

// notify notes that a subscription may have something.
func (l *loop) notify(s *dispatch.Subscription) {
	if h := l.note(s); h != nil {
		l.mark(h)
	}
}

// notifyFirst notes that a subscription may have something for few.
func (l *loop) notifyFirst(s *dispatch.Subscription) {
	if h := l.note(s); h != nil {
		l.answer(h)
	}
}

// mark notes that a handler has something to write, or to decide.
func (l *loop) mark(h *Handler) {
	if !h.marked {
		h.marked = true
		l.writes.push(h)
	}
}

// answer notes that a handler has something to write that its peer waits for: it
// need not wait until a large room is served.
func (l *loop) answer(h *Handler) {
	if !h.waits {
		h.waits = true
		l.answers.push(h)
	}
}
