package client

import (
	"context"
	"time"

	"kaban"
	"kaban/wire"
)

// Account returns the account that the client is signed in to, as of the last
// welcome; false for a visitor.
func (c *Client) Account() (wire.Account, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.welcome.Account == nil {
		return wire.Account{}, false
	}
	return *c.welcome.Account, true
}

// Me is what an account has to do with rooms.
type Me struct {
	Account wire.Account
	Rooms   []wire.RoomState // that it is a member of, sorted by name
	Notifications
}

// Notifications are what an account wants to be notified of. Its clients apply them.
type Notifications struct {
	// Keywords are words and phrases that notify the account as mentions do; case does not matter.
	Keywords []string
	Quiet    *wire.Quiet // when not to disturb it; nil is never
	// Level is that of rooms for which it has chosen none; direct rooms have NotifyAll.
	Level kaban.NotifyLevel
}

func notificationsOf(e *wire.Event) Notifications {
	return Notifications{Keywords: e.Keywords, Quiet: e.Quiet, Level: e.Level}
}

// Me returns the account and all rooms that it is a member of, with what is unread
// in them. The pages are no snapshot: see OnRoomState.
func (c *Client) Me(ctx context.Context) (me Me, err error) {
	for after := ""; ; {
		e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeMe, AfterName: after, Limit: wire.MaxLimit}, nil))
		if err != nil {
			return Me{}, err
		}
		if e.Account != nil {
			me.Account = *e.Account
		}
		if after == "" {
			me.Notifications = notificationsOf(e)
		}
		me.Rooms = append(me.Rooms, e.States...)
		n := len(e.States)
		if !e.More || n == 0 || e.States[n-1].Room <= after {
			return me, nil
		}
		after = e.States[n-1].Room
	}
}

// Members returns a page of up to limit members of a room, sorted by username, after
// the given one ("" for the first page), and whether there are more. A server
// without accounts says only the usernames.
func (c *Client) Members(ctx context.Context, room, after string, limit int) ([]wire.Member, bool, error) {
	name, err := kaban.ParseAnyRoom(room)
	if err != nil {
		return nil, false, err
	}
	e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeMembers, Room: name, AfterName: after, Limit: limit}, nil))
	if err != nil {
		return nil, false, err
	}
	if e.People != nil {
		return e.People, e.More, nil
	}
	members := make([]wire.Member, len(e.Usernames))
	for i, username := range e.Usernames {
		members[i] = wire.Member{Username: username, Role: kaban.RoomRoleMember, Online: true}
	}
	return members, e.More, nil
}

// NewRoom is the room of Create.
type NewRoom struct {
	Name  string
	Kind  kaban.RoomKind // public or private
	Topic string         // one line of at most wire.MaxTopic code points, or ""
	Flags kaban.RoomFlags
}

// Create creates a room and returns the server's name for it. An account becomes its
// op, and joins it to read it. The error is a *kaban.MessageError or an *Error, such
// as room_taken. If the connection is lost before the answer, it is repeated, and
// may then find the name taken by its own first attempt.
func (c *Client) Create(ctx context.Context, r NewRoom) (string, error) {
	name, err := kaban.ParseRoomName(r.Name)
	if err != nil {
		return "", err
	}
	e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeCreate, Room: name, Kind: r.Kind, Topic: r.Topic, Flags: r.Flags}, nil))
	if err != nil {
		return "", err
	}
	return e.Room, nil
}

// Direct returns the name of the direct room of this account and up to seven others,
// which is created if necessary: always the same for the same people.
func (c *Client) Direct(ctx context.Context, usernames ...string) (string, error) {
	request := wire.Request{Type: wire.TypeDirect}
	for _, username := range usernames {
		parsed, err := kaban.ParseUsername(username)
		if err != nil {
			return "", err
		}
		request.Usernames = append(request.Usernames, parsed)
	}
	e, err := c.wait(ctx, c.ask(request, nil))
	if err != nil {
		return "", err
	}
	return e.Room, nil
}

// Read reports that everything in a room up to a seq is read. Of several reports the
// greatest counts.
func (c *Client) Read(ctx context.Context, room string, seq uint64) error {
	return c.settle(ctx, room, wire.Request{Type: wire.TypeRead, Seq: seq})
}

// MarkUnread marks a room as unread from a seq on, until Read has reported as much; 0 takes
// that back.
func (c *Client) MarkUnread(ctx context.Context, room string, seq uint64) error {
	return c.settle(ctx, room, wire.Request{Type: wire.TypeUnread, Seq: seq})
}

// Notify sets which messages of a room notify the account.
func (c *Client) Notify(ctx context.Context, room string, level kaban.NotifyLevel) error {
	return c.settle(ctx, room, wire.Request{Type: wire.TypeNotify, Level: level})
}

// Away is what an account says of itself in lists of members.
type Away struct {
	Away  bool
	Text  string    // one line of at most wire.MaxStatus code points, or ""
	Until time.Time // when it ends by itself; the zero value is never
}

// SetAway sets what the account says of itself, on all its devices. Presence stays as it is.
func (c *Client) SetAway(ctx context.Context, away Away) error {
	request := wire.Request{Type: wire.TypeAway, Away: away.Away, Status: away.Text}
	if !away.Until.IsZero() {
		request.Until = max(away.Until.UnixMilli(), 1)
	}
	_, err := c.wait(ctx, c.ask(request, nil))
	return err
}

// settle asks for something of a room that has no answer but ok.
func (c *Client) settle(ctx context.Context, room string, request wire.Request) error {
	name, err := kaban.ParseAnyRoom(room)
	if err != nil {
		return err
	}
	request.Room = name
	_, err = c.wait(ctx, c.ask(request, nil))
	return err
}

// Mention is an unread message that mentions the account.
type Mention = wire.Mention

// Inbox is a page of unread mentions, newest first.
type Inbox struct {
	Mentions []Mention
	// Next is where the next page begins; 0 if there is none.
	Next uint64
}

// Inbox returns a page of up to limit unread mentions of the account, from before the Next of an
// earlier page (0 is the newest). A limit of 0 is the server's default, and wire.MaxInbox is the
// most. Reading a message takes it out of the inbox; see Read.
func (c *Client) Inbox(ctx context.Context, before uint64, limit int) (Inbox, error) {
	e, err := c.wait(ctx, c.ask(wire.Request{Type: wire.TypeInbox, Before: before, HasBefore: before != 0, Limit: limit}, nil))
	if err != nil {
		return Inbox{}, err
	}
	inbox := Inbox{Mentions: e.Mentions, Next: e.Next}
	if !e.More || before != 0 && e.Next >= before { // it would never end
		inbox.Next = 0
	}
	return inbox, nil
}
