package chat

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// held is a store that begins no append while the gate is closed.
type held struct {
	store.Store
	gate chan struct{} // closed once the gate is open
}

func (s *held) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	<-s.gate
	return s.Store.Append(ctx, writes, results)
}

// Somebody that joins a room while another makes it, or while only visitors are there that
// have said nothing, finds a room with an op. If it became a member of a room that is not
// stored, nobody could make that room afterwards.
func TestJoiningARoomThatIsNotStored(t *testing.T) {
	t.Run("another makes it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &held{memory.New(0), make(chan struct{})}
			w := newTown(t, s)
			hall := storetest.RoomName(t, "hall")
			errs := make(chan error, 2)
			go func() { errs <- w.user("ann").Create(t.Context(), hall, NewRoom{Kind: kaban.RoomPublic}) }()
			synctest.Wait() // until it is to be stored
			go func() {
				_, err := w.user("bob").Find(t.Context(), hall, Start{})
				errs <- err
			}()
			synctest.Wait()
			close(s.gate)
			want(t, "the first", <-errs, nil)
			want(t, "the second", <-errs, nil)
			w.equal("members", w.roles("hall"), "ann op", "bob member")
		})
	})
	t.Run("visitors are there", func(t *testing.T) {
		drivers(t, func(t *testing.T, s store.Store) {
			w := newTown(t, s)
			vera := w.visitor("vera", netip.Addr{})
			if _, err := w.follow(vera, "hall", 0); err != nil {
				t.Fatal(err)
			}
			if _, err := w.follow(w.user("bob"), "hall", 0); err != nil {
				t.Fatal(err)
			}
			w.equal("members", w.roles("hall"), "bob op")
			page, err := s.Read(t.Context(), storetest.RoomName(t, "hall"), store.Page{Limit: 10})
			if err != nil || len(page) != 1 || page[0].Kind != kaban.KindRoom {
				t.Errorf("the log has %+v, %v", page, err)
			}
		})
	})
	t.Run("visitors are there, and only admins make rooms", func(t *testing.T) {
		drivers(t, func(t *testing.T, s store.Store) {
			w := newTown(t, s)
			if _, err := w.follow(w.visitor("vera", netip.Addr{}), "hall", 0); err != nil {
				t.Fatal(err)
			}
			w.setting("create_rooms", "admin")
			for _, name := range []string{"bob", "ann"} {
				sub, err := w.follow(w.user(name), "hall", 0)
				want(t, name+" joins", err, nil)
				want(t, name+" says something", w.say(w.user(name), sub, "hello"), nil)
			}
			w.equal("members", w.roles("hall"), "ann member", "bob member")
			_, err := w.follow(w.user("cat"), "attic", 0)
			want(t, "cat makes a room", err, ErrNotFound)
			want(t, "adam makes it", w.user("adam").Create(t.Context(), storetest.RoomName(t, "hall"), NewRoom{Kind: kaban.RoomPublic}), ErrRoomTaken)
		})
	})
	// Earlier versions let people into rooms that were not stored.
	t.Run("it has a member", func(t *testing.T) {
		drivers(t, func(t *testing.T, s store.Store) {
			w := newTown(t, s)
			hall := storetest.RoomName(t, "hall")
			err := s.Update(t.Context(), func(tx store.Tx) error {
				return people.Enter(tx, "", &people.Room{Key: hall.Key(), Name: "hall", Kind: kaban.RoomPublic}, &people.Member{Room: hall.Key(), Account: "id-cat", Role: kaban.RoomRoleMember, From: 1})
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"bob", "cat"} {
				_, err := w.follow(w.user(name), "hall", 0)
				want(t, name+" joins", err, nil)
			}
			w.equal("members", w.roles("hall"), "bob op", "cat member")
			err = s.View(t.Context(), func(tx store.Tx) error {
				r, err := people.Rooms.Get(tx, hall.Key())
				if err == nil && (r.Members != 2 || r.Creator != "id-bob") {
					t.Errorf("the room is %+v", r)
				}
				return err
			})
			want(t, "the room", err, nil)
		})
	})
}
