package chat

import (
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// types reports typing as front ends do, and returns the refusal.
func types(u User, s *Subscription) error {
	if decided, err := u.Type(s); decided {
		return err
	}
	return u.Decide(s)
}

// Whoever may send may type, as of now: also where somebody is blocked, and with what a
// credential allows.
func TestWhoMayType(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		follow := func(u User, room string) *Subscription {
			t.Helper()
			s, err := w.follow(u, room, 0)
			want(t, "join", err, nil)
			return s
		}
		ann, bob := follow(w.user("ann"), "hall"), follow(w.user("bob"), "hall")
		want(t, "bob", types(w.user("bob"), bob), nil)
		want(t, "nobody", types(w.user("bob"), nil), ErrNotJoined)
		want(t, "mute", w.do("ann", "hall", w.to("bob", access.Mute)), nil)
		want(t, "bob is muted", types(w.user("bob"), bob), ErrForbidden)
		want(t, "unmute", w.do("ann", "hall", w.to("bob", access.Unmute)), nil)
		want(t, "bob is unmuted", types(w.user("bob"), bob), nil)
		want(t, "kick", w.do("ann", "hall", w.to("bob", access.Kick)), nil)
		want(t, "bob is kicked", types(w.user("bob"), bob), ErrNotJoined)
		cat := follow(w.user("cat"), "hall")
		w.chat.dispatcher.Expel(cat.Room(), "gone", func(r dispatch.Reader) bool { return r.Peer == cat.Reader().Peer })
		want(t, "cat must leave", types(w.user("cat"), cat), ErrNotJoined)
		want(t, "ann", types(w.user("ann"), ann), nil)

		name, err := w.user("ann").Direct(t.Context(), []kaban.Username{w.user("bob").Identity().Name()})
		want(t, "direct", err, nil)
		there := follow(w.user("ann"), name.String())
		want(t, "ann to bob", types(w.user("ann"), there), nil)
		block := people.Block{Account: w.user("bob").account(), Blocked: w.user("ann").account(), Since: time.Now().UnixMilli()}
		err = w.chat.dispatcher.Update(t.Context(), func(tx store.Tx) error { return people.Blocks.Put(tx, &block) })
		want(t, "block", err, nil)
		w.chat.dispatcher.Invalidate()
		want(t, "ann is blocked", types(w.user("ann"), there), ErrForbidden)
	})
}
