package conn

import "time"

// pauses are the connections of a loop whose input waits for a time, the one that goes
// on first in front: a binary heap, so that a loop with many of them needs no timer and
// no goroutine for each. A handler knows its place, so that one that closes leaves
// nothing behind.
type pauses []pause

type pause struct {
	until   time.Duration // of the loop's time
	handler *Handler
}

// put adds a handler, or moves it to a later time.
func (p *pauses) put(h *Handler, until time.Duration) {
	if h.paused == 0 {
		*p = append(*p, pause{until, h})
		h.paused = int32(len(*p))
		p.up(len(*p) - 1)
		return
	}
	i := int(h.paused) - 1
	if until > (*p)[i].until {
		(*p)[i].until = until
		p.down(i)
	}
}

// remove takes out a handler, if it is there.
func (p *pauses) remove(h *Handler) {
	if h.paused == 0 {
		return
	}
	i, last := int(h.paused)-1, len(*p)-1
	p.swap(i, last)
	(*p)[last] = pause{}
	*p = (*p)[:last]
	h.paused = 0
	if i < last {
		p.down(i)
		p.up(i)
	}
	if last == 0 {
		*p = nil // it may have been a crowd
	}
}

func (p pauses) swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].handler.paused, p[j].handler.paused = int32(i+1), int32(j+1)
}

func (p pauses) up(i int) {
	for parent := (i - 1) / 2; i > 0 && p[i].until < p[parent].until; parent = (i - 1) / 2 {
		p.swap(i, parent)
		i = parent
	}
}

func (p pauses) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(p); child++ {
			if p[child].until < p[least].until {
				least = child
			}
		}
		if least == i {
			return
		}
		p.swap(i, least)
		i = least
	}
}

// Pause has nothing more read from the peer for a time, and requests that were read
// wait. The peer is not silent meanwhile, and is sent what it is owed. Pauses do not
// add up: the longest counts.
func (h *Handler) Pause(d time.Duration) {
	if d > 0 && h.reads() {
		h.loop.pauses.put(h, h.loop.now+d)
	}
}

// isPaused reports whether the peer's input waits for a time.
func (h *Handler) isPaused() bool { return h.paused != 0 }

// goOn ends the pauses that are over.
func (l *loop) goOn() {
	for len(l.pauses) > 0 && l.pauses[0].until <= l.now {
		h := l.pauses[0].handler
		l.pauses.remove(h)
		l.readable(h) // input that came meanwhile may have been reported already
	}
}

// rest returns how long the loop may wait for work.
func (l *loop) rest() time.Duration {
	if len(l.handlers) == 0 {
		return -1
	}
	rest := l.sweepEvery() - (l.now - l.swept)
	if len(l.pauses) > 0 {
		rest = min(rest, l.pauses[0].until-l.now)
	}
	return max(rest, 0)
}
