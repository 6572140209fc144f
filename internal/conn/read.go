package conn

import (
	"errors"
	"io"
)

// readsPerStep bounds how long one busy peer keeps the others waiting.
const readsPerStep = 4

// The work for requests is counted in units of about a microsecond, so that each
// connection gets its share of a round and no more, whatever it asks for.
const (
	// lightShare is what one connection may ask for in a round before all that ask
	// for more. The rest waits for the next round, in which the connection is one of
	// those.
	lightShare = 128
	// stepShare is what one of those may ask for in a round, so that its sends are
	// still stored in large batches.
	stepShare = 1024
	// heavyShare is what those have together in a round.
	heavyShare = 2048
)

// readStep takes the input that is ready and has the front carry out the requests
// in it. It ends when the socket has nothing more, when the connection has had its
// share of the round, or when the write step has to make room first.
func (h *Handler) readStep() {
	if h.outputEnded() {
		h.discard()
		return
	}
	if h.isPaused() {
		return
	}
	h.need = NeedNothing
	before := h.loop.spent
	share := lightShare
	if h.heavy {
		share = stepShare
	}
	h.allowance = before + share
	if h.readReady() {
		h.loop.readable(h)
	}
	h.heavy = h.loop.spent-before >= lightShare
	h.front.Release()
}

// readReady reports whether more may be ready.
func (h *Handler) readReady() bool {
	for range readsPerStep {
		if !h.readRequests() {
			return false
		}
		if err := h.front.Fill(); err != nil {
			if h.readRequests() && !errors.Is(err, ErrBlocked) {
				h.inputEnded(err)
			}
			return false
		}
	}
	return true
}

// readRequests has the complete requests carried out. It reports whether more can
// be read.
func (h *Handler) readRequests() bool {
	for h.reads() && !h.asking {
		if h.loop.spent >= h.allowance {
			h.loop.readable(h)
			return false
		}
		switch need := h.front.Next(); need {
		case NeedNothing:
			if h.isPaused() {
				return false
			}
		case NeedInput: // a codec may reply to input that holds no request
			if h.Has(NeedReply) {
				return true
			}
			h.need = NeedReply
			return false
		default:
			h.need = need
			return false
		}
	}
	return false
}

// resume has the read step go on if it waits for room that is there.
func (h *Handler) resume() {
	if h.need != NeedNothing && h.Has(h.need) {
		h.loop.readable(h)
	}
}

// inputEnded ends the connection after the last request.
func (h *Handler) inputEnded(err error) {
	h.front.InputEnded(err)
	broken, isTLS := errors.AsType[*TLSError](err)
	switch {
	case isTLS && !broken.IsPlain: // the peer cannot be sent anything but the alert of crypto/tls, if it was sent one
		h.End(Violation, 0)
		h.say()
	case errors.Is(err, io.EOF): // a peer that has ended its input is still sent what it is owed
		h.End(HungUp, 0)
	case h.reads(): // reset: the peer is gone
		h.finish()
	}
}

// discard drops input after the farewell, until the peer hangs up.
func (h *Handler) discard() {
	l := h.loop
	if l.scratch == nil {
		l.scratch = make([]byte, 16<<10)
	}
	for range readsPerStep {
		if _, err := h.socket.Read(l.scratch); errors.Is(err, ErrBlocked) {
			return
		} else if err != nil {
			h.finish()
			return
		}
	}
	l.readable(h)
}
