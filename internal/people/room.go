package people

import (
	"cmp"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// History is how much of a private room's log new members see.
type History string

// The settings of history.
const (
	HistoryAll    History = "all"
	HistoryJoined History = "joined" // from joining on
)

// Room is what a server knows of a room beside its log. A room without a document
// is public and has no creator.
type Room struct {
	Key     string          `json:"key"` // kaban.RoomName.Key
	Name    string          `json:"name"`
	Kind    kaban.RoomKind  `json:"kind"`
	Flags   kaban.RoomFlags `json:"flags,omitempty"`
	Topic   string          `json:"topic,omitempty"`
	History History         `json:"history,omitempty"` // empty is all
	Creator string          `json:"creator,omitempty"` // an account
	Created int64           `json:"created"`
	People  []string        `json:"people,omitempty"` // accounts of a direct room, sorted
	// Members is the number of memberships; see Enter and Leave.
	Members int `json:"members,omitempty"`
	// Turnover is the number of memberships that have begun or ended.
	Turnover uint64 `json:"turnover,omitempty"`
}

// Rooms has all rooms by key.
var Rooms = rooms{Table[Room]{
	name: "room",
	key:  func(r *Room) []string { return []string{r.Key} },
	indexes: []index[Room]{
		{"people", true, func(r *Room) [][]string {
			if len(r.People) == 0 {
				return nil
			}
			return [][]string{r.People}
		}},
	},
}}

type rooms struct{ Table[Room] }

// InAll returns the rooms of some memberships, in their order.
func (t *rooms) InAll(tx store.Tx, members []Member) ([]Room, error) {
	keys := make([][]string, len(members))
	for i := range members {
		keys[i] = []string{members[i].Room}
	}
	return t.getAll(tx, keys)
}

// Of returns the direct room of some accounts.
func (t *rooms) Of(tx store.Tx, accounts []string) (Room, error) {
	people := slices.Clone(accounts)
	slices.Sort(people)
	return t.find(tx, "people", people...)
}

// Member is a membership of an account in a room.
type Member struct {
	Room    string         `json:"room"` // the key
	Name    string         `json:"name"` // of the room; see Enter
	Account string         `json:"account"`
	Role    kaban.RoomRole `json:"role"`
	// From is the first seq that the member may see.
	From  uint64 `json:"from"`
	Since int64  `json:"since"`
	// Hidden is the last seq of a direct room when the member left it. The room is
	// hidden from the member until there is a later message.
	Hidden uint64 `json:"hidden,omitempty"`
	// Read is the seq up to which the member has read.
	Read uint64 `json:"read,omitempty"`
	// Counted is what there is up to Read; nil if nobody has counted yet. See Mark.
	Counted *Counted `json:"counted,omitempty"`
	// UnreadFrom is the seq from which the member has marked the room as unread; 0 if it
	// has not. It does not change Read.
	UnreadFrom uint64            `json:"unread_from,omitempty"`
	Notify     kaban.NotifyLevel `json:"notify,omitempty"`
	// Group is set if a group of single sign-on gave the membership.
	Group string `json:"group,omitempty"`
}

// Counted are the messages of a log up to a mark, and those of its member among them.
type Counted struct {
	store.Counts
	// Epoch is that of the log. In another one the log may have lost its end.
	Epoch string `json:"epoch"`
}

// Mark returns up to where a member has read. If counted is false, what there is up to there
// is not known for an epoch of the log.
func (m *Member) Mark(epoch string) (mark store.Mark, counted bool) {
	mark.Seq = max(m.Read, m.From-min(m.From, 1))
	if m.Counted == nil || m.Counted.Epoch != epoch || mark.Seq != m.Read {
		return mark, false
	}
	mark.Counts = m.Counted.Counts
	return mark, true
}

// SetMark sets up to where a member has read in an epoch of the log.
func (m *Member) SetMark(mark store.Mark, epoch string) {
	m.Read, m.Counted = mark.Seq, &Counted{mark.Counts, epoch}
}

// name is what the memberships of an account are sorted by.
func (m *Member) name() string { return cmp.Or(m.Name, m.Room) }

// Members has all memberships by room and account.
var Members = members{Table[Member]{
	name: "member",
	key:  func(m *Member) []string { return []string{m.Room, m.Account} },
	indexes: []index[Member]{
		{"account", true, func(m *Member) [][]string { return [][]string{{m.Account, m.name()}} }},
		{"op", true, func(m *Member) [][]string {
			if m.Role != kaban.RoomRoleOp {
				return nil
			}
			return [][]string{{m.Room, m.Account}}
		}},
	},
}}

type members struct{ Table[Member] }

// Of returns up to limit memberships of an account, by the name of the room, from
// behind a name.
func (t *members) Of(tx store.Tx, account, after string, limit int) (found []Member, more bool, err error) {
	return t.listBy(tx, "account", []string{account}, behind(account, after), limit)
}

// Ops returns up to limit ops of a room.
func (t *members) Ops(tx store.Tx, room string, limit int) (found []Member, more bool, err error) {
	return t.listBy(tx, "op", []string{room}, nil, limit)
}

// All calls visit for every member of a room until it returns false.
func (t *members) All(tx store.Tx, room string, visit func(*Member) bool) error {
	return all(func(after []string, limit int) ([]Member, bool, error) {
		return t.List(tx, []string{room}, after, limit)
	}, t.key, visit)
}

// AllOf calls visit for every membership of an account, by the name of the room, until
// it returns false.
func (t *members) AllOf(tx store.Tx, account string, visit func(*Member) bool) error {
	return all(func(after []string, limit int) ([]Member, bool, error) {
		return t.listBy(tx, "account", []string{account}, after, limit)
	}, func(m *Member) []string { return []string{account, m.name()} }, visit)
}

// RoomsOf calls visit for the key of every room that an account is a member of. It reads no membership, so a
// damaged one hides none of the others.
func (t *members) RoomsOf(tx store.Tx, account string, visit func(room string)) error {
	under, after := t.entry("account", []string{account}), ""
	for more := true; more; {
		var found []store.Document
		var err error
		if found, more, err = scan(tx, under, after, after != "", maxPage); err != nil {
			return err
		}
		for _, d := range found {
			visit(store.KeyParts(string(d.Value))[0])
			after = d.Key
		}
	}
	return nil
}

// behind returns the key that a listing goes on from; none if after is empty.
func behind(prefix, after string) []string {
	if after == "" {
		return nil
	}
	return []string{prefix, after}
}

// Restriction is a ban or a mute in a room. It outlives the membership.
type Restriction struct {
	Room string `json:"room"` // the key
	// Subject is the id of an identity, or "address:" and a network.
	Subject string `json:"subject"`
	Ban     bool   `json:"ban,omitempty"`
	Mute    bool   `json:"mute,omitempty"`
	Until   int64  `json:"until,omitempty"` // of the ban
	// Along are the subjects that were restricted along with this one: the networks of
	// a visitor's name, the names that were seen in a network.
	Along  []string `json:"along,omitempty"`
	Reason string   `json:"reason,omitempty"`
	By     string   `json:"by"` // the id of an identity
	Since  int64    `json:"since"`
}

// Restrictions has all restrictions by room and subject.
var Restrictions = Table[Restriction]{
	name: "restriction",
	key:  func(r *Restriction) []string { return []string{r.Room, r.Subject} },
}

// MaxHooks is how many incoming webhooks a server has at most.
const MaxHooks = 1000

// Hook is an incoming webhook: an identity that is a member of one room.
type Hook struct {
	Hash     string `json:"hash"` // SHA-256 of the key in its address
	ID       string `json:"id"`   // names it to people
	Room     string `json:"room"`
	Username string `json:"username"` // of messages that name no other
	// Speaker is set if the hook also posts where only ops and speakers do.
	Speaker bool   `json:"speaker,omitempty"`
	Created int64  `json:"created"`
	Creator string `json:"creator,omitempty"`
}

// Identity returns the author that the hook is, under its usual name.
func (h *Hook) Identity() (kaban.Identity, error) {
	name, err := kaban.ParseUsername(h.Username)
	if err != nil {
		return kaban.Identity{}, err
	}
	return kaban.Hook(h.ID, name), nil
}

// Hooks has all hooks by hash.
var Hooks = hooks{Table[Hook]{
	name:    "hook",
	key:     func(h *Hook) []string { return []string{h.Hash} },
	indexes: []index[Hook]{{"id", true, func(h *Hook) [][]string { return [][]string{{h.ID}} }}},
}}

type hooks struct{ Table[Hook] }

// Readable returns the hooks that are not damaged, and how many others there are: of those nobody knows whose they are,
// and nobody can post by them.
func (t *hooks) Readable(tx store.Tx) (found []Hook, damaged int, err error) {
	err = t.Some(tx, nil, MaxHooks, func(_ []string, h *Hook) {
		if h == nil {
			damaged++
		} else {
			found = append(found, *h)
		}
	})
	return found, damaged, err
}
