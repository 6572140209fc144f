package server

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/failpoint"
	"kaban/wire"
)

// shareBytes is up to what size frames are copied behind waiting replies, so
// that both go out in one call.
const shareBytes = 16 << 10

// lastCallTimeout is how long a connection that ends at once may take for the
// rest of a frame and its goodbye.
const lastCallTimeout = 100 * time.Millisecond

// longAgo is a deadline that frees whatever is blocked.
var longAgo = time.Unix(1, 0)

// errBlocked says that the socket takes no more for now. A driver over
// non-blocking sockets returns it from write; the step is repeated when the
// socket is ready.
var errBlocked = errors.New("socket takes no more for now")

// outBuffers are the buffers for replies and acks; a connection that has
// nothing to say holds none.
var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// writeStep gives the client everything that waits for it: first what was cut
// by an earlier write, then replies, then what its subscriptions have. It
// returns when nothing is left, or the socket takes no more.
func (h *handler) writeStep() {
	if h.hurry.Load() && !h.lastCall { // the peer may take nothing any more: try, but not for long
		h.lastCall = true
		h.conn.SetWriteDeadline(time.Now().Add(lastCallTimeout))
	}
	for h.flush() && h.takeWork() {
		for len(h.turn) > 0 && !h.hurry.Load() {
			s := h.turn[0]
			more, ok := h.serve(s)
			if !ok {
				return
			}
			h.turn = h.turn[1:]
			if more { // one write each, so that a long replay does not hold up other rooms
				h.turn = append(h.turn, s)
			}
		}
	}
	h.makeRoom()
}

// takeWork moves what waits to the write side. It reports whether there was
// anything; when nothing is left that the client is owed, and the connection
// is to end, it ends it.
func (h *handler) takeWork() bool {
	h.mu.Lock()
	if len(h.replies) > 0 { // out is empty: the buffers change places
		h.out, h.replies = h.replies, nil
	}
	if !h.hurry.Load() {
		h.turn = append(h.turn, h.ready...)
		clear(h.ready)
		h.ready = h.ready[:0]
	}
	e, readDone, finished := h.ending, h.readDone, h.finished
	h.mu.Unlock()
	switch {
	case finished:
		return false
	case len(h.out) > 0:
		return true
	case len(h.turn) > 0 && !h.hurry.Load():
		return true
	case e != nil && (e.atOnce || readDone && h.pending.Load() == 0):
		h.farewell(e)
	}
	if len(h.turn) == 0 {
		h.turn = nil
	}
	return false
}

// farewell is the last thing that is written.
func (h *handler) farewell(e *ending) {
	if e.reason != "" {
		h.out = appendGoodbye(h.buffer(), e.reason, e.reconnect)
		h.flush()
	}
	h.finish()
}

// serve gives the client the next of one room. It reports whether the room may
// have more, and false when the connection cannot take more now or is over.
func (h *handler) serve(s *dispatch.Subscription) (more, ok bool) {
	for {
		segment, err := s.Next(h.ctx)
		var resync *dispatch.ResyncError
		switch {
		case errors.As(err, &resync):
			event := resyncEvent(resync)
			h.out = event.Append(h.buffer())
		case err != nil:
			h.readFailed(err)
			return false, false
		case segment.Receipt != nil:
			h.acknowledge(s, segment.Receipt)
		case segment.Frames != nil && len(h.out) > 0 && len(h.out)+len(segment.Frames) <= shareBytes:
			h.out = append(h.out, segment.Frames...)
			s.Advance(len(segment.Frames))
		case segment.Frames != nil:
			return true, h.flush() && h.writeFrames(s, segment.Frames)
		default:
			s.Unpin() // who has everything holds nothing
			return false, true
		}
		if len(h.out) > shareBytes && !h.flush() {
			return true, false
		}
	}
}

// readFailed ends a connection whose history cannot be read.
func (h *handler) readFailed(err error) {
	if !errors.Is(err, context.Canceled) {
		h.manager.config.Log.Error("cannot read the log for a client; it may come back and resume", "err", err)
	}
	h.end(ending{reason: wire.ReasonInternal, reconnect: time.Second, atOnce: true})
}

func (h *handler) acknowledge(s *dispatch.Subscription, r *dispatch.Receipt) {
	var ref []byte
	if r.HasRef {
		ref = append(make([]byte, 0, 64), r.Ref...)
	}
	h.out = wire.AppendAck(h.buffer(), ref, s.Room().Name().String(), r.ID, r.Seq, time.UnixMilli(r.Time), r.Duplicate)
	h.pending.Add(-1)
	h.pendingSize.Add(-int64(r.Size))
	h.makeRoom()
}

// makeRoom lets a paused read side look again.
func (h *handler) makeRoom() {
	if h.paused.Load() {
		h.wakeReader()
	}
}

// buffer returns what must go out next, with room to append.
func (h *handler) buffer() []byte {
	if h.out == nil {
		h.out = newBuffer()
	}
	return h.out
}

func newBuffer() []byte { return *outBuffers.Get().(*[]byte) }

// flush writes what must go out before anything else. It reports whether all
// of it went out.
func (h *handler) flush() bool {
	if len(h.out) == 0 {
		return true
	}
	n, err := h.write(h.out)
	if n < len(h.out) {
		h.out = h.out[:copy(h.out, h.out[n:])]
		h.writeFailed(err)
		return false
	}
	if cap(h.out) <= maxReplies {
		buffer := h.out[:0]
		outBuffers.Put(&buffer)
	}
	h.out = nil
	return true
}

// writeFrames writes frames that are shared with others and moves the cursor.
// When the socket takes only a part, the rest of the frame that was cut becomes
// ours, so that the cursor stands between frames.
func (h *handler) writeFrames(s *dispatch.Subscription, frames []byte) bool {
	n, err := h.write(frames)
	rest := s.Advance(n)
	if n == len(frames) {
		return true
	}
	if rest > 0 {
		h.out = append(h.buffer(), frames[n:n+rest]...)
	}
	s.Unpin()
	h.writeFailed(err)
	return false
}

// writeFailed decides what an incomplete write means.
func (h *handler) writeFailed(err error) {
	switch {
	case errors.Is(err, errBlocked): // the driver calls again
	case errors.Is(err, os.ErrDeadlineExceeded) && !h.lastCall:
		// The end was hurried, which repeats the step for a last call.
	default:
		h.finish()
		h.conn.SetReadDeadline(longAgo)
	}
}

// write is the only place that writes to the socket. A write that makes no
// progress for the stall timeout is cut by the sweeper and ends the connection.
func (h *handler) write(p []byte) (n int, err error) {
	for {
		started := h.manager.clock.Load()
		h.writing.Store(started)
		k, err := h.conn.Write(p[n:])
		h.writing.Store(0)
		n += k
		failpoint.Point("write.after")
		if n == len(p) || !errors.Is(err, os.ErrDeadlineExceeded) || h.hurry.Load() {
			return n, err
		}
		took := time.Duration(h.manager.clock.Load()-started) * time.Millisecond
		if k == 0 && took >= h.manager.config.StallTimeout {
			h.end(ending{reason: wire.ReasonSlowConsumer, reconnect: time.Second, atOnce: true})
			return n, err
		}
		h.mu.Lock()
		if !h.hurry.Load() {
			h.conn.SetWriteDeadline(time.Time{})
		}
		h.mu.Unlock()
	}
}

// appendGoodbye appends a goodbye.
func appendGoodbye(dst []byte, reason wire.Reason, reconnect time.Duration) []byte {
	return (&wire.Event{Type: wire.TypeGoodbye, Reason: reason, ReconnectAfter: reconnect, HasReconnect: reconnect > 0}).Append(dst)
}
