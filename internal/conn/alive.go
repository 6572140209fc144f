package conn

import (
	"math/rand/v2"
	"time"
)

const (
	// maxPings is how many pings go without an answer before a peer is given up.
	// Each has a heartbeat for its answer.
	maxPings = 2
	// finishTimeout is how long a connection that ends may take to be sent what it
	// is owed, if only its peer holds it up.
	finishTimeout = 5 * time.Second
	// owedTimeout is the same for a peer that has hung up and takes what it is owed:
	// in a busy room there is no end of it.
	owedTimeout = 30 * time.Second
	// drainStall is how long a peer may take no byte while the server drains.
	drainStall = time.Second
	// lastCallTimeout is how long a hurried connection may take no byte of the rest
	// of a frame and the farewell.
	lastCallTimeout = 100 * time.Millisecond
	// lingerTimeout is how long a connection lingers.
	lingerTimeout = 500 * time.Millisecond
)

// check looks after everything that has to do with time.
func (h *Handler) check() {
	config, now := &h.loop.manager.config, h.loop.now
	if h.blocked || h.pings > 0 {
		h.look()
	}
	stalled := time.Duration(0)
	if h.blocked {
		stalled = now - h.stalled
	}
	switch {
	case h.isEnding():
		h.checkEnding(stalled, now-h.since)
	case stalled >= config.StallTimeout:
		h.loop.writable(h) // it may take a little, which no poller reports; if not, the connection ends
	case !h.admitted && h.asking: // its hello is here, and the server takes its time
	case !h.admitted:
		if now-h.quiet >= config.HelloTimeout && h.readOnce() {
			h.End(Late, 0)
		}
	case h.blocked, h.asking, h.isPaused(), h.need != NeedNothing: // no ping gets through, or its answer is not read
		h.quiet = now
	case now-h.quiet < config.Heartbeat:
	case h.pings < maxPings:
		h.ping()
	case h.loop.giveUps > 0 && h.readOnce():
		h.loop.giveUps-- // many that went silent at once shall not come back at once
		spread := spreadOver(len(h.loop.handlers))
		h.endNow(Idle, spread/4+rand.N(spread))
	}
}

// ping asks the peer for a sign of life.
func (h *Handler) ping() {
	h.look()
	h.pings++
	h.quiet = h.loop.now
	before := len(h.out)
	h.out = h.front.Ping(h.Output())
	h.sent -= uint32(len(h.out) - before)
	h.loop.mark(h) // the peer does not wait for it
}

// look notes how much the peer's TCP has taken since the last look. A peer that
// was behind and takes something is neither silent nor stalled, however long a
// ping needs to get through. Pings that it takes, or bytes that it was not behind
// with, prove nothing: the system takes those for a program that hangs.
func (h *Handler) look() {
	untaken := uint32(h.socket.Untaken())
	taken := h.sent - untaken
	if progress := int32(taken - h.taken); progress > 0 {
		h.taken = taken
		if h.blocked {
			h.stalled = h.loop.now
		}
		if h.behind {
			h.hear()
		}
	}
	h.behind = untaken > 0
}

// hasStalled judges a peer whose socket is blocked. Bytes that the socket takes
// now and then, until it has everything, are no progress: the kernel has a little
// room also for a peer that takes nothing.
func (h *Handler) hasStalled() bool {
	timeout := h.loop.manager.config.StallTimeout
	if h.stalled == 0 {
		h.stalled = h.loop.now
	}
	if h.loop.now-h.stalled < timeout {
		return false
	}
	h.look() // what the last look did not see yet
	return h.loop.now-h.stalled >= timeout
}

// readOnce has input read that may have come, before a peer is judged for its
// silence. It reports whether that was done since the last sign of life.
func (h *Handler) readOnce() bool {
	if h.phase == doubted {
		return true
	}
	h.doubt()
	h.loop.readable(h)
	return false
}

// checkEnding hurries an end that takes too long. stalled is how long the peer has
// taken nothing, over how long the end has taken.
func (h *Handler) checkEnding(stalled, over time.Duration) {
	switch h.phase {
	case lingering:
		if over >= lingerTimeout {
			h.finish()
		}
		return
	case hurried, said:
		if stalled >= lastCallTimeout || over > 2*finishTimeout {
			h.finish()
		}
		return
	}
	// A drain waits for the store as long as Shutdown lets it, but not for a peer
	// that does not take what it is owed or is far behind.
	late := over > finishTimeout
	switch h.reason {
	case Draining:
		late = stalled > drainStall || over > drainStall && h.inFlight == 0
	case HungUp:
		late = stalled > finishTimeout || over > owedTimeout
	}
	if late {
		h.hurry()
		h.loop.mark(h)
	}
}
