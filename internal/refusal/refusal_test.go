package refusal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/dispatch"
	"kaban/internal/refusal"
	"kaban/internal/session"
	"kaban/internal/store"
	"kaban/wire"
)

func TestEveryErrorHasItsCodeAndSaysWhatToDo(t *testing.T) {
	lobby, err := kaban.ParseRoomName(kaban.Lobby)
	if err != nil {
		t.Fatal(err)
	}
	_, tooLong := kaban.ParseUsername(strings.Repeat("a", 99))
	for _, c := range []struct {
		err  error
		code wire.Code
		text string // a part of it
	}{
		{&chat.ResyncError{}, wire.CodeResync, "go on from the head"},
		{&chat.ResyncError{Head: 9, Damaged: damaged(7)}, wire.CodeResync, "message 7 of lobby is damaged"},
		{&chat.ResyncError{Head: 9, Damaged: damaged(7)}, wire.CodeResync, "goes on behind message 9"},
		{damaged(7), wire.CodeInternal, "message 7 of lobby is damaged"},
		{damaged(7), wire.CodeInternal, "before it or after it"},
		{dispatch.ErrNotFound, wire.CodeNotFound, "first to join makes it"},
		{dispatch.ErrTooManyRooms, wire.CodeServerFull, "use one that exists"},
		{&chat.LookalikeError{Room: lobby}, wire.CodeBadRoom, "join that one, or choose another name"},
		{&chat.LookalikeError{}, wire.CodeBadRoom, "looks like another room; choose another name"},
		{session.ErrTaken, wire.CodeUsernameTaken, "wait until it is free"},
		{session.ErrReserved, wire.CodeUsernameTaken, "reserved; choose another"},
		{chat.ErrNotJoined, wire.CodeNotJoined, "you are not in this room"},
		{chat.ErrOver, wire.CodeBadField, "give a later time"},
		{chat.ErrTooLate, wire.CodeBadField, "give an earlier time"},
		{chat.ErrNotFound, wire.CodeNotFound, "there is no such room, or you may not read it; if it is new, the first to join makes it"},
		{chat.ErrNoDirect, wire.CodeNotFound, "open one with the people"},
		{chat.ErrNotFresh, wire.CodeForbidden, "fresh sign-in"},
		{chat.ErrPaused, wire.CodeForbidden, "paused"},
		{chat.ErrBotAlone, wire.CodeForbidden, "only together with its owner"},
		{&account.UnknownRoomError{Room: "dev"}, wire.CodeNotFound, "there is no room dev; create it first"},
		{chat.ErrNobody, wire.CodeNotFound, "nobody here with this name"},
		{store.ErrIDConflict, wire.CodeIDConflict, "use a new id"},
		{store.ErrNoTarget, wire.CodeNotFound, "no such message"},
		{store.ErrGone, wire.CodeGone, "was deleted"},
		{chat.ErrNoFile, wire.CodeNotFound, "no such file"},
		{fmt.Errorf("of it: %w", &chat.FileTooLargeError{Size: 9, Limit: 8}), wire.CodeTooLarge, "the file has 9 bytes, and the limit is 8"},
		{&chat.QuotaError{Size: 9, Used: 2, Limit: 8}, wire.CodeQuotaExceeded, "the file has 9 bytes, your files have 2, and the limit is 8"},
		{&chat.QuotaError{Server: true, Size: 9, Used: 2, Limit: 8}, wire.CodeQuotaExceeded, "the files of this server have 2"},
		{fmt.Errorf("%w: there are 11, and the limit is 10", kaban.ErrFiles), wire.CodeBadField, "there are 11"},
		{store.ErrEditConflict, wire.CodeEditConflict, "read what it says now"},
		{store.ErrTooManyReactions, wire.CodeTooManyReactions, "50 different reactions, 20 by one person, and 10000 by all"},
		{&chat.EmojiError{Text: "x", Problem: "send another"}, wire.CodeBadEmoji, "send another"},
		{&chat.QueryError{Position: 2, Problem: "add a word"}, wire.CodeBadQuery, "character 3: add a word"},
		{chat.ErrBadZone, wire.CodeBadField, "IANA"},
		{chat.ErrBadPlace, wire.CodeBadField, "from the beginning"},
		{chat.ErrNoSearch, wire.CodeUnavailable, "no search index"},
		{store.ErrFull, wire.CodeStorageFull, "with the same id"},
		{fmt.Errorf("come: %w", chat.ErrNoLease), wire.CodeUnavailable, "does not take visitors yet"},
		{fmt.Errorf("append: %w", store.ErrUnavailable), wire.CodeUnavailable, "nothing was stored; try again later"},
		{fmt.Errorf("append: %w", store.ErrUnknown), wire.CodeUnavailable, "look before you do it again"},
		{store.ErrBroken, wire.CodeUnavailable, "going down"},
		{store.ErrClosed, wire.CodeUnavailable, "going down"},
		{dispatch.ErrClosed, wire.CodeUnavailable, "going down"},
		{context.Canceled, wire.CodeUnavailable, "going down"},
		{context.DeadlineExceeded, wire.CodeUnavailable, "too busy"},
		{account.ErrSignedOut, wire.CodeAuthRequired, "sign in again"},
		{account.ErrInsecure, wire.CodeTLSRequired, "connect with TLS"},
		{account.ErrNotFresh, wire.CodeForbidden, "fresh sign-in"},
		{account.ErrProgram, wire.CodeForbidden, "sign in with a device"},
		{chat.ErrProgram, wire.CodeForbidden, "sign in with a device"},
		{&account.RefusedError{Action: access.Suspend, Verdict: access.InPersonOnly}, wire.CodeForbidden, "sign in with a device"},
		{account.ErrNoWayIn, wire.CodeBadField, "make a passkey"},
		{&account.WeakPasswordError{Reason: "it is one of the commonest"}, wire.CodeBadField, "commonest"},
		{account.ErrUnclaimed, wire.CodeForbidden, "no owner yet"},
		{account.ErrClaimed, wire.CodeForbidden, "has an owner"},
		{account.ErrNameTaken, wire.CodeUsernameTaken, "choose another"},
		{account.ErrNameReserved, wire.CodeUsernameTaken, "reserved"},
		{account.ErrNotFound, wire.CodeNotFound, "no such account"},
		{account.NoAccount("nope"), wire.CodeNotFound, `there is no account nope; "kaban user list" shows all`},
		{account.NoToken("no\x1bpe", "ann"), wire.CodeNotFound, `there is no token "no\x1bpe"; "kaban token list ann" shows all`},
		{account.ErrNotOpen, wire.CodeForbidden, "ask for an invite"},
		{account.ErrLastWay, wire.CodeForbidden, "no way to sign in"},
		{account.ErrTooMany, wire.CodeForbidden, "remove one"},
		{account.ErrCeremony, wire.CodeAuthFailed, "begin again"},
		{account.ErrPasskey, wire.CodeAuthFailed, "not accepted"},
		{account.ErrPasskeyKnown, wire.CodeIDConflict, "already"},
		{account.ErrIdentityTaken, wire.CodeForbidden, "another account"},
		{account.ErrSubjectClaim, wire.CodeForbidden, "subject_claim"},
		{account.ErrRenew, wire.CodeAuthRequired, "provider"},
		{account.ErrNoProvider, wire.CodeNotFound, "not set up"},
		{account.ErrProviderDown, wire.CodeUnavailable, "another way"},
		{&account.ValueError{What: "role", Reason: "a bot is no owner"}, wire.CodeBadField, "a bot is no owner"},
		{&account.StateError{Username: "amy", Reason: "is suspended"}, wire.CodeForbidden, "amy is suspended"},
		{&account.RefusedError{Action: access.Suspend, Verdict: access.Forbidden}, wire.CodeForbidden, "may not"},
		{&account.RefusedError{Action: access.Suspend, Verdict: access.NotFound}, wire.CodeNotFound, "no such account"},
		{&account.RefusedError{Action: access.Suspend, Verdict: access.AuthRequired}, wire.CodeAuthRequired, "sign in"},
		{&account.RefusedError{Action: access.ChangeRole, Verdict: access.LastOwner}, wire.CodeLastOwner, "needs an owner"},
		{tooLong, wire.CodeTooLongUsername, "32"},
		{errors.New("open /var/lib/secret: EIO"), wire.CodeInternal, "its log says why"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("append: %w", c.err)} {
			e := refusal.Of(err)
			if e.Type != wire.TypeError || e.Code != c.code || !strings.Contains(e.Text, c.text) {
				t.Errorf("%v is the frame %s %s %q, want %s with %q", err, e.Type, e.Code, e.Text, c.code, c.text)
			}
			if waiting := c.code == wire.CodeUnavailable || c.code == wire.CodeStorageFull; waiting != (e.RetryAfter > 0) {
				t.Errorf("%s is worth another try after %s", e.Code, e.RetryAfter)
			}
			if strings.Contains(e.Text, "secret") {
				t.Errorf("the text %q tells what is in the server", e.Text)
			}
		}
	}
}

// What the code wraps around an error for its logs is no part of the sentence.
func TestOwnTexts(t *testing.T) {
	for want, err := range map[string]error{
		"amy is not suspended":                                   &account.StateError{Username: "amy", Reason: "is not suspended"},
		"role: a bot is no owner":                                &account.ValueError{What: "role", Reason: "a bot is no owner"},
		"there is no room den; create it first, or leave it out": &account.UnknownRoomError{Room: "den"},
	} {
		if e := refusal.Of(fmt.Errorf("restore an account: %w", err)); e.Text != want {
			t.Errorf("got %q, want %q", e.Text, want)
		}
	}
}

func damaged(seq uint64) *store.DamagedError {
	lobby, _ := kaban.ParseRoomName("lobby")
	return &store.DamagedError{Room: lobby, Seq: seq, Err: errors.New("secret")}
}

func TestResyncTellsTheStateOfTheRoom(t *testing.T) {
	lobby, err := kaban.ParseRoomName("lobby")
	if err != nil {
		t.Fatal(err)
	}
	e := refusal.Of(&chat.ResyncError{Room: lobby, Epoch: "E", Head: 7, Oldest: 3})
	if e.Room != "lobby" || e.Epoch != "E" || e.Head != 7 || e.Oldest != 3 {
		t.Errorf("got %+v", e)
	}
}
