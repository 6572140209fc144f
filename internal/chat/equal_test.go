package chat

import (
	"context"
	"net/netip"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// counted is a store that counts transactions that read documents. They are what an answer
// costs that reads no log.
type counted struct {
	store.Store
	views int
}

func (s *counted) View(ctx context.Context, run func(store.Tx) error) error {
	s.views++
	return s.Store.View(ctx, run)
}

// Somebody that may not know of a room is refused to read it after as many transactions as
// for a room that there is not: the time must not tell them apart.
func TestHiddenRoomsTakeTheSameWork(t *testing.T) {
	s := &counted{Store: memory.New(0)}
	w := newTown(t, s)
	w.create("ann", "vault", kaban.RoomPrivate)
	w.setting("create_rooms", "admin")
	nobody := w.chat.As(kaban.Identity{}, netip.Addr{})
	for who, user := range map[string]User{"nobody": nobody, "a visitor": w.visitor("vera", netip.Addr{}), "a guest": w.user("gus"), "a member": w.user("bob"), "a bound token": w.bound("bob", "lobby")} {
		for what, ask := range map[string]func(room string) error{
			"history": func(room string) error { _, err := w.history(user, room); return err },
			"members": func(room string) error {
				_, err := user.Members(t.Context(), storetest.RoomName(t, room), "", 0)
				return err
			},
			"watch": func(room string) error {
				_, err := user.FindToRead(t.Context(), storetest.RoomName(t, room), Start{})
				return err
			},
		} {
			work := func(room string) int {
				s.views = 0
				if err := ask(room); err == nil {
					t.Errorf("%s, %s of %s: no error", who, what, room)
				}
				return s.views
			}
			for _, room := range []string{"vault", "nowhere"} { // what is cached at the first time
				work(room)
			}
			if hidden, none := work("vault"), work("nowhere"); hidden != none || hidden == 0 {
				t.Errorf("%s, %s: a hidden room takes %d transactions, and none %d", who, what, hidden, none)
			}
		}
	}
}
