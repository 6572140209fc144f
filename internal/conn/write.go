package conn

import (
	"errors"
	"slices"
	"sync"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/failpoint"
)

const (
	// shareBytes is up to what size frames are copied behind waiting replies and
	// the frames of other rooms, so that all go out in one call.
	shareBytes = 16 << 10
	// bytesPerStep is about how much one connection is sent in a row, so that a
	// long replay does not hold up others.
	bytesPerStep = 256 << 10
	// outBuffer and wideBuffer are the sizes of output buffers. A connection with nothing
	// to send has none. Larger ones are left to the garbage collector.
	outBuffer  = 4 << 10
	wideBuffer = shareBytes + outBuffer
	// shortFrame is for how much there is room in an output buffer before something of
	// unknown size is appended: most replies are smaller.
	shortFrame = 256
	// maxIdleReady is for how many rooms with news there is memory while there is
	// none.
	maxIdleReady = 4
)

var (
	outBuffers  = sync.Pool{New: func() any { return new([outBuffer]byte) }}
	wideBuffers = sync.Pool{New: func() any { return new([wideBuffer]byte) }}
)

// writeStep sends the peer what waits for it: first replies and the rest of a cut
// entry, then the subscriptions' news. It returns when nothing is left, when the
// socket takes no more, or when the connection has had its share.
func (h *Handler) writeStep() {
	if h.blocked || h.outputEnded() || !h.finishEntry() {
		return
	}
	budget := bytesPerStep
	for len(h.ready) > 0 && h.sends() && budget > 0 {
		n, ok := h.serve(h.nextReady())
		if !ok {
			return
		}
		budget -= n
	}
	if !h.flush() {
		return
	}
	switch {
	case budget <= 0:
		h.loop.mark(h)
	case h.fetching == nil: // the socket has everything
		h.stalled = 0
	}
	h.resume()
	h.decide()
}

// finishEntry sends the rest of an entry that an earlier write has cut. It reports
// whether nothing is left of it.
func (h *Handler) finishEntry() bool {
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

// nextReady takes the first subscription that was noted. There is seldom more than
// one, so moving the others costs nothing and keeps the memory.
func (h *Handler) nextReady() *dispatch.Subscription {
	s := h.ready[0]
	rest := copy(h.ready, h.ready[1:])
	h.ready[rest] = nil
	if h.ready = h.ready[:rest]; rest == 0 && cap(h.ready) > maxIdleReady {
		h.ready = nil
	}
	s.Marked = false
	return s
}

// decide ends an ending connection when it is owed nothing.
func (h *Handler) decide() {
	switch {
	case !h.isEnding(), h.blocked:
	case h.phase < said:
		if h.sends() && (h.inFlight > 0 || len(h.ready) > 0 || h.fetching != nil || h.asking) {
			return
		}
		h.sayFarewell()
		if len(h.out) == 0 {
			h.finish()
			return
		}
		if h.flush() {
			h.lingerOn()
		}
	default: // the farewell has gone out
		h.lingerOn()
	}
}

func (h *Handler) sayFarewell() {
	h.say()
	h.out = h.front.Farewell(h.Output(), h.reason, h.reconnect)
}

// lingerOn ends the output and discards input until the peer hangs up or a short
// time is over.
func (h *Handler) lingerOn() {
	if h.socket.CloseWrite() != nil {
		h.finish()
		return
	}
	h.linger(h.loop.now)
	h.leave()
	h.discard() // input that has come already: no poller reports it again
}

// serve sends the news of one room. It returns how many bytes that were, and false
// when the connection cannot take more now or is closed.
func (h *Handler) serve(s *dispatch.Subscription) (given int, ok bool) {
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
			h.inFlight--
			h.inFlightSize -= int32(segment.Receipt.Size)
			h.out = h.front.Receipt(h.Output(), s, segment.Receipt)
		case segment.Expelled != nil:
			h.front.Leave(s)
			h.Unsubscribe(s)
			h.out = h.front.Expelled(h.Output(), s, segment.Expelled)
			return given, true
		case segment.Frames == nil:
			return given, true
		case (len(h.out) > 0 || len(h.ready) > 0 || segment.ReceiptFollows) && len(h.out)+size <= shareBytes:
			h.reserve(size)
			h.out = append(h.out, segment.Frames...)
			before := s.Seq()
			s.Advance(&segment, size)
			h.loop.tally.deliveries += s.Seq() - before
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

// reserve sees to it that there is an output buffer, and that so many bytes can be
// appended to it without an allocation if a buffer of the pools has so many.
func (h *Handler) reserve(size int) {
	length := len(h.out)
	switch {
	case h.out != nil && length+size <= cap(h.out):
	case h.out == nil && size <= outBuffer:
		h.out = outBuffers.Get().(*[outBuffer]byte)[:0]
	case length+size <= wideBuffer && cap(h.out) < wideBuffer:
		wide := wideBuffers.Get().(*[wideBuffer]byte)[:length]
		copy(wide, h.out)
		h.release()
		h.out = wide
	}
}

// release gives the output buffer back.
func (h *Handler) release() {
	switch cap(h.out) {
	case outBuffer:
		outBuffers.Put((*[outBuffer]byte)(h.out[:outBuffer]))
	case wideBuffer:
		wideBuffers.Put((*[wideBuffer]byte)(h.out[:wideBuffer]))
	}
	h.out = nil
}

// flush writes what must go out before anything else. It reports whether all
// of it went out.
func (h *Handler) flush() bool {
	if len(h.out) == 0 {
		h.release()
		return true
	}
	n, err := h.write(h.out)
	if err != nil {
		h.out = h.out[:copy(h.out, h.out[n:])]
		if len(h.out) == 0 {
			h.release()
		}
		h.writeFailed(err)
		return false
	}
	h.release()
	return true
}

// writeFrames writes frames that are shared with others and moves the cursor.
// When the socket takes only a part of an entry, the rest is read again when it
// takes more: a connection that has stalled holds none of it. A frame that cannot
// be read again is copied.
func (h *Handler) writeFrames(s *dispatch.Subscription, segment *dispatch.Segment) bool {
	n, err := h.write(segment.Frames)
	before := s.Seq()
	rest := s.Advance(segment, n)
	h.loop.tally.deliveries += s.Seq() - before
	if err == nil {
		return true
	}
	if rest > 0 { // in front of replies that were queued meanwhile
		h.out = slices.Insert(h.Output(), 0, segment.Frames[n:n+rest]...)
	}
	if h.cut = nil; s.IsMidEntry() {
		h.cut = s
	}
	h.writeFailed(err)
	return false
}

// writeFailed decides what an incomplete write means.
func (h *Handler) writeFailed(err error) {
	if !errors.Is(err, ErrBlocked) {
		h.finish()
		return
	}
	h.block(true)
	if h.hasStalled() {
		h.endNow(SlowConsumer, time.Second)
	}
	if rest := len(h.out); rest > 0 && rest < cap(h.out)/2 { // it may be for long
		small := slices.Clone(h.out)
		h.release()
		h.out = small
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
func (h *Handler) write(p []byte) (n int, err error) {
	n, err = h.socket.Write(p)
	h.sent += uint32(n)
	h.loop.tally.written += uint64(max(n, 0))
	failpoint.Point("write.after")
	return n, err
}
