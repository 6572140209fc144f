package chat

import (
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// The groups of single sign-on are a setting of the server, so they give public rooms only:
// an owner that writes them does not get into a private room. What a group gave while the
// room was public, it takes away also later.
func TestGroupsGivePublicRoomsOnly(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPrivate)
		w.create("ann", "hall", kaban.RoomPublic)
		grant := func(member, room string, joins bool) {
			t.Helper()
			want(t, room, w.chat.Grant(t.Context(), storetest.Username(t, member), storetest.RoomName(t, room), "g1", joins), nil)
		}
		grant("olga", "den", true)
		w.equal("in the private room", w.roles("den"), "ann op")
		if _, err := w.history(w.user("olga"), "den"); err == nil {
			t.Error("an owner reads the private room")
		}
		grant("olga", "hall", true)
		if got := w.roles("hall"); len(got) != 2 {
			t.Errorf("in the public room are %q", got)
		}
		want(t, "make it private", w.do("ann", "hall", Act{Action: access.MakePrivate}), nil)
		grant("olga", "hall", false)
		if got := w.roles("hall"); len(got) != 1 {
			t.Errorf("a group that is gone leaves %q", got)
		}
	})
}
