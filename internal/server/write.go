package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"kaban/internal/chat"
	"kaban/internal/failpoint"
	"kaban/internal/refusal"
	"kaban/wire"
)

const (
	// shareBytes is up to what size frames are copied behind waiting replies and
	// the frames of other rooms, so that all go out in one call.
	shareBytes = 16 << 10
	// bytesPerStep is about how much one connection is given in a row, so that a
	// long replay does not hold up others.
	bytesPerStep = 256 << 10
	// lastCallTimeout is how long a connection that ends at once may take for the
	// rest of a frame and its goodbye.
	lastCallTimeout = 100 * time.Millisecond
)

// maxFetches is how many pages a loop has in memory: enough to keep the workers
// busy.
var maxFetches = 2 * maxWorkers

// outBuffer is the size of the buffers for replies and acks, of which a connection
// that has nothing to say holds none. What exceeds it is left to the garbage
// collector.
const outBuffer = 4 << 10

var outBuffers = sync.Pool{New: func() any { return new([outBuffer]byte) }}

// writeStep gives the client what waits for it: first replies and what was cut
// by an earlier write, then what its subscriptions have. It returns when nothing
// is left, when the socket takes no more, or after a while.
func (h *handler) writeStep() {
	if h.blocked || h.lingering || !h.finishEntry() {
		return
	}
	budget := bytesPerStep
	for len(h.ready) > 0 && !h.skips() && budget > 0 {
		n, ok := h.serve(h.nextReady())
		if !ok {
			return
		}
		budget -= n
	}
	if !h.flush() {
		return
	}
	if budget <= 0 {
		h.loop.mark(h)
	}
	h.resume()
	h.decide()
}

// finishEntry gives the client the rest of an entry that an earlier write has
// cut. It reports whether nothing is left of it.
func (h *handler) finishEntry() bool {
	for h.cut != nil {
		s := h.cut
		if s == h.fetching {
			return false
		}
		segment := s.Next()
		if segment.Behind {
			if h.fetching == nil { // one at a time; fetched comes back here
				h.fetch(s)
			}
			return false
		}
		if !h.writeFrames(s, &segment) {
			return false
		}
		h.cut = nil
	}
	return true
}

// nextReady takes the first that was noted. There is seldom more than one, so
// moving the others costs nothing and no memory is let go of.
func (h *handler) nextReady() *chat.Subscription {
	s := h.ready[0]
	rest := copy(h.ready, h.ready[1:])
	h.ready[rest] = nil
	if h.ready = h.ready[:rest]; rest == 0 && cap(h.ready) > maxIdleReady {
		h.ready = nil
	}
	s.Marked = false
	return s
}

// maxIdleReady is for how many rooms that have something there is room while none
// has.
const maxIdleReady = 4

// skips reports whether the connection ends without what it is owed.
func (h *handler) skips() bool { return h.said || h.ending != nil && h.ending.atOnce }

// decide ends a connection that is to end when nothing is left that it is owed.
func (h *handler) decide() {
	switch {
	case h.ending == nil, h.blocked, h.closed:
	case !h.said:
		if !h.ending.atOnce && (h.pending > 0 || len(h.ready) > 0 || h.fetching != nil || h.asking) {
			return
		}
		h.said = true
		if h.ending.reason != "" {
			h.append(goodbye(h.ending.reason, h.ending.reconnect))
		}
		if h.out = h.framing.farewell(h.buffer(), h.ending); len(h.out) == 0 {
			h.finish()
			return
		}
		if h.flush() {
			h.linger()
		}
	default: // the goodbye has gone out
		h.linger()
	}
}

// linger ends what is sent and swallows what the peer has sent, until it hangs
// up or a short time has passed.
func (h *handler) linger() {
	h.leave()
	if h.socket.CloseWrite() != nil {
		h.finish()
		return
	}
	h.lingering, h.endingAt = true, h.loop.now
	h.reader.Close()
	h.swallow() // what has come already: of that no poller tells again
}

// serve gives the client the next of one room. It returns how many bytes that
// were, and false when the connection cannot take more now or is over.
func (h *handler) serve(s *chat.Subscription) (given int, ok bool) {
	for given < bytesPerStep {
		segment := s.Next()
		size := len(segment.Frames)
		switch {
		case segment.Behind:
			if h.fetching == nil { // one at a time; fetched looks at the others
				h.fetch(s)
			}
			return given, true
		case segment.Receipt != nil:
			h.settle(s, segment.Receipt)
		case segment.Frames == nil:
			return given, true
		case (len(h.out) > 0 || len(h.ready) > 0 || segment.Cut) && len(h.out)+size <= shareBytes:
			h.out = append(h.buffer(), segment.Frames...)
			s.Advance(&segment, size)
		default:
			if !h.flush() || !h.writeFrames(s, &segment) {
				return given, false
			}
		}
		given += size
		if len(h.out) > shareBytes && !h.flush() {
			return given, false
		}
	}
	h.loop.notify(s)
	return given, true
}

// fetch has a worker read what the tail no longer has.
func (h *handler) fetch(s *chat.Subscription) {
	h.fetching = s
	h.loop.fetches.push(h)
	h.loop.startFetches()
}

// startFetches has workers read for those whose turn it is. What was read is
// written at once, so that few pages are in memory however many are behind.
func (l *loop) startFetches() {
	for l.fetching < maxFetches && l.fetches.len() > 0 {
		h := l.fetches.pop()
		s := h.fetching
		if h.blocked || !slices.Contains(h.rooms, s) { // it takes nothing now, or has left
			h.fetching = nil
			h.lookAround()
			continue
		}
		l.fetching++
		l.manager.workers.run(func() {
			err := s.Fetch(l.manager.ctx)
			l.post(func() {
				l.fetching--
				h.fetching = nil
				if !slices.Contains(h.rooms, s) { // left in the meantime
					err = nil
				}
				h.guard(func(h *handler) { h.fetched(s, err) })
				switch {
				case s == h.fetching: // for the next page
				case h.blocked:
					s.Rest()
				default:
					s.Unpin() // its page, if the client was not given it
				}
				l.startFetches()
			})
		})
	}
}

// fetched goes on after a worker has read.
func (h *handler) fetched(s *chat.Subscription, err error) {
	var resync *chat.ResyncError
	lost := errors.As(err, &resync)
	if err != nil && !lost && !errors.Is(err, context.Canceled) {
		h.manager().config.Log.Error("cannot read the log for a client; it may come back and resume", "err", err)
	}
	switch {
	case err != nil && s == h.cut: // in the middle of a frame nothing can be told
		h.finish()
		return
	case lost:
		event := refusal.Of(resync)
		h.reply(&event)
	case err != nil:
		h.end(ending{reason: wire.ReasonInternal, reconnect: time.Second, atOnce: true})
		return
	}
	h.loop.notify(s)
	h.lookAround()
	h.writeStep()
}

// lookAround notes all rooms: some may be behind and have waited for their turn.
func (h *handler) lookAround() {
	for _, s := range h.rooms {
		h.loop.notify(s)
	}
	h.loop.mark(h)
}

// settle tells the client how something that it sent has ended.
func (h *handler) settle(s *chat.Subscription, r *chat.Receipt) {
	h.pending--
	h.pendingSize -= r.Size
	if r.Err != nil {
		event := refusalEvent(s, r)
		h.append(&event)
		return
	}
	var ref []byte
	if r.HasRef {
		ref = append(make([]byte, 0, wire.MaxRef), r.Ref...)
	}
	out := h.buffer()
	start := len(out)
	out = wire.AppendAck(h.framing.begin(out), ref, s.Room().Name().String(), r.ID, r.Seq, time.UnixMilli(r.Time), r.Duplicate)
	h.out = h.framing.end(out, start)
}

// append adds a frame to what must go out next.
func (h *handler) append(event *wire.Event) {
	h.out = appendFrame(h.buffer(), h.framing, event)
}

// buffer returns what must go out next, with room to append.
func (h *handler) buffer() []byte {
	if h.out == nil {
		h.out = outBuffers.Get().(*[outBuffer]byte)[:0]
	}
	return h.out
}

// release gives the buffer back.
func (h *handler) release() {
	if cap(h.out) == outBuffer {
		outBuffers.Put((*[outBuffer]byte)(h.out[:outBuffer]))
	}
	h.out = nil
}

// flush writes what must go out before anything else. It reports whether all
// of it went out.
func (h *handler) flush() bool {
	if len(h.out) == 0 {
		h.release()
		return true
	}
	n, err := h.write(h.out)
	if n < len(h.out) {
		h.out = h.out[:copy(h.out, h.out[n:])]
		h.writeFailed(err)
		return false
	}
	h.release()
	return true
}

// writeFrames writes frames that are shared with others and moves the cursor.
// When the socket takes only a part of an entry, the rest is read again when it
// takes more: a connection that has stalled holds none of it. What cannot be
// read again becomes ours.
func (h *handler) writeFrames(s *chat.Subscription, segment *chat.Segment) bool {
	n, err := h.write(segment.Frames)
	rest := s.Advance(segment, n)
	if n == len(segment.Frames) {
		return true
	}
	if rest > 0 { // in front of replies that were queued meanwhile
		h.out = slices.Insert(h.buffer(), 0, segment.Frames[n:n+rest]...)
	}
	if h.cut = nil; s.IsCut() {
		h.cut = s
	}
	h.writeFailed(err)
	return false
}

// writeFailed decides what an incomplete write means.
func (h *handler) writeFailed(err error) {
	if !errors.Is(err, errBlocked) {
		h.finish()
		return
	}
	h.blocked = true
	if h.stalled != 0 && h.loop.now-h.stalled >= h.manager().config.StallTimeout {
		h.end(ending{reason: wire.ReasonSlowConsumer, reconnect: time.Second, atOnce: true})
	}
	if rest := len(h.out); rest > 0 && rest < cap(h.out)/2 { // it may be for long
		small := slices.Clone(h.out)
		h.release()
		h.out = small
	}
	if h.stalled == 0 {
		h.stalled = h.loop.now
	}
	for _, s := range h.rooms { // all are looked at when it takes something again
		s.Marked = false
		if s != h.fetching {
			s.Rest()
		}
	}
	h.ready = nil
}

// write is the only place that writes to the socket.
func (h *handler) write(p []byte) (n int, err error) {
	n, err = h.socket.Write(p)
	if n > 0 {
		h.stalled = 0
		h.sent += uint32(n)
	}
	failpoint.Point("write.after")
	return n, err
}

func goodbye(reason wire.Reason, reconnect time.Duration) *wire.Event {
	return &wire.Event{Type: wire.TypeGoodbye, Reason: reason, ReconnectAfter: reconnect, HasReconnect: reconnect > 0}
}
