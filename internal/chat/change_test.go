package chat

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// alter changes a message by a user without a connection.
func (w *town) alter(u User, room string, change Change) (Receipt, error) {
	w.t.Helper()
	receipt, _, err := u.Change(w.t.Context(), storetest.RoomName(w.t, room), w.id(), change)
	return receipt, err
}

// post posts by a user without a connection.
func (w *town) post(u User, room, content string, replyTo uint64) (uint64, error) {
	w.t.Helper()
	receipt, _, err := u.Post(w.t.Context(), storetest.RoomName(w.t, room), w.id(), content, replyTo)
	return receipt.Seq, err
}

func edit(target uint64, content string) Change {
	return Change{Kind: kaban.KindEdit, Target: target, Content: content}
}

func react(target uint64, emoji string) Change {
	return Change{Kind: kaban.KindReact, Target: target, Emoji: emoji, On: true}
}

func pin(target uint64) Change { return Change{Kind: kaban.KindPin, Target: target, On: true} }

func remove(target uint64) Change { return Change{Kind: kaban.KindDelete, Target: target} }

// TestChanges has all kinds of people change messages without a connection.
func TestChanges(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		ann, bob, cat := w.user("ann"), w.user("bob"), w.user("cat")
		want(t, "invite", w.do("ann", "hall", w.to("bob", access.Invite)), nil) // seq 2
		one, err := w.post(ann, "hall", "one", 0)
		want(t, "ann posts", err, nil)
		two, err := w.post(bob, "hall", "two", one)
		want(t, "bob answers", err, nil)
		vic, impostor := w.visitor("vic", netip.Addr{}), w.visitor("ann", netip.Addr{})
		his, err := w.post(vic, "hall", "three", 0)
		want(t, "vic posts", err, nil)
		reader := w.chat.With(ann.Identity(), netip.Addr{}, &Credential{ID: "device", ReadOnly: true})
		elsewhere := w.chat.With(ann.Identity(), netip.Addr{}, &Credential{ID: "device", Rooms: []string{"lobby"}})
		for _, c := range []struct {
			what   string
			by     User
			change Change
			err    error
		}{
			{"ann edits her own", ann, edit(one, "ONE"), nil},
			{"ann edits bob's", ann, edit(two, "x"), ErrForbidden},
			{"ann edits nothing", ann, edit(99, "x"), ErrNoMessage},
			{"ann edits what is no message", ann, edit(1, "x"), ErrNoMessage},
			{"ann edits an old version", ann, Change{Kind: kaban.KindEdit, Target: one, Content: "x", Base: one}, ErrEditConflict},
			{"no text", ann, edit(one, "\n"), kaban.EmptyContent},
			{"a long text", ann, edit(one, strings.Repeat("x", kaban.DefaultMaxContent+1)), kaban.TooLongContent},
			{"a token that reads", reader, edit(one, "x"), ErrForbidden},
			{"a token that reads, and nothing", reader, edit(99, "x"), ErrForbidden},
			{"a token of another room", elsewhere, edit(one, "x"), ErrNotFound},
			{"cat is not in", cat, edit(one, "x"), ErrNotJoined},
			{"cat reacts", cat, react(one, "👍"), ErrNotJoined},
			{"bob reacts", bob, react(one, "👍"), nil},
			{"bob reacts to what is not there", bob, react(99, "👍"), ErrNoMessage},
			{"bob pins", bob, pin(two), nil},
			{"a visitor pins", vic, pin(two), ErrNotJoined},
			{"a visitor deletes bob's", vic, remove(two), ErrForbidden},
			{"a visitor deletes its own", vic, remove(his), nil},
			{"and again", vic, remove(his), ErrGone},
			{"somebody with ann's name", impostor, remove(one), ErrTaken},
			{"nobody", w.chat.As(kaban.Identity{}, netip.Addr{}), remove(one), ErrForbidden},
			{"the admin deletes bob's", w.user("adam"), remove(two), nil},
			{"bob edits it", bob, edit(two, "x"), ErrGone},
		} {
			_, err := w.alter(c.by, "hall", c.change)
			want(t, c.what, err, c.err)
		}
		_, err = w.alter(ann, "nowhere", edit(one, "x"))
		want(t, "a room that is not there", err, ErrNotFound)
		_, err = w.alter(bob, "hall", react(one, "thumbs"))
		if _, ok := errors.AsType[*EmojiError](err); !ok {
			t.Errorf("a reaction that is no emoji: %v", err)
		}
		if _, err := w.alter(bob, "hall", Change{Kind: kaban.KindTopic, Target: one}); err == nil {
			t.Error("a topic changes a message")
		}
		page, err := ann.History(t.Context(), storetest.RoomName(t, "hall"), Query{})
		if err != nil || len(page.Entries) != 5 || page.First != 1 || page.Last != 10 || page.AsOf != 10 {
			t.Fatalf("the history is %+v, %v", page, err)
		}
		first, last := page.Entries[2], page.Entries[3]
		if first.Content != "ONE" || first.State.Replies != 1 || len(first.State.Reactions) != 1 || first.State.Reactions[0].Emoji != "👍" {
			t.Errorf("message %d is %+v with %+v", one, first, first.State)
		}
		if last.Content != "" || !last.IsDeleted() || last.State.Pinned != (store.Change{}) {
			t.Errorf("message %d is %+v with %+v", two, last, last.State)
		}
	})
}

// A member's rights are found once and hold until they change.
func TestRightsToChange(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		ann, bob := w.user("ann"), w.user("bob")
		room, err := ann.Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		want(t, "direct", err, nil)
		his, err := w.follow(bob, room.String(), 0)
		want(t, "bob joins", err, nil)
		hers, err := w.post(ann, room.String(), "hi", 0)
		want(t, "ann posts", err, nil)
		own, err := w.post(bob, room.String(), "ho", 0)
		want(t, "bob posts", err, nil)
		tries := []struct {
			change                 Change
			before, blocked, after error
		}{
			{edit(own, "HO"), nil, ErrForbidden, nil},
			{edit(hers, "x"), ErrForbidden, ErrForbidden, ErrForbidden},
			{react(hers, "🎉"), nil, ErrForbidden, nil},
			{pin(hers), nil, nil, nil},
			{remove(hers), ErrForbidden, ErrForbidden, ErrForbidden},
		}
		for i, c := range tries {
			want(t, fmt.Sprint(i, " before"), w.submit(bob, his, c.change), c.before)
		}
		block := &people.Block{Account: "id-ann", Blocked: "id-bob"}
		want(t, "block", s.Update(t.Context(), func(tx store.Tx) error { return people.Blocks.Put(tx, block) }), nil)
		w.chat.dispatcher.Invalidate()
		for i, c := range tries {
			want(t, fmt.Sprint(i, " blocked"), w.submit(bob, his, c.change), c.blocked)
			_, err := w.alter(bob, room.String(), c.change)
			want(t, fmt.Sprint(i, " blocked, without a connection"), err, c.blocked)
		}
		want(t, "unblock", s.Update(t.Context(), func(tx store.Tx) error { return people.Blocks.Delete(tx, "id-ann", "id-bob") }), nil)
		w.chat.dispatcher.Invalidate()
		for i, c := range tries {
			want(t, fmt.Sprint(i, " after"), w.submit(bob, his, c.change), c.after)
		}
	})
}

// Who is an op no more deletes nothing of others, also by a connection that has joined as one, and
// what was deleted before stays so.
func TestAFormerOpDeletes(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPublic)
		ann, bob := w.user("ann"), w.user("bob")
		want(t, "enter", bob.enter(t.Context(), storetest.RoomName(t, "den")), nil)
		role := func(r kaban.RoomRole) {
			t.Helper()
			want(t, "role", w.do("ann", "den", Act{Action: access.SetRoomRole, Subject: storetest.Username(t, "bob"), Role: r}), nil)
		}
		var hers []uint64
		for range 4 {
			seq, err := w.post(ann, "den", "hello", 0)
			want(t, "post", err, nil)
			hers = append(hers, seq)
		}
		role(kaban.RoomRoleOp)
		his, err := w.follow(bob, "den", 0)
		want(t, "bob joins", err, nil)
		repeated := w.id()
		send, err := bob.DraftChange(his, 0, his.Room().Name(), repeated, remove(hers[0]))
		want(t, "draft", err, nil)
		want(t, "an op", w.commit(his, send), nil)
		drafted, err := bob.DraftChange(his, 0, his.Room().Name(), w.id(), remove(hers[1]))
		want(t, "draft", err, nil)
		role(kaban.RoomRoleMember)
		want(t, "what was drafted as an op", w.commit(his, drafted), ErrForbidden)
		want(t, "a former op", w.submit(bob, his, remove(hers[2])), ErrForbidden)
		_, err = w.alter(bob, "den", remove(hers[3]))
		want(t, "a former op without a connection", err, ErrForbidden)
		want(t, "the first one again, whose ack was lost", w.commit(his, send), nil)
		entries, err := s.Read(t.Context(), his.Room().Name(), store.Page{After: hers[0] - 1, Limit: 4})
		want(t, "read", err, nil)
		for i := range entries {
			if entries[i].IsDeleted() != (i == 0) {
				t.Errorf("%+v is deleted: %t", entries[i], entries[i].IsDeleted())
			}
		}
	})
}

// submit submits a change and returns the error of its receipt.
func (w *town) submit(u User, s *Subscription, change Change) error {
	w.t.Helper()
	send, err := u.DraftChange(s, 0, s.Room().Name(), w.id(), change)
	if err != nil {
		return err
	}
	return w.commit(s, send)
}

// What is before one's first entry is not there: for changes, replies and threads, with a
// connection and without.
func TestChangesOfWhatIsHidden(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPrivate)
		want(t, "set", w.do("ann", "den", Act{Change: people.RoomChange{History: people.HistoryJoined}}), nil)
		ann, bob := w.user("ann"), w.user("bob")
		hidden, err := w.post(ann, "den", "before", 0)
		want(t, "ann posts", err, nil)
		want(t, "invite", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		his, err := w.follow(bob, "den", hidden)
		want(t, "bob joins", err, nil)
		for _, target := range []uint64{hidden, 99} {
			for _, c := range []Change{edit(target, "x"), react(target, "👍"), pin(target)} {
				want(t, "with a connection", w.submit(bob, his, c), ErrNoMessage)
				_, err := w.alter(bob, "den", c)
				want(t, "without", err, ErrNoMessage)
			}
			_, err := w.post(bob, "den", "x", target)
			want(t, "a reply", err, ErrNoMessage)
		}
		den := storetest.RoomName(t, "den")
		_, err = bob.History(t.Context(), den, Query{RepliesTo: hidden})
		want(t, "the thread", err, ErrNoMessage)
		reply, err := w.post(ann, "den", "later", hidden)
		want(t, "ann answers", err, nil)
		page, err := ann.History(t.Context(), den, Query{RepliesTo: hidden})
		if err != nil || len(page.Entries) != 1 || page.Entries[0].Seq != reply {
			t.Errorf("ann's page of the thread is %+v, %v", page, err)
		}
	})
}

// The name of a visitor is borrowed until the change is stored or refused.
func TestAVisitorsNameIsGivenBack(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		vic := w.visitor("vic", netip.Addr{})
		his, err := w.post(vic, "lobby", "hi", 0)
		want(t, "vic posts", err, nil)
		for room, refused := range map[string]error{"lobby": ErrNotJoined, "nowhere": ErrNotFound} {
			_, err := w.alter(vic, room, edit(his, "x"))
			want(t, room, err, refused)
		}
		session, err := w.chat.claim(nil, vic.Identity(), netip.Addr{}, "")
		want(t, "a connection claims the name", err, nil)
		_, err = w.alter(vic, "lobby", remove(his))
		want(t, "a request under the name of a connection", err, ErrTaken)
		send, err := w.chat.By(session).DraftChange(nil, 0, storetest.RoomName(t, "lobby"), w.id(), remove(his))
		want(t, "the connection itself", err, nil)
		_, err = w.chat.By(session).Commit(t.Context(), send)
		want(t, "the connection itself", err, nil)
		w.chat.Release(session)
	})
}

func TestPagesAreCut(t *testing.T) {
	entries := []Entry{{Seq: 3}, {Seq: 7}, {Seq: 8}}
	for _, c := range []struct {
		most        int
		newest      bool
		left        int
		first, last uint64
		more        bool
	}{
		{5, false, 3, 2, 9, false},
		{3, false, 3, 2, 9, false},
		{2, false, 2, 2, 7, true},
		{1, false, 1, 2, 6, true},
		{0, false, 1, 2, 6, true},
		{3, true, 3, 2, 9, false},
		{2, true, 2, 4, 9, true},
		{1, true, 1, 8, 9, true},
	} {
		p := Page{Entries: entries, First: 2, Last: 9, Newest: c.newest}
		if p.Cut(c.most); len(p.Entries) != c.left || p.First != c.first || p.Last != c.last || p.More != c.more {
			t.Errorf("cut to %d, newest %t: %+v", c.most, c.newest, p)
		}
	}
	var none Page
	if none.Cut(0); none.More {
		t.Errorf("an empty page is cut to %+v", none)
	}
}
