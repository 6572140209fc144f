package server

import (
	"context"
	"math/rand/v2"
	"time"

	"kaban/internal/chat"
	"kaban/internal/idpool"
	"kaban/wire"
)

const (
	// maxSends and maxSendBytes bound what one connection may have under way:
	// read, but not yet acknowledged. When it is reached the read step stops
	// reading until an ack has made room.
	maxSends     = 1024
	maxSendBytes = 256 << 10
	// maxReplies is how many bytes of replies may wait before the read step
	// stops reading. One reply of a full frame may exceed it.
	maxReplies = 64 << 10
	// maxRooms bounds the rooms a connection may be in.
	maxRooms = 1000
	// maxBadFrames in a row end the connection.
	maxBadFrames = 10
)

// handler owns one connection. Only the goroutine of its loop touches it.
type handler struct {
	loop    *loop
	socket  socket // nil until accept
	framing framing
	token   *idpool.Token
	index   int // in loop.handlers

	session  *chat.Session  // nil before welcome
	user     chat.User      // after it
	newcomer *newcomerPlace // nil after it; guarded by newcomers.mu
	rooms    []*chat.Subscription

	// What is read.
	reader      *wire.Reader
	held        *wire.Request // was read, but has to wait for room
	pending     int           // sends read, neither acknowledged nor refused
	pendingSize int           // bytes of their contents
	allowance   int           // of loop.spent, where this step ends
	badFrames   uint8
	pings       uint8 // sent since the last sign of life
	doubted     bool  // it is over unless a last read finds something
	counted     bool  // is one of Manager.clients
	asking      bool  // a worker asks the store for a request
	reading     bool  // is in loop.reads or loop.heavy
	heavy       bool  // asked for much in its last step
	paused      bool  // reads no further until there is room
	proof       proof // that the client has got its welcome

	// What is written.
	blocked   bool                 // the socket takes nothing; its poller says when it does
	marked    bool                 // is in loop.writes
	waits     bool                 // is in loop.answers: it waits for what it asked for
	closed    bool                 // it is over
	lingering bool                 // only the peer's hanging up is waited for
	said      bool                 // goodbye is in out, or nobody is there to be told
	out       []byte               // must go out before anything else; nil when empty
	ready     []*chat.Subscription // may have something
	cut       *chat.Subscription   // the rest of its entry must go out before anything else
	fetching  *chat.Subscription   // a worker reads for it

	// What the peer's TCP has taken, in bytes without the pings, modulo 2^32.
	sent   uint32 // were written
	taken  uint32 // were taken at the last look
	behind bool   // not all was, at the last look

	ending *ending // nil while it is not

	// All times are the loop's.
	quiet    time.Duration // when the last sign of life came, or the last ping went out; before hello when it came
	stalled  time.Duration // since when the peer takes nothing; 0: it does
	endingAt time.Duration // since when it is ending, or lingering
}

// proof is how far it is clear that a client has got its welcome. What came with
// the hello, in one read, shows nothing: it may be all that there is of an
// attempt that was given up long ago.
type proof uint8

const (
	unproven proof = iota
	likely         // something was read after the welcome was given
	proven         // and it was a frame
)

// ending is why and how a connection ends.
type ending struct {
	reason    wire.Reason // "": the client hung up, nobody is there to be told
	reconnect time.Duration
	// atOnce skips what the connection is still owed; it can resume.
	atOnce bool
	close  uint16 // status code of the close frame; 0: what reason says
}

func newHandler(l *loop, token *idpool.Token, f framing) *handler {
	h := &handler{loop: l, token: token, framing: f}
	h.reader = wire.NewReader(h)
	h.reader.SetLimit(wire.MaxHelloFrame)
	h.reader.SetMaxContent(l.manager.chat.MaxContent())
	return h
}

// Read is the reader's source: lines, whatever the framing makes them from.
func (h *handler) Read(p []byte) (int, error) {
	n, answer, err := h.framing.read((*source)(h), p)
	if answer != nil {
		h.out = append(h.buffer(), answer...)
		h.loop.answer(h)
	}
	return n, err
}

// source is the socket of a handler, with a note of when it spoke.
type source handler

// Read does one read of the socket.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.socket.Read(p)
	if n > 0 {
		(*handler)(s).hear()
	}
	return n, err
}

// hear notes a sign of life.
func (h *handler) hear() {
	if h.session != nil { // a byte is no hello
		h.quiet, h.pings, h.doubted = h.loop.now, 0, false
	}
}

// reply queues a frame for the client.
func (h *handler) reply(event *wire.Event) {
	h.append(event)
	h.loop.answer(h)
}

// tell queues a frame that the client does not wait for.
func (h *handler) tell(event *wire.Event) {
	h.append(event)
	h.loop.mark(h)
}

// ask has a worker call something that may block, and then the loop go on with
// done. The client's next requests wait for it, so that answers keep their order.
func (h *handler) ask(call func(ctx context.Context), done func()) {
	h.asking = true
	h.loop.manager.workers.run(func() {
		call(h.loop.manager.ctx)
		h.loop.post(func() {
			h.asking = false
			h.guard(func(*handler) {
				done()
				h.loop.readable(h)
				h.loop.mark(h)
			})
		})
	})
}

// end asks for the end of the connection. The first reason counts, but a later
// call may still make it happen at once.
func (h *handler) end(e ending) {
	if h.closed {
		return
	}
	if h.ending == nil {
		h.ending, h.endingAt = &e, h.loop.now
		h.loop.ending++
	}
	h.ending.atOnce = h.ending.atOnce || e.atOnce
	h.loop.mark(h)
}

// Replace implements session.Owner.
func (h *handler) Replace() {
	h.loop.post(func() {
		h.guard(func(h *handler) { h.end(ending{reason: wire.ReasonReplaced, atOnce: true}) })
	})
}

// leave gives up the rooms and the name.
func (h *handler) leave() {
	for _, s := range h.rooms {
		h.leaveRoom(s)
		if s != h.fetching {
			s.Next() // gives back what it holds
		}
	}
	h.rooms, h.ready, h.cut = nil, nil, nil
	if h.session != nil {
		h.manager().chat.Release(h.session)
		h.session = nil
	}
}

// leaveRoom gives up a room. One that vanishes with that does not count as made,
// unless something that was sent there may still be stored.
func (h *handler) leaveRoom(s *chat.Subscription) {
	h.user.Leave(s, h.pending > 0)
}

// finish is the end, and may be called again.
func (h *handler) finish() {
	if h.closed {
		return
	}
	h.closed = true
	h.leave()
	h.manager().newcomers.leave(h)
	if h.counted {
		h.manager().clients.Add(-1)
	}
	h.reader.Close()
	h.release()
	if h.ending != nil {
		h.loop.ending--
	}
	if h.socket != nil {
		h.socket.Close() // the peer sees it, whatever it says
	}
	h.loop.forget(h)
	if err := h.token.Redeem(); err != nil {
		h.manager().config.Log.Error("token", "err", err)
	}
}

func (h *handler) manager() *Manager { return h.loop.manager }

// maxPings is how many pings stay without an answer until a peer is given up. Each
// has a heartbeat for it.
const maxPings = 2

// check looks after everything that has to do with time.
func (h *handler) check() {
	config, now := &h.manager().config, h.loop.now
	if h.blocked || h.pings > 0 {
		h.look()
	}
	stalled := time.Duration(0)
	if h.blocked {
		stalled = now - h.stalled
	}
	switch {
	case h.ending != nil:
		h.checkEnding(stalled, now-h.endingAt)
	case stalled >= config.StallTimeout:
		h.loop.writable(h) // it may take a little, of which no poller tells; if not, that was it
	case h.session == nil:
		if now-h.quiet >= config.HelloTimeout && h.readOnce() {
			event := errorEvent(wire.CodeHelloRequired, "no hello came within "+config.HelloTimeout.String())
			h.reply(&event)
			h.end(ending{reason: wire.ReasonIdle})
		}
	case h.blocked, h.asking, h.paused: // no ping reaches it, or nobody listens
		h.quiet = now
	case now-h.quiet < config.Heartbeat:
	case h.pings < maxPings:
		h.ping()
	case h.loop.giveUps > 0 && h.readOnce():
		h.loop.giveUps-- // many who went silent at once shall not come back at once
		spread := spreadOver(len(h.loop.handlers))
		h.end(ending{reason: wire.ReasonIdle, reconnect: spread/4 + rand.N(spread), atOnce: true})
	}
}

// ping asks whether the peer is there.
func (h *handler) ping() {
	h.look()
	h.pings++
	h.quiet = h.loop.now
	before := len(h.out)
	h.tell(&wire.Event{Type: wire.TypePing})
	h.sent -= uint32(len(h.out) - before)
}

// look notes how much the peer's TCP has taken since the last look. A peer that
// is behind and goes on to take something is neither silent nor stalled, however
// long a ping needs to get through to it. That it takes pings, or what it was not
// behind with, says nothing: the system does so for a program that hangs.
func (h *handler) look() {
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

// readOnce has what a peer may have sent read before it is judged for having sent
// nothing. It reports whether that was done since the last time something came.
func (h *handler) readOnce() bool {
	if h.doubted {
		return true
	}
	h.doubted = true
	h.loop.readable(h)
	return false
}

// checkEnding hurries an end that takes too long.
func (h *handler) checkEnding(stalled, over time.Duration) {
	switch {
	case h.lingering:
		if over >= lingerTimeout {
			h.finish()
		}
		return
	case h.said || h.ending.atOnce:
		if stalled >= lastCallTimeout || over > 2*finishTimeout {
			h.finish()
		}
		return
	}
	// A drain waits for the store as long as Shutdown lets it, but not for a peer
	// that does not take what it is owed or is far behind.
	hurry := over > finishTimeout
	switch h.ending.reason {
	case wire.ReasonDraining:
		hurry = stalled > drainStall || over > drainStall && h.pending == 0
	case "":
		hurry = stalled > finishTimeout || over > owedTimeout
	}
	if hurry {
		h.end(ending{atOnce: true})
	}
}
