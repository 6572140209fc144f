package chat

import (
	"net/netip"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// Members are accounts, connected or not, and connected visitors, each once, whoever is
// asked.
func TestMembersAreCountedOnce(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "hall", kaban.RoomPublic)
		hall := storetest.RoomName(t, "hall")
		count := func(what, names string) {
			t.Helper()
			wanted := len(strings.Fields(names))
			members, err := w.user("ann").Members(t.Context(), hall, "", 0)
			if got := strings.Join(members.Usernames, " "); err != nil || got != names || len(members.People) != wanted {
				t.Errorf("%s: members are %q, %v; want %q", what, got, err, names)
			}
			room, err := w.user("ann").Room(t.Context(), hall)
			if err != nil || room.Members != wanted {
				t.Errorf("%s: the room has %d members, %v; want %d", what, room.Members, err, wanted)
			}
			rooms, _, err := w.user("ann").Rooms(t.Context(), "", 0)
			for _, r := range rooms {
				if r.Name == hall && r.Members != wanted {
					t.Errorf("%s: the list of rooms says %d members, %v; want %d", what, r.Members, err, wanted)
				}
			}
		}
		follow := func(u User) *Subscription {
			t.Helper()
			s, err := w.follow(u, "hall", 0)
			want(t, "join", err, nil)
			return s
		}
		count("nobody is here", "ann")
		phone, laptop := follow(w.user("bob")), follow(w.user("bob"))
		count("two devices", "ann bob")
		vic := follow(w.visitor("vic", netip.Addr{}))
		count("a visitor", "ann bob vic")
		w.user("bob").Leave(phone, false)
		count("one device less", "ann bob vic")
		w.user("bob").Leave(laptop, false)
		count("bob is offline", "ann bob vic")
		w.visitor("vic", netip.Addr{}).Leave(vic, false)
		count("the visitor has left", "ann bob")
		want(t, "invite", w.do("ann", "hall", w.to("olga", access.Invite)), nil)
		count("olga is invited", "ann bob olga")
		want(t, "kick", w.do("ann", "hall", w.to("olga", access.Kick)), nil)
		count("olga is kicked", "ann bob")
		want(t, "part", w.user("bob").Part(t.Context(), hall), nil)
		count("bob has left", "ann")

		want(t, "invite", w.do("ann", "hall", w.to("olga", access.Invite)), nil)
		d, err := dispatch.New(t.Context(), s, dispatch.Options{})
		want(t, "another dispatcher", err, nil)
		defer d.Close()
		again, err := New(t.Context(), d, Options{})
		want(t, "a new start", err, nil)
		defer again.Close()
		if room, err := again.Operator().Room(t.Context(), hall); err != nil || room.Members != 2 {
			t.Errorf("after a new start: %d members, %v; want 2", room.Members, err)
		}
	})
}
