// Package conn is the connection engine: it owns connections of any protocol
// from accept to close. The Manager (the server manager) accepts them, gives
// each a token of the sharded id pool and delegates it to a Handler (the client
// handler). A handler has two loops. The read loop takes input and has its front
// end carry out the requests in it. The write loop sends replies, and what the
// dispatcher has for the connection's subscriptions.
//
// Both loops are steps of the handler (readStep, writeStep). A step never waits:
// it does what can be done now. A loop (loop.go) calls them, one goroutine for
// many connections, when its poller reports that a socket is ready: with epoll
// on Linux, with a goroutine per connection elsewhere and for connections other
// than plain TCP. There is one loop for every two cores.
//
// The engine knows no protocol. A front end is a Protocol, which makes a Front
// for each connection: the codec, the requests and the texts. Calls go one way:
// a step calls the front, and the front calls its Handler in return.
//
// Bad input costs a peer its connection at most. The memory of a connection is
// bounded whatever the peer does: maxReplies bytes of replies, maxSends sends in
// flight, and the input buffer and rooms that the front allows.
package conn

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"kaban/internal/dispatch"
)

// Protocol is what the engine needs of a front end before there is a connection.
type Protocol interface {
	// Front returns the front end's half of a new connection from an address; the zero
	// Addr is that of a connection other than TCP. h is a zero Handler, a field of the
	// front's, so that a connection is one piece of memory; the engine fills it in
	// before it calls f. The third result is the address for which the connection
	// counts as a newcomer, until Handler.CountFor says another; the zero Addr is not
	// bounded.
	Front(remote netip.Addr) (f Front, h *Handler, counts netip.Addr)
	// TurnAway returns the bytes for a connection that the server has no room
	// for. It may come back after retry. The result may be nil.
	TurnAway(retry time.Duration) []byte
}

// Encrypter is a Protocol whose fronts call Handler.Secure.
type Encrypter interface {
	Protocol
	// TLS returns the configuration for a connection that nobody serves, so that the
	// words of TurnAway are understood.
	TLS() *tls.Config
}

// Front is the front end's half of a connection. Only the goroutine of the
// connection's loop calls it.
type Front interface {
	// Fill reads from the handler once, with Handler.Read. Its error is the
	// socket's, io.EOF when the peer has ended its input, or one of its own when
	// the bytes are not of the protocol. The last two are permanent: Fill returns
	// them again.
	Fill() error
	// Next carries out the next request of the input and returns NeedNothing. If
	// it cannot, it keeps the request, if there is one, and returns what it needs.
	Next() Need
	// Release gives back memory that is not needed until there is input again. It
	// ends a read step.
	Release()
	// InputEnded is called after the last request, with the permanent error of
	// Fill. The front replies, and ends the connection if its protocol was broken.
	InputEnded(err error)

	// Each of these appends to dst and returns the result. Ping asks the peer for a
	// sign of life. Receipt reports the outcome of a send. Lost reports that a
	// subscription cannot go on where it was. Farewell is the last of all: it says
	// why the connection ends and, if reconnect is not 0, when to come back. Expelled
	// reports that a subscription was ended, which is left by then.
	Ping(dst []byte) []byte
	Receipt(dst []byte, s *dispatch.Subscription, r *dispatch.Receipt) []byte
	Lost(dst []byte, lost *dispatch.ResyncError) []byte
	Expelled(dst []byte, s *dispatch.Subscription, e *dispatch.Expulsion) []byte
	Farewell(dst []byte, reason Reason, reconnect time.Duration) []byte

	// Leave ends a subscription that was added with Handler.Subscribe.
	Leave(s *dispatch.Subscription)
	// Close gives up everything else: the name, the input buffer. Nothing but a
	// callback of Handler.Ask comes after it.
	Close()
}

// Need is what a front needs to carry out its next request.
type Need uint8

const (
	// NeedNothing says that a request was carried out.
	NeedNothing Need = iota
	// NeedInput says that there is no complete request.
	NeedInput
	// NeedReply is room for a reply. Every request needs it.
	NeedReply
	// NeedSend is room for a send in flight.
	NeedSend
	// NeedReceipts is that every send has its receipt, and that no entry is cut.
	NeedReceipts
)

// Reason says why a connection ends. A front turns it into words and codes.
type Reason uint8

const (
	// HungUp: the peer has ended its input. It may still read.
	HungUp Reason = iota
	// Late: the peer was not admitted in time.
	Late
	// Crowded: the peer was not admitted and makes room for another newcomer.
	Crowded
	// Full: there is no room for another client.
	Full
	// Refused: the front does not admit the peer.
	Refused
	// Violation: the peer has broken the protocol.
	Violation
	// Idle: the peer gives no sign of life.
	Idle
	// SlowConsumer: the peer takes no bytes.
	SlowConsumer
	// Replaced: another connection has taken over.
	Replaced
	// Draining: the server shuts down.
	Draining
	// Unavailable: the server has lost what it needs to go on, and may find it again.
	Unavailable
	// Internal: the server failed.
	Internal
	// Lost: the connection broke. There is nobody to give a reason to.
	Lost
	// reasons is how many there are.
	reasons
)

// ErrBlocked says that a socket has no input, or takes no more output, for now.
// Its poller reports when that changes.
var ErrBlocked = errors.New("socket is not ready")

// ErrFull says that there is no room for another client.
var ErrFull = errors.New("there are as many clients as the server takes")

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("server is closed")
