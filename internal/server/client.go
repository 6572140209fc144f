package server

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/wire"
)

const (
	// maxRooms bounds the rooms a connection may be in.
	maxRooms = 1000
	// maxBadFrames in a row end the connection.
	maxBadFrames = 10
)

// client is the kaban/1 half of a connection; conn.Handler is the other.
type client struct {
	server  *Server
	handler conn.Handler
	framing framing
	reader  wire.Reader

	arrival   *arrival      // nil once the hello is accepted
	quota     *quota        // nil: not limited
	session   *chat.Session // entered, but nil before the hello is accepted and after the end
	entered   chat.Session  // a part of the client, so that a connection is one piece of memory
	greeted   bool          // the welcome is sent; nothing goes to an account before it
	request   *wire.Request // of the read step; nil between steps, unless it is held
	held      bool          // the request was read and waits for room
	badFrames uint8         // in a row
	proof     proof         // that the client has got its welcome
	closed    bool          // Close was called
	close     uint16        // code of a WebSocket's close frame; 0: the reason's
	rooms     *rooms        // nil until something of the account's rooms is to be told or done
}

// proof is how far it is clear that a client has got its welcome. Frames that came
// with the hello, in one read, show nothing: they may be all that there is of an
// attempt that was given up long ago.
type proof uint8

const (
	unproven proof = iota
	likely         // something was read after the welcome was sent
	proven         // and it was a frame
)

// requestBuffers are for the requests of read steps: a connection without input
// has none.
var requestBuffers = sync.Pool{New: func() any { return new(wire.Request) }}

func newClient(s *Server, f framing, a *arrival) *client {
	c := &client{server: s, framing: f, arrival: a}
	c.reader.Init(c)
	c.reader.SetLimit(wire.MaxHelloFrame)
	if a.Principal != nil || a.Refused != nil {
		c.reader.AllowBareHello()
	}
	c.reader.SetMaxContent(s.chat.MaxContent())
	return c
}

// Read is the reader's source: lines, whatever the framing makes them from.
func (c *client) Read(p []byte) (int, error) {
	if c.arrival != nil && c.arrival.awaits() {
		return c.readPreamble(p)
	}
	n, answer, err := c.framing.read(&c.handler, p)
	if answer != nil {
		c.handler.Reply(append(c.handler.Output(), answer...))
	}
	return n, err
}

// Fill implements conn.Front.
func (c *client) Fill() error {
	if c.session != nil && c.proof == unproven {
		c.proof = likely
	}
	return c.reader.Fill()
}

// Next implements conn.Front.
func (c *client) Next() conn.Need {
	if !c.held {
		if !c.reader.Buffered() {
			return conn.NeedInput
		}
		if !c.readRequest() {
			c.handler.Spend(1)
			return conn.NeedNothing
		}
	}
	r := c.request
	kind := requestOf(r.Type)
	if !c.handler.Has(kind.need) {
		if !c.held {
			c.held, r.Ref = true, slices.Clone(r.Ref)
		}
		return kind.need
	}
	c.held = false
	c.handler.Spend(kind.cost(c, r))
	c.execute(kind, r)
	return conn.NeedNothing
}

// readRequest decodes the next frame. If it is none, readRequest refuses it and
// returns false.
func (c *client) readRequest() bool {
	if c.request == nil {
		c.request = requestBuffers.Get().(*wire.Request)
	}
	err := c.reader.ReadRequest(c.request)
	if err == nil {
		c.badFrames = 0
		return true
	}
	if bad, ok := errors.AsType[*wire.ReaderError](err); ok {
		c.refuseFrame(bad)
	}
	return false
}

// Release implements conn.Front.
func (c *client) Release() {
	c.reader.Release()
	if c.request != nil && !c.held {
		c.dropRequest()
	}
}

func (c *client) dropRequest() {
	*c.request = wire.Request{}
	requestBuffers.Put(c.request)
	c.request, c.held = nil, false
}

// execute carries out a request.
func (c *client) execute(kind *request, r *wire.Request) {
	switch {
	case c.session != nil:
		if c.proof == likely {
			c.proof = proven
			c.server.chat.Confirm(c.session)
		}
	case r.Type != wire.TypeHello:
		c.replyError(r.Ref, wire.CodeHelloRequired, "say hello first: {\"type\":\"hello\",\"version\":1,\"username\":\"…\"}")
		c.handler.End(conn.Violation, 0)
		return
	}
	kind.do(c, r)
	if c.quota != nil && kind.need == conn.NeedSend {
		c.quota.pace(&c.handler)
	}
}

// InputEnded implements conn.Front.
func (c *client) InputEnded(err error) {
	if broken, ok := errors.AsType[*conn.TLSError](err); ok {
		c.endTLS(broken)
		return
	}
	if bad, ok := errors.AsType[*framingError](err); ok {
		// Nobody knows where the next frame begins.
		if c.session == nil {
			c.logRefused(bad.code)
		}
		c.replyError(nil, bad.code, bad.text)
		c.end(conn.Violation, 0, uint16(bad.close))
		return
	}
	if errors.Is(err, io.EOF) && c.reader.Partial() {
		c.replyError(nil, wire.CodeBadJSON, "the connection ended within a frame, which was not taken; end each line with a newline, each message with its last fragment")
	}
}

// endTLS ends a connection whose peer speaks TLS wrongly, or not at all. Those that only
// look whether the port is open are not worth a line in the log.
func (c *client) endTLS(broken *conn.TLSError) {
	if errors.Is(broken, io.EOF) {
		return
	}
	if !broken.IsPlain {
		c.server.config.Log.Info("TLS failed", "remote", c.remote(), "err", broken)
		return
	}
	c.logRefused(wire.CodeTLSRequired)
	c.replyError(nil, wire.CodeTLSRequired, tlsText)
	c.handler.End(conn.Violation, 0)
}

// end ends the connection. A WebSocket is closed with a code of its own, if that is
// not 0.
func (c *client) end(reason conn.Reason, reconnect time.Duration, code uint16) {
	c.close = code
	c.handler.End(reason, reconnect)
}

// refuseFrame answers a line that is no frame.
func (c *client) refuseFrame(bad *wire.ReaderError) {
	event := readerErrorEvent(bad)
	c.reply(&event)
	switch {
	case c.session == nil:
		c.logRefused(bad.Code)
		c.end(conn.Violation, 0, bad.Code.Close())
	case bad.Code == wire.CodeFrameTooLong:
		c.end(conn.Violation, 0, bad.Code.Close())
	case !bad.Code.IsBadFrame():
		c.badFrames = 0
	default:
		if c.badFrames++; c.badFrames >= maxBadFrames {
			c.end(conn.Violation, 0, 0)
		}
	}
}

func (c *client) logRefused(code wire.Code) {
	c.server.config.Log.Info("refused a connection", "connection", c.handler.Origin(), "remote", c.remote(), "code", string(code))
}

// remote returns where the client is, for the log.
func (c *client) remote() string {
	if c.arrival != nil {
		return c.arrival.Peer.Addr.String()
	}
	return c.handler.RemoteAddr()
}

// Replace implements chat.Owner.
func (c *client) Replace() { c.handler.Interrupt(conn.Replaced, 0) }

// Drop implements session.Dropper.
func (c *client) Drop() { c.handler.Interrupt(conn.Unavailable, retryLater()) }

// Revoke implements chat.Owner.
func (c *client) Revoke() { c.handler.Interrupt(conn.Refused, 0) }

// Leave implements conn.Front. A room that vanishes when it is left does not count
// as made, unless something that was sent there may still be stored.
func (c *client) Leave(s *chat.Subscription) { c.user().Leave(s, c.handler.InFlight() > 0) }

// user returns what the client may do where its address does not matter. It is
// made when it is needed: an idle connection pays for every field.
func (c *client) user() chat.User { return c.server.chat.By(c.session) }

// Close implements conn.Front.
func (c *client) Close() {
	c.closed = true
	c.server.open[c.framing.frontEnd()].Add(-1)
	c.leaveLimits()
	c.leaveName()
	c.reader.Close()
	if c.request != nil {
		c.dropRequest()
	}
}

// leaveName gives up the name that the client has, if it has one.
func (c *client) leaveName() {
	if c.session != nil {
		c.server.chat.Release(c.session)
		c.session = nil
	}
}
