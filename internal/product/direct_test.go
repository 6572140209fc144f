package product

import (
	"fmt"
	"net/http"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
)

// person is somebody with whom a direct room is opened.
type person struct {
	role    kaban.Role // a visitor's: there is no such account
	shares  bool       // a room with the one who asks
	blocks  bool       // the one who asks
	isBot   bool       // of somebody
	ownerIn bool       // the bot's owner is asked in as well
}

func (p person) String() string {
	return fmt.Sprintf("%s, shares a room %t, blocks %t, a bot %t with its owner %t", p.role, p.shares, p.blocks, p.isBot, p.ownerIn)
}

// persons are all there can be.
func persons() (all []person) {
	all = append(all, person{})
	for role := kaban.RoleGuest; role <= kaban.RoleOwner; role++ {
		for bits := range 16 {
			p := person{role, bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0}
			switch {
			case p.isBot && (p.blocks || role != kaban.RoleMember), // bots block nobody
				p.ownerIn && !p.isBot,
				p.blocks && role == kaban.RoleGuest && !p.shares: // it knows nobody else
			default:
				all = append(all, p)
			}
		}
	}
	return all
}

// TestDirectAgrees opens direct rooms, with every kind of credential and people of every
// kind.
func TestDirectAgrees(t *testing.T) {
	forFronts(t, func(w *world, tried func() bool) {
		if !w.front.subscribes() {
			return // the API opens no direct rooms
		}
		for c := device; c < endOfCredentials; c++ {
			for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
				s := &scenario{role: role, kind: kaban.RoomPublic, standing: access.Good, credential: c}
				for _, p := range persons() {
					if c != strayBot && s.possible() && w.front.has(s) && tried() {
						w.tryDirect(s, p)
					}
				}
			}
		}
	})
}

func (w *world) tryDirect(s *scenario, p person) {
	w.t.Helper()
	w.count++
	name := fmt.Sprint("person", w.count)
	owner := w.ownerOfBots()
	w.addPerson(s, p, name, owner)
	f := s.facts()
	f.Room, f.Membership = access.Room{}, access.Membership{}
	usernames := []string{name}
	if p.role != kaban.RoleVisitor {
		f.Target = access.Target{
			Whom: access.Other, Role: p.role, SharesRoom: p.shares, Reachable: !p.blocks,
			OwnersIn: (!p.isBot || p.ownerIn) && !s.credential.isBot(),
		}
	}
	want := access.Can(access.OpenDirect, f)
	if p.ownerIn {
		usernames = append(usernames, owner)
		f.Target.Role = kaban.RoleMember
		if v := access.Can(access.OpenDirect, f); want == access.Allowed {
			want = v
		}
	}
	ask, leave := w.credential(s, "lobby")
	defer leave()
	if got := w.front.answer(w, ask, frame{"type": "direct", "usernames": usernames}).code(); got != code(want) {
		w.t.Errorf("%s by %s opens a direct room with %s: %q, want %q", s.role, s.credential, p, got, code(want))
	}
}

// addPerson makes a person as the one who asks in a scenario has to do with it.
func (w *world) addPerson(s *scenario, p person, name, owner string) {
	w.t.Helper()
	switch {
	case p.role == kaban.RoleVisitor:
		return
	case p.isBot:
		if _, err := w.accounts.MakeBot(w.t.Context(), account.Operator(), account.NewBot{Username: name, Role: p.role, Owner: owner}); err != nil {
			w.t.Fatal(err)
		}
	default:
		w.add(name, p.role)
	}
	if s.role == kaban.RoleVisitor {
		return
	}
	if p.shares {
		room, op := w.newRoom(), w.as("opal")
		op.must(frame{"type": "create", "room": room, "kind": "public"})
		op.must(op.act("invite", room, s.name(), nil))
		if p.isBot {
			op.must(op.act("invite", room, owner, nil))
		}
		op.must(op.act("invite", room, name, nil))
	}
	if p.blocks {
		a := w.request(api{cookie: true}.credential(w, name), http.MethodPut, "/v1/blocks/"+s.name(), nil)
		if code := a.code(w); code != "" {
			w.t.Fatalf("%s blocks %s: %s", name, s.name(), a.body)
		}
	}
}

// TestRingAgrees says "@everyone" from every place in a room: it rings the op if the
// message is taken and may ring, and else only says so.
func TestRingAgrees(t *testing.T) {
	forFronts(t, func(w *world, tried func() bool) {
		for c := device; c < endOfCredentials; c++ {
			each(c, func(s *scenario) {
				if w.front.has(s) && w.speaks(s) && tried() && (c == device || tried()) {
					w.tryRing(s)
				}
			})
		}
	})
}

// speaks reports whether somebody may send, after joining if that has to be.
func (w *world) speaks(s *scenario) bool {
	f := s.facts()
	if !w.front.subscribes() {
		return access.Can(access.Post, f) == access.Allowed
	}
	may := access.Can(access.Join, f) == access.Allowed
	f.Membership.Role = max(f.Membership.Role, kaban.RoomRoleMember)
	return may && access.Can(access.Send, f) == access.Allowed
}

func (w *world) tryRing(s *scenario) {
	w.t.Helper()
	room, ask, leave := w.stage(s)
	defer leave()
	f := s.facts()
	if w.front.subscribes() {
		w.as(ask).must(frame{"type": "join", "room": room})
		f.Membership.Role = max(f.Membership.Role, kaban.RoomRoleMember)
	}
	a := w.front.answer(w, ask, w.act("send", room, "", frame{"content": "@everyone"}))
	if a.code() != "" {
		w.t.Fatalf("%v: %v", s, a)
	}
	w.count++
	found, code := w.inbox(lines{}, "opal") // which is quicker than that of the API, with all rooms
	if code != "" {
		w.t.Fatal(code)
	}
	rings := len(found) > 0 && found[0] == fmt.Sprint(room, " ", a["seq"], " everyone")
	if want := access.Can(access.Ring, f); rings != (want == access.Allowed) {
		w.t.Errorf("%v: a message rings the op: %t, want %v", s, rings, want)
	}
	w.leaveRoom(s, room)
}

// TestOwnCommands sends what is about one's own account only.
func TestOwnCommands(t *testing.T) {
	forFronts(t, func(w *world, _ func() bool) {
		if !w.front.subscribes() {
			return // deeds of the API
		}
		for c := device; c < endOfCredentials; c++ {
			for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
				s := &scenario{role: role, kind: kaban.RoomPublic, standing: access.Good, credential: c}
				if !s.possible() || !w.front.has(s) {
					continue
				}
				ask, leave := w.credential(s, "lobby")
				f := s.facts()
				f.Room, f.Membership = access.Room{}, access.Membership{}
				w.compare(s, ask, frame{"type": "away", "away": true, "text": "lunch"}, access.ChangeProfile, f)
				f.Who.Reach = access.ReachServer // of the rooms that the credential reaches
				w.compare(s, ask, frame{"type": "me"}, access.ReadDevices, f)
				w.compare(s, ask, frame{"type": "inbox"}, access.ReadDevices, f)
				leave()
			}
		}
	})
}

// TestSignUpAgrees has strangers make accounts, whatever the server admits.
func TestSignUpAgrees(t *testing.T) {
	w := newWorld(t, api{})
	for i, admission := range []string{"open", "signup", "invite", "closed"} {
		w.set("access", admission)
		f := access.Facts{
			Server: access.Server{Claim: access.Claimed, Local: true},
			Who:    access.Identity{Role: kaban.RoleVisitor, Active: true, Named: true, Person: true, InPerson: true, Reach: access.ReachServer, Writes: true},
		}
		var err error
		if f.Server.Admission, err = access.ParseAdmission(admission); err != nil {
			t.Fatal(err)
		}
		body := frame{"username": fmt.Sprint("stranger", i), "password": "purple monkey dishwasher"}
		a := w.request(http.Header{"Origin": {w.url}}, http.MethodPost, "/v1/accounts", body)
		if got, want := a.code(w), code(access.Can(access.SignUp, f)); got != want {
			t.Errorf("%s: a stranger makes an account: %q, want %q: %s", admission, got, want, a.body)
		}
	}
}
