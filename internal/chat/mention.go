package chat

import (
	"context"
	"errors"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/markup"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Limits of mentions.
const (
	// MaxMentioned is how many names of a message are looked up, those that come first.
	MaxMentioned = 50
	// MaxHere is up to how many accounts are looked at for @here: those that are online, or the
	// members of the room. If there are more of both, @here is for everyone.
	MaxHere = 1000
)

// keepMentions is how long it is known whom a message mentions, in milliseconds: 90 days.
const keepMentions = 90 * 24 * 60 * 60 * 1000

// forgotten is how many mentions are forgotten at a time.
const forgotten = 1000

// ForgetMentions forgets some of the mentions that are older than 90 days, and reports whether
// there may be more. A clock that has jumped ahead makes nothing old: it is believed late, like
// that of retention. It blocks while the store works. Only one goroutine may call it.
func (c *Chat) ForgetMentions(ctx context.Context) (more bool, err error) {
	now, passed := c.elapsed(), int64(0)
	if c.forgetting {
		passed = (now - c.forgot).Milliseconds()
	}
	clock, err := c.believe(ctx, clockOfMentions, passed)
	if err != nil {
		return false, err
	}
	c.forgetting, c.forgot = true, now
	n, err := c.dispatcher.ForgetMentions(ctx, clock.Time-keepMentions, forgotten)
	return n == forgotten, err
}

// clockOfMentions is the name of the clock that mentions grow old by.
const clockOfMentions = "mentions"

// mentions finds whom messages mention.
type mentions struct{ chat *Chat }

// Find implements dispatch.Mentions. A store that fails finds nobody: it does not take the
// messages either.
func (m mentions) Find(writes []*store.Write) {
	if !m.chat.IsClaimed() {
		return // there are no accounts
	}
	texts := make([]markup.Mentioned, len(writes))
	any := false
	for i, w := range writes {
		texts[i] = markup.FindMentions(w.Body, MaxMentioned)
		any = any || len(texts[i].Names) > 0 || texts[i].Everyone || texts[i].Here
	}
	if !any {
		return
	}
	_ = m.chat.dispatcher.View(context.Background(), func(tx store.Tx) error {
		f := mentionFinder{chat: m.chat, tx: tx, named: make(map[string]string), readers: make(map[readerOf]bool), here: make(map[string]*store.Mentions)}
		for i, w := range writes {
			found, err := f.find(w, &texts[i])
			if err != nil {
				return err
			}
			w.Mentions = found
		}
		return nil
	})
}

// Arrived implements dispatch.Mentions.
func (m mentions) Arrived(room kaban.RoomName, who *store.Mentions) { m.chat.mentioned(room, who) }

// Replaced implements dispatch.Mentions.
func (m mentions) Replaced(room kaban.RoomName, author, content string) {
	if !m.chat.IsClaimed() {
		return // there are no accounts
	}
	if text := markup.FindMentions(content, MaxMentioned); len(text.Names) > 0 || text.Everyone || text.Here {
		m.chat.unmentioned(room, author, &text)
	}
}

// mentionFinder finds the accounts that the messages of a batch mention, in one transaction.
type mentionFinder struct {
	chat    *Chat
	tx      store.Tx
	named   map[string]string // the ids of accounts by the keys of their names; "" is nobody
	readers map[readerOf]bool
	here    map[string]*store.Mentions // by the key of the room
}

type readerOf struct{ room, account string }

func (f *mentionFinder) find(w *store.Write, text *markup.Mentioned) (*store.Mentions, error) {
	var m store.Mentions
	for _, name := range text.Names {
		account, err := f.account(name)
		if err == nil && account != "" && !slices.Contains(m.Accounts, account) {
			var reads bool
			if reads, err = f.reads(w.Room, account); reads {
				m.Accounts = append(m.Accounts, account)
			}
		}
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
	}
	if text.Everyone || text.Here {
		if err := f.ring(w, text, &m); err != nil && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
	}
	if len(m.Accounts) == 0 && !m.Everyone && !m.Here {
		return nil, nil
	}
	return &m, nil
}

// account returns the id of the account with a name, "" if there is none.
func (f *mentionFinder) account(text string) (string, error) {
	name, err := kaban.ParseUsername(text)
	if err != nil {
		return "", nil // no name
	}
	id, known := f.named[name.Key()]
	if known {
		return id, nil
	}
	account, err := people.Accounts.Named(f.tx, name)
	if errors.Is(err, people.ErrNotFound) || err == nil && account.Status == people.StatusRemoved {
		account.ID, err = "", nil
	}
	if err == nil {
		f.named[name.Key()] = account.ID
	}
	return account.ID, err
}

// reads reports whether an account is a member of a room or may read it.
func (f *mentionFinder) reads(room kaban.RoomName, account string) (bool, error) {
	at := readerOf{room.Key(), account}
	if reads, known := f.readers[at]; known {
		return reads, nil
	}
	_, reads, err := people.Members.Find(f.tx, room.Key(), account)
	if err == nil && !reads {
		var s scene
		u := User{chat: f.chat, peer: &kaban.Peer{Identity: kaban.Account(account, kaban.Username{})}}
		s, err = u.scene(f.tx, room, true, false)
		reads = err == nil && access.Can(access.Read, s.Facts) == access.Allowed
	}
	if err == nil {
		f.readers[at] = reads
	}
	return reads, err
}

// mayRing reports whether somebody may ring a room.
func (c *Chat) mayRing(tx store.Tx, author kaban.Identity, room kaban.RoomName) (bool, error) {
	u := User{chat: c, peer: &kaban.Peer{Identity: author}}
	if u.account() == "" {
		return false, nil // visitors and hooks are never ops
	}
	s, err := u.scene(tx, room, true, false)
	if err == nil {
		err = u.seekReach(tx, &s)
	}
	return err == nil && access.Can(access.Ring, s.Facts) == access.Allowed, err
}

// ring adds everyone, or those that are here, if the author may ring them.
func (f *mentionFinder) ring(w *store.Write, text *markup.Mentioned, m *store.Mentions) error {
	may, err := f.chat.mayRing(f.tx, w.Author, w.Room)
	if err != nil || !may {
		return err
	}
	if m.Everyone = text.Everyone; !text.Here {
		return nil
	}
	present := f.here[w.Room.Key()]
	if present == nil {
		if present, err = f.present(w.Room); err != nil {
			return err
		}
		f.here[w.Room.Key()] = present
	}
	m.Everyone, m.Here, m.Online = m.Everyone || present.Everyone, present.Here, present.Online
	return nil
}

// present returns the members of a room that are online, as mentions.
func (f *mentionFinder) present(room kaban.RoomName) (*store.Mentions, error) {
	online := f.chat.onlineAnywhere()
	known, _, err := people.Rooms.Known(f.tx, room)
	if err != nil {
		return nil, err
	}
	var found []string
	switch {
	case len(online) > MaxHere && known.Members > MaxHere:
		return &store.Mentions{Everyone: true}, nil
	case known.Members < len(online):
		slices.Sort(online)
		err = people.Members.All(f.tx, room.Key(), func(m *people.Member) bool {
			if _, is := slices.BinarySearch(online, m.Account); is {
				found = append(found, m.Account)
			}
			return true
		})
	default:
		for _, account := range online {
			_, in, err := people.Members.Find(f.tx, room.Key(), account)
			if err != nil {
				return nil, err
			}
			if in {
				found = append(found, account)
			}
		}
		slices.Sort(found)
	}
	return &store.Mentions{Here: true, Online: found}, err
}

// addMentions adds how many of the unread messages of some rooms mention the account. Rooms in
// which nothing does cost one look at all of them.
func (u User) addMentions(ctx context.Context, states []RoomState) error {
	runs := make([]store.Run, len(states))
	for i := range states {
		if s := &states[i]; s.Unread > 0 {
			runs[i] = store.Run{Room: s.Room, After: s.Read, Last: s.Head}
		}
	}
	may, err := u.chat.dispatcher.MayMention(ctx, u.account(), runs)
	if err != nil {
		return err
	}
	for i := range states {
		if states[i].Unread == 0 {
			continue
		}
		if err := u.addMentionsOf(ctx, &states[i], may[i]); err != nil {
			return err
		}
	}
	return nil
}

// addMentionsOf adds the mentions of one room, if there may be any. A room of which the account
// wants no notifications shows nothing unread, and counts only those that mention it by its name.
func (u User) addMentionsOf(ctx context.Context, s *RoomState, may bool) (err error) {
	if may {
		s.unreadMentions, err = u.unreadMentions(ctx, s)
	}
	if s.Mentions = uint64(len(s.unreadMentions)); s.Notify == kaban.NotifyNone {
		s.Unread = 0
	}
	return err
}

// unreadMentions returns the unread messages of a room that count as mentions, ascending.
func (u User) unreadMentions(ctx context.Context, s *RoomState) ([]store.Mention, error) {
	found, err := u.chat.dispatcher.Mentions(ctx, s.Room, u.account(), s.Read, s.Head)
	if s.Notify == kaban.NotifyNone {
		found = slices.DeleteFunc(found, func(m store.Mention) bool { return m.Cause != store.CauseName })
	}
	return found, err
}
