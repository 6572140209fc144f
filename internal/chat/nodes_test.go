package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/bus/local"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// otherNode returns a second server on the store of a town. Neither hears of what the
// other does, but by the store.
func (w *town) otherNode() *town {
	w.t.Helper()
	d, err := dispatch.New(w.t.Context(), w.store, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(d.Close)
	return &town{t: w.t, chat: chatOver(w.t, d, Options{}), store: w.store, ids: 1000}
}

// A kick, a ban or a mute through one server counts in what another one stores next,
// though the other has bob in the room and knows his rights. A message without a
// subscription, a change and a reading of the log obey it, too.
func TestRightsTakenByAnotherNode(t *testing.T) {
	for _, c := range []struct {
		kind   kaban.RoomKind
		name   string
		action access.Action
		send   error // where bob has a connection
		post   error // where he has none
		reads  bool  // he goes on reading, in the room or outside of it
	}{
		{kaban.RoomPublic, "kick", access.Kick, ErrNotJoined, ErrNotJoined, true},
		{kaban.RoomPublic, "ban", access.Ban, ErrNotJoined, ErrForbidden, false},
		{kaban.RoomPublic, "mute", access.Mute, ErrForbidden, ErrForbidden, true},
		{kaban.RoomPrivate, "kick", access.Kick, ErrNotJoined, ErrNotFound, false},
		{kaban.RoomPrivate, "ban", access.Ban, ErrNotJoined, ErrNotFound, false},
		{kaban.RoomPrivate, "mute", access.Mute, ErrForbidden, ErrForbidden, true},
	} {
		t.Run(c.kind.String()+" "+c.name, func(t *testing.T) {
			drivers(t, func(t *testing.T, s store.Store) {
				one := newTown(t, s)
				one.create("ann", "hall", c.kind)
				want(t, "ann invites", one.do("ann", "hall", one.to("bob", access.Invite)), nil)
				two := one.otherNode()
				bob := two.user("bob")
				reading, err := two.follow(bob, "hall", 0)
				if err != nil {
					t.Fatal(err)
				}
				want(t, "bob says something", two.say(bob, reading, "before"), nil)

				want(t, "ann does it", one.do("ann", "hall", one.to("bob", c.action)), nil)
				head := len(logOf(t, one, "hall"))

				want(t, "bob sends", two.say(bob, reading, "after"), c.send)
				_, err = two.post(bob, "hall", "after, without a connection", 0)
				want(t, "bob posts", err, c.post)
				_, err = two.alter(bob, "hall", edit(3, "after, in place of before"))
				want(t, "bob edits", err, c.post)
				_, err = two.history(bob, "hall")
				if reads := err == nil; reads != c.reads {
					t.Errorf("bob reads: %v, want %v", err, c.reads)
				}
				if entries := logOf(t, one, "hall"); len(entries) != head || strings.Contains(strings.Join(entries, "\n"), "after") {
					t.Errorf("the log is %q, want %d entries", entries, head)
				}
			})
		})
	}
}

// The subscription of somebody that another node has kicked or banned ends before anything that comes
// behind it is given, and nobody else's.
func TestReadersExpelledByAnotherNode(t *testing.T) {
	for _, c := range []struct {
		kind   kaban.RoomKind
		action access.Action
		reason string // "": nobody has to go
	}{
		{kaban.RoomPublic, access.Kick, people.ChangeKicked},
		{kaban.RoomPublic, access.Ban, people.ChangeBanned},
		{kaban.RoomPublic, access.Mute, ""},
		{kaban.RoomPrivate, access.Kick, people.ChangeKicked},
		{kaban.RoomPrivate, access.Ban, people.ChangeBanned},
		{kaban.RoomPrivate, access.Mute, ""},
	} {
		t.Run(fmt.Sprint(c.kind, " ", c.action), func(t *testing.T) {
			drivers(t, func(t *testing.T, s store.Store) {
				network := new(local.Network)
				one := newTown(t, s)
				one.connect(network)
				one.create("ann", "hall", c.kind)
				for _, name := range []string{"bob", "cat"} {
					want(t, "ann invites", one.do("ann", "hall", one.to(name, access.Invite)), nil)
				}
				two := one.otherNode()
				two.connect(network)
				var reading [2]*Subscription
				for i, name := range []string{"bob", "cat"} {
					var err error
					if reading[i], err = two.follow(two.user(name), "hall", 0); err != nil {
						t.Fatal(err)
					}
				}
				want(t, "ann does it", one.do("ann", "hall", one.to("bob", c.action)), nil)
				_, err := one.post(one.user("ann"), "hall", "behind it", 0)
				want(t, "ann posts", err, nil)
				others := two.readUntil(reading[1], "behind it")
				if others != "" {
					t.Errorf("somebody else is expelled: %s", others)
				}
				if reason := two.readUntil(reading[0], "behind it"); reason != c.reason {
					t.Errorf("bob is expelled because %q, want %q", reason, c.reason)
				}
			})
		})
	}
}

// connect connects a server with those of other nodes.
func (w *town) connect(network *local.Network) {
	w.t.Helper()
	b := network.Open()
	w.t.Cleanup(func() { _ = b.Close() })
	if err := w.chat.dispatcher.Connect(b, nil); err != nil {
		w.t.Fatal(err)
	}
}

// readUntil reads until an entry has a text, or the reader is expelled, and returns why that is.
func (w *town) readUntil(s *Subscription, text string) (expelled string) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		entries, expelled := w.drain(s)
		if expelled != "" || strings.Contains(strings.Join(entries, "\n"), text) {
			return expelled
		}
	}
	w.t.Fatalf("%q does not come", text)
	return ""
}

// logOf returns what ann reads of a room.
func logOf(t *testing.T, w *town, room string) (entries []string) {
	t.Helper()
	all, err := w.history(w.user("ann"), room)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		entries = append(entries, e.Content)
	}
	return entries
}
