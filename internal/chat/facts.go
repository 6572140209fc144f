package chat

import (
	"errors"
	"fmt"
	"net/netip"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/tcp"
)

// readServer reads the facts about the server.
func readServer(tx store.Tx) (f access.Server, err error) {
	f = access.Server{Claim: access.Unclaimed, Admission: access.Open, MembersCreate: true, MembersInvite: true}
	has, err := people.Accounts.HasOwner(tx)
	if err != nil {
		return access.Server{}, err
	}
	if has {
		f.Claim, f.Admission = access.Claimed, access.InviteOnly
	}
	for key, set := range map[string]func(string) error{
		people.SettingAccess:        func(s string) (err error) { f.Admission, err = access.ParseAdmission(s); return err },
		people.SettingCreateRooms:   func(s string) error { f.MembersCreate = s == kaban.RoleMember.String(); return nil },
		people.SettingInviteMembers: func(s string) error { f.MembersInvite = s == kaban.RoleMember.String(); return nil },
	} {
		switch setting, err := people.Settings.Get(tx, key); {
		case errors.Is(err, people.ErrNotFound):
		case err != nil:
			return access.Server{}, err
		default:
			if err := set(setting.Value); err != nil {
				return access.Server{}, fmt.Errorf("%w: the setting %s: %w", store.ErrDamaged, key, err)
			}
		}
	}
	return f, nil
}

// scene is what a transaction says about somebody in a room.
type scene struct {
	access.Facts
	room    people.Room   // the zero value if there is none
	member  people.Member // the zero value if there is none
	account people.Account
	from    uint64       // the first entry of the room that the user may see; 0: all
	owner   access.Facts // of a bot: those about its owner, but for the target
}

// scene reads the facts about the user in a room. exists is set if there is such a
// room, and visits if a user without an account is in it.
func (u User) scene(tx store.Tx, name kaban.RoomName, exists, visits bool) (s scene, err error) {
	if s.Server, err = readServer(tx); err != nil {
		return scene{}, err
	}
	s.Server.Local = true
	if err := readRoom(tx, &s, name, exists); err != nil {
		return scene{}, err
	}
	if u.operator {
		s.Who, s.Membership.Standing = operatorFacts(), access.Good
		if u.grants {
			s.Membership.Role = kaban.RoomRoleOp
		}
		return s, nil
	}
	if u.account() == "" {
		err = u.visitorFacts(tx, &s, visits)
		s.Who.Reach = reach(u.credential, name.Key())
		return s, err
	}
	s.account, err = people.Accounts.Get(tx, u.account())
	if errors.Is(err, people.ErrNotFound) {
		return s, nil // it has no rights at all
	}
	if err != nil {
		return scene{}, err
	}
	if err := u.chat.accountFacts(tx, &s); err != nil {
		return scene{}, err
	}
	s.Who.Reach = reach(u.credential, name.Key())
	if u.credential != nil {
		s.Who.Writes, s.Who.InPerson, s.Who.Fresh = !u.credential.ReadOnly, u.credential.Device, u.credential.Fresh
	}
	if s.account.Bot {
		err = u.chat.limitBot(tx, &s, name, exists)
	}
	return s, err
}

// readRoom reads the facts about a room. Without the name of a room it does nothing.
func readRoom(tx store.Tx, s *scene, name kaban.RoomName, exists bool) error {
	if name.IsZero() {
		return nil
	}
	room, stored, err := people.Rooms.Known(tx, name)
	if err != nil {
		return err
	}
	if name.IsDirect() {
		s.Room = access.NewRoom(kaban.RoomDirect, room.Flags, false)
	}
	// What has no time of its making was not made: it has entries, or earlier versions let
	// people in too early; see roomExists.
	if (!stored || room.Created == 0) && !exists || !stored && name.IsDirect() {
		return nil
	}
	s.room, s.Room = room, access.NewRoom(room.Kind, room.Flags, false)
	return nil
}

// visitorFacts adds the facts about a user without an account.
func (u User) visitorFacts(tx store.Tx, s *scene, in bool) error {
	s.Who = access.Identity{
		Active: true, Named: !u.peer.IsZero(), Person: !u.isHook(), InPerson: !u.isHook(), Hook: u.isHook(),
		Writes: true,
	}
	if in {
		s.Membership.Role = kaban.RoomRoleMember
	}
	s.Membership.Standing = access.Good
	subjects := []string{u.peer.ID()}
	if at, ok := addressSubject(u.peer.Address); ok {
		subjects = append(subjects, at)
	}
	for _, subject := range subjects {
		standing, err := u.chat.standing(tx, s.room.Key, subject)
		if err != nil {
			return err
		}
		s.Membership.Standing = min(s.Membership.Standing, standing)
	}
	return nil
}

// accountFacts adds the facts about the scene's account.
func (c *Chat) accountFacts(tx store.Tx, s *scene) error {
	s.Who = access.Identity{
		Role: s.account.Role, Active: s.account.Status == people.StatusActive, Named: true, Person: !s.account.Bot, InPerson: !s.account.Bot,
		Reach: access.ReachServer, Writes: true,
	}
	s.Membership.Standing = access.Good
	if s.room.Key == "" {
		return nil
	}
	member, in, err := people.Members.Find(tx, s.room.Key, s.account.ID)
	if err != nil {
		return err
	}
	if in {
		s.member, s.Membership.Role, s.from = member, member.Role, member.From
	}
	s.Membership.Standing, err = c.standing(tx, s.room.Key, accountIdentity(s.account.ID))
	return err
}

// limitBot limits the facts about a bot by those about its owner.
func (c *Chat) limitBot(tx store.Tx, s *scene, name kaban.RoomName, exists bool) error {
	owner, err := people.Accounts.Get(tx, s.account.Owner)
	if errors.Is(err, people.ErrNotFound) {
		s.Who.Active = false
		return nil
	}
	if err != nil {
		return err
	}
	of := scene{account: owner}
	of.Server = s.Server
	if err := readRoom(tx, &of, name, exists); err != nil {
		return err
	}
	if err := c.accountFacts(tx, &of); err != nil {
		return err
	}
	s.owner, s.from = of.Facts, max(s.from, of.from)
	s.Facts = access.Limit(s.Facts, of.Facts)
	return nil
}

// maxOps is how many ops of a room are looked through for one that may go on alone.
const maxOps = 1000

// seekOtherOp notes whether a person other than the user is an op of the room.
func (s *scene) seekOtherOp(tx store.Tx, except string) error {
	other, err := hasOtherOp(tx, s.room.Key, except)
	s.Room = access.NewRoom(s.room.Kind, s.room.Flags, other)
	return err
}

// hasOtherOp reports whether an active person other than an account is an op of a room.
func hasOtherOp(tx store.Tx, room, except string) (bool, error) {
	ops, _, err := people.Members.Ops(tx, room, maxOps)
	if err != nil {
		return false, err
	}
	for _, op := range ops {
		if op.Account == except {
			continue
		}
		account, err := people.Accounts.Get(tx, op.Account)
		if err != nil && !errors.Is(err, people.ErrNotFound) {
			return false, err
		}
		if err == nil && !account.Bot && account.Status == people.StatusActive {
			return true, nil
		}
	}
	return false, nil
}

// standing returns what moderation left an identity or an address in a room.
func (c *Chat) standing(tx store.Tx, room, subject string) (access.Standing, error) {
	if room == "" {
		return access.Good, nil
	}
	banned, muted, err := people.Restricted(tx, room, subject, c.now())
	switch {
	case err != nil:
		return access.Banned, err
	case banned:
		return access.Banned, nil
	case muted:
		return access.Muted, nil
	}
	return access.Good, nil
}

// addressSubject returns the subject of a restriction for the network of an address,
// or false for this machine, which may be everybody behind a proxy.
func addressSubject(at netip.Addr) (string, bool) {
	network := tcp.NetworkOf(at)
	if !network.IsValid() {
		return "", false
	}
	return people.AddressSubject(network.String()), true
}

// accountIdentity returns the id of the identity of an account.
func accountIdentity(id string) string { return kaban.Account(id, kaban.Username{}).ID() }

// target reads the facts about the person that an action in a room, if any, is done to.
func (u User) target(tx store.Tx, s *scene, room kaban.RoomName, name kaban.Username) (t people.Account, visitor bool, err error) {
	s.Target = access.Target{Whom: access.Other, Reachable: true}
	t, err = people.Accounts.Named(tx, name)
	switch {
	case errors.Is(err, people.ErrNotFound):
		return people.Account{Username: name.String()}, true, u.visitorTarget(tx, s, room, name)
	case err != nil:
		return people.Account{}, false, err
	}
	if t.ID == u.account() {
		s.Target.Whom = access.Self
	}
	s.Target.Role = t.Role
	member, in, err := people.Members.Find(tx, s.room.Key, t.ID)
	if err != nil {
		return people.Account{}, false, err
	}
	if in {
		s.Target.RoomRole = member.Role
	}
	if s.Target.Standing, err = u.chat.standing(tx, s.room.Key, accountIdentity(t.ID)); err != nil {
		return people.Account{}, false, err
	}
	if t.Status == people.StatusRemoved && !in && s.Target.Standing == access.Good {
		s.Target.Whom = access.Nobody
	}
	if err := acquaint(tx, &s.Facts, u.account(), t.ID); err != nil {
		return people.Account{}, false, err
	}
	if s.account.Bot {
		if err := acquaint(tx, &s.owner, s.account.Owner, t.ID); err != nil {
			return people.Account{}, false, err
		}
		s.Facts = access.LimitTarget(s.Facts, s.owner)
	}
	return t, false, nil
}

// acquaint reads what somebody has to do with the person of the target.
func acquaint(tx store.Tx, f *access.Facts, account, person string) (err error) {
	if f.Who.Role == kaban.RoleGuest { // nobody else's rights depend on it
		if f.Target.SharesRoom, err = people.Members.Share(tx, account, person); err != nil {
			return err
		}
	}
	_, err = people.Blocks.Get(tx, person, account)
	if f.Target.Reachable = errors.Is(err, people.ErrNotFound); f.Target.Reachable {
		return nil
	}
	return err
}

// visitorTarget reads the facts about a person without an account. Visitors need not be
// here: a ban or a mute is for the name, where visitors may come in. Where they may not,
// nobody has the name but for what moderation left of them.
func (u User) visitorTarget(tx store.Tx, s *scene, room kaban.RoomName, name kaban.Username) (err error) {
	id := kaban.Visitor(name).ID()
	if s.Target.Standing, err = u.chat.standing(tx, s.room.Key, id); err != nil {
		return err
	}
	if r := u.chat.dispatcher.Peek(room); r != nil && r.Has(id) {
		s.Target.RoomRole = kaban.RoomRoleMember
	}
	comes := s.room.Kind == kaban.RoomPublic && s.Server.Admission == access.Open
	switch {
	case id == u.peer.ID():
		s.Target.Whom = access.Self
	case s.Target.RoomRole == 0 && s.Target.Standing == access.Good && !comes:
		s.Target.Whom = access.Nobody
	}
	return nil
}
