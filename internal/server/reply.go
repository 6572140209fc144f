package server

import (
	"fmt"
	"math/rand/v2"
	"time"

	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/refusal"
	"kaban/wire"
)

// answer begins the reply to a request.
func answer(t wire.Type, ref []byte) *wire.Event {
	return &wire.Event{Type: t, Ref: string(ref), HasRef: ref != nil}
}

func errorEvent(code wire.Code, text string) wire.Event {
	return wire.Event{Type: wire.TypeError, Code: code, Text: text}
}

func readerErrorEvent(bad *wire.ReaderError) wire.Event {
	e := errorEvent(bad.Code, bad.Error())
	e.Ref, e.HasRef = string(bad.Ref), bad.Ref != nil
	e.Field, e.Max, e.Actual = bad.Field, bad.Max, bad.Actual
	if bad.Position >= 0 {
		e.Position, e.HasPosition = bad.Position, true
	}
	return e
}

func refusalEvent(s *chat.Subscription, r *chat.Receipt) wire.Event {
	e := refusal.Of(r.Err)
	e.Ref, e.HasRef = r.Ref, r.HasRef
	e.Room, e.ID = s.Room().Name().String(), r.ID
	return e
}

// fullEvent says that there is no room for another client.
func (s *Server) fullEvent(retry time.Duration) *wire.Event {
	most := s.manager.Config().MaxClients
	clients := "clients"
	if most == 1 {
		clients = "client"
	}
	return &wire.Event{
		Type: wire.TypeError, Code: wire.CodeServerFull, RetryAfter: retry, Max: most,
		Text: fmt.Sprintf("the server is full: it takes %d %s at a time; try again later", most, clients),
	}
}

// retryLater returns when a client that there was no room for should come back.
func retryLater() time.Duration { return time.Second + rand.N(4*time.Second) }

// reply sends a frame.
func (c *client) reply(event *wire.Event) {
	c.handler.Reply(c.server.appendFrame(c.handler.Output(), c.framing, event))
}

func (c *client) replyError(ref []byte, code wire.Code, text string) {
	e := errorEvent(code, text)
	e.Ref, e.HasRef = string(ref), ref != nil
	c.reply(&e)
}

// replyFailure answers a request that could not be carried out.
func (c *client) replyFailure(ref []byte, err error) {
	e := c.failure(ref, err)
	c.reply(&e)
}

// failure returns the answer to a request that could not be carried out, and logs
// a fault of the server.
func (c *client) failure(ref []byte, err error) wire.Event {
	e := refusal.Of(err)
	if refusal.IsFault(err) {
		c.server.config.Log.Error("a request failed", "connection", c.handler.Origin(), "err", err)
	}
	e.Ref, e.HasRef = string(ref), ref != nil
	return e
}

// Ping implements conn.Front.
func (c *client) Ping(dst []byte) []byte {
	return appendFrame(dst, c.framing, &wire.Event{Type: wire.TypePing})
}

// Lost implements conn.Front.
func (c *client) Lost(dst []byte, lost *chat.ResyncError) []byte {
	e := refusal.Of(lost)
	return c.server.appendFrame(dst, c.framing, &e)
}

// Farewell implements conn.Front.
func (c *client) Farewell(dst []byte, reason conn.Reason, reconnect time.Duration) []byte {
	if a := c.arrival; a != nil && a.tls != nil && a.refused == nil {
		return dst // nothing can be said before the handshake
	}
	switch reason {
	case conn.Late:
		e := errorEvent(wire.CodeHelloRequired, "no hello came within "+c.server.manager.Config().HelloTimeout.String())
		dst = c.server.appendFrame(dst, c.framing, &e)
	case conn.Crowded:
		e := errorEvent(wire.CodeServerFull, "too many connections have not said hello, and this one had the longest time for it; come back and say hello at once")
		e.RetryAfter, c.close = reconnect, e.Code.Close()
		dst = c.server.appendFrame(dst, c.framing, &e)
	case conn.Unavailable:
		e := errorEvent(wire.CodeUnavailable, "the server has lost its database, and cannot keep your name without it; come back in a moment")
		e.RetryAfter = reconnect
		dst = c.server.appendFrame(dst, c.framing, &e)
	}
	return appendFarewell(dst, c.framing, reason, reconnect, c.close)
}

// appendFarewell appends a goodbye, unless the peer has hung up, and the end of the
// framing. code is a WebSocket's; 0: the reason's.
func appendFarewell(dst []byte, f framing, reason conn.Reason, reconnect time.Duration, code uint16) []byte {
	words := reasonOf(reason)
	if words != "" {
		dst = appendFrame(dst, f, &wire.Event{Type: wire.TypeGoodbye, Reason: words, ReconnectAfter: reconnect, HasReconnect: reconnect > 0})
	}
	if code == 0 {
		code = words.Close()
	}
	return f.farewell(dst, code)
}

// reasonOf returns the reason of a goodbye; "" if nobody is there to read it.
func reasonOf(reason conn.Reason) wire.Reason {
	switch reason {
	case conn.HungUp:
		return ""
	case conn.Late, conn.Idle:
		return wire.ReasonIdle
	case conn.Refused:
		return wire.ReasonAuth
	case conn.Violation:
		return wire.ReasonProtocol
	case conn.SlowConsumer:
		return wire.ReasonSlowConsumer
	case conn.Replaced:
		return wire.ReasonReplaced
	case conn.Draining:
		return wire.ReasonDraining
	}
	return wire.ReasonInternal // Crowded, Full, Unavailable, Internal
}
