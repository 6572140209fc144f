package account

import (
	"errors"
	"strings"
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
			if err := people.Enter(tx, "", &r, &people.Member{Room: r.Key, Account: m.Principal.Account.ID, Role: kaban.RoomRoleMember}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// An invite is for rooms that exist. A room that its maker may not know is none,
// and one that the maker may not invite to is refused at once: nobody would get in there.
func TestRoomsOfAnInvite(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	ada, bob, carol := w.add(alice, "ada", kaban.RoleAdmin), w.add(alice, "bob", kaban.RoleMember), w.add(alice, "carol", kaban.RoleMember)
	w.room("dev", kaban.RoomPublic)
	w.room("den", kaban.RoomPrivate, bob)
	w.room("old", kaban.RoomPublic)
	w.room("cave", kaban.RoomPrivate, bob)
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		old, err := people.Rooms.Get(tx, "old")
		if err != nil {
			return err
		}
		old.Flags |= kaban.FlagArchived
		m, _, err := people.Members.Find(tx, "cave", bob.Principal.Account.ID)
		m.Role = kaban.RoomRoleOp
		return errors.Join(err, people.Rooms.Put(tx, &old), people.Members.Put(tx, &m))
	}))
	w.must(w.documents.Update(w.ctx, func(tx store.Tx) error {
		return people.Restrictions.Put(tx, &people.Restriction{Room: "den", Subject: "account:" + carol.Principal.Account.ID, Ban: true})
	}))
	for _, c := range []struct {
		name  string
		by    Actor
		rooms []string
		no    string // the room that does not exist
		never string // the room that the actor may not invite to
	}{
		{"the lobby", bob, []string{"lobby"}, "", ""},
		{"a public room", carol, []string{"dev"}, "", ""},
		{"a public room, by the operator", Operator(), []string{"dev"}, "", ""},
		{"a public room, for a guest", ada, []string{"dev"}, "", ""},
		{"an archived room", ada, []string{"dev", "old"}, "", "old"},
		{"private, by an op", bob, []string{"cave"}, "", ""},
		{"a name of nothing", bob, []string{"dev", "void"}, "void", ""},
		{"by the operator", Operator(), []string{"void"}, "void", ""},
		{"private, by a member", bob, []string{"den"}, "", "den"},
		{"private, by an outsider", carol, []string{"den"}, "den", ""},
		{"private, by an admin", ada, []string{"den"}, "", "den"},
		{"private, by the operator", Operator(), []string{"den"}, "", "den"},
	} {
		n := NewInvite{Rooms: c.rooms}
		if strings.HasSuffix(c.name, "guest") {
			n.Role = kaban.RoleGuest
		}
		_, _, err := w.Invite(w.ctx, c.by, n)
		var no, never string
		if unknown, ok := errors.AsType[*UnknownRoomError](err); ok {
			no = unknown.Room
		}
		if cannot, ok := errors.AsType[*CannotInviteError](err); ok {
			never = cannot.Room
			if cannot.Private != (never == "den") {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if no != c.no || never != c.never || (err != nil) != (no+never != "") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A token is bound to rooms that its account may know of, or the owner of a bot. One that is
// hidden is refused as one that is not there.
func TestRoomsOfAToken(t *testing.T) {
	w := newWorld(t, nil)
	alice := w.claim()
	ada, bob := w.add(alice, "ada", kaban.RoleAdmin), w.add(alice, "bob", kaban.RoleMember)
	gus := w.add(alice, "gus", kaban.RoleGuest)
	const talk, other = "@aaaaaaaaaaaaaaaaaaaaaaaaaa", "@bbbbbbbbbbbbbbbbbbbbbbbbbb"
	w.room("dev", kaban.RoomPublic)
	w.room("hall", kaban.RoomPublic, gus)
	w.room("den", kaban.RoomPrivate, bob)
	w.room(talk, kaban.RoomDirect, bob, ada)
	_, err := w.MakeBot(w.ctx, bob, NewBot{Username: "robot"})
	w.must(err)
	_, err = w.MakeBot(w.ctx, ada, NewBot{Username: "droid"})
	w.must(err)
	dan := w.add(alice, "dan", kaban.RoleAdmin)
	_, err = w.MakeBot(w.ctx, dan, NewBot{Username: "golem", Role: kaban.RoleAdmin})
	w.must(err)
	w.must(w.SetRole(w.ctx, alice, "dan", kaban.RoleMember))
	golem, err := w.Find(w.ctx, "golem")
	w.must(err)
	w.room("cell", kaban.RoomPrivate, Actor{Principal: Principal{Account: golem}})
	for _, c := range []struct {
		name string
		by   Actor
		of   string
		room string
		want bool
	}{
		{"the lobby", bob, "", "lobby", true},
		{"public", bob, "", "DEV", true},
		{"absent", bob, "", "void", false},
		{"absent, by the operator", Operator(), "bob", "void", false},
		{"private", bob, "", "den", true},
		{"private, by the operator", Operator(), "bob", "den", true},
		{"private, of a guest", gus, "", "den", false},
		{"private, of a guest, by the operator", Operator(), "gus", "den", false},
		{"private, of an admin, who knows of it", ada, "", "den", true},
		{"public, of a guest outside", gus, "", "dev", false},
		{"public, of a guest", gus, "", "hall", true},
		{"private, of a bot whose owner is in it", bob, "robot", "den", true},
		{"private, of an admin's bot whose owner is an admin no more", dan, "golem", "den", false},
		{"private, of a bot that is in it without its owner", dan, "golem", "cell", false},
		{"direct", bob, "", talk, true},
		{"direct, of a bot whose owner is in it", ada, "droid", talk, true},
		{"direct, of somebody else", alice, "", talk, false},
		{"direct, of somebody else, by the operator", Operator(), "gus", talk, false},
		{"direct, absent", alice, "", other, false},
	} {
		info, _, err := w.MakeToken(w.ctx, c.by, NewToken{Username: c.of, Name: "x", Rooms: []string{c.room}})
		if c.want {
			if err != nil || len(info.Rooms) != 1 || info.Rooms[0] != strings.ToLower(c.room) {
				t.Errorf("%s: %v, %v", c.name, info.Rooms, err)
			}
			continue
		}
		unknown, _ := errors.AsType[*UnknownRoomError](err)
		if unknown == nil || unknown.Room != c.room {
			t.Errorf("%s: %v, want the error of a room that is not there", c.name, err)
		}
	}
}

// A bot finds and blocks those that its owner could find: a guest's bot does not learn of
// somebody because it alone is in a room with them.
func TestABotKnowsWhomItsOwnerKnows(t *testing.T) {
	for _, c := range []struct {
		name  string
		owner kaban.Role
		met   bool // the owner is in a room with bob, too
		code  string
	}{
		{"a guest's", kaban.RoleGuest, false, "not_found"},
		{"a guest's, in the same room", kaban.RoleGuest, true, ""},
		{"a member's", kaban.RoleMember, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			alice := w.claim()
			gus, bob := w.add(alice, "gus", kaban.RoleMember), w.add(alice, "bob", kaban.RoleMember)
			p, err := w.Authenticate(w.ctx, w.bot(gus, "robo"), "")
			w.must(err)
			robo := p.As("")
			w.put("robo", func(a *people.Account) { a.Role = kaban.RoleGuest })
			w.put("gus", func(a *people.Account) { a.Role = c.owner })
			w.room("hall", kaban.RoomPublic, robo, bob)
			w.room("den", kaban.RoomPublic, gus)
			if c.met {
				w.room("pit", kaban.RoomPublic, gus, bob)
			}
			wantCode(t, "block", w.Block(w.ctx, robo, "bob"), c.code)
			page, err := w.People(w.ctx, robo, PeopleQuery{Prefix: "bob"})
			w.must(err)
			if found := len(page.People) == 1; found != (c.code == "") {
				t.Errorf("found: %v", page.People)
			}
		})
	}
}
