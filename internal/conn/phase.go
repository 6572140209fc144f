package conn

import "time"

// phase is how far a connection is in its life:
//
//	serving ⇄ doubted
//	    └────────┴──> owing ──> hurried ──> said ──> lingering ──> closed
//
// Any phase to the right of doubted may be skipped, and none comes back. Only the
// methods of life change the phase.
type phase uint8

const (
	// serving: requests are carried out and everything is sent.
	serving phase = iota
	// doubted is serving, but a time-out is over: the next sweep ends the
	// connection, unless input that came in the meantime is a sign of life.
	doubted
	// owing: no request is carried out any more. The peer is sent everything that
	// it is owed: replies, receipts of its sends, entries up to the head.
	owing
	// hurried: the peer is sent the rest of a cut frame and the farewell only. It
	// can resume.
	hurried
	// said: the farewell is in the output, and nothing follows it.
	said
	// lingering: the output has ended. Input is discarded until the peer hangs up or
	// lingerTimeout is over, so that unread input does not destroy the farewell.
	lingering
	// closed: the handler has given everything back.
	closed
)

// life is the phase of a connection and, from owing on, why it ends.
type life struct {
	phase     phase
	reason    Reason
	reconnect time.Duration // when the peer should come back; 0: the front does not say
	since     time.Duration // when the end began or, lingering, when that began
}

// reads reports whether requests are carried out.
func (l *life) reads() bool { return l.phase <= doubted }

// isEnding reports whether the connection ends, but is not closed.
func (l *life) isEnding() bool { return l.phase >= owing && l.phase < closed }

// sends reports whether the peer is sent what it is owed.
func (l *life) sends() bool { return l.phase <= owing }

// outputEnded reports whether nothing more is sent.
func (l *life) outputEnded() bool { return l.phase >= lingering }

// isClosed reports whether the connection is over.
func (l *life) isClosed() bool { return l.phase == closed }

// doubt notes that a time-out is over.
func (l *life) doubt() {
	if l.phase == serving {
		l.phase = doubted
	}
}

// trust ends a doubt.
func (l *life) trust() {
	if l.phase == doubted {
		l.phase = serving
	}
}

// end begins the end. The first reason stays. It reports whether this was it.
func (l *life) end(reason Reason, reconnect, now time.Duration) bool {
	if !l.reads() {
		return false
	}
	*l = life{phase: owing, reason: reason, reconnect: reconnect, since: now}
	return true
}

// hurry skips what the peer is still owed, once the end has begun.
func (l *life) hurry() {
	if l.phase == owing {
		l.phase = hurried
	}
}

// say notes that the farewell is in the output.
func (l *life) say() { l.advance(said) }

// linger notes that the output has ended.
func (l *life) linger(now time.Duration) {
	if l.advance(lingering) {
		l.since = now
	}
}

// close notes that everything is over. It reports whether it was not before.
func (l *life) close() bool { return l.advance(closed) }

func (l *life) advance(to phase) bool {
	if l.phase >= to {
		return false
	}
	l.phase = to
	return true
}
