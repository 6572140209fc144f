package chat

import (
	"errors"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// robot makes the bot robo of somebody.
func (w *town) robot(owner string, role kaban.Role) {
	w.t.Helper()
	err := w.chat.dispatcher.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{
			ID: "id-robo", Username: "robo", Role: role, Bot: true, Owner: "id-" + owner, Status: people.StatusActive,
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// A bot does to people what its owner could do to them: whom the owner may not know, or
// who has blocked the owner, the bot does not reach.
func TestABotReachesWhomItsOwnerReaches(t *testing.T) {
	for _, owner := range []string{"gus", "ann"} {
		w := newTown(t, memory.New(0))
		w.robot(owner, kaban.RoleGuest)
		w.create("bob", "den", kaban.RoomPrivate)
		for _, name := range []string{owner, "robo"} {
			want(t, "invited", w.do("bob", "den", w.to(name, access.Invite)), nil)
			want(t, "risen", w.do("bob", "den", Act{Action: access.SetRoomRole, Subject: storetest.Username(t, name), Role: kaban.RoomRoleOp}), nil)
		}
		w.create("cat", "hall", kaban.RoomPublic)
		want(t, "cat meets the bot", w.do("cat", "hall", w.to("robo", access.Invite)), nil)
		var known error
		if owner == "gus" { // a guest knows only those whom it meets
			known = ErrNobody
		}
		want(t, owner+" invites", w.do(owner, "den", w.to("cat", access.Invite)), known)
		want(t, "the bot of "+owner+" invites", w.do("robo", "den", w.to("cat", access.Invite)), known)
		want(t, "the bot of "+owner+" bans", w.do("robo", "den", w.to("cat", access.Ban)), known)

		err := w.chat.dispatcher.Update(t.Context(), func(tx store.Tx) error {
			return people.Blocks.Put(tx, &people.Block{Account: "id-bob", Blocked: "id-" + owner})
		})
		want(t, "a block", err, nil)
		err = w.chat.dispatcher.View(t.Context(), func(tx store.Tx) error {
			u := w.user("robo")
			s, err := u.scene(tx, kaban.RoomName{}, false, false)
			if err != nil {
				return err
			}
			if _, _, err = u.target(tx, &s, kaban.RoomName{}, storetest.Username(t, "bob")); err == nil && s.Target.Reachable {
				err = errors.New("the bot reaches who has blocked its owner")
			}
			return err
		})
		want(t, "blocked", err, nil)
	}
}

// A bot is in a direct room only together with its owner, so no other is opened: the
// bot could not join it.
func TestDirectRoomsWithABot(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.robot("ann", kaban.RoleMember)
	w.create("cat", "hall", kaban.RoomPublic)
	want(t, "cat meets gus", w.do("cat", "hall", w.to("gus", access.Invite)), nil)
	for _, c := range []struct {
		by   string
		with []string
		want error
	}{
		{"ann", []string{"robo"}, nil},
		{"robo", []string{"ann"}, nil},
		{"bob", []string{"robo"}, ErrBotAlone},
		{"bob", []string{"robo", "cat"}, ErrBotAlone},
		{"bob", []string{"robo", "ann"}, nil},
		{"bob", []string{"robo", "ann", "cat"}, nil},
		{"robo", []string{"bob"}, ErrBotAlone},
		{"robo", []string{"bob", "ann"}, nil},
		{"bob", []string{"robo", "nobody"}, ErrNobody},
		{"gus", []string{"robo"}, ErrNobody},
		{"gus", []string{"cat", "robo"}, ErrNobody}, // a guest learns of no bot that it does not meet
	} {
		var others []kaban.Username
		for _, name := range c.with {
			others = append(others, storetest.Username(t, name))
		}
		room, err := w.user(c.by).Direct(t.Context(), others)
		want(t, c.by+" with "+strings.Join(c.with, ", "), err, c.want)
		if err == nil {
			_, err := w.follow(w.user("robo"), room.String(), 0)
			want(t, "the bot joins the room of "+c.by, err, nil)
		}
	}
}
