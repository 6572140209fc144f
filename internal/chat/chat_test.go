package chat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// plain encodes entries as lines.
type plain struct{}

func (plain) AppendEntry(dst []byte, _ string, e *store.Entry) []byte {
	return fmt.Appendf(dst, "%d %s: %s\n", e.Seq, e.Username, e.Content)
}

// claim is Claim for a session of its own, which is nil after an error.
func (c *Chat) claim(owner Owner, id kaban.Identity, address netip.Addr, resume string) (*Session, error) {
	s := new(Session)
	if err := c.Claim(s, owner, id, address, resume); err != nil {
		return nil, err
	}
	return s, nil
}

// enter is Enter for a session of its own.
func (c *Chat) enter(owner Owner, id kaban.Identity, address netip.Addr, credential *Credential) *Session {
	s := new(Session)
	c.Enter(s, owner, id, address, credential)
	return s
}

func (plain) AppendPresence(dst []byte, _ string, _ int, _, _ []string) []byte { return dst }

func (plain) AppendTyping(dst []byte, room string, names []string) []byte {
	return fmt.Appendf(dst, "%s typing %v\n", room, names)
}

// reader is a waker that is asked and never woken.
type reader struct{}

func (reader) Wake(*Audience)        {}
func (reader) WakeOne(*Subscription) {}

type owner struct{}

func (owner) Replace() {}
func (owner) Revoke()  {}

func (owner) Changed(kaban.RoomName) {}

func newChat(t *testing.T, options dispatch.Options) (*Chat, store.Store) {
	t.Helper()
	s := memory.New(0)
	options.PresenceDelay = time.Hour
	d, err := dispatch.New(t.Context(), s, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return chatOver(t, d, Options{MaxContent: 10}), s
}

// join makes a user a member.
func join(t *testing.T, u User, room string) *Subscription {
	t.Helper()
	place, err := u.Find(t.Context(), storetest.RoomName(t, room), Start{})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := u.Join(reader{}, u, plain{}, place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next returns what comes next on a subscription.
func next(s *Subscription) (frames string, receipt *Receipt) {
	segment := s.Next()
	frames = string(segment.Frames)
	s.Advance(&segment, len(segment.Frames))
	return frames, segment.Receipt
}

func TestAMemberSaysSomething(t *testing.T) {
	c, _ := newChat(t, dispatch.Options{})
	session, err := c.claim(owner{}, kaban.Visitor(storetest.Username(t, "Alice")), netip.Addr{}, "")
	if err != nil {
		t.Fatal(err)
	}
	alice := c.As(session.Identity, netip.MustParseAddr("192.0.2.1"))
	bob := c.As(kaban.Visitor(storetest.Username(t, "bob")), netip.MustParseAddr("192.0.2.2"))
	hers, his := join(t, alice, "den"), join(t, bob, "den")
	d := storetest.Draft(t, "den", "Alice", "one", "hello")
	message, err := kaban.NewMessage(storetest.Username(t, "Alice"), "hello", 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Draft(nil, 7, d.ID, message, 0); !errors.Is(err, ErrNotJoined) {
		t.Errorf("a send without a membership: %v", err)
	}
	send, err := alice.Draft(hers, 7, d.ID, message, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.Origin = 7
	if got := send.Draft; got.Author != d.Author || got.Origin != 7 || got.Room.Key() != "den" || got.Kind != d.Kind || got.Body != "hello" {
		t.Errorf("the draft is %+v", got)
	}
	c.Submit([]Send{send})
	if frames, _ := next(his); frames != "1 Alice: hello\n" {
		t.Errorf("bob gets %q", frames)
	}
	if frames, receipt := next(hers); frames != "" || receipt == nil || receipt.Seq != 1 {
		t.Errorf("alice gets %q and %+v", frames, receipt)
	}
	alice.Leave(hers, false)
	bob.Leave(his, false)
	c.Release(session)
	if got := c.Counts(); got != (Counts{Sessions: 1, Joins: 2, Sends: 1, NewRooms: 1, Refusals: 1}) {
		t.Errorf("counted %+v", got)
	}
}

// An anonymous reader knows and reads rooms, and does nothing else.
func TestAnAnonymousReader(t *testing.T) {
	c, s := newChat(t, dispatch.Options{})
	nobody, den := c.As(kaban.Identity{}, netip.Addr{}), storetest.RoomName(t, "lobby")
	storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", "one", "hello"))
	if _, err := nobody.Room(t.Context(), den); err != nil {
		t.Errorf("a room: %v", err)
	}
	if _, _, err := nobody.Watch(t.Context(), reader{}, plain{}, den, Start{}); err != nil {
		t.Errorf("watch: %v", err)
	}
	if _, err := nobody.Members(t.Context(), den, "", 0); err != nil {
		t.Errorf("members: %v", err)
	}
	place, ok := nobody.Locate(den, Start{})
	if _, _, err := nobody.Join(reader{}, nil, plain{}, place); !ok || !errors.Is(err, ErrForbidden) {
		t.Errorf("join: %v", err)
	}
	none := storetest.RoomName(t, "none")
	if _, err := nobody.Find(t.Context(), none, Start{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("make a room: %v", err)
	}
	for what, err := range map[string]error{
		"room":    second(nobody.Room(t.Context(), none)),
		"history": second(nobody.History(t.Context(), none, Query{})),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s that is not there: %v", what, err)
		}
	}
	if _, err := nobody.Members(t.Context(), none, "", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("members of a room that is not there: %v", err)
	}
	if _, _, err := nobody.Watch(t.Context(), reader{}, plain{}, none, Start{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("watch a room that is not there: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestPagesHaveDefaults(t *testing.T) {
	s := memory.New(0)
	for i := range 120 {
		storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", fmt.Sprint(i), "x"))
	}
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	nobody := chatOver(t, d, Options{}).As(kaban.Identity{}, netip.Addr{})
	for _, test := range []struct {
		query       Query
		first, last uint64
		more        bool
	}{
		{Query{}, 71, 120, true},
		{Query{HasAfter: true}, 1, 50, true},
		{Query{After: 100, HasAfter: true}, 101, 120, false},
		{Query{Before: 11, HasBefore: true}, 1, 10, false},
		{Query{HasBefore: true}, 0, 0, false},
		{Query{Limit: 3}, 118, 120, true},
		{Query{Limit: 3, Bytes: 2}, 119, 120, true},
	} {
		page, err := nobody.History(t.Context(), storetest.RoomName(t, "LOBBY"), test.query)
		if err != nil {
			t.Fatal(err)
		}
		var first, last uint64
		if n := len(page.Entries); n > 0 {
			first, last = page.Entries[0].Seq, page.Entries[n-1].Seq
		}
		if first != test.first || last != test.last || page.More != test.more || page.Newest == test.query.HasAfter || page.Room.String() != "lobby" {
			t.Errorf("%+v: %d to %d of %s, more %v, newest %v", test.query, first, last, page.Room, page.More, page.Newest)
		}
	}
}

// watched calls before each append.
type watched struct {
	*memory.Store
	before func()
}

func (s *watched) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if s.before != nil {
		s.before()
	}
	return s.Store.Append(ctx, batch, results)
}

func TestAPostBorrowsAName(t *testing.T) {
	s := &watched{Store: memory.New(0)}
	d, err := dispatch.New(t.Context(), s, dispatch.Options{MaxRooms: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	c := chatOver(t, d, Options{MaxContent: 10})
	ci, cd := storetest.Username(t, "ci"), storetest.Username(t, "cd")
	lobby, none := storetest.RoomName(t, "lobby"), storetest.RoomName(t, "none")
	claim := func(name kaban.Username) error {
		s, err := c.claim(owner{}, kaban.Visitor(name), netip.Addr{}, "")
		if err == nil {
			c.Release(s)
		}
		return err
	}
	id := func(s string) kaban.MessageID { return storetest.Draft(t, "lobby", "ci", s, "x").ID }
	as := func(name kaban.Username) User { return c.As(kaban.Visitor(name), netip.Addr{}) }
	appends := 0
	s.before = func() {
		appends++
		if err := claim(ci); !errors.Is(err, ErrTaken) {
			t.Errorf("the name is given away: %v", err)
		}
	}
	for _, test := range []struct {
		what    string
		room    kaban.RoomName
		content string
		want    error
	}{
		{"a bad content", lobby, "12345678901", kaban.TooLongContent},
		{"no such room", none, "x", ErrNotFound},
		{"a message", lobby, "x", nil},
		{"an id used twice", lobby, "y", ErrIDConflict},
	} {
		if err := third(as(ci).Post(t.Context(), test.room, id("1"), test.content, 0)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
		if err := claim(ci); err != nil {
			t.Errorf("after %s the name is not free: %v", test.what, err)
		}
	}
	if appends != 2 {
		t.Errorf("%d appends, want 2", appends)
	}
	s.before = nil

	// A hook may make its room, whoever else has its name.
	holder, err := c.claim(owner{}, kaban.Visitor(ci), netip.Addr{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := third(as(ci).Post(t.Context(), lobby, id("2"), "x", 0)); !errors.Is(err, ErrTaken) {
		t.Errorf("a name in use: %v", err)
	}
	builds := storetest.RoomName(t, "Builds")
	hook := func(id, room string) Hook {
		kept := people.Hook{Hash: "hash-" + id, ID: id, Room: room, Username: "hook"}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return people.Hooks.Put(tx, &kept) }); err != nil {
			t.Fatal(err)
		}
		h, err := NewHook(&kept)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	receipt, room, err := c.Hook(hook("h", "Builds"), ci).Post(t.Context(), builds, id("1"), "x", 0)
	if err != nil || receipt.Seq != 1 || room.String() != "builds" {
		t.Errorf("the hook: %+v in %s, %v", receipt, room, err)
	}
	if page, err := c.As(kaban.Identity{}, netip.Addr{}).History(t.Context(), builds, Query{}); err != nil || len(page.Entries) != 1 || page.Entries[0].Username != "ci" || page.Entries[0].Author != "hook:h" {
		t.Errorf("the room has %+v, %v", page.Entries, err)
	}
	many := storetest.RoomName(t, "one-too-many")
	if err := third(c.Hook(hook("i", "one-too-many"), cd).Post(t.Context(), many, id("2"), "x", 0)); !errors.Is(err, ErrTooManyRooms) {
		t.Errorf("a room too many: %v", err)
	}
	if err := third(c.Hook(hook("h", "Builds"), ci).Post(t.Context(), lobby, id("2"), "x", 0)); !errors.Is(err, ErrNotFound) {
		t.Errorf("the room of another hook: %v", err)
	}
	c.Release(holder)
	if err := third(as(storetest.Username(t, "system")).Post(t.Context(), lobby, id("3"), "x", 0)); !errors.Is(err, ErrReserved) {
		t.Errorf("a reserved name: %v", err)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

func chatOver(t testing.TB, d *dispatch.Dispatcher, options Options) *Chat {
	t.Helper()
	c, err := New(t.Context(), d, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
