package client

import (
	"errors"
	"fmt"
	"time"

	"kaban/wire"
)

// Errors to compare with errors.Is.
var (
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("client is closed")
	// ErrParted means that the room was left.
	ErrParted = errors.New("you are not in this room any more")
	// ErrJoined means that the client is in the room already.
	ErrJoined = errors.New("room was joined already")
	// ErrOffline means that there is no connection, or that it was lost before the
	// answer arrived.
	ErrOffline = errors.New("there is no connection to the server")
	// ErrBusy means that the limit of unanswered requests is reached.
	ErrBusy = errors.New("1,000 requests are waiting for answers; wait for some of them")
	// ErrInsecure means that a password or a token would have been sent to another
	// machine over a connection that is not encrypted. Nothing was sent.
	ErrInsecure = errors.New("the connection to the server is not encrypted, so no password or token was sent")
	// ErrAccount means that only a visitor can do this.
	ErrAccount = errors.New("an account keeps its username")
	// ErrUnderWay means that messages under the present name are not answered yet.
	ErrUnderWay = errors.New("messages are still under way; try again when they are sent")
)

// Error is a refusal by the server.
type Error struct {
	Code wire.Code
	// Text is the server's sentence for people.
	Text  string
	Field string
	// Max and Actual are the limit that was exceeded and the value that exceeded
	// it, or 0.
	Max, Actual int
	// RetryAfter is when trying again makes sense, or 0 if the server does not say.
	RetryAfter time.Duration
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool { return e.Code.Temporary() }

// Error returns the server's sentence and the code.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Text, e.Code) }

func errorOf(e *wire.Event) *Error {
	return &Error{Code: e.Code, Text: e.Text, Field: e.Field, Max: e.Max, Actual: e.Actual, RetryAfter: e.RetryAfter}
}

// isCode reports whether err is a refusal with a code.
func isCode(err error, code wire.Code) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Code == code
}

// Goodbye is the server's reason for ending the connection.
type Goodbye struct {
	Reason wire.Reason
	// ReconnectAfter is when to come back; HasReconnect reports whether to.
	ReconnectAfter time.Duration
	HasReconnect   bool
}

func goodbyeOf(e *wire.Event) *Goodbye {
	return &Goodbye{Reason: e.Reason, ReconnectAfter: e.ReconnectAfter, HasReconnect: e.HasReconnect}
}

// Error explains the reason.
func (g *Goodbye) Error() string {
	switch g.Reason {
	case wire.ReasonDraining:
		return "the server is going down (draining)"
	case wire.ReasonSlowConsumer:
		return "the server gave up because this client read nothing for too long (slow_consumer)"
	case wire.ReasonIdle:
		return "the server heard nothing for too long (idle)"
	case wire.ReasonProtocol:
		return "the server could not understand this client (protocol)"
	case wire.ReasonAuth:
		return "the server did not accept the name or the sign-in (auth)"
	case wire.ReasonReplaced:
		return "another connection took over the name (replaced)"
	case wire.ReasonInternal:
		return "the server could not continue with this connection (internal)"
	}
	return fmt.Sprintf("the server said goodbye (%s)", string(g.Reason))
}

// isAnswer reports whether the server itself refused.
func isAnswer(err error) bool {
	if _, ok := errors.AsType[*Error](err); ok {
		return true
	}
	_, ok := errors.AsType[*Goodbye](err)
	return ok
}

// retryTime returns when the server wants the client back, or 0.
func retryTime(err error) time.Duration {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused.RetryAfter
	}
	if bye, ok := errors.AsType[*Goodbye](err); ok && bye.HasReconnect {
		return bye.ReconnectAfter
	}
	return 0
}

// RemovedError means that the client is not in a room any more though it did not
// leave it. It does not join again by itself.
type RemovedError struct {
	Room   string
	Reason wire.Removal
}

// Error explains the reason.
func (e *RemovedError) Error() string {
	switch e.Reason {
	case wire.RemovalKicked:
		return "you were removed from " + e.Room
	case wire.RemovalBanned:
		return "you were banned from " + e.Room
	}
	return "you are not in " + e.Room + " any more"
}

// ResyncError means that the server cannot continue a room's log at the client's
// cursor: its data was replaced, or the next entries are no longer kept. The room
// goes on at Head. History has the entries from Oldest on.
type ResyncError struct {
	Room         string
	Epoch        string
	Head, Oldest uint64
}

func resyncOf(e *wire.Event) *ResyncError {
	return &ResyncError{Room: e.Room, Epoch: e.Epoch, Head: e.Head, Oldest: e.Oldest}
}

func (e *ResyncError) Error() string {
	if e.Oldest > e.Head {
		return fmt.Sprintf("the history of %s was interrupted: the server has nothing of it any more; going on with new messages", e.Room)
	}
	return fmt.Sprintf("the history of %s was interrupted: the server has messages %d to %d; going on from there", e.Room, e.Oldest, e.Head)
}
