package server

import (
	"errors"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/refusal"
	"kaban/internal/store"
	"kaban/wire"
)

func message(e *store.Entry) wire.Message {
	return wire.Message{Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: time.UnixMilli(e.Time)}
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

func refusalEvent(s *dispatch.Subscription, r *dispatch.Receipt) wire.Event {
	e := refusal.Of(r.Err)
	e.Ref, e.HasRef = r.Ref, r.HasRef
	e.Room, e.ID = s.Room().Name().String(), r.ID
	return e
}

func (h *handler) replyError(ref []byte, code wire.Code, text string) {
	e := errorEvent(code, text)
	e.Ref, e.HasRef = string(ref), ref != nil
	h.reply(&e)
}

// replyFailure answers a request that was not done.
func (h *handler) replyFailure(ref []byte, err error) {
	e := refusal.Of(err)
	if e.Code == wire.CodeInternal && !errors.Is(err, store.ErrDamaged) { // which the store logs, once
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
