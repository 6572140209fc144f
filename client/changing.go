package client

import (
	"context"

	"kaban/wire"
)

// PostReply is Post with a message that answers another one of the room.
func (r *Room) PostReply(ctx context.Context, to uint64, content string) (*Pending, error) {
	return r.postContent(ctx, wire.Request{Type: wire.TypeSend, ReplyTo: to}, content)
}

// Reply is Send with a message that answers the one with the seq to. The *Error may have the
// code not_found, or gone if that message was deleted. Like a change below, it may end with
// a *ResyncError.
func (r *Room) Reply(ctx context.Context, to uint64, content string) (Receipt, error) {
	return waitFor(ctx)(r.PostReply(ctx, to, content))
}

// Edit replaces the content of the message with the seq target, and waits until that is
// stored. It replaces any version if base is 0; otherwise only the one with that seq,
// of the last edit (wire.Message.Edited) or of the message itself. The *Error has the code
// edit_conflict if there is a later version. An empty content leaves a message with nothing but its
// files; without any the *Error has the code empty_content.
//
// Like a message, an edit and the other changes below are repeated with the same id until
// they are answered, also after ctx has ended, and are left out of Entries. Their *Error
// has the code not_found if there is no such message, as far as the client may know, gone
// if it was deleted, and forbidden. If the server's data were replaced before the answer, the
// error is a *ResyncError: the seq may be that of another message now. After any error but a
// *kaban.MessageError and an *Error the change may be stored or not.
func (r *Room) Edit(ctx context.Context, target uint64, content string, base uint64) (Receipt, error) {
	return waitFor(ctx)(r.PostEdit(ctx, target, content, base))
}

// PostEdit is Edit without the waiting, as Post is of Send. What is posted to a room goes
// out in the order of the calls.
func (r *Room) PostEdit(ctx context.Context, target uint64, content string, base uint64) (*Pending, error) {
	request := wire.Request{Type: wire.TypeEdit, Target: target, Base: base}
	if content == "" {
		return r.post(ctx, request, "")
	}
	return r.postContent(ctx, request, content)
}

// Delete removes the content of a message. The reason is for people: one line of at most
// wire.MaxReason code points, or "".
func (r *Room) Delete(ctx context.Context, target uint64, reason string) (Receipt, error) {
	return waitFor(ctx)(r.PostDelete(ctx, target, reason))
}

// PostDelete is Delete without the waiting; see PostEdit.
func (r *Room) PostDelete(ctx context.Context, target uint64, reason string) (*Pending, error) {
	return r.post(ctx, wire.Request{Type: wire.TypeDelete, Target: target, Reason: reason}, "")
}

// React adds an own reaction to a message, or takes it back. The server stores an emoji in
// its normal form, which other readers get: give it in that form, ❤️ with U+FE0F. If there is nothing to
// change, the receipt is a Duplicate. The *Error may have the code bad_emoji or
// too_many_reactions.
func (r *Room) React(ctx context.Context, target uint64, emoji string, on bool) (Receipt, error) {
	return waitFor(ctx)(r.PostReact(ctx, target, emoji, on))
}

// PostReact is React without the waiting; see PostEdit.
func (r *Room) PostReact(ctx context.Context, target uint64, emoji string, on bool) (*Pending, error) {
	return r.post(ctx, wire.Request{Type: wire.TypeReact, Target: target, Emoji: emoji, On: on}, "")
}

// Pin pins a message, or takes that back. If there is nothing to change, the receipt is a
// Duplicate.
func (r *Room) Pin(ctx context.Context, target uint64, on bool) (Receipt, error) {
	return waitFor(ctx)(r.PostPin(ctx, target, on))
}

// PostPin is Pin without the waiting; see PostEdit.
func (r *Room) PostPin(ctx context.Context, target uint64, on bool) (*Pending, error) {
	return r.post(ctx, wire.Request{Type: wire.TypePin, Target: target, On: on}, "")
}
