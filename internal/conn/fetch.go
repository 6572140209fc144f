package conn

import (
	"context"
	"errors"
	"slices"
	"time"

	"kaban/internal/dispatch"
)

// maxFetches is how many pages a loop has in memory: enough to keep the readers
// busy.
var maxFetches = 2 * maxReaders

// fetch has a worker read entries that the tail no longer has.
func (h *Handler) fetch(s *dispatch.Subscription) {
	h.fetching = s
	h.loop.fetches.push(h)
	h.loop.startFetches()
}

// startFetches has workers read for those whose turn it is. Each page is written
// at once, so that few are in memory however many readers are behind.
func (l *loop) startFetches() {
	for l.fetching < maxFetches && l.fetches.len() > 0 {
		h := l.fetches.pop()
		s := h.fetching
		if h.blocked || !slices.Contains(h.rooms, s) { // it takes nothing now, or has left
			h.fetching = nil
			s.Unpin()
			h.lookAround()
			continue
		}
		l.fetching++
		l.manager.readers.run(func() {
			err := s.Fetch(l.manager.ctx)
			l.post(func() { l.finishFetch(h, s, err) })
		})
	}
}

// finishFetch goes on after a worker has read.
func (l *loop) finishFetch(h *Handler, s *dispatch.Subscription, err error) {
	l.fetching--
	h.fetching = nil
	if !slices.Contains(h.rooms, s) { // left in the meantime
		err = nil
	}
	h.guard(func(h *Handler) { h.fetched(s, err) })
	switch {
	case s == h.fetching: // for the next page
	case h.blocked:
		s.Rest()
	default:
		s.Unpin() // the page, if it was not written
	}
	l.startFetches()
}

// fetched sends the peer the page, or says why there is none.
func (h *Handler) fetched(s *dispatch.Subscription, err error) {
	var resync *dispatch.ResyncError
	lost := errors.As(err, &resync)
	if err != nil && !lost && !errors.Is(err, context.Canceled) && !errors.Is(err, dispatch.ErrChanged) {
		h.loop.manager.config.Log.Error("cannot read the log for a client; it may come back and resume", "connection", h.Origin(), "err", err)
	}
	switch {
	case err != nil && s == h.cut: // in the middle of a frame there is nothing to say
		h.finish()
		return
	case lost:
		h.Reply(h.front.Lost(h.Output(), resync))
	case err != nil:
		h.endNow(Internal, time.Second)
		return
	}
	h.loop.notify(s)
	h.lookAround()
	h.writeStep()
}

// lookAround notes all rooms: some may be behind and have waited for their turn.
func (h *Handler) lookAround() {
	for _, s := range h.rooms {
		h.loop.notify(s)
	}
	h.loop.mark(h)
}
