// Package refusal says why something was not done: in the codes of kaban/1 for
// programs, in words for people. It is the one place where errors of package chat
// become answers to clients, for every front end.
package refusal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/limit"
	"kaban/wire"
)

// retryAfter is when it is worth another try where waiting helps.
const retryAfter = time.Second

// Of returns the error frame for an error: its code, what happened and what to do,
// for a *chat.ResyncError the state of the room, and where waiting helps the time
// to wait. Any other error becomes CodeInternal without its text, which must not
// leave the server; the caller logs it (IsFault).
func Of(err error) wire.Event {
	e := wire.Event{Type: wire.TypeError, Code: wire.CodeOf(err), Text: err.Error()}
	if r := find(err); r != nil {
		e.Code, e.Text = r.code, r.text(err)
	}
	if refused, ok := errors.AsType[*account.RefusedError](err); ok {
		e.Code = wire.Code(refused.Verdict.String())
	}
	if query, ok := errors.AsType[*chat.QueryError](err); ok {
		e.Field, e.Position, e.HasPosition = "query", query.Position, true
	}
	if resync, ok := errors.AsType[*chat.ResyncError](err); ok {
		e.Room, e.Epoch, e.Head, e.Oldest = resync.Room.String(), resync.Epoch, resync.Head, resync.Oldest
	}
	if limited, ok := errors.AsType[*chat.NewRoomsError](err); ok {
		e.Room, e.RetryAfter = limited.Room.String(), limited.Wait
	}
	if exceeded, ok := errors.AsType[*limit.ExceededError](err); ok {
		e.RetryAfter = exceeded.RetryAfter
	}
	if wait, ok := errors.AsType[*account.WaitError](err); ok {
		e.RetryAfter = wait.After
	}
	if e.Code == wire.CodeStorageFull || e.Code == wire.CodeUnavailable {
		e.RetryAfter = retryAfter
	}
	return e
}

// IsFault reports whether an error is a fault of the server that its log must
// name. The store logs damage itself.
func IsFault(err error) bool {
	r := find(err)
	return r != nil && r.code == wire.CodeInternal && !is[*chat.DamagedError](err)
}

// find returns the row of an error, nil if its own code and text say everything.
func find(err error) *row {
	for i := range refusals {
		if refusals[i].matches(err) {
			return &refusals[i]
		}
	}
	return nil
}

// programText refuses a token what its account may do.
const programText = "this is for devices of people, and not for tokens; sign in with a device, as \"kaban login\" does"

// freshText refuses what takes a fresh sign-in.
const freshText = "this takes a fresh sign-in; prove who you are again"

// row is the code and the sentence of some errors.
type row struct {
	matches func(error) bool
	code    wire.Code
	text    func(error) string
}

// refusals is the one table from errors to codes and sentences; the first match
// counts. What a code means to a front end stands in package wire.
var refusals = []row{
	{is[*chat.ResyncError], wire.CodeResync, resyncText},
	{isErr(chat.ErrNobody), wire.CodeNotFound, text("there is nobody here with this name")},
	{isErr(chat.ErrNoDirect), wire.CodeNotFound, text("there is no such direct room; open one with the people that it is for")},
	{isErr(chat.ErrNotFound), wire.CodeNotFound, text("there is no such room, or you may not read it; if it is new, the first to join makes it")},
	{isErr(chat.ErrNotJoined), wire.CodeNotJoined, text("you are not in this room; join it first")},
	{isErr(chat.ErrExpelled), wire.CodeNotJoined, text("you are no longer in the room, and the message was not stored")},
	{isErr(chat.ErrOver), wire.CodeBadField, text("until_ms: the end of the ban is in the past; give a later time, leave it out for a ban without end, or kick instead")},
	{isErr(chat.ErrTooLate), wire.CodeBadField, text("until_ms: the end is after the year 9999; give an earlier time in milliseconds, or leave it out if there is none")},
	{isErr(chat.ErrBotAlone), wire.CodeForbidden, text("a bot is in a direct room only together with its owner; write to both, or in a room that the bot is in")},
	{isErr(chat.ErrNotFresh), wire.CodeForbidden, text(freshText)},
	{isErr(chat.ErrPaused), wire.CodeForbidden, text("this hook is paused; ask an op of its room")},
	{isErr(chat.ErrProgram), wire.CodeForbidden, text(programText)},
	{isErr(chat.ErrForbidden), wire.CodeForbidden, text("you may not do this here")},
	{isErr(chat.ErrAuthRequired), wire.CodeAuthRequired, text("this takes an account; sign in first")},
	{isErr(chat.ErrRoomTaken), wire.CodeRoomTaken, text("the name of the room is in use; choose another")},
	{isErr(chat.ErrLastOp), wire.CodeLastOp, text("a private room needs an op; make somebody else one first")},
	{isErr(chat.ErrLastOwner), wire.CodeLastOwner, text("the server needs an owner; make somebody else one first")},
	{is[*chat.PeopleError], wire.CodeBadField, error.Error},
	{isErr(chat.ErrStale), wire.CodeUnavailable, text("the rights in the room change too fast; try again")},
	{isErr(account.ErrAuthFailed), wire.CodeAuthFailed, text("the name or the secret is wrong, or no longer valid")},
	{isErr(account.ErrExpired), wire.CodeAuthFailed, text("the name or the secret is wrong, or no longer valid")},
	{isErr(account.ErrSignedOut), wire.CodeAuthRequired, text("this session has ended; sign in again")},
	{isErr(account.ErrInsecure), wire.CodeTLSRequired, text("this connection is not encrypted, so no password, token or cookie is taken from it; connect with TLS")},
	{isErr(account.ErrSuspended), wire.CodeSuspended, text("this account is suspended; ask an admin of the server")},
	{isErr(account.ErrBusy), wire.CodeUnavailable, text("too many people sign in at once; try again in a moment")},
	{isErr(account.ErrNotFresh), wire.CodeForbidden, text(freshText)},
	{isErr(account.ErrProgram), wire.CodeForbidden, text(programText)},
	{isErr(account.ErrNoWayIn), wire.CodeBadField, error.Error},
	{isErr(account.ErrWeakPassword), wire.CodeBadField, error.Error},
	{isErr(account.ErrUnclaimed), wire.CodeForbidden, text("the server has no owner yet; the link in its log makes one")},
	{isErr(account.ErrClaimed), wire.CodeForbidden, text("the server has an owner already; sign in instead")},
	{isErr(account.ErrNameTaken), wire.CodeUsernameTaken, text("an account has this name, or one that looks like it; choose another")},
	{isErr(account.ErrNameReserved), wire.CodeUsernameTaken, text("the name, or one that looks like it, is reserved; choose another")},
	{is[*account.NotFoundError], wire.CodeNotFound, own[*account.NotFoundError]},
	{isErr(account.ErrNotFound), wire.CodeNotFound, text("there is no such account, device, token or invite")},
	{isErr(account.ErrNotOpen), wire.CodeForbidden, text("this server takes no sign-ups; ask for an invite")},
	{isErr(account.ErrLastWay), wire.CodeForbidden, text("there would be no way to sign in any more; add another one first")},
	{isErr(account.ErrTooMany), wire.CodeForbidden, text("there are as many of them as there may be; remove one first")},
	{isErr(account.ErrCeremony), wire.CodeAuthFailed, text("the sign-in has expired or was begun elsewhere; begin again")},
	{is[*account.OriginError], wire.CodeAuthFailed, error.Error},
	{is[*account.UnavailableError], wire.CodeNotFound, error.Error},
	{is[*account.UnknownRoomError], wire.CodeNotFound, own[*account.UnknownRoomError]},
	{is[*account.CannotInviteError], wire.CodeForbidden, own[*account.CannotInviteError]},
	{is[*account.UnknownSettingError], wire.CodeNotFound, error.Error},
	{isErr(account.ErrPasskey), wire.CodeAuthFailed, text("the passkey is not accepted")},
	{isErr(account.ErrPasskeyKnown), wire.CodeIDConflict, text("this passkey is registered already")},
	{isErr(account.ErrIdentityTaken), wire.CodeForbidden, text("this identity at the provider belongs to another account")},
	{isErr(account.ErrSubjectClaim), wire.CodeForbidden, text("this identity was linked under another oidc.subject_claim; have it linked again")},
	{isErr(account.ErrRenew), wire.CodeAuthRequired, text("sign in at the provider of single sign-on again")},
	{isErr(account.ErrNoProvider), wire.CodeNotFound, text("single sign-on is not set up on this server")},
	{isErr(account.ErrProviderDown), wire.CodeUnavailable, text("the provider of single sign-on cannot be reached; try again later, or sign in another way")},
	{is[*account.ValueError], wire.CodeBadField, own[*account.ValueError]},
	{is[*chat.OpError], wire.CodeBadField, own[*chat.OpError]},
	{is[*account.StateError], wire.CodeForbidden, own[*account.StateError]},
	{is[*account.RefusedError], "", refusedText},
	{is[*account.WaitError], wire.CodeRateLimited, error.Error},
	{is[*limit.ExceededError], wire.CodeRateLimited, error.Error},
	{is[*chat.LookalikeError], wire.CodeBadRoom, error.Error},
	{is[*chat.NewRoomsError], wire.CodeRateLimited, newRoomsText},
	{isErr(chat.ErrTooManyRooms), wire.CodeServerFull, text("the server has as many rooms as it takes; use one that exists")},
	{isErr(chat.ErrReserved), wire.CodeUsernameTaken, text("the name, or one that looks like it, is reserved; choose another")},
	{isErr(chat.ErrTaken), wire.CodeUsernameTaken, text("somebody is connected under this name, or one that looks like it; choose another, or wait until it is free")},
	{isErr(chat.ErrIDConflict), wire.CodeIDConflict, text("this id was used for another message; use a new id for each message")},
	{isErr(chat.ErrNoMessage), wire.CodeNotFound, text("there is no such message in this room, or you may not see it")},
	{isErr(chat.ErrNoFile), wire.CodeNotFound, text("there is no such file, or you may not have it")},
	{isErr(chat.ErrFileClaimed), wire.CodeForbidden, text("a message has the file, and what it says of it does not change any more; upload it again and send another message")},
	{is[*chat.FileTooLargeError], wire.CodeTooLarge, own[*chat.FileTooLargeError]},
	{is[*chat.QuotaError], wire.CodeQuotaExceeded, own[*chat.QuotaError]},
	{isErr(kaban.ErrFiles), wire.CodeBadField, error.Error},
	{isErr(chat.ErrGone), wire.CodeGone, text("the message was deleted, and nothing about it changes any more")},
	{isErr(chat.ErrEditConflict), wire.CodeEditConflict, text("the message was edited in the meantime; read what it says now, and edit that")},
	{isErr(chat.ErrNoText), wire.CodeEmptyContent, text("content: the message has no files, so it needs a text")},
	{isErr(chat.ErrTooManyReactions), wire.CodeTooManyReactions, tooManyReactions},
	{is[*chat.EmojiError], wire.CodeBadEmoji, error.Error},
	{is[*chat.QueryError], wire.CodeBadQuery, error.Error},
	{isErr(chat.ErrBadZone), wire.CodeBadField, text("zone: there is no such time zone; give an IANA name such as Europe/Berlin, or leave it out for UTC")},
	{isErr(chat.ErrBadPlace), wire.CodeBadField, text("before: it must be the next of an earlier page of the same search; search from the beginning again")},
	{isErr(chat.ErrNoSearch), wire.CodeUnavailable, text("this server has no search index; ask whoever runs it")},
	{isErr(chat.ErrStorageFull), wire.CodeStorageFull, text("the server's disk is full and the message was not stored; send it again later with the same id")},
	{isErr(chat.ErrNoLease), wire.CodeUnavailable, text("this node was cut off from its database, and does not take visitors yet; try again in a moment")},
	{isErr(chat.ErrUnavailable), wire.CodeUnavailable, text("the server's database does not answer, so nothing was stored; try again later")},
	{isErr(chat.ErrUnknown), wire.CodeUnavailable, text("the server has lost its database meanwhile, so nobody knows yet whether this was done; look before you do it again, and send a message again with the same id")},
	{chat.IsGoingDown, wire.CodeUnavailable, text("the server is going down; try again when it is back")},
	{isErr(context.DeadlineExceeded), wire.CodeUnavailable, text("the server is too busy; try again later")},
	{is[*chat.DamagedError], wire.CodeInternal, damagedText},
	{func(err error) bool { return wire.CodeOf(err) == wire.CodeInternal }, wire.CodeInternal, text("the server failed and the request was not done; its log says why")},
}

func isErr(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func text(s string) func(error) string { return func(error) string { return s } }

// own is the text of an error of a type, without what was wrapped around it for logs.
func own[T error](err error) string {
	found, ok := errors.AsType[T](err)
	if !ok {
		return err.Error()
	}
	return found.Error()
}

func resyncText(err error) string {
	if resync, ok := errors.AsType[*chat.ResyncError](err); ok && resync.Damaged != nil {
		return damageText(resync.Damaged) + fmt.Sprintf("; the room goes on behind message %d", resync.Head)
	}
	return "this place in the room's log is not there (any more); go on from the head, and ask for the history that is kept"
}

// refusedText says in words what the code of a verdict about accounts means.
func refusedText(err error) string {
	refused, _ := errors.AsType[*account.RefusedError](err)
	switch refused.Action {
	case access.NameFile:
		return "only \"kaban settings set\" on the server's machine names a file, and the provider that gets the secret in it"
	case access.LinkIdentity:
		return "only \"kaban user link\" on the server's machine links an identity to somebody; people link their own by signing in there"
	}
	switch code := wire.Code(refused.Verdict.String()); code {
	case wire.CodeAuthRequired:
		return "this takes an account; sign in first"
	case wire.CodeNotFound:
		return "there is no such account"
	case wire.CodeLastOwner:
		return "the server needs an owner; make somebody else one first"
	}
	return "you may not do this"
}

func tooManyReactions(error) string {
	return fmt.Sprintf("a message takes %d different reactions, %d by one person, and %d by all; add to one that is there, or take one of yours back", chat.MaxReactions, chat.MaxOwnReactions, chat.MaxReactors)
}

func newRoomsText(err error) string {
	limited, _ := errors.AsType[*chat.NewRoomsError](err)
	return limited.Error()
}

func damagedText(err error) string {
	damage, _ := errors.AsType[*chat.DamagedError](err)
	return damageText(damage) + "; ask for what is before it or after it"
}

// damageText says which message nobody can be given. Its content may be private and
// is not what was written, so nothing of it is told.
func damageText(e *chat.DamagedError) string {
	return fmt.Sprintf("message %d of %s is damaged on the server's disk and cannot be given; the server's operator finds more with \"kaban check\"", e.Seq, e.Room)
}
