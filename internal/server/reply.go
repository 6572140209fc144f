package server

import (
	"kaban/internal/chat"
	"kaban/internal/refusal"
	"kaban/wire"
)

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

func (h *handler) replyError(ref []byte, code wire.Code, text string) {
	e := errorEvent(code, text)
	e.Ref, e.HasRef = string(ref), ref != nil
	h.reply(&e)
}

// replyFailure answers a request that was not done.
func (h *handler) replyFailure(ref []byte, err error) {
	e := h.failure(ref, err)
	h.reply(&e)
}

// failure is the answer to a request that was not done. A fault of the server is
// logged.
func (h *handler) failure(ref []byte, err error) wire.Event {
	e := refusal.Of(err)
	if refusal.IsFault(err) {
		h.manager().config.Log.Error("a request failed", "err", err)
	}
	e.Ref, e.HasRef = string(ref), ref != nil
	return e
}
