package dispatch

import (
	"context"
	"errors"
	"time"

	"kaban"
	"kaban/internal/store"
)

// stopTime bounds how long a failed send stops others, for clients that never send it again.
const stopTime = 10 * time.Second

// stop is what a send leaves that the store could not take for now. Its client will send it
// again; what the client sent in the room behind it is refused until then, so that it is not
// stored first. The store may take it at any moment.
type stop struct {
	err     error
	id      kaban.MessageID // of the send
	attempt uint8           // which is stopped, from this send on
	at      time.Duration   // of Dispatcher.clock
}

// Fails reports whether an error says that the store could not take a send for now. The
// client sends it again.
func Fails(err error) bool {
	for _, passing := range []error{
		store.ErrUnavailable, store.ErrUnknown, store.ErrFull, store.ErrStale, store.ErrBroken, store.ErrClosed, ErrClosed, context.DeadlineExceeded,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// stop notes the first send of an attempt that failed. Only the committer of the room calls it, or
// the waker if there is no committer any more.
func (q *receiptQueue) stop(s *Send, err error, now time.Duration) {
	if was := q.stopped.Load(); was == nil || was.attempt != s.attempt {
		q.stopped.Store(&stop{err: err, id: s.Draft.ID, attempt: s.attempt, at: now})
	}
}

// stopped returns why a send is not even tried; nil if it is.
func (s *Send) stopped() error {
	if s.Subscription == nil {
		return nil
	}
	if q := s.Subscription.receipts.Load(); q != nil {
		if now := q.stopped.Load(); now != nil && now.attempt == s.attempt {
			return now.err
		}
	}
	if s.Terms != nil {
		return s.Terms.Failed
	}
	return nil
}

// begin counts a send among those of the current attempt. One that repeats what has stopped
// the others begins the next.
func (s *Subscription) begin(send *Send) {
	if q := s.receipts.Load(); q != nil {
		if now := q.stopped.Load(); now != nil && now.attempt == s.attempt && (send.Draft.ID == now.id || send.at-now.at > stopTime) {
			s.attempt++
		}
	}
	send.attempt = s.attempt
}

// withoutStopped refuses the sends that are stopped, and returns the others.
func (c *committer) withoutStopped(sends []Send) []Send {
	kept := sends[:0]
	for i := range sends {
		if err := sends[i].stopped(); err != nil {
			c.refuseAll(sends[i:i+1], err)
		} else if len(kept) < i {
			kept = append(kept, sends[i])
		} else {
			kept = sends[:i+1]
		}
	}
	clear(sends[len(kept):])
	return kept
}
