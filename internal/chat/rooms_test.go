package chat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// Rooms that are created count against the same limit as those made by joining.
func TestCreatedRoomsAreLimited(t *testing.T) {
	w := newTown(t, memory.New(0))
	for name, u := range map[string]User{"a visitor": w.visitor("vic", netip.MustParseAddr("192.0.2.1")), "an account": w.user("bob")} {
		made := 0
		for ; made < 2*nameRooms; made++ {
			err := u.Create(t.Context(), storetest.RoomName(t, fmt.Sprintf("%s-%d", u.Identity().Name(), made)), NewRoom{Kind: kaban.RoomPublic})
			if limited, ok := errors.AsType[*NewRoomsError](err); ok && limited.Wait >= time.Second {
				break
			}
			want(t, name, err, nil)
		}
		if made != nameRooms {
			t.Errorf("%s made %d rooms, want %d", name, made, nameRooms)
		}
	}
}

// Settings that change nothing are decided like all others, and nothing is done in a
// room that there is not.
func TestNothingIsDecidedByNobody(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "den", kaban.RoomPrivate)
	private := Act{Change: people.RoomChange{Kind: kaban.RoomPrivate}}
	public := Act{Change: people.RoomChange{Kind: kaban.RoomPublic}}
	want(t, "a stranger sets what is", w.do("bob", "den", private), ErrNotFound)
	want(t, "a guest sets what is", w.do("gus", "lobby", public), ErrNotFound)
	want(t, "a member sets what is", w.do("bob", "lobby", public), ErrForbidden)
	want(t, "nothing at all", w.do("ann", "den", Act{}), ErrForbidden)
	for _, a := range []Act{public, w.to("bob", access.Invite), {Action: access.SetTopic, Topic: "x"}} {
		want(t, "in an unknown room", w.do("olga", "nowhere", a), ErrNotFound)
	}
	if rooms, _, _ := w.user("olga").Rooms(t.Context(), "", 0); len(rooms) != 1 {
		t.Errorf("listed: %v", rooms)
	}
}

// Whoever has joined an unused name does not get into the private room that is made
// under it.
func TestASquatterIsExpelled(t *testing.T) {
	w := newTown(t, memory.New(0))
	vic, err := w.follow(w.visitor("vic", netip.MustParseAddr("192.0.2.1")), "den", 0)
	want(t, "vic joins", err, nil)
	w.create("ann", "den", kaban.RoomPrivate)
	if got, why := w.drain(vic); why != "gone" || got[0] != "" {
		t.Errorf("vic gets %q, %q", got, why)
	}
}

func TestBotsAreExpelled(t *testing.T) {
	w := newTown(t, memory.New(0))
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: "id-robo", Username: "robo", Role: kaban.RoleMember, Status: people.StatusActive, Bot: true, Owner: "id-bob"})
	})
	want(t, "a bot", err, nil)
	w.create("ann", "den", kaban.RoomPrivate)
	for _, name := range []string{"bob", "robo"} {
		want(t, "invite "+name, w.do("ann", "den", w.to(name, access.Invite)), nil)
	}
	robo, err := w.follow(w.chat.With(kaban.Bot("id-robo", storetest.Username(t, "robo")), netip.Addr{}, &Credential{ID: "t"}), "den", 3)
	want(t, "robo joins", err, nil)
	want(t, "kick", w.do("ann", "den", w.to("robo", access.Kick)), nil)
	if got, why := w.drain(robo); why != "kicked" || got[0] != "" {
		t.Errorf("robo gets %q, %q", got, why)
	}
}

// Nothing tells the name of a private room: no list while it is made, and no room
// that looks like it.
func TestNamesOfPrivateRooms(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		stop, listed := make(chan struct{}), make(chan string, 1)
		var looking sync.WaitGroup
		looking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				all, _, _ := w.chat.Operator().RoomsOfServer(t.Context(), "", 0)
				for _, r := range all {
					if r.Kind == kaban.RoomPublic && r.Name.String() != kaban.Lobby {
						t.Errorf("%s is listed as a public room while it is made", r.Name)
					}
				}
				if rooms, _, _ := w.user("bob").Rooms(t.Context(), "", 0); len(rooms) != 1 {
					select {
					case listed <- fmt.Sprint(rooms):
					default:
					}
				}
			}
		})
		for i := range 20 {
			w.create("ann", fmt.Sprint("bob", i), kaban.RoomPrivate)
		}
		_, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		want(t, "direct", err, nil)
		close(stop)
		looking.Wait()
		select {
		case rooms := <-listed:
			t.Errorf("listed: %s", rooms)
		default:
		}
		err = w.user("bob").Create(t.Context(), storetest.RoomName(t, "\u0432ob1x"), NewRoom{Kind: kaban.RoomPublic})
		want(t, "a name of its own", err, nil)
		w.create("ann", "bob-x", kaban.RoomPrivate)
		err = w.user("bob").Create(t.Context(), storetest.RoomName(t, "\u0432ob-x"), NewRoom{Kind: kaban.RoomPublic})
		if alike, ok := errors.AsType[*LookalikeError](err); !ok || !alike.Room.IsZero() || strings.Contains(err.Error(), " bob-x") {
			t.Errorf("a name that looks like it: %v", err)
		}
	})
}

// Admins know private rooms and how long they are, without being in them.
func TestRoomsOfServer(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("ann", "den", kaban.RoomPrivate)
		rooms, more, err := w.chat.Operator().RoomsOfServer(t.Context(), "", 0)
		if err != nil || more {
			t.Fatal(rooms, more, err)
		}
		var den []RoomOfServer
		for _, r := range rooms {
			if r.Kind == kaban.RoomPrivate {
				den = append(den, r)
			}
		}
		if len(den) != 1 || den[0].Name.String() != "den" || den[0].Head != 1 || den[0].Members != 1 {
			t.Errorf("the private rooms are %+v", den)
		}
		if _, _, err := w.user("bob").RoomsOfServer(t.Context(), "", 0); !errors.Is(err, ErrForbidden) {
			t.Errorf("a member lists them: %v", err)
		}
		direct, err := w.user("ann").Direct(t.Context(), []kaban.Username{storetest.Username(t, "bob")})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			by   User
			room kaban.RoomName
			want error
		}{
			{w.chat.Operator(), storetest.RoomName(t, "den"), nil},
			{w.chat.Operator(), storetest.RoomName(t, "lobby"), nil},
			{w.chat.Operator(), storetest.RoomName(t, "none"), ErrNotFound},
			{w.chat.Operator(), direct, ErrNotFound},
			{w.user("bob"), storetest.RoomName(t, "den"), ErrForbidden},
			{w.user("bob"), storetest.RoomName(t, "none"), ErrForbidden},
		} {
			want(t, "the room "+c.room.String(), c.by.CheckRoom(t.Context(), c.room), c.want)
		}
		// Each page begins where the one before ended, whatever the rooms are, also for a
		// server that starts with them.
		for i := range 9 {
			w.create("ann", fmt.Sprint("p-", i), []kaban.RoomKind{kaban.RoomPrivate, kaban.RoomPublic, kaban.RoomPrivate}[i%3])
		}
		d, err := dispatch.New(t.Context(), s, dispatch.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		again, err := New(t.Context(), d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		for _, c := range []*Chat{w.chat, again} {
			for limit := 1; limit <= 12; limit++ {
				var got []string
				for after, more := "", true; more; {
					var page []RoomOfServer
					if page, more, err = c.Operator().RoomsOfServer(t.Context(), after, limit); err != nil || len(page) > limit || more && len(page) < limit {
						t.Fatalf("pages of %d: %d after %q, more: %v, %v", limit, len(page), after, more, err)
					}
					for _, r := range page {
						after = r.Name.String()
						got = append(got, after)
					}
				}
				if want := []string{"den", "lobby", "p-0", "p-1", "p-2", "p-3", "p-4", "p-5", "p-6", "p-7", "p-8"}; !slices.Equal(got, want) {
					t.Errorf("in pages of %d: %q, want %q", limit, got, want)
				}
			}
		}
	})
}

// A page of rooms begins after a name in whichever spelling it is given.
func TestRoomsAfterASpelling(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		for name, kind := range map[string]kaban.RoomKind{"café": kaban.RoomPublic, "cafés": kaban.RoomPrivate} { // the accent is one code point
			w.create("ann", name, kind)
		}
		for _, test := range []struct {
			after string
			want  []string
		}{
			{"", []string{"café", "cafés", "lobby"}},
			{"café", []string{"cafés", "lobby"}},
			{"CAFÉ", []string{"cafés", "lobby"}},
			{"Cafe\u0301", []string{"cafés", "lobby"}}, // and here two
			{"CAFÉS", []string{"lobby"}},
			{"LOBBY", nil},
			{"cafe ", []string{"café", "cafés", "lobby"}}, // no name
		} {
			var all, own []string
			rooms, _, err := w.chat.Operator().RoomsOfServer(t.Context(), test.after, 0)
			for _, r := range rooms {
				all = append(all, r.Name.String())
			}
			infos, _, also := w.user("ann").Rooms(t.Context(), test.after, 0)
			for _, r := range infos {
				own = append(own, r.Name.String())
			}
			if err != nil || also != nil || !slices.Equal(all, test.want) || !slices.Equal(own, test.want) {
				t.Errorf("after %q: %q, %v for the operator and %q, %v for ann, want %q", test.after, all, err, own, also, test.want)
			}
		}
	})
}

// A room that an operator makes has a person as its op.
func TestRoomsOfTheOperator(t *testing.T) {
	w := newTown(t, memory.New(0))
	make := func(by User, op, room string) error {
		return by.CreateFor(t.Context(), op, storetest.RoomName(t, room), NewRoom{Kind: kaban.RoomPublic, Flags: kaban.FlagAnnounce})
	}
	operator := w.chat.Operator()
	want(t, "by an admin", make(w.user("adam"), "adam", "hall"), ErrForbidden)
	want(t, "for ann", make(operator, "ANN", "hall"), nil)
	want(t, "again", make(operator, "ann", "hall"), ErrRoomTaken)
	want(t, "for the owner", make(operator, "", "news"), nil)
	for op, reason := range map[string]string{"zed": "zed is no active account of a person", "": "the server has several owners; name the op of the room"} {
		if op == "" {
			account := people.Account{ID: "id-bob", Username: "bob", Role: kaban.RoleOwner, Status: people.StatusActive}
			if err := w.store.Update(t.Context(), func(tx store.Tx) error { return people.Accounts.Put(tx, &account) }); err != nil {
				t.Fatal(err)
			}
		}
		if wrong, ok := errors.AsType[*OpError](make(operator, op, "den")); !ok || wrong.Reason != reason {
			t.Errorf("for %q: %v, want %q", op, wrong, reason)
		}
	}
	var rows []string
	err := w.store.View(t.Context(), func(tx store.Tx) error {
		return people.Audits.All(tx, func(a *people.Audit) bool {
			rows = append(rows, fmt.Sprintf("%q %s %s %s", a.Actor, a.Action, a.Subject, a.Room))
			return true
		})
	})
	slices.Sort(rows)
	if got := strings.Join(rows, ", "); err != nil || got != `"" room.create ann hall, "" room.create olga news` {
		t.Errorf("the audit has %s, %v", got, err)
	}
	for room, op := range map[string]string{"hall": "ann", "news": "olga"} {
		state, in, err := w.user(op).State(t.Context(), storetest.RoomName(t, room))
		if err != nil || !in || state.Role != kaban.RoomRoleOp || state.Flags != kaban.FlagAnnounce {
			t.Errorf("%s in %s: %t, %+v, %v", op, room, in, state, err)
		}
	}
}
