package server

import (
	"errors"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/wire"
)

func message(e *store.Entry) wire.Message {
	return wire.Message{Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: time.UnixMilli(e.Time)}
}

// The rest is the one place where errors become frames.

// codeOf maps an error of the dispatcher or the store to its code.
func codeOf(err error) wire.Code {
	var resync *dispatch.ResyncError
	switch {
	case errors.As(err, &resync):
		return wire.CodeResync
	case errors.Is(err, dispatch.ErrNotFound):
		return wire.CodeNotFound
	case errors.Is(err, dispatch.ErrTooManyRooms):
		return wire.CodeServerFull
	case errors.Is(err, store.ErrIDConflict):
		return wire.CodeIDConflict
	case errors.Is(err, store.ErrFull):
		return wire.CodeStorageFull
	case errors.Is(err, dispatch.ErrClosed), errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrBroken):
		return wire.CodeUnavailable
	}
	return wire.CodeOf(err)
}

// textOf says to a person what happened and what to do.
func textOf(code wire.Code, err error) string {
	switch code {
	case wire.CodeNotFound:
		return "there is no such room; the first who joins makes it"
	case wire.CodeServerFull:
		return "the server has as many rooms as it takes; use one that exists"
	case wire.CodeIDConflict:
		return "this id was used for another message; use a new id for each message"
	case wire.CodeStorageFull:
		return "the server's disk is full and the message was not stored; send it again later with the same id"
	case wire.CodeUnavailable:
		return "the server is going down and the message was not stored; reconnect and send it again with the same id"
	case wire.CodeInternal:
		return "the server failed and the request was not done; its log says why"
	}
	return err.Error()
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

func resyncEvent(resync *dispatch.ResyncError) wire.Event {
	e := errorEvent(wire.CodeResync, "this place in the room's log is not there (any more); go on from the head, and ask history for what is kept")
	e.Room, e.Epoch, e.Head, e.Oldest = resync.Room.String(), resync.Epoch, resync.Head, resync.Oldest
	return e
}

func refusalEvent(s *dispatch.Subscription, r *dispatch.Receipt) wire.Event {
	code := codeOf(r.Err)
	e := errorEvent(code, textOf(code, r.Err))
	e.Ref, e.HasRef = r.Ref, r.HasRef
	e.Room, e.ID = s.Room().Name().String(), r.ID
	if code == wire.CodeStorageFull || code == wire.CodeUnavailable {
		e.RetryAfter = time.Second
	}
	return e
}

func (h *handler) replyError(ref []byte, code wire.Code, text string) {
	e := errorEvent(code, text)
	e.Ref, e.HasRef = string(ref), ref != nil
	h.reply(&e)
}

// replyFailure answers a request with an error of the dispatcher.
func (h *handler) replyFailure(ref []byte, err error) {
	code := codeOf(err)
	e := errorEvent(code, textOf(code, err))
	var resync *dispatch.ResyncError
	if errors.As(err, &resync) {
		e = resyncEvent(resync)
	}
	if code == wire.CodeInternal {
		h.manager().config.Log.Error("a request failed", "err", err)
	}
	e.Ref, e.HasRef = string(ref), ref != nil
	h.reply(&e)
}

// isBadFrame reports whether a code says that the line was no good frame at
// all, rather than that what it asks for cannot be done.
func isBadFrame(code wire.Code) bool {
	switch code {
	case wire.CodeBadJSON, wire.CodeBadFrame, wire.CodeBadUTF8, wire.CodeUnknownType, wire.CodeMissingField, wire.CodeBadField:
		return true
	}
	return false
}
