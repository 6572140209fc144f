package chat

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// NewRoom is what a room is made with.
type NewRoom struct {
	Kind  kaban.RoomKind // public or private
	Topic string
	Flags kaban.RoomFlags

	operator bool // an operator makes it in the name of the user
}

// Create makes a room, with an entry that says so. An account becomes its op. It
// counts against the limit of new rooms, and blocks until it is stored. It returns
// ErrRoomTaken, ErrForbidden, ErrAuthRequired, ErrTooManyRooms, a *LookalikeError and a
// *NewRoomsError.
func (u User) Create(ctx context.Context, name kaban.RoomName, with NewRoom) error {
	action := access.Create
	if u.account() == "" && with.Flags != 0 { // no visitor could ever lift them
		return u.chat.count(ErrAuthRequired)
	}
	if with.Kind == kaban.RoomPrivate {
		action = access.CreatePrivate
	}
	change := people.RoomChange{Change: people.ChangeCreated, Kind: with.Kind}
	if flags := (with.Flags &^ kaban.FlagArchived).Texts(); len(flags) > 0 {
		change.Flags = &flags
	}
	if with.Flags.Has(kaban.FlagArchived) {
		archived := true
		change.Archived = &archived
	}
	// Whoever may make no room must not learn from the names that are taken, or alike, which
	// rooms there are.
	if _, err := u.rule(ctx, action, name, false); err != nil {
		return err
	}
	giveBack, err := u.takeRoom(name)
	if err != nil {
		return u.chat.count(err)
	}
	err = u.make(ctx, name, change, &[]string{u.account()}, func(tx store.Tx) error {
		exists, err := roomExists(tx, name)
		if err != nil {
			return err
		}
		s, err := u.scene(tx, name, exists, false)
		if err != nil {
			return err
		}
		if err := refusalOf(access.Can(action, s.Facts), action); err != nil {
			return err
		}
		if exists {
			return ErrRoomTaken
		}
		known, _, err := people.Rooms.Known(tx, name) // earlier versions let people in too early
		if err != nil {
			return err
		}
		room := people.Room{
			Key: name.Key(), Name: name.String(), Kind: with.Kind, Flags: with.Flags,
			Topic: with.Topic, Creator: u.account(), Created: u.chat.now(),
			Members: known.Members, Turnover: known.Turnover,
		}
		if u.account() == "" { // a visitor is a member by its connection
			if err := people.Rooms.Put(tx, &room); err != nil {
				return err
			}
		} else if err := people.Enter(tx, u.chat.dispatcher.Epoch(), &room, &people.Member{
			Room: room.Key, Account: u.account(), Role: kaban.RoomRoleOp, From: 1, Since: room.Created,
		}); err != nil {
			return err
		}
		if with.operator {
			row := people.Audit{
				Time: room.Created, ID: rand.Text(), Action: people.AuditRoomCreate.String(), Subject: u.peer.Name().String(), Room: room.Name,
			}
			if err := people.Audits.Put(tx, &row); err != nil {
				return err
			}
		}
		return tx.Bump(name)
	})
	if err != nil {
		giveBack()
		return err
	}
	u.chat.counters.newRooms.Add(1)
	return nil
}

// CreateFor is Create by an operator, who has no account: it is done in the name of an account,
// which becomes op, and is a row of the audit. Without a name that is the owner of the server. It returns an *OpError if
// there is no such active person, or if there are several owners.
func (u User) CreateFor(ctx context.Context, op string, name kaban.RoomName, with NewRoom) error {
	if !u.operator {
		return u.chat.count(ErrForbidden)
	}
	var account people.Account
	err := u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		account, err = opOfNew(tx, op)
		return err
	})
	if err != nil {
		return err
	}
	with.operator = true
	return u.chat.inNameOf(ctx, &account, name, with)
}

// OpError says why nobody can become the op of a new room.
type OpError struct{ Reason string }

func (e *OpError) Error() string { return e.Reason }

// opOfNew returns the person with a username, or the owner of the server if the name is "", if
// that may be the op of a new room. Errors are an *OpError and those of the store.
func opOfNew(tx store.Tx, username string) (people.Account, error) {
	if username == "" {
		switch owners, _, err := people.Accounts.WithRole(tx, kaban.RoleOwner, people.StatusActive, 2); {
		case err != nil:
			return people.Account{}, err
		case len(owners) == 1:
			return owners[0], nil
		case len(owners) == 0:
			return people.Account{}, &OpError{"the server has no owner who could be op of the room"}
		}
		return people.Account{}, &OpError{"the server has several owners; name the op of the room"}
	}
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return people.Account{}, err
	}
	account, err := people.Accounts.Named(tx, name)
	switch {
	case err != nil && !errors.Is(err, people.ErrNotFound):
		return people.Account{}, err
	case err != nil, account.Bot, account.Status != people.StatusActive:
		return people.Account{}, &OpError{name.String() + " is no active account of a person"}
	}
	return account, nil
}

// inNameOf makes a room as an account that does not ask for it itself.
func (c *Chat) inNameOf(ctx context.Context, account *people.Account, name kaban.RoomName, with NewRoom) error {
	identity, err := account.Identity()
	if err != nil {
		return err
	}
	maker := c.With(identity, netip.Addr{}, &Credential{Device: true, Fresh: true})
	return maker.Create(ctx, name, with)
}

// Direct returns the direct room of the user and others, which is made if there is
// none. It blocks until that is stored. It returns ErrNotFound if one of the people is
// nobody that the user may know, ErrBotAlone, ErrForbidden and ErrAuthRequired.
func (u User) Direct(ctx context.Context, others []kaban.Username) (kaban.RoomName, error) {
	var room people.Room
	name := kaban.NewDirectRoom()
	err := u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		_, room, err = u.directWith(tx, others)
		return err
	})
	switch {
	case err == nil:
		return kaban.ParseAnyRoom(room.Name)
	case !errors.Is(err, people.ErrNotFound):
		return kaban.RoomName{}, u.chat.count(err)
	}
	found := name
	giveBack, err := u.takeRoom(name)
	if err != nil {
		return kaban.RoomName{}, u.chat.count(err)
	}
	var accounts []string
	err = u.make(ctx, name, people.RoomChange{Change: people.ChangeCreated, Kind: kaban.RoomDirect}, &accounts, func(tx store.Tx) (err error) {
		accounts, room, err = u.directWith(tx, others)
		if err == nil { // somebody else has just made it
			found, err = kaban.ParseAnyRoom(room.Name)
			return errors.Join(errExists, err)
		}
		if !errors.Is(err, people.ErrNotFound) {
			return err
		}
		slices.Sort(accounts)
		room = people.Room{
			Key: name.Key(), Name: name.String(), Kind: kaban.RoomDirect, Creator: u.account(), Created: u.chat.now(), People: accounts,
		}
		for _, account := range accounts {
			if err := people.Enter(tx, u.chat.dispatcher.Epoch(), &room, &people.Member{
				Room: room.Key, Account: account, Role: kaban.RoomRoleMember, From: 1, Since: room.Created, Notify: kaban.NotifyAll,
			}); err != nil {
				return err
			}
		}
		return tx.Bump(name)
	})
	if err != nil {
		giveBack()
		if !errors.Is(err, errExists) {
			return kaban.RoomName{}, err
		}
	}
	return found, nil
}

// errExists ends the making of a direct room that there is.
var errExists = errors.New("the room exists")

// directWith returns the accounts of a direct room, the user's first, and the room. It
// returns people.ErrNotFound if there is no such room yet.
func (u User) directWith(tx store.Tx, others []kaban.Username) ([]string, people.Room, error) {
	s, err := u.scene(tx, kaban.RoomName{}, false, false)
	if err != nil {
		return nil, people.Room{}, err
	}
	all := []people.Account{s.account}
	all[0].ID = u.account()
	var targets []access.Target
	for _, other := range others {
		with := s
		person, _, err := u.target(tx, &with, kaban.RoomName{}, other)
		if err != nil {
			return nil, people.Room{}, err
		}
		if person.ID == "" {
			with.Target.Whom = access.Nobody
		}
		if with.Target.Whom != access.Self && !slices.ContainsFunc(all, func(a people.Account) bool { return a.ID == person.ID && a.ID != "" }) {
			all, targets = append(all, person), append(targets, with.Target)
		}
	}
	for _, s.Target = range targets {
		s.Target.OwnersIn = ownersIn(all)
		if len(targets) > 1 { // blocks are between two
			s.Target.Reachable = true
		}
		switch refused := refusalOf(access.Can(access.OpenDirect, s.Facts), access.OpenDirect); {
		case errors.Is(refused, ErrNotFound): // before anything that is known of the others
			return nil, people.Room{}, ErrNobody
		case errors.Is(refused, ErrForbidden) && s.Target.Reachable && !s.Target.OwnersIn:
			err = ErrBotAlone
		case refused != nil:
			err = refused
		}
	}
	if err != nil {
		return nil, people.Room{}, err
	}
	if n := len(all); n < kaban.MinDirect || n > kaban.MaxDirect {
		return nil, people.Room{}, &PeopleError{n}
	}
	accounts := make([]string, len(all))
	for i := range all {
		accounts[i] = all[i].ID
	}
	room, err := people.Rooms.Of(tx, accounts)
	return accounts, room, err
}

// ownersIn reports whether the owner of each bot of some people is one of them.
func ownersIn(all []people.Account) bool {
	for i := range all {
		isOwner := func(a people.Account) bool { return a.ID == all[i].Owner }
		if all[i].Bot && !slices.ContainsFunc(all, isOwner) {
			return false
		}
	}
	return true
}

// PeopleError says that a direct room cannot have so many people.
type PeopleError struct{ People int }

func (e *PeopleError) Error() string {
	return fmt.Sprintf("a direct room has %d to %d people, not %d", kaban.MinDirect, kaban.MaxDirect, e.People)
}

// make appends the first entry of a room, if its documents can be made. The accounts
// are those to tell of it.
func (u User) make(ctx context.Context, name kaban.RoomName, change people.RoomChange, accounts *[]string, decide func(store.Tx) error) error {
	body, err := people.EncodeChange(change)
	if err != nil {
		return err
	}
	id, err := kaban.ParseMessageID("created-" + rand.Text())
	if err != nil {
		return err
	}
	_, err = u.chat.dispatcher.Post(ctx, Send{
		Draft: kaban.Draft{Author: u.peer.Identity, Room: name, ID: id, Kind: kaban.KindRoom, Body: body},
		Terms: &dispatch.Terms{
			Unlisted: change.Kind != kaban.RoomPublic,
			Decide:   decide,
			Published: func() {
				u.chat.recount(name)
				for _, account := range *accounts {
					u.chat.tell(account, name)
				}
			},
			Stored: func(Receipt) {
				if r := u.chat.dispatcher.Peek(name); r != nil && change.Kind != kaban.RoomPublic {
					u.chat.dispatcher.Unlist(r)
					u.chat.expelStrangers(r) // who had joined the name while there was no such room
				}
			},
		},
	}, func() {})
	return u.chat.count(err)
}

// Commit stores a send without a subscription in a room that there is. It blocks until
// the entry is stored, or refused with the receipt's error. It returns ErrNotFound.
func (u User) Commit(ctx context.Context, send Send) (Receipt, error) {
	return u.commit(ctx, send, func() {})
}

// commit is Commit. done is called once, when the send is stored or never will be.
func (u User) commit(ctx context.Context, send Send, done func()) (Receipt, error) {
	room := send.Draft.Room
	_, err := u.chat.dispatcher.Lookup(ctx, room)
	if err == nil && u.isBoundElsewhere(room) {
		err = ErrNotFound
	}
	if errors.Is(err, ErrNotFound) {
		// What a credential or an account forbids everywhere is forbidden here too: the
		// answer must not say which rooms there are.
		_, refused := u.rule(ctx, access.Kick, room, false)
		if refused == nil {
			refused = missing(room, err)
		}
		return u.postNowhere(ctx, send.Draft, refused, done)
	}
	if err != nil {
		done()
		return Receipt{}, u.chat.count(missing(room, err))
	}
	receipt, err := u.chat.dispatcher.Post(ctx, send, done)
	return receipt, u.chat.count(missing(room, err))
}

// postNowhere refuses a send to a room that there is not, after it has taken the way of one
// to a room that the user must not know of, so that their times are alike, too.
func (u User) postNowhere(ctx context.Context, d kaban.Draft, refused error, done func()) (Receipt, error) {
	refuse := func(store.Tx) error { return refused }
	_, err := u.chat.dispatcher.Post(ctx, Send{Draft: d, Terms: &dispatch.Terms{Unlisted: true, Decide: refuse}}, done)
	if ctx.Err() == nil || err == nil || errors.Is(err, refused) {
		err = refused
	}
	return Receipt{}, u.chat.count(err)
}

// roomExists reports whether there is a room: one that has had an entry, which its making
// is, or the lobby. A document alone is no room.
func roomExists(tx store.Tx, name kaban.RoomName) (bool, error) {
	head, err := tx.Head(name)
	return head > 0 || name.String() == kaban.Lobby, err
}

// Part ends a membership. The connections of the account leave the room. In a direct
// room it only hides the room until the next message. It blocks until that is stored.
// It returns ErrNotFound, ErrNotJoined and ErrLastOp.
func (u User) Part(ctx context.Context, name kaban.RoomName) error {
	if u.account() == "" {
		return u.chat.count(ErrNotJoined) // a visitor is a member by its connection
	}
	r, _, err := u.lookUp(ctx, access.Part, name)
	if err != nil && !errors.Is(err, ErrLastOp) {
		return err
	}
	leave := func(tx store.Tx) error {
		s, err := u.scene(tx, name, true, false)
		if err != nil {
			return err
		}
		if s.room.Key == "" || s.member.Account == "" {
			return refusalOf(access.Can(access.Part, s.Facts), access.Part)
		}
		if err := s.seekOtherOp(tx, u.account()); err != nil {
			return err
		}
		if err := refusalOf(access.Can(access.Part, s.Facts), access.Part); err != nil {
			return err
		}
		if s.room.Kind == kaban.RoomDirect {
			if s.member.Hidden, err = tx.Head(name); err != nil {
				return err
			}
			return people.Members.Put(tx, &s.member)
		}
		if err := people.Leave(tx, &s.room, u.account()); err != nil {
			return err
		}
		return tx.Bump(name)
	}
	expel := func() {
		defer u.chat.entered(u.account(), name)
		id := u.peer.ID()
		u.chat.dispatcher.Expel(r, reasonGone, func(reader dispatch.Reader) bool { return reader.Peer.ID() == id })
		u.chat.reviseBots(r)
	}
	if r != nil && u.isPrivate(ctx, name) {
		return u.partWithEntry(ctx, name, leave, expel)
	}
	if err := u.chat.dispatcher.Update(ctx, leave); err != nil {
		return u.chat.count(err)
	}
	// A device that joins meanwhile sees the new revision, or is expelled.
	err = u.chat.dispatcher.Refresh(ctx, r)
	expel()
	return u.chat.count(err)
}

// isPrivate reports whether members of a room see who leaves it in its log.
func (u User) isPrivate(ctx context.Context, name kaban.RoomName) bool {
	var room people.Room
	err := u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		room, _, err = people.Rooms.Known(tx, name)
		return err
	})
	return err == nil && room.Kind == kaban.RoomPrivate
}

func (u User) partWithEntry(ctx context.Context, name kaban.RoomName, leave func(store.Tx) error, expel func()) error {
	body, err := people.EncodeChange(people.MemberChange{Subject: u.peer.Name().String(), Change: people.ChangeLeft})
	if err != nil {
		return err
	}
	id, err := kaban.ParseMessageID("left-" + rand.Text())
	if err != nil {
		return err
	}
	_, err = u.Commit(ctx, Send{
		Draft: kaban.Draft{Author: u.peer.Identity, Room: name, ID: id, Kind: kaban.KindMember, Body: body},
		Terms: &dispatch.Terms{Decide: leave, Stored: func(Receipt) { expel() }},
	})
	return err
}

// Read notes that an account has read a room up to a seq; the greatest counts. From there on
// the room is not marked as unread any more. It returns ErrNotFound, ErrNotJoined and
// ErrAuthRequired.
func (u User) Read(ctx context.Context, name kaban.RoomName, seq uint64) error {
	// What there is up to a seq never changes, so it is counted before.
	mark, counted, err := u.countTo(ctx, name, seq)
	if err != nil {
		return u.chat.count(missing(name, err))
	}
	epoch := u.chat.dispatcher.Epoch()
	err = u.mark(ctx, name, func(m *people.Member, _ uint64) (changed bool, err error) {
		if m.UnreadFrom > 0 && mark.Seq >= m.UnreadFrom {
			m.UnreadFrom, changed = 0, true
		}
		if now, _ := m.Mark(epoch); counted && mark.Seq > now.Seq {
			m.SetMark(mark, epoch)
			changed = true
		}
		return changed, nil
	})
	if err == nil {
		u.chat.pushes.read(u.account(), name, mark.Seq)
	}
	return err
}

// countTo counts the messages of a room up to a seq, or up to its head if that is less. For an
// account that is not in the room, and up to what it has read before, it counts nothing.
func (u User) countTo(ctx context.Context, name kaban.RoomName, seq uint64) (mark store.Mark, counted bool, err error) {
	var known store.Mark
	behind := false
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		m, in, err := people.Members.Find(tx, name.Key(), u.account())
		read, counted := m.Mark(u.chat.dispatcher.Epoch())
		if behind = in && seq > read.Seq; counted {
			known = read
		}
		return err
	})
	if err != nil || !behind {
		return store.Mark{Seq: seq}, false, err
	}
	mark, err = u.chat.dispatcher.CountTo(ctx, name, u.peer.ID(), seq, known)
	return mark, true, err
}

// MarkUnread marks a room as unread from a seq on, until it is read up to there or further; 0
// takes that back. It returns ErrNotFound, ErrNotJoined, ErrAuthRequired, and ErrNoMessage if there is no
// such entry that the account may see.
func (u User) MarkUnread(ctx context.Context, name kaban.RoomName, seq uint64) error {
	return u.mark(ctx, name, func(m *people.Member, head uint64) (changed bool, err error) {
		if seq > 0 && (seq > head || seq < m.From) {
			return false, ErrNoMessage
		}
		changed = m.UnreadFrom != seq
		m.UnreadFrom = seq
		return changed, nil
	})
}

// Notify sets which messages of a room notify an account. It returns ErrNotFound,
// ErrNotJoined and ErrAuthRequired.
func (u User) Notify(ctx context.Context, name kaban.RoomName, level kaban.NotifyLevel) error {
	return u.mark(ctx, name, func(m *people.Member, _ uint64) (changed bool, err error) {
		changed = m.Notify != level
		m.Notify = level
		return changed, nil
	})
}

// mark changes what a membership says of its owner alone.
func (u User) mark(ctx context.Context, name kaban.RoomName, change func(m *people.Member, head uint64) (bool, error)) error {
	if u.account() == "" {
		return u.chat.count(ErrAuthRequired)
	}
	changed := false
	err := u.chat.dispatcher.Update(ctx, func(tx store.Tx) error {
		head, err := tx.Head(name)
		if err != nil {
			return err
		}
		exists, err := roomExists(tx, name)
		if err != nil {
			return err
		}
		s, err := u.scene(tx, name, exists, false)
		if err != nil {
			return err
		}
		if err := refusalOf(access.Can(access.Mark, s.Facts), access.Mark); err != nil {
			return err
		}
		if changed, err = change(&s.member, head); err != nil || !changed {
			return err
		}
		return people.Members.Put(tx, &s.member)
	})
	if err == nil && changed {
		u.chat.tell(u.account(), name)
	}
	return u.chat.count(missing(name, err))
}
