package chat

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// operatorName is the name of the operator in entries. Nobody else may have it.
var operatorName, _ = kaban.ParseUsername("server")

// Operator returns what a command in the data directory may do in rooms: what an owner
// may that is in none of them.
func (c *Chat) Operator() User {
	return User{chat: c, peer: &kaban.Peer{Identity: OperatorIdentity()}, operator: true}
}

// OperatorIdentity returns the author of what the operator does.
func OperatorIdentity() kaban.Identity { return kaban.Hook("operator", operatorName) }

// operatorFacts are the facts about the operator.
func operatorFacts() access.Identity {
	return access.Identity{
		Role: kaban.RoleOwner, Active: true, Named: true, Person: true, InPerson: true, Fresh: true, Operator: true, Reach: access.ReachServer, Writes: true,
	}
}

// IsOnline reports whether an account has a connection, to whichever node.
func (c *Chat) IsOnline(account string) bool {
	return c.isOnline(account) || slices.ContainsFunc(identities(account), c.dispatcher.IsOnlineElsewhere)
}

// RoomOfServer is a room as admins know it, without reading it.
type RoomOfServer struct {
	Name    kaban.RoomName
	Kind    kaban.RoomKind
	Flags   kaban.RoomFlags
	Head    uint64
	Members int   // accounts; of a public room also visitors that are in it
	Created int64 // in milliseconds since 1970 UTC; 0 if nobody noted it
	// Retention is how long its messages are kept; "" is as long as the server says.
	Retention string
}

// RoomsOfServer returns up to limit rooms (0 is 500) that the user may know of, whether
// it is in them or not, whose names sort after a name, in whichever spelling, and
// whether there are more. They are public and private ones; nobody knows of a direct room
// without being in it. For admins only. Its work grows with the page.
func (u User) RoomsOfServer(ctx context.Context, after string, limit int) (rooms []RoomOfServer, more bool, err error) {
	limit, after = limitOr(limit, defaultNames), sortedAs(after)
	public, morePublic := u.chat.dispatcher.Rooms(after, limit+1)
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		rooms = nil
		if err := u.mayListAll(tx); err != nil {
			return err
		}
		private, morePrivate, err := u.chat.privateAfter(tx, after, limit+1)
		if err != nil {
			return err
		}
		for _, r := range public {
			rooms = append(rooms, RoomOfServer{Name: r.Name, Kind: kaban.RoomPublic, Head: r.Head, Members: r.Members})
		}
		rooms = append(rooms, private...)
		slices.SortFunc(rooms, func(a, b RoomOfServer) int { return strings.Compare(a.Name.String(), b.Name.String()) })
		rooms = slices.CompactFunc(rooms, func(a, b RoomOfServer) bool { return a.Name.Key() == b.Name.Key() }) // one has just become private
		more = morePublic || morePrivate || len(rooms) > limit
		rooms = rooms[:min(len(rooms), limit)]
		for i := range rooms {
			if rooms[i].Retention, err = people.Retentions.Of(tx, rooms[i].Name.Key()); err != nil {
				return err
			}
		}
		return completePublic(tx, rooms)
	})
	for i := range rooms {
		if err == nil && rooms[i].Kind == kaban.RoomPrivate {
			rooms[i].Head, err = u.chat.headOf(ctx, rooms[i].Name)
		}
	}
	return rooms, more, u.chat.count(err)
}

// CheckRoom returns nil if RoomsOfServer has a room. Errors are ErrNotFound, also for a
// direct room, ErrForbidden and ErrAuthRequired.
func (u User) CheckRoom(ctx context.Context, room kaban.RoomName) error {
	err := u.chat.dispatcher.View(ctx, u.mayListAll)
	switch {
	case err != nil:
	case room.IsDirect():
		err = ErrNotFound
	default:
		_, err = u.chat.dispatcher.Lookup(ctx, room)
	}
	return u.chat.count(err)
}

// mayListAll decides whether the user may know of rooms that it is not in: as of a
// private room that it has nothing to do with.
func (u User) mayListAll(tx store.Tx) error {
	s, err := u.scene(tx, kaban.RoomName{}, false, false)
	if err != nil {
		return err
	}
	f := s.Facts
	f.Room, f.Membership = access.NewRoom(kaban.RoomPrivate, 0, false), access.Membership{Standing: access.Good}
	switch access.Can(access.Know, f) {
	case access.Allowed:
		return nil
	case access.AuthRequired:
		return ErrAuthRequired
	}
	return refusalOf(access.Forbidden, access.Know)
}

// privateAfter returns up to limit private rooms whose names sort after a name, sorted, and
// whether there are more.
func (c *Chat) privateAfter(tx store.Tx, after string, limit int) (rooms []RoomOfServer, more bool, err error) {
	for more = true; more && len(rooms) < limit; {
		var names []kaban.RoomName
		names, more = c.dispatcher.Unlisted(after, limit-len(rooms))
		for _, name := range names {
			after = name.String()
			known, _, err := people.Rooms.Known(tx, name)
			if err != nil {
				return nil, false, err
			}
			if known.Kind == kaban.RoomPrivate { // else it is being made
				rooms = append(rooms, RoomOfServer{Name: name}.with(&known))
			}
		}
	}
	return rooms, more, nil
}

// completePublic adds what is stored about public rooms.
func completePublic(tx store.Tx, rooms []RoomOfServer) error {
	for i, r := range rooms {
		if r.Kind == kaban.RoomPrivate {
			continue
		}
		known, _, err := people.Rooms.Known(tx, r.Name)
		if err != nil {
			return err
		}
		rooms[i] = r.with(&known)
	}
	return nil
}

// with returns a room with what is stored about it.
func (r RoomOfServer) with(known *people.Room) RoomOfServer {
	r.Kind, r.Flags, r.Created = known.Kind, known.Flags, known.Created
	r.Members = max(r.Members, known.Members)
	return r
}

// headOf returns the last seq of a room, 0 if it is gone.
func (c *Chat) headOf(ctx context.Context, name kaban.RoomName) (uint64, error) {
	r, err := c.dispatcher.Lookup(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return r.Head(), nil
}

// Appoint makes a member of a room op, by an admin that need not be in it and does not
// read it. It is an entry that the members see, and a row of the audit. Errors are
// ErrNotFound, ErrForbidden and ErrAuthRequired.
func (u User) Appoint(ctx context.Context, room kaban.RoomName, member kaban.Username) error {
	return u.do(ctx, Act{Action: access.Appoint, Room: room, Subject: member, Role: kaban.RoomRoleOp})
}

// audited are the actions of the audit for what acts do. All other acts change settings of a
// room, but the topic, which is no moderation, and invitations; the room's log has them all.
var audited = map[access.Action]people.AuditAction{
	access.Kick: people.AuditRoomKick, access.Ban: people.AuditRoomBan, access.Unban: people.AuditRoomUnban, access.Mute: people.AuditRoomMute, access.Unmute: people.AuditRoomUnmute,
	access.SetRoomRole: people.AuditRoomRole, access.Appoint: people.AuditRoomAppoint, access.SetTopic: {}, access.Invite: {},
}

// audit adds the row that says who did what to whom. Its readers are admins, which may know of
// every room that has moderation.
func (d *deed) audit(tx store.Tx) error {
	action := d.act.Action
	if d.appoints {
		action = access.Appoint
	}
	name, named := audited[action]
	switch {
	case !named:
		name = people.AuditRoomSet
	case name == people.AuditAction{}:
		return nil
	}
	row := people.Audit{
		Time: d.user.chat.now(), ID: rand.Text(), Action: name.String(), Subject: d.act.Subject.String(), Room: d.act.Room.String(),
	}
	if action == access.SetRoomRole {
		row.Detail = d.act.Role.String()
	}
	if !d.user.operator {
		row.Actor, row.Name, row.Address = d.user.peer.ID(), d.user.peer.Name().String(), addressText(d.user.peer.Address)
	}
	return people.Audits.Put(tx, &row)
}

// addressText returns an address as package account stores it.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
