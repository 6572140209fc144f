package bench

import (
	"fmt"
	"time"
)

// presenceQuiet is how long a storm waits for further presence: more than the
// quarter of a second over which servers batch it.
const presenceQuiet = 600 * time.Millisecond

// storm lets everyone join one room at once, and leave it at once.
func (l *loop) storm(r *Result) error {
	name := "bench-" + l.run + "-storm"
	for range l.Members {
		l.add(nil, "")
	}
	took, err := l.open()
	if err != nil {
		return err
	}
	n := float64(len(l.conns))
	j := &JoinResult{Connections: len(l.conns), LoginSeconds: took.Seconds(), LoginsPerSecond: n / took.Seconds()}
	s, err := l.begin()
	if err != nil {
		return err
	}
	for _, c := range l.conns {
		c.identity.room = name
	}
	if j.JoinSeconds, j.PresenceWhileJoin, err = l.all(kindJoined, l.dialect.appendJoin); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	if j.LeaveSeconds, j.PresenceWhilePart, err = l.all(kindParted, l.dialect.appendPart); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	r.Join = j
	return l.finish(s, r)
}

// all sends a request on every connection and waits for all answers and for the
// end of the presence that follows. It returns the time until the last answer and
// the number of presence frames per connection.
func (l *loop) all(answer kind, request func(dst []byte, who *identity) []byte) (seconds, presence float64, err error) {
	var answers, frames int
	var last int64 // of the last presence
	l.onOther = func(_ *conn, k kind, _ []byte) {
		switch k {
		case answer:
			answers++
		case kindPresence:
			frames++
			last = l.now
		}
	}
	defer func() { l.onOther = nil }()
	begin := l.clock()
	for i, c := range l.conns {
		l.scratch = request(l.scratch[:0], &c.identity)
		l.write(c, l.scratch)
		if i%maxEvents == maxEvents-1 {
			if err := l.round(0); err != nil {
				return 0, 0, err
			}
		}
	}
	for before, since := 0, begin; answers < len(l.conns); {
		if err := l.round(100 * time.Millisecond); err != nil {
			return 0, 0, err
		}
		if answers+frames != before {
			before, since = answers+frames, l.now
		} else if l.now-since > int64(patience) {
			return 0, 0, fmt.Errorf("%d of %d answers are missing", len(l.conns)-answers, len(l.conns))
		}
		l.say(float64(answers)/float64(len(l.conns)), "%d of %d answers", answers, len(l.conns))
	}
	seconds = time.Duration(l.clock() - begin).Seconds()
	for last = l.clock(); l.now-last < int64(presenceQuiet); {
		if err := l.round(50 * time.Millisecond); err != nil {
			return 0, 0, err
		}
		if l.now-begin > int64(2*patience) {
			return 0, 0, fmt.Errorf("presence does not end")
		}
	}
	return seconds, float64(frames) / float64(len(l.conns)), nil
}

// durable has senders that wait for each ack before they send again, spread over
// rooms.
func (l *loop) durable(r *Result) error {
	for i := range l.Rooms { // as evenly as possible
		n := l.Senders*(i+1)/l.Rooms - l.Senders*i/l.Rooms
		l.addRoom(n, n)
	}
	l.sample()
	if _, err := l.open(); err != nil {
		return err
	}
	if err := l.prepare(); err != nil {
		return err
	}
	h := newHistogram()
	measuring, sending := false, true
	acks := uint64(0)
	l.onOther = func(c *conn, k kind, _ []byte) {
		if k != kindAck {
			return
		}
		now := l.clock()
		if measuring {
			acks++
			record(h, now-c.due)
		}
		if sending {
			c.due = now
			l.send(c, 1, 0)
		}
	}
	for _, c := range l.conns {
		c.due = l.clock()
		l.send(c, 1, 0)
	}
	if err := l.pause(l.Warmup, "warming up"); err != nil {
		return err
	}
	s, err := l.begin()
	if err != nil {
		return err
	}
	measuring = true
	if err := l.pause(l.Duration, fmt.Sprintf("%d senders", l.Senders)); err != nil {
		return err
	}
	measuring, sending = false, false
	if err := l.finish(s, r); err != nil {
		return err
	}
	if err := l.drain(); err != nil {
		return err
	}
	r.Durable = &DurableShown{Senders: l.Senders, AcksPerSecond: float64(acks) / r.Seconds, Latency: percentiles(h)}
	l.verify(r)
	return nil
}
