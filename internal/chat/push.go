package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/attention"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/internal/store"
)

// Bounds of what looks for accounts to push to.
const (
	// maxStretches is how many rooms wait to be looked at. What comes in others beyond is not
	// pushed, and counted.
	maxStretches = 4096
	// maxLooked is how many messages of a room are looked at each time, the newest ones. An account
	// is notified of one or two of them anyway.
	maxLooked = 200
	// lookPause is how long to wait before rooms are looked at again: in a busy room many
	// messages are one look.
	lookPause = 250 * time.Millisecond
	// lastLook is how long the last look may take when the server ends.
	lastLook = 3 * time.Second
)

// pushes looks for accounts that new messages notify, and has their browsers told. It is a reader
// behind the log: no send waits for it.
type pushes struct {
	chat   *Chat
	log    *slog.Logger
	missed atomic.Uint64 // stretches that had no place in grown
	// service is set by StartPushes; nil: nobody is notified.
	service atomic.Pointer[Pusher]
	// some is set while subscribed has any, so that a message costs nothing where nobody
	// has subscribed.
	some atomic.Bool

	wake    chan struct{} // has an element if there is something in grown
	end     chan struct{}
	ending  sync.Once
	group   sync.WaitGroup
	failing bool // of the goroutine
	refused bool // of the goroutine: that the service refuses a notice was logged

	mu         sync.Mutex          // guards all below; a leaf
	subscribed map[string]uint64   // accounts that may have browsers, and how often that was noted
	listed     map[string]struct{} // those accounts, which never changes; nil: they have changed
	grown      map[string]*stretch // by the key of the room
}

// stretch is the run of new messages of a room.
type stretch struct {
	room        kaban.RoomName
	first, last uint64
}

func newPushes(c *Chat, log *slog.Logger) *pushes {
	return &pushes{
		chat: c, log: log, subscribed: make(map[string]uint64), grown: make(map[string]*stretch),
		wake: make(chan struct{}, 1), end: make(chan struct{}),
	}
}

// Pusher sends notices to browsers, as push.Service does. None of its methods waits.
type Pusher interface {
	Push(to *push.Subscription, n push.Notice) error
	Withdraw(account, room string, upTo uint64) int
	Forget(account, subscription string) int
}

// StartPushes has browsers notified of messages from now on, by a service whose Compose is
// ComposePush. It is called once. Close ends it, before the service is closed.
func (c *Chat) StartPushes(ctx context.Context, service Pusher) error {
	p := c.pushes
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		return people.Pushes.Each(tx, nil, func(_ []string, b *people.Push) {
			if b != nil {
				c.Subscribed(b.Account)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("read which browsers are notified: %w", err)
	}
	p.service.Store(&service)
	p.group.Go(p.run)
	return nil
}

// Subscribed notes that a browser of an account was subscribed to pushes.
func (c *Chat) Subscribed(account string) {
	p := c.pushes
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subscribed[account]++; p.subscribed[account] == 1 {
		p.listed = nil
	}
	p.some.Store(true)
}

// Unsubscribed notes that a subscription has ended: what waits for it is forgotten.
func (c *Chat) Unsubscribed(account, subscription string) {
	if s := c.pushes.service.Load(); s != nil {
		(*s).Forget(account, subscription)
	}
}

// close looks at what is left, and ends the looking.
func (p *pushes) close() {
	p.ending.Do(func() { close(p.end) })
	p.group.Wait()
}

// read notes that an account has read a room up to a seq.
func (p *pushes) read(account string, room kaban.RoomName, seq uint64) {
	if s := p.service.Load(); s != nil {
		(*s).Withdraw(account, room.Key(), seq)
	}
}

// appended is told what was appended to a room. The committer calls it.
func (c *Chat) appended(room kaban.RoomName, entries []store.Entry) {
	c.pushes.appended(room, entries)
	c.forgetPreviews(room, entries)
}

// appended notes what was said in a room. The committer calls it.
func (p *pushes) appended(room kaban.RoomName, entries []store.Entry) {
	if !p.some.Load() || p.service.Load() == nil {
		return
	}
	var first, last uint64
	for i := range entries {
		if entries[i].Kind == kaban.KindMessage {
			if last = entries[i].Seq; first == 0 {
				first = last
			}
		}
	}
	if last == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.grown[room.Key()]
	switch {
	case s != nil:
		s.first, s.last = min(s.first, first), max(s.last, last)
	case len(p.grown) >= maxStretches:
		p.missed.Add(1)
		return
	default:
		p.grown[room.Key()] = &stretch{room, first, last}
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns the rooms that wait.
func (p *pushes) take() map[string]*stretch {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.grown
	p.grown = make(map[string]*stretch)
	return taken
}

// run looks at rooms until the chat is closed, and then at those that are left.
func (p *pushes) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-p.wake:
			p.lookAll(ctx)
			pause.Reset(lookPause)
			select {
			case <-pause.C:
				continue
			case <-p.end:
			}
		case <-p.end:
		}
		ctx, cancel := context.WithTimeout(ctx, lastLook)
		defer cancel()
		p.lookAll(ctx)
		return
	}
}

func (p *pushes) lookAll(ctx context.Context) {
	if n := p.missed.Swap(0); n > 0 {
		p.log.Warn("too many rooms had new messages at once, so some browsers are not notified", "missed", n)
	}
	for _, s := range p.take() {
		err := p.look(ctx, s)
		if err != nil && !IsGoingDown(err) {
			if !p.failing {
				p.log.Warn("new messages could not be read for pushes, so some browsers are not notified", "error", err)
			}
			p.failing = true
			continue
		}
		p.failing = false
	}
}

// look finds the accounts that new messages of a room notify.
func (p *pushes) look(ctx context.Context, s *stretch) error {
	found, err := p.chat.dispatcher.History(ctx, s.room, store.Page{After: s.first - 1, Before: s.last + 1, Last: true, Limit: maxLooked})
	if err != nil {
		return ignoreGone(err)
	}
	messages := slices.DeleteFunc(found.Entries, func(e Entry) bool { return e.Kind != kaban.KindMessage || e.IsDeleted() })
	if len(messages) == 0 {
		return nil
	}
	members, err := p.members(ctx, s.room)
	if err != nil {
		return err
	}
	mentioning := slices.ContainsFunc(messages, func(e Entry) bool { return strings.Contains(e.Content, "@") })
	for i := range members {
		if err := p.notify(ctx, s.room, &members[i], messages, mentioning); err != nil {
			return err
		}
	}
	return nil
}

// ignoreGone takes a room or an entry that is gone for nothing to push.
func ignoreGone(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// accounts returns those that may have browsers. The set does not change: rooms share it until there are others.
func (p *pushes) accounts() map[string]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listed == nil {
		p.listed = make(map[string]struct{}, len(p.subscribed))
		for id := range p.subscribed {
			p.listed[id] = struct{}{}
		}
	}
	return p.listed
}

// members returns the memberships in a room of accounts that may have browsers.
func (p *pushes) members(ctx context.Context, room kaban.RoomName) (members []people.Member, err error) {
	accounts := p.accounts()
	err = p.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		members = nil
		known, _, err := people.Rooms.Known(tx, room)
		if err != nil {
			return err
		}
		if known.Members < len(accounts) {
			return people.Members.All(tx, room.Key(), func(m *people.Member) bool {
				if _, may := accounts[m.Account]; may {
					members = append(members, *m)
				}
				return true
			})
		}
		for id := range accounts {
			m, in, err := people.Members.Find(tx, room.Key(), id)
			if err != nil {
				return err
			}
			if in {
				members = append(members, m)
			}
		}
		return nil
	})
	return members, err
}

// notify pushes to a member of a room what of its new messages notifies it: the last one that is
// meant for it, and the last one of all if that is later. Whether that is still so is decided when it is
// sent.
func (p *pushes) notify(ctx context.Context, room kaban.RoomName, m *people.Member, messages []Entry, mentioning bool) error {
	account, err := p.account(ctx, m.Account)
	if err != nil || account.ID == "" || (*attention.Quiet)(account.Quiet).Covers(time.Now()) {
		return err
	}
	var mentions []store.Mention
	if mentioning {
		if mentions, err = p.chat.dispatcher.Mentions(ctx, room, m.Account, messages[0].Seq-1, messages[len(messages)-1].Seq); err != nil {
			return err
		}
	}
	var urgent, other uint64
	for i := len(messages) - 1; i >= 0 && urgent == 0; i-- { // what is older than an urgent one is not pushed
		e := &messages[i]
		if e.Seq <= m.Read || e.Seq < m.From || isBy(e, m.Account) {
			continue
		}
		mentioned := slices.ContainsFunc(mentions, func(m store.Mention) bool { return m.Seq == e.Seq })
		cause := causeOf(levelOf(m, &account), room.IsDirect(), mentioned, attention.HasKeyword(e.Content, account.Keywords))
		if cause == "" || other > 0 && !isUrgent(cause) {
			continue
		}
		blocked, err := p.chat.hasBlocked(ctx, m.Account, e)
		switch {
		case err != nil:
			return err
		case blocked:
		case isUrgent(cause):
			urgent = e.Seq
		default:
			other = e.Seq
		}
	}
	notices := make([]push.Notice, 0, 2) // the urgent one first
	if urgent > 0 {
		notices = append(notices, push.Notice{Account: m.Account, Room: room.Key(), Seq: urgent, Urgent: true})
	}
	if other > urgent {
		notices = append(notices, push.Notice{Account: m.Account, Room: room.Key(), Seq: other})
	}
	if len(notices) == 0 {
		return nil
	}
	browsers, err := p.browsers(ctx, m.Account)
	if err == nil {
		p.push(browsers, notices)
	}
	return err
}

// account returns an account, or none if it is gone: then nobody asks about it again.
func (p *pushes) account(ctx context.Context, id string) (account people.Account, err error) {
	noted := p.noted(id)
	err = p.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		account, err = people.Accounts.Get(tx, id)
		return err
	})
	if errors.Is(err, people.ErrNotFound) {
		p.forget(id, noted)
		return people.Account{}, nil
	}
	return account, err
}

// push queues notices for browsers, in their order. A service that is closed pushes nothing.
func (p *pushes) push(browsers []*push.Subscription, notices []push.Notice) {
	service := *p.service.Load()
	for _, to := range browsers {
		for _, n := range notices {
			if err := service.Push(to, n); err != nil && !errors.Is(err, push.ErrClosed) && !p.refused {
				p.refused = true
				p.log.Error("a push could not be queued", "error", err)
			}
		}
	}
}

// isBy reports whether an account has written an entry.
func isBy(e *Entry, account string) bool {
	author, _ := kaban.AuthorOf(e.Author)
	return author == account
}

// hasBlocked reports whether an account has blocked the author of an entry.
func (c *Chat) hasBlocked(ctx context.Context, account string, e *Entry) (blocked bool, err error) {
	author, _ := kaban.AuthorOf(e.Author)
	if author == "" {
		return false, nil
	}
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		_, err := people.Blocks.Get(tx, account, author)
		blocked = err == nil
		if errors.Is(err, people.ErrNotFound) {
			err = nil
		}
		return err
	})
	return blocked, err
}

// levelOf returns the level of a member in a room.
func levelOf(m *people.Member, account *people.Account) kaban.NotifyLevel {
	if m.Notify != 0 {
		return m.Notify
	}
	return account.DefaultLevel()
}

// browsers returns the browsers of an account whose devices are signed in. An account that has
// none any more is not asked about again.
func (p *pushes) browsers(ctx context.Context, id string) (browsers []*push.Subscription, err error) {
	any, noted := false, p.noted(id)
	err = p.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		browsers = nil
		kept, _, err := people.Pushes.Of(tx, id, people.MaxPushes)
		if err != nil {
			return err
		}
		any = len(kept) > 0
		for i := range kept {
			b := &kept[i]
			signedIn, err := p.chat.isSignedIn(tx, b.Device)
			if err != nil {
				return err
			}
			if !signedIn {
				continue
			}
			to, err := push.ParseSubscription(b.Endpoint, b.P256DH, b.Auth)
			if err != nil { // it was checked before it was stored
				continue
			}
			if b.FailingSince != 0 {
				to.FailingSince = time.UnixMilli(b.FailingSince)
			}
			browsers = append(browsers, to)
		}
		return nil
	})
	if err == nil && !any {
		p.forget(id, noted)
	}
	return browsers, err
}

// isSignedIn reports whether a device is there and has not expired.
func (c *Chat) isSignedIn(tx store.Tx, id string) (bool, error) {
	device, err := people.Secrets.WithID(tx, id)
	if errors.Is(err, people.ErrNotFound) {
		return false, nil
	}
	return err == nil && (device.Expires == 0 || device.Expires > c.now()), err
}

// isSubscribed reports whether a subscription is one of an account still, and its device signed in.
func (c *Chat) isSubscribed(tx store.Tx, account, subscription string) (bool, error) {
	b, err := people.Pushes.Get(tx, subscription)
	switch {
	case errors.Is(err, people.ErrNotFound), err == nil && b.Account != account:
		return false, nil
	case err != nil:
		return false, err
	}
	return c.isSignedIn(tx, b.Device)
}

// noted returns how often it was noted that an account has a browser.
func (p *pushes) noted(account string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.subscribed[account]
}

// forget notes that an account has no browsers, unless one was noted meanwhile.
func (p *pushes) forget(account string, noted uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subscribed[account] == noted {
		delete(p.subscribed, account)
		p.listed = nil
		p.some.Store(len(p.subscribed) > 0)
	}
}

// ComposePush returns what to show of a notice now. It returns push.ErrUnwanted if the subscription
// has ended or is another account's, and if the account may not read the message, has read it, or does not want to be
// notified of it any more.
func (c *Chat) ComposePush(ctx context.Context, n push.Notice) (push.Message, error) {
	var account people.Account
	var name kaban.RoomName
	err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		subscribed, err := c.isSubscribed(tx, n.Account, n.Subscription)
		if err == nil && !subscribed {
			err = push.ErrUnwanted
		}
		if err != nil {
			return err
		}
		if account, err = people.Accounts.Get(tx, n.Account); err != nil {
			return err
		}
		room, err := people.Rooms.Get(tx, n.Room)
		if err == nil {
			name, err = kaban.ParseAnyRoom(room.Name)
		}
		return err
	})
	switch {
	case errors.Is(err, people.ErrNotFound), errors.Is(err, push.ErrUnwanted):
		return push.Message{}, push.ErrUnwanted
	case err != nil:
		return push.Message{}, err
	case account.Status != people.StatusActive || (*attention.Quiet)(account.Quiet).Covers(time.Now()):
		return push.Message{}, push.ErrUnwanted
	}
	identity, err := account.Identity()
	if err != nil {
		return push.Message{}, err
	}
	return c.With(identity, netip.Addr{}, nil).composePush(ctx, &account, name, n.Seq)
}

// composePush is ComposePush of a message in a room.
func (u User) composePush(ctx context.Context, account *people.Account, name kaban.RoomName, seq uint64) (push.Message, error) {
	state, in, err := u.State(ctx, name)
	if err == nil && (!in || seq <= state.Read) {
		err = push.ErrUnwanted
	}
	var e *Entry
	if err == nil {
		e, err = u.readOne(ctx, name, seq)
	}
	if err == nil && (e == nil || isBy(e, account.ID)) {
		err = push.ErrUnwanted
	}
	if err == nil {
		var blocked bool
		if blocked, err = u.chat.hasBlocked(ctx, account.ID, e); blocked {
			err = push.ErrUnwanted
		}
	}
	var mentions []store.Mention
	if err == nil && strings.Contains(e.Content, "@") {
		mentions, err = u.chat.dispatcher.Mentions(ctx, name, account.ID, seq-1, seq)
	}
	switch {
	case isRefusal(err):
		return push.Message{}, push.ErrUnwanted
	case err != nil:
		return push.Message{}, err
	}
	cause := causeOf(state.Notify, name.IsDirect(), len(mentions) > 0, attention.HasKeyword(e.Content, account.Keywords))
	switch {
	case cause == "":
		return push.Message{}, push.ErrUnwanted
	case account.PushHint:
		return push.Message{}, nil
	}
	m := push.Message{Room: name.String(), Seq: seq, Time: e.Time, From: e.Username, Text: pushText(e), Cause: cause}
	if m.Unread, err = u.badge(ctx); err != nil {
		m.Unread = 0 // a push without a badge is better than none
	}
	return m, nil
}

// badge returns the number that the page shows as its badge: what is unread in rooms that notify of everything,
// and the mentions in the others. It reads the state of all rooms of the account.
func (u User) badge(ctx context.Context) (n uint64, err error) {
	err = u.eachState(ctx, func(s *RoomState) error {
		if s.Notify == kaban.NotifyAll {
			n += s.Unread
		} else {
			n += s.Mentions
		}
		return nil
	})
	return n, err
}

// pushText returns what a push says of a message: its text, or if it has only files, the name of
// one or their number, as the page does in English.
func pushText(e *Entry) string {
	if text := plainText(e.Content); text != "" || e.Files == "" {
		return text
	}
	files, err := kaban.ParseFiles(e.Files)
	if err != nil {
		return ""
	}
	switch list := files.List(); len(list) {
	case 0:
		return ""
	case 1:
		return list[0].Name
	default:
		return strconv.Itoa(len(list)) + " files"
	}
}

// readOne returns a message as the user may read it now; nil if there is none.
func (u User) readOne(ctx context.Context, name kaban.RoomName, seq uint64) (message *Entry, err error) {
	err = u.whileAllowed(ctx, access.Read, name, func(_ *dispatch.Room, found ruling) error {
		if message = nil; seq < found.from {
			return nil
		}
		page, err := u.chat.dispatcher.History(ctx, name, store.Page{After: seq - 1, Before: seq + 1, Limit: 1})
		if err != nil {
			return ignoreGone(err)
		}
		if len(page.Entries) > 0 && page.Entries[0].Kind == kaban.KindMessage && !page.Entries[0].IsDeleted() {
			message = &page.Entries[0]
		}
		return nil
	})
	return message, err
}
