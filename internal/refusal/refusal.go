// Package refusal says why something was not done: in the codes of kaban/1 for
// programs, in words for people. It is the one place where what the dispatcher,
// the registry of names and the store return becomes what a client is told,
// whatever the client speaks.
package refusal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/session"
	"kaban/internal/store"
	"kaban/wire"
)

// retryAfter is when it is worth another try where waiting helps.
const retryAfter = time.Second

// Of returns an error frame with the code of an error, what happened and what to
// do, for a *dispatch.ResyncError the state of the room, and where waiting helps
// when to try again. An error that is no refusal is CodeInternal, and its text does
// not leave the server; who answers with it logs the error.
func Of(err error) wire.Event {
	code := codeOf(err)
	e := wire.Event{Type: wire.TypeError, Code: code, Text: textOf(code, err)}
	if resync, ok := errors.AsType[*dispatch.ResyncError](err); ok {
		e.Room, e.Epoch, e.Head, e.Oldest = resync.Room.String(), resync.Epoch, resync.Head, resync.Oldest
	}
	if code == wire.CodeStorageFull || code == wire.CodeUnavailable {
		e.RetryAfter = retryAfter
	}
	return e
}

func codeOf(err error) wire.Code {
	switch {
	case is[*dispatch.ResyncError](err):
		return wire.CodeResync
	case errors.Is(err, dispatch.ErrNotFound):
		return wire.CodeNotFound
	case is[*dispatch.LookalikeError](err):
		return wire.CodeBadRoom
	case errors.Is(err, dispatch.ErrTooManyRooms):
		return wire.CodeServerFull
	case errors.Is(err, session.ErrTaken), errors.Is(err, session.ErrReserved):
		return wire.CodeUsernameTaken
	case errors.Is(err, store.ErrIDConflict):
		return wire.CodeIDConflict
	case errors.Is(err, store.ErrFull):
		return wire.CodeStorageFull
	case isGoingDown(err), errors.Is(err, context.DeadlineExceeded):
		return wire.CodeUnavailable
	}
	return wire.CodeOf(err)
}

func textOf(code wire.Code, err error) string {
	switch code {
	case wire.CodeResync:
		if resync, ok := errors.AsType[*dispatch.ResyncError](err); ok && resync.Damaged != nil {
			return damageText(resync.Damaged) + fmt.Sprintf("; the room goes on behind message %d", resync.Head)
		}
		return "this place in the room's log is not there (any more); go on from the head, and ask for the history that is kept"
	case wire.CodeNotFound:
		return "there is no such room; the first who joins makes it"
	case wire.CodeServerFull:
		return "the server has as many rooms as it takes; use one that exists"
	case wire.CodeUsernameTaken:
		if errors.Is(err, session.ErrReserved) {
			return "the name, or one that looks like it, is reserved; choose another"
		}
		return "somebody is connected under this name, or one that looks like it; choose another, or wait until it is free"
	case wire.CodeIDConflict:
		return "this id was used for another message; use a new id for each message"
	case wire.CodeStorageFull:
		return "the server's disk is full and the message was not stored; send it again later with the same id"
	case wire.CodeUnavailable:
		if isGoingDown(err) {
			return "the server is going down; try again when it is back, a message with the same id"
		}
		return "the server is too busy; try again later, a message with the same id"
	case wire.CodeInternal:
		if damage, ok := errors.AsType[*store.DamagedError](err); ok {
			return damageText(damage) + "; ask for what is before it or after it"
		}
		return "the server failed and the request was not done; its log says why"
	}
	return err.Error()
}

// damageText says which message nobody can be given. Its content may be private and
// is not what was written, so nothing of it is told.
func damageText(e *store.DamagedError) string {
	return fmt.Sprintf("message %d of %s is damaged on the server's disk and cannot be given; the server's operator finds more with \"kaban check\"", e.Seq, e.Room)
}

// isGoingDown reports whether the server ends. What was cut short was cut by that,
// or by a client that has gone and hears no answer.
func isGoingDown(err error) bool {
	return errors.Is(err, dispatch.ErrClosed) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrBroken) ||
		errors.Is(err, context.Canceled)
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
