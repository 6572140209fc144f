package chat

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Place is a room to be joined, as Locate or Find found it. It ends in Join or in
// Abandon.
type Place struct {
	dispatch.Place
	giveBack func() // nil if the room existed
}

// Abandon gives up a place that is not joined.
func (p *Place) Abandon() {
	if p.giveBack != nil {
		p.giveBack()
	}
}

// NewRoomsError says that a room cannot be made because too many were made lately.
type NewRoomsError struct {
	Room kaban.RoomName
	Wait time.Duration // until it can; at least a second
}

func (e *NewRoomsError) Error() string {
	return fmt.Sprintf("there is no room %s, and too many rooms were made lately to make it now; join one that exists, or try again in %s", e.Room, e.Wait)
}

// Locate returns a place without asking the store, or false if that takes Find. It
// never blocks.
func (u User) Locate(room kaban.RoomName, start Start) (Place, bool) {
	found, ok := u.chat.dispatcher.Known(room, start)
	return Place{Place: found}, ok && u.isPlain(room, u.chat.dispatcher.Peek(room))
}

// Find returns a place in a room to join. An account becomes a member. A room that
// there is not counts against the limit of new rooms; for an account it is made at
// once. Find blocks while the store is asked. It returns ErrNotFound, ErrForbidden,
// ErrAuthRequired and a *NewRoomsError.
func (u User) Find(ctx context.Context, room kaban.RoomName, start Start) (Place, error) {
	for range maxRulings {
		p, err := u.find(ctx, room, start)
		if !errors.Is(err, store.ErrStale) {
			return p, u.chat.count(err)
		}
	}
	return Place{}, u.chat.count(store.ErrStale)
}

func (u User) find(ctx context.Context, room kaban.RoomName, start Start) (p Place, err error) {
	if p.Place, err = u.chat.dispatcher.Find(ctx, room, start); err != nil {
		return Place{}, err
	}
	if p.Revision() == 0 && u.isPlain(room, nil) {
		if !p.IsNew() {
			return p, nil
		}
		return u.reserve(p, room)
	}
	found, err := u.rule(ctx, access.Join, room, !p.IsNew())
	switch {
	case err != nil:
		return Place{}, err
	case found.revision != p.Revision():
		return Place{}, store.ErrStale
	case u.account() == "" && p.IsNew():
		return u.reserve(p, room)
	case u.account() == "":
		return p, nil
	case !p.IsStored() && room.String() != kaban.Lobby:
		err := u.Create(ctx, room, NewRoom{Kind: kaban.RoomPublic})
		if _, tooMany := errors.AsType[*NewRoomsError](err); !p.IsNew() && (tooMany || errors.Is(err, ErrForbidden)) {
			err = u.enterFirst(ctx, room) // visitors have made it
		}
		if err != nil && !errors.Is(err, ErrRoomTaken) {
			return Place{}, err
		}
		return Place{}, store.ErrStale // it exists now
	case found.member.Account == "":
		if err := u.enter(ctx, room); err != nil {
			return Place{}, err
		}
		return Place{}, store.ErrStale // a member now
	}
	p.From(found.from)
	if u.credential.ReadOnly {
		p.Rights = &dispatch.Rights{Refusal: refusalOf(access.Forbidden, access.Send), Lasting: true}
	}
	return p, nil
}

// reserve counts a room against the limit of new rooms.
func (u User) reserve(p Place, room kaban.RoomName) (Place, error) {
	if err := u.can(access.Create, false, false); err != nil {
		return Place{}, err
	}
	var err error
	if p.giveBack, err = u.takeRoom(room); err != nil {
		return Place{}, err
	}
	return p, nil
}

// takeRoom counts a room that is to be made against the limit, which giveBack undoes.
func (u User) takeRoom(room kaban.RoomName) (giveBack func(), err error) {
	limits, m := u.chat.newRooms, u.maker()
	if wait := limits.take(m); wait > 0 {
		return nil, &NewRoomsError{Room: room, Wait: (wait + time.Second - 1).Truncate(time.Second)}
	}
	return func() { limits.give(m) }, nil
}

func (u User) maker() maker { return maker{u.account(), u.peer.Name().Key(), u.peer.Address} }

// enter makes an account a member of a public room that is stored.
func (u User) enter(ctx context.Context, room kaban.RoomName) error {
	defer u.chat.entered(u.account(), room)
	return u.chat.dispatcher.Update(ctx, func(tx store.Tx) error {
		exists, err := roomExists(tx, room)
		if err == nil && !exists {
			err = store.ErrStale
		}
		if err != nil {
			return err
		}
		return u.enterIn(tx, room)
	})
}

// enterFirst makes an account a member of a public room that has visitors, but no entry. It
// stores the entry that makes it a room.
func (u User) enterFirst(ctx context.Context, room kaban.RoomName) error {
	change := people.MemberChange{Subject: u.peer.Name().String(), Change: people.ChangeJoined}
	return u.enterWith(ctx, room, "joined-"+rand.Text(), change, func(tx store.Tx) error {
		if exists, err := roomExists(tx, room); err != nil || exists {
			return cmp.Or(err, ErrRoomTaken)
		}
		return u.enterIn(tx, room)
	})
}

// enterIn makes an account a member of a public room, unless it is one.
func (u User) enterIn(tx store.Tx, room kaban.RoomName) error {
	s, err := u.scene(tx, room, true, false)
	if err != nil {
		return err
	}
	if err := refusalOf(access.Can(access.Join, s.Facts), access.Join); err != nil || s.member.Account != "" {
		return err
	}
	from, err := firstVisible(tx, &s.room, room)
	if err != nil {
		return err
	}
	return people.Enter(tx, u.chat.dispatcher.Epoch(), &s.room, &people.Member{
		Room: s.room.Key, Account: s.account.ID, Role: kaban.RoomRoleMember, From: from, Since: u.chat.now(),
	})
}

// Join makes a connection a member of a room. Only the waker's goroutine calls it.
// It returns ErrForbidden, a *ResyncError, ErrTooManyRooms, a *LookalikeError and
// ErrStale, after which the place must be found again.
func (u User) Join(w Waker, member any, format Format, p Place) (*Subscription, Joined, error) {
	if p.Revision() == 0 && u.account() == "" {
		if err := u.can(access.Join, p.giveBack == nil, false); err != nil {
			p.Abandon()
			return nil, Joined{}, err
		}
	}
	s, joined, err := u.chat.dispatcher.Join(w, member, format, u.peer, p.Place)
	if err != nil {
		p.Abandon()
		return nil, Joined{}, u.chat.count(err)
	}
	u.chat.counters.joins.Add(1)
	if p.giveBack != nil {
		u.chat.counters.newRooms.Add(1)
	}
	return s, joined, nil
}

// Watch subscribes to a room without becoming a member. It blocks while the store
// is asked; otherwise it is like Join. It returns ErrNotFound and a *ResyncError.
func (u User) Watch(ctx context.Context, w Waker, format Format, room kaban.RoomName, start Start) (*Subscription, Joined, error) {
	for range maxRulings {
		s, joined, err := u.watch(ctx, w, format, room, start)
		if !errors.Is(err, store.ErrStale) {
			return s, joined, err
		}
	}
	return nil, Joined{}, u.chat.count(store.ErrStale)
}

func (u User) watch(ctx context.Context, w Waker, format Format, room kaban.RoomName, start Start) (*Subscription, Joined, error) {
	place, err := u.FindToRead(ctx, room, start)
	if err != nil {
		return nil, Joined{}, err
	}
	return u.WatchAt(w, w, format, place)
}

// FindToRead returns a place in a room to read without being a member. It blocks while
// the store is asked. It returns ErrNotFound, ErrForbidden and ErrStale.
func (u User) FindToRead(ctx context.Context, room kaban.RoomName, start Start) (p Place, err error) {
	if p.Place, err = u.chat.dispatcher.Find(ctx, room, start); err != nil {
		return Place{}, u.chat.count(err)
	}
	_, found, err := u.lookUp(ctx, access.Read, room)
	if err != nil {
		return Place{}, err
	}
	if p.Revision() != found.revision {
		return Place{}, store.ErrStale
	}
	p.From(found.from)
	return p, nil
}

// WatchAt subscribes at a place that FindToRead has found. Only the waker's goroutine
// calls it. It returns ErrNotFound, a *ResyncError and ErrStale.
func (u User) WatchAt(w Waker, member any, format Format, p Place) (*Subscription, Joined, error) {
	s, joined, err := u.chat.dispatcher.Watch(w, member, format, u.peer, p.Place)
	if err != nil {
		return nil, Joined{}, u.chat.count(err)
	}
	u.chat.counters.watches.Add(1)
	return s, joined, nil
}

// Leave ends a subscription; see dispatch.Dispatcher.Leave. If the room vanishes
// with it and nothing sent there is under way, it does not count as made.
func (u User) Leave(s *Subscription, underWay bool) {
	if u.chat.dispatcher.Leave(s) && !underWay && !u.peer.IsZero() {
		u.chat.newRooms.give(u.maker())
	}
}

// Draft returns what a member says, to be submitted. replyTo is the message that it
// answers, or 0. The subscription is the member's, nil if there is none. Whether the member
// may say it is decided when it is committed. It returns ErrNotJoined.
func (u User) Draft(s *Subscription, origin kaban.Origin, id kaban.MessageID, m kaban.Message, replyTo uint64) (Send, error) {
	if s == nil {
		return Send{}, u.chat.count(refusalOf(access.NotJoined, access.Send))
	}
	d := m.Draft(u.peer.Identity, s.Room().Name(), id)
	d.Origin, d.Target = origin, replyTo
	return Send{Draft: d, Subscription: s}, nil
}

// DraftFiles is Draft of a message with files, whose content may be empty. Besides, the receipt may
// have ErrNoFile, and DraftFiles returns a *kaban.MessageError.
func (u User) DraftFiles(s *Subscription, origin kaban.Origin, id kaban.MessageID, content string, replyTo uint64, files *Claim) (Send, error) {
	if s == nil {
		return Send{}, u.chat.count(refusalOf(access.NotJoined, access.Send))
	}
	room := s.Room().Name()
	d, err := u.draftWith(room, id, content, files)
	if err != nil {
		return Send{}, u.chat.count(err)
	}
	d.Origin, d.Target = origin, replyTo
	var from uint64 // the first entry that the member may see
	return Send{Draft: d, Subscription: s, Terms: &dispatch.Terms{
		Decide: func(tx store.Tx) (err error) {
			if from, err = u.maySend(tx, room); err != nil {
				return err
			}
			return files.decide(tx, room)
		},
		Allow: func(target *store.Entry) error {
			if target.Seq < from {
				return ErrNoMessage
			}
			return nil
		},
	}}, nil
}

// DraftFailed makes the send of a message that cannot be made for now, as its files cannot be
// read. It is refused in its turn. Fails reports true about err.
func (u User) DraftFailed(s *Subscription, id kaban.MessageID, err error) Send {
	return Send{
		Draft:        kaban.Draft{Author: u.peer.Identity, Room: s.Room().Name(), ID: id, Kind: kaban.KindMessage},
		Subscription: s,
		Terms:        &dispatch.Terms{Failed: err},
	}
}

// maySend decides in the transaction of the append whether a member may send a message. It returns
// the first entry that the member may see.
func (u User) maySend(tx store.Tx, room kaban.RoomName) (from uint64, err error) {
	s, err := u.scene(tx, room, true, true)
	if err != nil {
		return 0, err
	}
	if err := u.seekReach(tx, &s); err != nil {
		return 0, err
	}
	return s.from, refusalOf(access.Can(access.Send, s.Facts), access.Send)
}

// Type reports that a member is typing a message, as far as the member may send it. The
// subscription is the member's, nil if there is none. decided is false if Decide must do
// it instead; Type never blocks. Only the waker's goroutine calls it. It returns
// ErrNotJoined and ErrForbidden.
func (u User) Type(s *Subscription) (decided bool, err error) {
	if s == nil {
		return true, u.chat.count(refusalOf(access.NotJoined, access.Send))
	}
	decided, err = u.chat.dispatcher.Type(s)
	return decided, u.refuseTyping(err)
}

// Decide is Type, and may block while the store is asked. Any goroutine may call it.
func (u User) Decide(s *Subscription) error { return u.refuseTyping(u.chat.dispatcher.Decide(s)) }

// refuseTyping counts a refusal, and returns it as that of somebody that is not in the
// room if that is what it means.
func (u User) refuseTyping(err error) error {
	if errors.Is(err, ErrExpelled) {
		err = refusalOf(access.NotJoined, access.Send)
	}
	return u.chat.count(err)
}

// Recall returns the receipt of a message that an account has sent to a room in which its
// connection is no member any more: it was removed before it got the receipt. It blocks
// while the store is asked, once for each message: the caller lets through no more of them
// than of others. It returns ErrNotJoined if that message is not stored, and
// ErrIDConflict.
func (u User) Recall(ctx context.Context, room kaban.RoomName, id kaban.MessageID, m kaban.Message, replyTo uint64) (Receipt, error) {
	d := m.Draft(u.peer.Identity, room, id)
	d.Target = replyTo
	return u.recall(ctx, d)
}

// RecallFiles is Recall of a message with files.
func (u User) RecallFiles(ctx context.Context, room kaban.RoomName, id kaban.MessageID, content string, replyTo uint64, files []string) (Receipt, error) {
	claim, err := u.Claim(ctx, files)
	if err != nil {
		return Receipt{}, u.chat.count(err)
	}
	d, err := u.draftWith(room, id, content, claim)
	if err != nil {
		return Receipt{}, u.chat.count(err)
	}
	d.Target = replyTo
	return u.recall(ctx, d)
}

// recall returns the receipt of a message that is stored already.
func (u User) recall(ctx context.Context, d kaban.Draft) (Receipt, error) {
	refused, room := refusalOf(access.NotJoined, access.Send), d.Room
	if _, err := u.chat.dispatcher.Lookup(ctx, room); errors.Is(err, ErrNotFound) || err == nil && u.isBoundElsewhere(room) {
		return u.postNowhere(ctx, d, refused, func() {})
	} else if err != nil {
		return Receipt{}, u.chat.count(err)
	}
	receipt, err := u.chat.dispatcher.Post(ctx, Send{
		Draft: d,
		Terms: &dispatch.Terms{Decide: func(store.Tx) error { return refused }},
	}, func() {})
	return receipt, u.chat.count(err)
}

// judge decides what a member may do; see dispatch.Judge.
func (c *Chat) judge(r *dispatch.Room, member *kaban.Peer, _ *dispatch.Rights, generation uint64) (*dispatch.Rights, error) {
	account, _ := kaban.AuthorOf(member.ID())
	if account == "" && r.Revision() == 0 && c.isOpen() {
		return c.openRights(member, generation), nil
	}
	rights := &dispatch.Rights{Generation: generation}
	err := c.dispatcher.View(context.Background(), func(tx store.Tx) (err error) {
		if rights.Revision, err = tx.Revision(r.Name()); err != nil {
			return err
		}
		u := User{chat: c, peer: member}
		s, err := u.scene(tx, r.Name(), true, true)
		if err != nil {
			return err
		}
		if err := u.seekReach(tx, &s); err != nil {
			return err
		}
		rights.Refusal = refusalOf(access.Can(access.Send, s.Facts), access.Send)
		rights.From, rights.Changes = s.from, changesOf(s.Facts)
		return nil
	})
	return rights, err
}

// openRights returns the rights of all visitors of an open server in rooms whose
// rights were never changed. They share one value.
func (c *Chat) openRights(member *kaban.Peer, generation uint64) *dispatch.Rights {
	if rights := c.open.Load(); rights != nil && rights.Generation == generation {
		return rights
	}
	facts := User{chat: c, peer: member}.plainFacts(true, true)
	rights := &dispatch.Rights{Generation: generation, Changes: changesOf(facts)}
	c.open.Store(rights)
	return rights
}

// reaches reports whether nobody in a direct room of two has blocked the user.
func (u User) reaches(tx store.Tx, room *people.Room) (bool, error) {
	if len(room.People) != kaban.MinDirect {
		return true, nil
	}
	for _, other := range room.People {
		if other == u.account() {
			continue
		}
		switch _, err := people.Blocks.Get(tx, other, u.account()); {
		case err == nil:
			return false, nil
		case !errors.Is(err, people.ErrNotFound):
			return false, err
		}
	}
	return true, nil
}
