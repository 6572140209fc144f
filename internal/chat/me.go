package chat

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/session"
	"kaban/internal/store"
)

// Enter fills in the session of a connection of an account, which Release takes back. The
// credential must not change afterwards.
func (c *Chat) Enter(s *Session, owner Owner, id kaban.Identity, address netip.Addr, credential *Credential) {
	c.counters.sessions.Add(1)
	c.names.Enter(s, owner, id, address, credential)
}

// Revoke ends the connections of an account that depend on a credential; an empty id
// is all of them. It returns once they have been told to end.
func (c *Chat) Revoke(accountID, credential string) {
	for _, id := range identities(accountID) {
		c.names.Revoke(id, func(used *session.Credential) bool { return credential == "" || used.ID == credential })
	}
}

// identities returns the ids that an account may write under.
func identities(account string) []string {
	return []string{accountIdentity(account), kaban.Bot(account, kaban.Username{}).ID()}
}

// tell has the connections of an account told that a room is different for it.
func (c *Chat) tell(account string, room kaban.RoomName) {
	for _, id := range identities(account) {
		c.names.Tell(id, room)
	}
}

// entered notes that the membership of an account in a room may have begun or ended.
func (c *Chat) entered(account string, room kaban.RoomName) {
	c.recount(room)
	c.tell(account, room)
}

// IsClaimed reports whether the server has an owner, so that there may be accounts.
func (c *Chat) IsClaimed() bool { return c.server.Load().Claim == access.Claimed }

// TakesVisitors reports whether somebody without an account may come in.
func (c *Chat) TakesVisitors() bool { return c.isOpen() }

// AdmitVisitor decides whether somebody without an account may come in under a name.
// It blocks while the store is asked. It returns ErrAuthRequired and ErrTaken.
func (c *Chat) AdmitVisitor(ctx context.Context, name kaban.Username) error {
	if !c.isOpen() {
		return c.count(ErrAuthRequired)
	}
	return c.count(c.dispatcher.View(ctx, func(tx store.Tx) error {
		alike, err := people.Accounts.Like(tx, name, 1)
		if err == nil && len(alike) > 0 {
			err = ErrTaken
		}
		return err
	}))
}

// RoomState is the state of a room for an account.
type RoomState struct {
	Room  kaban.RoomName
	Kind  kaban.RoomKind
	Title string // the other people of a direct room
	Topic string
	Role  kaban.RoomRole
	Flags kaban.RoomFlags
	// History is how much of a private room new members see. It is "" for other rooms.
	History people.History
	Head    uint64
	Read    uint64
	Unread  uint64
	// Mentions are the unread messages that mention the account.
	Mentions uint64
	// UnreadFrom is the seq from which the account has marked the room as unread; 0 if it has
	// not.
	UnreadFrom uint64
	Notify     kaban.NotifyLevel

	left    uint64 // people.Member.Hidden
	hidden  bool   // the account has left the room, a direct one, and nobody has said anything since
	mark    store.Mark
	counted bool // what there is up to the mark is known

	unreadMentions []store.Mention // what Mentions counts, ascending
}

// Me is an account and a page of the rooms it is in.
type Me struct {
	Account people.Account
	Rooms   []RoomState // sorted by name
	More    bool
}

// Me returns the account and up to limit of its rooms (0 is 500) whose names sort
// after a name. It blocks while the store is asked. It returns ErrAuthRequired.
func (u User) Me(ctx context.Context, after string, limit int) (me Me, err error) {
	if u.account() == "" {
		return Me{}, u.chat.count(ErrAuthRequired)
	}
	limit = limitOr(limit, defaultNames)
	for more := true; more && len(me.Rooms) <= limit; {
		var states []RoomState
		states, after, more, err = u.statesAfter(ctx, &me, after, limit+1-len(me.Rooms))
		if err != nil {
			return Me{}, u.chat.count(err)
		}
		me.Rooms = append(me.Rooms, states...)
	}
	if me.More = len(me.Rooms) > limit; me.More {
		me.Rooms = me.Rooms[:limit]
	}
	return me, nil
}

// statesAfter returns the states of the next memberships after a name, up to limit, the
// last of their names, and whether there are more. There are fewer states than
// memberships if the credential does not reach a room, or the account has hidden it. It
// also reads the account.
func (u User) statesAfter(ctx context.Context, me *Me, after string, limit int) (states []RoomState, last string, more bool, err error) {
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		states, last = nil, after
		if me.Account, err = people.Accounts.Get(tx, u.account()); err != nil {
			return err
		}
		var members []people.Member
		if members, more, err = people.Members.Of(tx, u.account(), after, limit); err != nil {
			return err
		}
		if len(members) > 0 {
			last = members[len(members)-1].Name
		}
		members = slices.DeleteFunc(members, func(m people.Member) bool { return reach(u.credential, m.Room) == access.ReachElsewhere })
		rooms, err := people.Rooms.InAll(tx, members)
		if err != nil {
			return err
		}
		for i := range members {
			state, may, err := u.stateIn(tx, &members[i], &rooms[i], &me.Account)
			if err != nil {
				return err
			}
			if may {
				states = append(states, state)
			}
		}
		return nil
	})
	if err == nil {
		err = u.addCounts(ctx, states)
	}
	if err == nil {
		err = u.dropLost(ctx, states)
	}
	return slices.DeleteFunc(states, func(s RoomState) bool { return s.hidden }), last, more, err
}

// errElsewhere says that the credential has nothing to do with a room.
var errElsewhere = errors.New("the credential is not for this room")

// State returns the state of one room, or false if the account is not in it. It blocks
// while the store is asked.
func (u User) State(ctx context.Context, name kaban.RoomName) (state RoomState, in bool, err error) {
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		if reach(u.credential, name.Key()) == access.ReachElsewhere {
			return errElsewhere
		}
		member, found, err := people.Members.Find(tx, name.Key(), u.account())
		if in = found; err != nil || !in {
			return err
		}
		room, err := people.Rooms.Get(tx, member.Room)
		if err != nil {
			return err
		}
		account, err := people.Accounts.Get(tx, u.account())
		if err == nil {
			state, in, err = u.stateIn(tx, &member, &room, &account)
		}
		return err
	})
	if err == nil && in {
		states := []RoomState{state}
		if err = u.addCounts(ctx, states); err == nil {
			err = u.dropLost(ctx, states)
		}
		state = states[0]
	}
	return state, in && !state.hidden, u.chat.count(err)
}

// stateIn returns what the documents say of a room for its member, if that may read it. All
// people may read the rooms that they are in; a bot must not know more than its owner.
func (u User) stateIn(tx store.Tx, m *people.Member, room *people.Room, account *people.Account) (s RoomState, may bool, err error) {
	name, err := kaban.ParseAnyRoom(room.Name)
	if err != nil {
		return RoomState{}, false, err
	}
	if account.Bot {
		found, err := u.scene(tx, name, true, false)
		if err != nil || access.Can(access.Read, found.Facts) != access.Allowed {
			return RoomState{}, false, err
		}
		limited := *m
		m, limited.From = &limited, found.from
	}
	s = RoomState{Room: name, Kind: room.Kind, Topic: room.Topic, Role: m.Role, Flags: room.Flags, UnreadFrom: m.UnreadFrom, Notify: m.Notify, left: m.Hidden}
	s.mark, s.counted = m.Mark(u.chat.dispatcher.Epoch())
	if s.Notify == 0 {
		s.Notify = account.DefaultLevel()
	}
	if room.Kind == kaban.RoomPrivate {
		s.History = cmp.Or(room.History, people.HistoryAll)
	}
	if room.Kind == kaban.RoomDirect {
		s.Title, err = u.title(tx, room.People)
	}
	return s, err == nil, err
}

// title returns the names of the other people of a direct room.
func (u User) title(tx store.Tx, accounts []string) (string, error) {
	var names []string
	for _, id := range accounts {
		if id == u.account() {
			continue
		}
		a, err := people.Accounts.Get(tx, id)
		if err != nil && !errors.Is(err, people.ErrNotFound) {
			return "", err
		}
		if err == nil {
			names = append(names, a.Username)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", "), nil
}

// addCounts adds the heads of the logs, and how many messages of others the account has not
// read, and how many mention it. Marks of older versions, and of another epoch, are counted and stored.
func (u User) addCounts(ctx context.Context, states []RoomState) error {
	names := make([]kaban.RoomName, len(states))
	for i := range states {
		names[i] = states[i].Room
	}
	tallies, err := u.chat.dispatcher.Tallies(ctx, u.peer.ID(), names)
	if err != nil {
		return err
	}
	var fresh []*RoomState
	for i := range states {
		s := &states[i]
		if !s.counted {
			if s.mark, err = u.chat.dispatcher.CountTo(ctx, s.Room, u.peer.ID(), s.mark.Seq, store.Mark{}); err != nil {
				return err
			}
			fresh = append(fresh, s)
		}
		s.Head, s.Read, s.Unread = tallies[i].Head, s.mark.Seq, tallies[i].Unread(s.mark)
		if s.left > 0 {
			said, err := u.chat.saidSince(ctx, s.Room, &tallies[i], s.left)
			if err != nil {
				return err
			}
			s.hidden = !said
		}
	}
	if len(fresh) > 0 {
		u.storeCounts(ctx, fresh)
	}
	return u.addMentions(ctx, states)
}

// dropLost hides private rooms that the account was thrown out of while they were counted: the
// counts may be from afterwards.
func (u User) dropLost(ctx context.Context, states []RoomState) error {
	if !slices.ContainsFunc(states, func(s RoomState) bool { return s.Kind == kaban.RoomPrivate }) {
		return nil
	}
	return u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		for i := range states {
			if s := &states[i]; s.Kind == kaban.RoomPrivate {
				_, in, err := people.Members.Find(tx, s.Room.Key(), u.account())
				if err != nil {
					return err
				}
				s.hidden = s.hidden || !in
			}
		}
		return nil
	})
}

// storeCounts stores marks that were counted, unless there are others by now. If it fails,
// they are counted again the next time.
func (u User) storeCounts(ctx context.Context, states []*RoomState) {
	epoch := u.chat.dispatcher.Epoch()
	_ = u.chat.dispatcher.Update(ctx, func(tx store.Tx) error {
		for _, s := range states {
			m, in, err := people.Members.Find(tx, s.Room.Key(), u.account())
			if err != nil {
				return err
			}
			if _, counted := m.Mark(epoch); !in || counted {
				continue
			}
			m.SetMark(s.mark, epoch)
			if err := people.Members.Put(tx, &m); err != nil {
				return err
			}
		}
		return nil
	})
}

// Person is a member of a room.
type Person struct {
	Username string
	Account  string // id; empty for a visitor
	Name     string // to display
	Role     kaban.RoomRole
	Online   bool
	Bot      bool
	Away     people.Away // what it says of itself, as of now
}

// maxMembers is how many members of a room a list goes through at most.
const maxMembers = 100_000

// peopleOf returns the people of a room, sorted by username: accounts that are members
// and connected visitors, each once.
func (u User) peopleOf(ctx context.Context, r *dispatch.Room) (all []Person, err error) {
	now := u.chat.now()
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		all = nil
		var failed error
		err = people.Members.All(tx, r.Name().Key(), func(m *people.Member) bool {
			var a people.Account
			if a, failed = people.Accounts.Get(tx, m.Account); failed != nil {
				return false
			}
			if a.Status != people.StatusRemoved {
				all = append(all, Person{Username: a.Username, Account: a.ID, Name: a.Name, Role: m.Role, Bot: a.Bot, Away: a.AwayAt(now)})
			}
			return len(all) < maxMembers
		})
		return errors.Join(err, failed)
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Online = u.chat.IsOnline(all[i].Account)
	}
	names, _ := r.Visitors("", maxMembers)
	for _, name := range names {
		all = append(all, Person{Username: name, Role: kaban.RoomRoleMember, Online: true})
	}
	slices.SortFunc(all, func(a, b Person) int { return strings.Compare(a.Username, b.Username) })
	return all, nil
}
