package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Act is something done to a room or to somebody in it. It becomes an entry of the
// room's log: what changes and the entry that reports it are one transaction.
type Act struct {
	// Action is access.Invite, Kick, Ban, Unban, Mute, Unmute, SetRoomRole, SetTopic
	// or one of those that Settings stands for.
	Action access.Action
	Room   kaban.RoomName
	ID     kaban.MessageID

	Subject kaban.Username // the person
	Role    kaban.RoomRole // SetRoomRole
	Reason  string         // of Kick, Ban, Mute
	Until   int64          // of Ban, in milliseconds since 1970 UTC; 0 is for good
	Topic   string         // SetTopic
	Change  people.RoomChange
}

// banOfVisitors is how long the ban of a visitor's name and address lasts at most.
const banOfVisitors = 24 * 60 * 60 * 1000 // milliseconds

// Act returns an act as a send, to be submitted. The subscription is the user's in the
// room; nil if there is none, then Commit takes the send. Whether it is allowed is
// decided when it is committed.
func (u User) Act(s *Subscription, origin kaban.Origin, a Act) (Send, error) {
	kind, body, err := a.entry()
	if err != nil {
		return Send{}, err
	}
	deed := &deed{user: u, act: a, visits: s != nil}
	return Send{
		Draft:        kaban.Draft{Origin: origin, Author: *u.id, Room: a.Room, ID: a.ID, Kind: kind, Body: body},
		Terms:        &dispatch.Terms{Decide: deed.decide, Stored: deed.stored, Published: deed.tell},
		Subscription: s,
	}, nil
}

// entry returns the kind and the body of the entry that an act becomes. It depends on
// the act alone, so that a repeat of the act is recognised.
func (a *Act) entry() (kind kaban.Kind, body string, err error) {
	change := people.MemberChange{Subject: a.Subject.String(), Reason: a.Reason, Until: a.Until, Role: a.Role}
	switch a.Action {
	case access.SetTopic:
		body, err = people.EncodeChange(people.TopicChange{Topic: a.Topic})
		return kaban.KindTopic, body, err
	case access.Invite:
		change.Change = people.ChangeInvited
	case access.Kick:
		change.Change = people.ChangeKicked
	case access.Ban:
		change.Change = people.ChangeBanned
	case access.Unban:
		change.Change = people.ChangeUnbanned
	case access.Mute:
		change.Change = people.ChangeMuted
	case access.Unmute:
		change.Change = people.ChangeUnmuted
	case access.SetRoomRole, access.Appoint:
		change.Change = people.ChangeRole
	default:
		a.Change.Change = people.ChangeSettings
		body, err = people.EncodeChange(a.Change)
		return kaban.KindRoom, body, err
	}
	body, err = people.EncodeChange(change)
	return kaban.KindMember, body, err
}

// deed is an act on its way through the commit.
type deed struct {
	user   User
	act    Act
	visits bool // a user without an account is in the room

	target  people.Account
	visitor bool // the target has no account
	private bool // the room has become private
}

// decide runs in the transaction of the append.
func (d *deed) decide(tx store.Tx) error {
	u, a := d.user, &d.act
	d.private = false
	exists, err := roomExists(tx, a.Room)
	if err != nil {
		return err
	}
	s, err := u.scene(tx, a.Room, exists || d.visits, d.visits)
	if err != nil {
		return err
	}
	if !a.Subject.IsZero() {
		if d.target, d.visitor, err = u.target(tx, &s, a.Subject); err != nil {
			return err
		}
		s.Target.NewRoomRole = a.Role
	}
	actions := a.actions(&s)
	if len(actions) == 0 {
		return refusalOf(access.Forbidden, access.SetFlags)
	}
	for _, action := range actions {
		if needsOtherOp(action) {
			if err := s.seekOtherOp(tx, u.account()); err != nil {
				return err
			}
		}
		if err := refusalOf(access.Can(action, s.Facts), action); err != nil {
			return err
		}
	}
	if err := d.apply(tx, &s); err != nil {
		return err
	}
	return tx.Bump(a.Room)
}

func needsOtherOp(a access.Action) bool {
	return a == access.SetRoomRole || a == access.MakePrivate || a == access.Part
}

// actions returns what must be allowed for an act.
func (a *Act) actions(s *scene) (all []access.Action) {
	if a.Action == access.SetRoomRole && s.Who.Role >= kaban.RoleAdmin && s.Membership.Role == 0 {
		return []access.Action{access.Appoint}
	}
	if a.Action != 0 {
		return []access.Action{a.Action}
	}
	c := &a.Change
	if c.Kind != 0 { // also the kind that it has: what nobody asks about is nobody's to do
		all = append(all, access.MakePrivate)
	}
	if c.Flags != nil {
		all = append(all, access.SetFlags)
	}
	if c.History != "" {
		all = append(all, access.SetHistory)
	}
	if c.Archived != nil {
		if *c.Archived {
			all = append(all, access.Archive)
		} else {
			all = append(all, access.Unarchive)
		}
	}
	return all
}

// apply changes the documents.
func (d *deed) apply(tx store.Tx, s *scene) error {
	a := &d.act
	switch a.Action {
	case access.SetTopic:
		s.room.Topic = a.Topic
		return people.Rooms.Put(tx, &s.room)
	case access.Invite:
		return d.invite(tx, s)
	case access.Kick:
		return people.Leave(tx, &s.room, d.target.ID)
	case access.Ban, access.Mute:
		return d.restrict(tx, s)
	case access.Unban, access.Unmute:
		return d.lift(tx, s)
	case access.SetRoomRole, access.Appoint:
		return d.setRole(tx, s)
	}
	return d.set(tx, s)
}

func (d *deed) invite(tx store.Tx, s *scene) error {
	_, in, err := people.Members.Find(tx, s.room.Key, d.target.ID)
	if err != nil || in {
		return err
	}
	from, err := firstVisible(tx, &s.room, d.act.Room)
	if err != nil {
		return err
	}
	return people.Enter(tx, &s.room, &people.Member{
		Room: s.room.Key, Account: d.target.ID, Role: kaban.RoomRoleMember, From: from, Since: d.user.chat.now(),
	})
}

// subjects returns whom a restriction of the target is for.
func (d *deed) subjects() []string {
	if !d.visitor {
		return []string{accountIdentity(d.target.ID)}
	}
	subjects := []string{kaban.Visitor(d.act.Subject).ID()}
	if at, here := d.user.chat.names.Visiting(d.act.Subject); here && at.IsValid() && !at.IsLoopback() {
		subjects = append(subjects, people.AddressSubject(at.Unmap().String()))
	}
	return subjects
}

func (d *deed) restrict(tx store.Tx, s *scene) error {
	now := d.user.chat.now()
	until := d.act.Until
	if d.visitor && (until == 0 || until > now+banOfVisitors) {
		until = now + banOfVisitors
	}
	for _, subject := range d.subjects() {
		r, err := people.Restrictions.Get(tx, s.room.Key, subject)
		if err != nil && !errors.Is(err, people.ErrNotFound) {
			return err
		}
		r.Room, r.Subject, r.By, r.Since, r.Reason = s.room.Key, subject, d.user.id.ID(), now, d.act.Reason
		if d.act.Action == access.Ban {
			r.Ban, r.Until = true, until
		} else {
			r.Mute = true
		}
		if err := people.Restrictions.Put(tx, &r); err != nil {
			return err
		}
	}
	if d.act.Action == access.Ban && !d.visitor {
		return people.Leave(tx, &s.room, d.target.ID)
	}
	return people.Rooms.Put(tx, &s.room)
}

func (d *deed) lift(tx store.Tx, s *scene) error {
	for _, subject := range d.subjects() {
		r, err := people.Restrictions.Get(tx, s.room.Key, subject)
		if errors.Is(err, people.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if d.act.Action == access.Unban {
			r.Ban, r.Until = false, 0
		} else {
			r.Mute = false
		}
		if r.Ban || r.Mute {
			err = people.Restrictions.Put(tx, &r)
		} else {
			err = people.Restrictions.Delete(tx, r.Room, r.Subject)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *deed) setRole(tx store.Tx, s *scene) error {
	if d.visitor {
		return nil // a visitor's role cannot be any other
	}
	m, err := people.Members.Get(tx, s.room.Key, d.target.ID)
	if err != nil {
		return err
	}
	m.Role = d.act.Role
	return people.Members.Put(tx, &m)
}

func (d *deed) set(tx store.Tx, s *scene) error {
	c := &d.act.Change
	if c.Kind != 0 && c.Kind != s.room.Kind {
		s.room.Kind, d.private = c.Kind, true
	}
	if c.Flags != nil {
		flags, err := kaban.ParseRoomFlags(*c.Flags)
		if err != nil {
			return err
		}
		s.room.Flags = flags&^kaban.FlagArchived | s.room.Flags&kaban.FlagArchived
	}
	if c.History != "" {
		s.room.History = c.History
	}
	if c.Archived != nil {
		s.room.Flags &^= kaban.FlagArchived
		if *c.Archived {
			s.room.Flags |= kaban.FlagArchived
		}
	}
	return people.Rooms.Put(tx, &s.room)
}

// stored runs once the entry is durable and before anybody is given it.
func (d *deed) stored(Receipt) {
	c := d.user.chat
	r := c.dispatcher.Peek(d.act.Room)
	if r == nil {
		return
	}
	switch {
	case d.act.Action == access.Kick || d.act.Action == access.Ban:
		reason := people.ChangeKicked
		if d.act.Action == access.Ban {
			reason = people.ChangeBanned
		}
		ids := identities(d.target.ID)
		if d.visitor {
			ids = []string{kaban.Visitor(d.act.Subject).ID()}
		}
		c.dispatcher.Expel(r, reason, func(identity string) bool { return slices.Contains(ids, identity) })
	case d.private:
		c.dispatcher.Unlist(r)
		c.expelStrangers(r)
	}
}

// tell has the accounts told for which the room is different now.
func (d *deed) tell() {
	c := d.user.chat
	r := c.dispatcher.Peek(d.act.Room)
	if r == nil {
		return
	}
	if !d.act.Subject.IsZero() {
		if d.target.ID != "" {
			c.tell(d.target.ID, r.Name())
		}
		return
	}
	for _, identity := range r.Identities() {
		if account, _ := kaban.AuthorOf(identity); account != "" {
			c.tell(account, r.Name())
		}
	}
}

// expelStrangers ends the subscriptions of everybody that is not a member.
func (c *Chat) expelStrangers(r *dispatch.Room) {
	members := make(map[string]bool)
	err := c.dispatcher.View(context.Background(), func(tx store.Tx) error {
		for _, identity := range r.Identities() {
			account, _ := kaban.AuthorOf(identity)
			if account == "" {
				continue
			}
			_, in, err := people.Members.Find(tx, r.Name().Key(), account)
			if err != nil {
				return err
			}
			members[identity] = in
		}
		return nil
	})
	if err != nil { // nobody stays for certain
		clear(members)
	}
	c.dispatcher.Expel(r, reasonGone, func(identity string) bool { return !members[identity] })
}

// reasonGone is why somebody must leave whose right to be in a room has gone.
const reasonGone = "gone"

// firstVisible returns the first entry that somebody may see that joins a room now.
func firstVisible(tx store.Tx, r *people.Room, name kaban.RoomName) (uint64, error) {
	if r.Kind != kaban.RoomPrivate || r.History != people.HistoryJoined {
		return 1, nil
	}
	head, err := tx.Head(name)
	if err != nil {
		return 0, fmt.Errorf("head of %s: %w", name, err)
	}
	return head + 1, nil
}
