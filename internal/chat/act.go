package chat

import (
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

	group string // of Invite: the group of single sign-on that gives the membership
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
		Draft:        kaban.Draft{Origin: origin, Author: u.peer.Identity, Room: a.Room, ID: a.ID, Kind: kind, Body: body},
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
	visitor bool   // the target has no account
	address string // the subject of a restriction for the network of such a target; "" if it is not known
	private bool   // the room has become private

	appoints bool // an admin makes an op of a room that it is not in
	concerns bool // the target, an account, is in the room before or after
}

// decide runs in the transaction of the append.
func (d *deed) decide(tx store.Tx) error {
	u, a := d.user, &d.act
	d.private, d.address = false, ""
	exists, err := roomExists(tx, a.Room)
	if err != nil {
		return err
	}
	s, err := u.scene(tx, a.Room, exists || d.visits, d.visits)
	if err != nil {
		return err
	}
	if !a.Subject.IsZero() {
		if d.target, d.visitor, err = u.target(tx, &s, a.Room, a.Subject); err != nil {
			return err
		}
		s.Target.NewRoomRole = a.Role
		if d.visitor {
			if err := d.seekAddress(tx); err != nil {
				return err
			}
		}
	}
	actions := a.actions(&s)
	if len(actions) == 0 {
		return refusalOf(access.Forbidden, access.SetFlags)
	}
	d.appoints = actions[0] == access.Appoint
	for _, action := range actions {
		if needsOtherOp(action) {
			if err := s.seekOtherOp(tx, u.account()); err != nil {
				return err
			}
		}
		if err := d.refusal(action, &s); err != nil {
			return err
		}
	}
	d.concerns = s.Target.RoomRole != 0 || a.Action == access.Invite
	// What changes nobody's rights must not have everybody's decided anew.
	changed, err := d.apply(tx, &s)
	if err != nil || !changed {
		return err
	}
	if err := d.audit(tx); err != nil {
		return err
	}
	d.expelledNews(tx, &s)
	return tx.Bump(a.Room)
}

// seekAddress notes the network that the target, a visitor, comes from, if it is here.
func (d *deed) seekAddress(tx store.Tx) error {
	at, here, err := d.user.chat.visiting(tx, d.act.Subject)
	if here {
		d.address, _ = addressSubject(at)
	}
	return err
}

// refusal returns why an action is not allowed. In a room that the user knows of, it is
// the person that there is not.
func (d *deed) refusal(action access.Action, s *scene) error {
	err := refusalOf(access.Can(action, s.Facts), action)
	if errors.Is(err, ErrNotFound) && !d.act.Subject.IsZero() && access.Can(access.Know, s.Facts) == access.Allowed {
		return ErrNobody
	}
	return err
}

func needsOtherOp(a access.Action) bool {
	return a == access.SetRoomRole || a == access.MakePrivate || a == access.Part
}

// actions returns what must be allowed for an act.
func (a *Act) actions(s *scene) (all []access.Action) {
	if a.Action == access.SetRoomRole && a.Role == kaban.RoomRoleOp && s.Who.Role >= kaban.RoleAdmin && s.Membership.Role == 0 {
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

// apply changes the documents. It reports whether anybody's rights have changed.
func (d *deed) apply(tx store.Tx, s *scene) (changed bool, err error) {
	a := &d.act
	switch a.Action {
	case access.SetTopic:
		s.room.Topic = a.Topic
		return false, people.Rooms.Put(tx, &s.room)
	case access.Invite:
		return d.invite(tx, s)
	case access.Kick:
		return true, people.Leave(tx, &s.room, d.target.ID)
	case access.Ban, access.Mute:
		return true, d.restrict(tx, s)
	case access.Unban, access.Unmute:
		return true, d.lift(tx, s)
	case access.SetRoomRole, access.Appoint:
		return d.setRole(tx, s)
	}
	return d.set(tx, s)
}

func (d *deed) invite(tx store.Tx, s *scene) (changed bool, err error) {
	_, in, err := people.Members.Find(tx, s.room.Key, d.target.ID)
	if err != nil || in {
		return false, err
	}
	from, err := firstVisible(tx, &s.room, d.act.Room)
	if err != nil {
		return false, err
	}
	return true, people.Enter(tx, d.user.chat.dispatcher.Epoch(), &s.room, &people.Member{
		Room: s.room.Key, Account: d.target.ID, Role: kaban.RoomRoleMember, From: from, Since: d.user.chat.now(),
		Group: d.act.group,
	})
}

// MaxUntil is the latest end of a ban, in milliseconds since 1970 UTC: the last one that
// RFC 3339, section 5.6, can write.
const MaxUntil = 253402300799999 // 9999-12-31T23:59:59.999Z

func (d *deed) restrict(tx store.Tx, s *scene) error {
	switch {
	case d.act.Action != access.Ban || d.act.Until == 0:
	case d.act.Until <= d.user.chat.now():
		return ErrOver // it would be a kick
	case d.act.Until > MaxUntil:
		return ErrTooLate
	}
	err := d.eachSubject(tx, s, func(r *people.Restriction, now int64) (bool, error) {
		r.By, r.Since, r.Reason = d.user.peer.ID(), now, d.act.Reason
		if d.act.Action == access.Mute {
			r.Mute = true
			return true, nil
		}
		r.Ban, r.Until = true, d.act.Until
		if most := now + banOfVisitors; d.visitor && (r.Until == 0 || r.Until > most) {
			r.Until = most
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	if d.act.Action == access.Ban && !d.visitor {
		return people.Leave(tx, &s.room, d.target.ID)
	}
	return people.Rooms.Put(tx, &s.room)
}

func (d *deed) lift(tx store.Tx, s *scene) error {
	return d.eachSubject(tx, s, func(r *people.Restriction, _ int64) (bool, error) {
		if kept, err := d.isMeantByOthers(tx, r); err != nil || kept {
			return !kept, err
		}
		if d.act.Action == access.Unban {
			r.Ban, r.Until = false, 0
		} else {
			r.Mute = false
		}
		return true, nil
	})
}

// maxAlong is how many networks the restriction of a visitor's name, or names that of
// a network, remembers; the newest count.
const maxAlong = 16

// eachSubject changes what moderation left the target in the room: an account, or the
// name of a visitor and the networks that it was seen at. change reports whether it
// changed something.
func (d *deed) eachSubject(tx store.Tx, s *scene, change func(r *people.Restriction, now int64) (bool, error)) error {
	first := accountIdentity(d.target.ID)
	if d.visitor {
		first = kaban.Visitor(d.act.Subject).ID()
	}
	name, err := people.Restrictions.Get(tx, s.room.Key, first)
	if err != nil && !errors.Is(err, people.ErrNotFound) {
		return err
	}
	if d.visitor && d.address != "" && !slices.Contains(name.Along, d.address) {
		name.Along = append(name.Along, d.address)
		name.Along = name.Along[max(0, len(name.Along)-maxAlong):]
	}
	now := d.user.chat.now()
	for _, subject := range append([]string{first}, name.Along...) {
		r := &name
		if subject != first {
			network, err := people.Restrictions.Get(tx, s.room.Key, subject)
			if err != nil && !errors.Is(err, people.ErrNotFound) {
				return err
			}
			if r = &network; !slices.Contains(r.Along, first) {
				r.Along = append(r.Along, first)
				r.Along = r.Along[max(0, len(r.Along)-maxAlong):]
			}
		}
		r.Room, r.Subject = s.room.Key, subject
		if changed, err := change(r, now); err != nil {
			return err
		} else if !changed {
			continue
		}
		if r.Ban || r.Mute {
			err = people.Restrictions.Put(tx, r)
		} else {
			err = people.Restrictions.Delete(tx, r.Room, r.Subject)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isMeantByOthers reports whether the restriction of a network stays because of another
// name that was seen there.
func (d *deed) isMeantByOthers(tx store.Tx, network *people.Restriction) (bool, error) {
	own := kaban.Visitor(d.act.Subject).ID()
	if !d.visitor || network.Subject == own {
		return false, nil
	}
	for _, name := range network.Along {
		if name == own {
			continue
		}
		banned, muted, err := people.Restricted(tx, network.Room, name, d.user.chat.now())
		if err != nil || banned && d.act.Action == access.Unban || muted && d.act.Action == access.Unmute {
			return err == nil, err
		}
	}
	return false, nil
}

func (d *deed) setRole(tx store.Tx, s *scene) (changed bool, err error) {
	if d.visitor {
		return false, nil // a visitor's role cannot be any other
	}
	m, err := people.Members.Get(tx, s.room.Key, d.target.ID)
	if err != nil {
		return false, err
	}
	if changed = m.Role != d.act.Role; changed {
		m.Role = d.act.Role
		if err := people.Members.Put(tx, &m); err != nil {
			return false, err
		}
	}
	// Of an appointment by an admin the room has an entry, whatever it changed.
	return changed || d.appoints, nil
}

func (d *deed) set(tx store.Tx, s *scene) (changed bool, err error) {
	c, before := &d.act.Change, s.room
	if c.Kind != 0 && c.Kind != s.room.Kind {
		s.room.Kind, d.private = c.Kind, true
	}
	if c.Flags != nil {
		flags, err := kaban.ParseRoomFlags(*c.Flags)
		if err != nil {
			return false, err
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
	return s.room.Kind != before.Kind || s.room.Flags != before.Flags || s.room.History != before.History, people.Rooms.Put(tx, &s.room)
}

// stored runs once the entry is durable and before anybody is given it.
func (d *deed) stored(Receipt) {
	c := d.user.chat
	r := c.dispatcher.Peek(d.act.Room)
	if r == nil {
		return
	}
	switch {
	case d.act.Action == access.Kick:
		d.expel(r, people.ChangeKicked)
	case d.act.Action == access.Ban:
		d.expel(r, people.ChangeBanned)
	case d.private:
		c.dispatcher.Unlist(r)
		c.expelStrangers(r)
	}
}

// tell has the accounts told for which the room is different now.
func (d *deed) tell() {
	switch c := d.user.chat; {
	case d.act.Subject.IsZero():
		c.changed(d.act.Room)
	case d.target.ID != "" && d.concerns: // nobody else may learn that there is such a room
		c.entered(d.target.ID, d.act.Room)
	}
}

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
