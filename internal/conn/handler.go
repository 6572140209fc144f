package conn

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/idpool"
	"kaban/internal/tcp"
	"kaban/internal/trace"
)

const (
	// maxSends and maxSendBytes bound the sends of one connection that are in
	// flight: read, but neither acknowledged nor refused. At the bound the read step
	// stops until a receipt has made room.
	maxSends     = 1024
	maxSendBytes = 256 << 10
	// maxReplies is how many bytes of replies may wait before the read step stops.
	// One long reply may exceed it.
	maxReplies = 64 << 10
)

// Handler owns one connection. Only the goroutine of its loop uses it: but for
// Interrupt, its methods are for calls of its Front and callbacks of Ask.
type Handler struct {
	loop   *loop
	socket socket    // nil until accept
	own    ownSocket // the poller's: what socket is, below TLS
	front  Front
	token  idpool.Token
	life

	shard    *newcomerShard // it came in here
	place    *newcomerPlace // nil once it is no newcomer; guarded by shard.mu
	rooms    []*dispatch.Subscription
	index    int32 // in loop.handlers
	admitted bool  // is one of Manager.clients

	// The read step's.
	need         Need  // NeedNothing unless reading pauses until there is room
	pings        uint8 // sent since the last sign of life
	asking       bool  // a worker makes a call for a request
	reading      bool  // is in loop.reads or loop.heavy
	heavy        bool  // asked for much in its last step
	inFlight     int32 // sends without a receipt
	inFlightSize int32 // bytes of their contents and files
	paused       int32 // place in loop.pauses, from 1; 0: none
	allowance    int   // of loop.spent, at which this step ends

	// The write step's.
	blocked  bool                     // the socket takes nothing; its poller reports when it does
	marked   bool                     // is in loop.writes
	waits    bool                     // is in loop.answers
	behind   bool                     // the peer's TCP had not taken all at the last look
	out      []byte                   // must go out before anything else; nil when empty
	ready    []*dispatch.Subscription // may have something
	cut      *dispatch.Subscription   // the rest of its entry must go out before anything else
	fetching *dispatch.Subscription   // a worker reads for it

	// The bytes that the peer's TCP has taken, without the pings, modulo 2^32.
	sent  uint32 // were written
	taken uint32 // were taken at the last look

	// All times are the loop's.
	quiet   time.Duration // when the last sign of life came, or the last ping was sent; of a newcomer, when it came
	stalled time.Duration // since when the peer's TCP takes nothing, while blocked; 0: it has everything

	// Most connections have one subscription: it is a part of theirs.
	first dispatch.Subscription
}

// newHandler returns the handler of a connection, and the address for which it counts
// as a newcomer.
func newHandler(l *loop, token idpool.Token, p Protocol, remote netip.Addr) (h *Handler, counts netip.Addr) {
	f, h, counts := p.Front(remote)
	h.loop, h.token, h.front = l, token, f
	return h, counts
}

// CountFor has a newcomer count for another address than the one that its Front was
// made for: a proxy has said where it comes from.
func (h *Handler) CountFor(addr netip.Addr) {
	if h.shard != nil {
		m := h.loop.manager
		m.displace(m.newcomers.move(h, tcp.NetworkOf(addr)))
	}
}

// Read reads once from the socket and notes that the peer spoke. It implements
// io.Reader for a front's codec.
func (h *Handler) Read(p []byte) (int, error) {
	n, err := h.socket.Read(p)
	if n > 0 {
		h.loop.tally.read += uint64(n)
		h.hear()
	}
	return n, err
}

// hear notes a sign of life. A newcomer's bytes are none: it has to be admitted.
func (h *Handler) hear() {
	if h.admitted {
		h.quiet, h.pings = h.loop.now, 0
		h.trust()
	}
}

// Output returns the bytes that go out next, to append a reply to for Reply. They are
// valid until the next call.
func (h *Handler) Output() []byte {
	h.reserve(shortFrame)
	return h.out
}

// Reply has the peer sent what was appended to Output.
func (h *Handler) Reply(out []byte) {
	h.out = out
	h.loop.answer(h)
}

// Send has the loop submit a send at the end of the read step. Its receipt comes
// to the front. The caller has found out with Has that there is room.
func (h *Handler) Send(send dispatch.Send) {
	h.inFlight++
	h.inFlightSize += int32(send.Size())
	send.Trace = trace.Read(h.loop.began)
	h.loop.sends = append(h.loop.sends, send)
}

// InFlight returns how many sends have no receipt yet.
func (h *Handler) InFlight() int { return int(h.inFlight) }

// Has reports whether there is what a request needs.
func (h *Handler) Has(need Need) bool {
	switch {
	case need == NeedSend && (h.inFlight >= maxSends || h.inFlightSize >= maxSendBytes):
		return false
	case need == NeedReceipts && (h.inFlight > 0 || h.cut != nil):
		return false
	}
	return len(h.out) < maxReplies
}

// Spend counts work for a request, in units of about a microsecond.
func (h *Handler) Spend(units int) { h.loop.spent += units }

// Waker serves the connection's subscriptions. Their member is the handler.
func (h *Handler) Waker() dispatch.Waker { return h.loop }

// Subscribe begins to serve a subscription.
func (h *Handler) Subscribe(s *dispatch.Subscription) {
	h.rooms = append(h.rooms, s)
	h.loop.notify(s)
}

// Memory returns where a new subscription of the connection goes, for chat.Place; nil: in memory
// of its own.
func (h *Handler) Memory() *dispatch.Subscription {
	if h.first.IsNew() {
		return &h.first
	}
	return nil
}

// Unsubscribe ends that, after the front has left the room. The subscription gives up what it
// holds: it may be a part of the connection, and live as long.
func (h *Handler) Unsubscribe(s *dispatch.Subscription) {
	is := func(other *dispatch.Subscription) bool { return other == s }
	h.rooms, h.ready = slices.DeleteFunc(h.rooms, is), slices.DeleteFunc(h.ready, is)
	if s != h.fetching { // whose end does it, finishFetch
		s.Unpin()
	}
}

// Subscriptions returns those that are served. They must not be changed.
func (h *Handler) Subscriptions() []*dispatch.Subscription { return h.rooms }

// Origin returns an identifier that no other connection of the manager has or had.
func (h *Handler) Origin() kaban.Origin { return h.token.Origin() }

// RemoteAddr returns the address of the socket's peer, which may be a proxy, for the
// log: without a port, or "unknown". Asking takes a system call, and a socket whose peer is
// gone does not know it.
func (h *Handler) RemoteAddr() string { return h.socket.RemoteAddr() }

// Admit makes a newcomer a client, if there is room for one and claim returns nil.
// The error is ErrFull or claim's.
func (h *Handler) Admit(claim func() error) error {
	m := h.loop.manager
	if m.clients.Add(1) > int64(m.config.MaxClients) {
		m.clients.Add(-1)
		return ErrFull
	}
	if err := claim(); err != nil {
		m.clients.Add(-1)
		return err
	}
	h.admitted = true
	m.newcomers.leave(h)
	h.hear()
	return nil
}

// Ask has a worker make a call that may block, and then the loop call done. The
// peer's next requests wait for it, so that replies keep their order.
func (h *Handler) Ask(call func(ctx context.Context), done func()) {
	h.ask(h.loop.manager.answerers, call, done)
}

// AskLong is Ask for a call that takes long on purpose, such as checking a password. It
// holds up no call of Ask.
func (h *Handler) AskLong(call func(ctx context.Context), done func()) {
	h.ask(h.loop.manager.checkers, call, done)
}

// AskInTurn is Ask for a call that may wait long for its turn, which others bound. It holds up
// no call of Ask or AskLong.
func (h *Handler) AskInTurn(call func(ctx context.Context), done func()) {
	h.ask(h.loop.manager.seekers, call, done)
}

func (h *Handler) ask(by *workers, call func(ctx context.Context), done func()) {
	h.asking = true
	by.run(func() {
		call(h.loop.manager.ctx)
		h.loop.post(func() {
			h.asking = false
			h.guard(func(*Handler) {
				done()
				h.loop.readable(h)
				h.loop.mark(h)
			})
		})
	})
}

// Post has the loop make a call, unless the connection is closed by then. Anybody may
// call it.
func (h *Handler) Post(call func()) {
	h.loop.post(func() {
		if !h.isClosed() {
			h.guard(func(*Handler) { call() })
		}
	})
}

// Background has a worker make a call that may block, and then the loop call done,
// unless the connection is closed by then. Requests do not wait for it. Anybody may
// call it.
func (h *Handler) Background(call func(ctx context.Context), done func()) {
	h.loop.manager.answerers.run(func() {
		call(h.loop.manager.ctx)
		h.Post(func() {
			done()
			h.loop.mark(h)
		})
	})
}

// End ends the connection once the peer has what it is owed. The first reason
// counts. A peer that should come back should do so after reconnect, if that is
// not 0.
func (h *Handler) End(reason Reason, reconnect time.Duration) {
	if h.isClosed() {
		return
	}
	if h.end(reason, reconnect, h.loop.now) {
		h.loop.ending++
	}
	h.loop.mark(h)
}

// endNow ends the connection without what the peer is owed.
func (h *Handler) endNow(reason Reason, reconnect time.Duration) {
	h.End(reason, reconnect)
	h.hurry()
}

// Interrupt ends the connection without what the peer is owed. Anybody may call
// it; it does not wait for the end. For reconnect see End.
func (h *Handler) Interrupt(reason Reason, reconnect time.Duration) {
	h.loop.post(func() {
		h.guard(func(h *Handler) { h.endNow(reason, reconnect) })
	})
}

// leave gives up the rooms and has the front give up the rest.
func (h *Handler) leave() {
	for _, s := range h.rooms {
		h.front.Leave(s)
		if s != h.fetching {
			s.Next() // gives back what it holds
		}
	}
	h.rooms, h.ready, h.cut = nil, nil, nil
	h.front.Close()
}

// finish closes the connection. It may be called again.
func (h *Handler) finish() {
	ending, left := h.isEnding(), h.outputEnded()
	if !h.close() {
		return
	}
	m := h.loop.manager
	if !ending {
		h.reason = Lost
	}
	m.ended[h.reason].Add(1)
	h.block(false)
	if !left {
		h.leave()
	}
	m.newcomers.leave(h)
	if h.admitted {
		m.clients.Add(-1)
	}
	h.release()
	h.loop.pauses.remove(h)
	if ending {
		h.loop.ending--
	}
	if h.socket != nil {
		h.socket.Close() // an error changes nothing: the peer is gone
	}
	h.loop.forget(h)
	if err := h.token.Redeem(); err != nil {
		m.config.Log.Error("token", "connection", h.Origin(), "err", err)
	}
}
