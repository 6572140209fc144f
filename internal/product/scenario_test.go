package product

import (
	"fmt"
	"math/bits"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/account"
)

// credential is what somebody in a scenario asks with.
type credential uint8

const (
	device      credential = iota // nothing for a visitor
	program                       // a token that is not restricted
	reader                        // a token that reads
	bound                         // a token of the room
	boundReader                   // a token of the room that reads
	elsewhere                     // a token of another room
	bot                           // that of a bot, whose owner is in the same place
	strayBot                      // that of a bot, whose owner is not in the room

	endOfCredentials
)

var credentialTexts = [endOfCredentials]string{
	device: "a device", program: "a token", reader: "a token that reads", bound: "a token of the room", boundReader: "a token of the room that reads",
	elsewhere: "a token of another room", bot: "a bot", strayBot: "a bot without its owner",
}

func (c credential) String() string { return credentialTexts[c] }

func (c credential) isBot() bool { return c == bot || c == strayBot }

// scenario is somebody's place in a room.
type scenario struct {
	role       kaban.Role
	kind       kaban.RoomKind
	flags      kaban.RoomFlags
	rank       kaban.RoomRole // 0 is outside
	standing   access.Standing
	credential credential
}

func (s *scenario) String() string {
	return fmt.Sprintf("%s by %s, %s in %s room, flags %d, standing %d", s.role, s.credential, s.rank, s.kind, s.flags, s.standing)
}

// name is the username of the one who asks.
func (s *scenario) name() string {
	if s.credential.isBot() {
		return roles[s.role] + "-bot"
	}
	return roles[s.role]
}

// owner is the owner of a bot. A guest has none, and an owner's bots are admins.
func (s *scenario) owner() string {
	return roles[max(s.role, kaban.RoleMember)]
}

// possible reports whether there can be such a scenario.
func (s *scenario) possible() bool {
	switch {
	case s.kind != kaban.RoomPublic && s.role == kaban.RoleVisitor && s.rank != 0,
		s.role == kaban.RoleVisitor && s.rank > kaban.RoomRoleMember,
		s.rank != 0 && s.standing == access.Banned, // a ban ends the membership
		s.kind == kaban.RoomPrivate && s.role == kaban.RoleVisitor && s.standing != access.Good,
		s.role == kaban.RoleVisitor && s.credential != device,
		s.role == kaban.RoleOwner && s.credential.isBot():
		return false
	case s.kind == kaban.RoomDirect:
		return s.flags == 0 && (s.credential != strayBot || s.rank == 0) && // no bot is there without its owner
			s.rank <= kaban.RoomRoleMember && s.standing == access.Good
	}
	return true
}

// allFlags is every flag of a room.
const allFlags = kaban.FlagAnnounce | kaban.FlagLocked | kaban.FlagArchived

// isMixed reports whether the room has several flags.
func (s *scenario) isMixed() bool { return bits.OnesCount8(uint8(s.flags)) > 1 }

// mixtures are the sets of several flags.
var mixtures = []kaban.RoomFlags{
	kaban.FlagAnnounce | kaban.FlagLocked, kaban.FlagAnnounce | kaban.FlagArchived, kaban.FlagLocked | kaban.FlagArchived, allFlags,
}

// mixture returns the set of several flags that is tried at a place in a room of which one is
// enough: each set meets every role, kind, rank and standing.
func (s *scenario) mixture() kaban.RoomFlags {
	place := uint64(s.role) + uint64(s.kind) + uint64(s.rank) + uint64(s.standing)
	return mixtures[(place+*seed)%uint64(len(mixtures))]
}

// each visits all scenarios with a credential. Of those that differ only in which several
// flags the room has it visits one, unless the credential is a device and everything is tried.
func each(c credential, visit func(*scenario)) {
	for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
		for _, kind := range []kaban.RoomKind{kaban.RoomPublic, kaban.RoomPrivate, kaban.RoomDirect} {
			for flags := range allFlags + 1 {
				for rank := kaban.RoomRole(0); rank <= kaban.RoomRoleOp; rank++ {
					for standing := access.Banned; standing <= access.Good; standing++ {
						s := scenario{role, kind, flags, rank, standing, c}
						rare := s.isMixed() && flags != s.mixture() && (c != device || !*everything)
						if s.possible() && !rare {
							visit(&s)
						}
					}
				}
			}
		}
	}
}

// stage makes the room of a scenario with some members. Its op is opal. ask is who asks
// in it, as the connection is called; leave ends what belongs to the scenario only.
func (w *world) stage(s *scenario, members ...string) (room, ask string, leave func()) {
	w.t.Helper()
	if s.kind == kaban.RoomDirect {
		room = w.stageDirect(s)
	} else {
		room = w.stageRoom(s, members)
	}
	ask, leave = w.credential(s, room)
	return room, ask, leave
}

func (w *world) stageRoom(s *scenario, members []string) (room string) {
	w.t.Helper()
	room = w.newRoom()
	op := w.as("opal")
	op.must(frame{"type": "create", "room": room, "kind": s.kind.String()})
	op.must(frame{"type": "join", "room": room})
	var invites []frame
	for _, target := range members {
		invites = append(invites, op.act("invite", room, target, nil))
	}
	op.mustAll(invites)
	if s.credential == bot {
		w.place(s, room, s.owner())
	}
	w.place(s, room, s.name())
	if s.flags != 0 {
		op.must(op.act("set", room, "", frame{"flags": s.flags.Texts()}))
	}
	return room
}

// place gives somebody the place of a scenario in a room.
func (w *world) place(s *scenario, room, name string) {
	w.t.Helper()
	op := w.as("opal")
	switch {
	case s.role == kaban.RoleVisitor && !w.front.subscribes():
	case s.role == kaban.RoleVisitor && (s.rank != 0 || s.standing != access.Good):
		w.as(name).must(frame{"type": "join", "room": room})
		if s.rank == 0 && s.standing == access.Muted {
			defer w.as(name).must(frame{"type": "part", "room": room})
		}
	case s.rank != 0:
		op.must(op.act("invite", room, name, nil))
		if s.rank > kaban.RoomRoleMember {
			op.must(op.act("role", room, name, frame{"role": s.rank.String()}))
		}
	}
	switch s.standing {
	case access.Banned:
		op.must(op.act("ban", room, name, nil))
	case access.Muted:
		op.must(op.act("mute", room, name, nil))
	}
}

func (w *world) stageDirect(s *scenario) (room string) {
	w.t.Helper()
	with := []string{"tina"}
	if s.rank != 0 {
		with = []string{s.name()}
		if s.credential == bot {
			with = append(with, s.owner())
		}
	}
	a := w.as("opal").answer(frame{"type": "direct", "usernames": with})
	room, _ = a["room"].(string)
	if !strings.HasPrefix(room, "@") {
		w.t.Fatalf("direct room: %v", a)
	}
	return room
}

// credential makes what somebody asks with.
func (w *world) credential(s *scenario, room string) (ask string, leave func()) {
	w.t.Helper()
	n := account.NewToken{Username: s.name()}
	switch s.credential {
	case device, bot, strayBot:
		return s.name(), func() {}
	case reader:
		n.ReadOnly = true
	case bound:
		n.Rooms = []string{"lobby", room}
	case boundReader:
		n.Rooms, n.ReadOnly = []string{room}, true
	case elsewhere:
		n.Rooms = []string{"lobby"}
	case program:
	}
	w.secrets++
	ask = fmt.Sprint(s.name(), "-", w.secrets)
	id, secret := w.token(n)
	w.tokens[ask] = secret
	return ask, func() {
		if p := w.peers[ask]; p != nil {
			p.wire.Close()
		}
		delete(w.peers, ask)
		delete(w.tokens, ask)
		if err := w.accounts.RevokeDevice(w.t.Context(), account.Operator(), id); err != nil {
			w.t.Fatal(err)
		}
	}
}

// addBots makes the bots of scenarios.
func (w *world) addBots() {
	w.t.Helper()
	for role := kaban.RoleGuest; role < kaban.RoleOwner; role++ {
		s := scenario{role: role, credential: bot}
		if _, err := w.accounts.MakeBot(w.t.Context(), account.Operator(), account.NewBot{Username: s.name(), Role: role, Owner: s.owner()}); err != nil {
			w.t.Fatal(err)
		}
		_, w.tokens[s.name()] = w.token(account.NewToken{Username: s.name()})
	}
}

// facts returns what a decision in the scenario depends on.
func (s *scenario) facts() access.Facts {
	f := access.Facts{
		Server: access.Server{Claim: access.Claimed, Local: true, Admission: access.Open, MembersCreate: true, MembersInvite: true},
		Who:    access.Identity{Role: s.role, Active: true, Named: true, Person: true, InPerson: s.credential == device, Fresh: true, Reach: access.ReachServer, Writes: true},
		Room:   access.NewRoom(s.kind, s.flags, s.kind != kaban.RoomDirect),
		Membership: access.Membership{
			Role: s.rank, Standing: s.standing,
		},
		Target: access.Target{Reachable: true},
	}
	switch s.credential {
	case reader:
		f.Who.Writes = false
	case bound:
		f.Who.Reach = access.ReachRoom
	case boundReader:
		f.Who.Reach, f.Who.Writes = access.ReachRoom, false
	case elsewhere:
		f.Who.Reach = access.ReachElsewhere
	case bot, strayBot:
		owner := f
		owner.Who.Role = max(s.role, kaban.RoleMember)
		if s.credential == strayBot {
			owner.Membership = access.Membership{Standing: access.Good}
		}
		f.Who.Person = false
		f = access.Limit(f, owner)
	}
	return f
}
