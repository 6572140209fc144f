package account

import (
	"errors"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// room makes a room with members.
func (w *world) room(name string, kind kaban.RoomKind, members ...Actor) {
	w.t.Helper()
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		r := people.Room{Key: name, Name: name, Kind: kind}
		if err := people.Rooms.Put(tx, &r); err != nil {
			return err
		}
		for _, m := range members {
			if err := people.Enter(tx, &r, &people.Member{Room: r.Key, Account: m.Principal.Account.ID, Role: kaban.RoomRoleMember}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// An invite is for rooms that exist. A room that its maker may not know is none.
func TestRoomsOfAnInvite(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	ada, bob, carol := w.add(alice, "ada", kaban.RoleAdmin), w.add(alice, "bob", kaban.RoleMember), w.add(alice, "carol", kaban.RoleMember)
	robot, err := w.Authenticate(w.ctx, w.bot(bob, "robot"), "")
	w.must(err)
	w.room("dev", kaban.RoomPublic)
	w.room("den", kaban.RoomPrivate, bob)
	w.room("pit", kaban.RoomPrivate, robot.As("")) // a bot is there only together with its owner
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		return people.Restrictions.Put(tx, &people.Restriction{Room: "den", Subject: "account:" + carol.Principal.Account.ID, Ban: true})
	}))
	for _, c := range []struct {
		name  string
		by    Actor
		rooms []string
		no    string // the room that does not exist
	}{
		{"the lobby", bob, []string{"lobby"}, ""},
		{"a public room", carol, []string{"dev"}, ""},
		{"a name of nothing", bob, []string{"dev", "void"}, "void"},
		{"by the operator", Operator(), []string{"void"}, "void"},
		{"private, by a member", bob, []string{"den"}, ""},
		{"private, by an outsider", carol, []string{"den"}, "den"},
		{"private, by an admin", ada, []string{"den"}, ""},
		{"private, by the operator", Operator(), []string{"den"}, ""},
		{"private, by a bot", robot.As(""), []string{"den"}, "den"},
		{"private, by a bot without its owner", robot.As(""), []string{"pit"}, "pit"},
	} {
		_, _, err := w.Invite(w.ctx, c.by, NewInvite{Rooms: c.rooms})
		unknown, ok := errors.AsType[*UnknownRoomError](err)
		if ok != (c.no != "") || err != nil && !ok || ok && unknown.Room != c.no {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
