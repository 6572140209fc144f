package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/lease"
	"kaban/internal/news"
	"kaban/internal/people"
	"kaban/internal/session"
	"kaban/internal/store"
)

// This file is what changes by other nodes mean for those that are connected here. The news say
// what has changed, and whatever is done follows from what the store says now: so it may be done
// late, twice, and for what has been changed again since.

// newsInterval is how often the store is asked for news. It bounds how late they are without a bus.
const newsInterval = time.Second

// follower follows the news of other nodes.
type follower struct {
	chat    *Chat
	news    *news.Store
	setting func(key string)
	wake    chan struct{} // has room for one
	cancel  context.CancelFunc
	failing bool         // the last look failed; logged
	since   atomic.Int64 // when looks began to fail, by Chat.elapsed, in nanoseconds; 0 if the last one did not

	// What was read and has not taken effect, because the store did not answer; of run.
	pending *changed
	all     bool // everything may have changed

	mu     sync.Mutex
	hidden []kaban.RoomName // not listed, because the store did not say whether they are to be
}

// FollowNodes has what other nodes change take effect here from now on: at once if they say so
// on the bus, and else within about a second. The dispatcher, and whatever else changes documents, has
// n as its store. FollowNodes is called once, before anybody is connected and before the dispatcher
// has a bus. setting is called with the key of each setting that another node has changed, and
// does what it does for one that this node changes: SettingChanged, at least. The names of visitors
// are held by the lease of this node; LeaseLost is called when it is lost. Close ends it, before that of the lease.
func (c *Chat) FollowNodes(n *news.Store, k *lease.Keeper, setting func(key string)) {
	c.visits = &visits{chat: c, lease: k, held: make(map[string]string)}
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{chat: c, news: n, setting: setting, wake: make(chan struct{}, 1), cancel: cancel, pending: newChanged()}
	c.follower = f
	n.SetOnStored(c.dispatcher.AnnounceNews)
	c.dispatcher.SetOnNews(f.hurry)
	c.dispatcher.SetOnMentioned(c.mentionedElsewhere)
	c.dispatcher.SetOnFound(c.found)
	c.dispatcher.SetOnline(c.names.Online)
	c.names.OnOnline(c.dispatcher.NoteOnline)
	c.following.Go(func() { f.run(ctx) })
}

// hurry has the store asked now.
func (f *follower) hurry() {
	select {
	case f.wake <- struct{}{}:
	default: // it is about to be
	}
}

// stopFollowing ends the following, if there is any.
func (c *Chat) stopFollowing() {
	if c.follower != nil {
		c.follower.cancel()
	}
	c.following.Wait()
}

func (f *follower) run(ctx context.Context) {
	ticker := time.NewTicker(newsInterval)
	defer ticker.Stop()
	for missed := true; ; {
		if missed { // while there was no such node
			missed = errors.Join(f.chat.erasedMissed(ctx), f.chat.cutsMissed(ctx)) != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-f.wake:
		}
		f.note(f.look(ctx))
		f.chat.visits.retry()
	}
}

// maxFailing is how long an error of a store that answers may pass.
const maxFailing = 30 * time.Second

// hasFailed reports whether all looks of a period have failed. A nil follower makes none.
func (f *follower) hasFailed(period time.Duration) bool {
	if f == nil {
		return false
	}
	since := f.since.Load()
	return since != 0 && f.chat.elapsed()-time.Duration(since) >= period
}

// note logs that the news cannot be read, once until they can.
func (f *follower) note(err error) {
	switch {
	case err == nil:
		f.since.Store(0)
	case f.since.Load() == 0:
		f.since.Store(max(int64(f.chat.elapsed()), 1))
	}
	log := f.chat.pushes.log
	switch {
	case err != nil && !f.failing && !IsGoingDown(err):
		log.Error("cannot read what other nodes have changed; people that have lost a right there may still have it here", "err", err)
	case err == nil && f.failing:
		log.Info("what other nodes have changed is read again")
	}
	f.failing = err != nil
}

// look reads the news and has them take effect. What could not, because the store did not answer, does
// with the next look, before others are read.
func (f *follower) look(ctx context.Context) error {
	if err := f.takeEffect(ctx); err != nil {
		return err
	}
	for more := true; more; {
		page, err := f.news.Next(ctx)
		if err != nil {
			return err
		}
		for i := range page.News {
			f.pending.add(page.News[i].Keys)
		}
		for _, key := range page.Damaged {
			f.chat.log.Error("what another node has changed is damaged, so everything is looked at; \"kaban check\" says what else is damaged", "key", key)
		}
		more, f.all = page.More, page.Missed
		if err := f.takeEffect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeEffect has what was read take effect.
func (f *follower) takeEffect(ctx context.Context) error {
	f.mu.Lock()
	for _, name := range f.hidden {
		f.pending.rooms[name.Key()] = true
	}
	f.hidden = nil
	f.mu.Unlock()
	if f.chat.unread.Load() {
		if err := f.chat.Reload(ctx); err != nil {
			return err
		}
	}
	if f.all {
		if err := f.chat.changedAll(ctx); err != nil {
			return err
		}
		f.all = false
	}
	return f.chat.changedElsewhere(ctx, f.pending)
}

// isLasting reports whether an error says what the store has: something is damaged, or is not there. After any other,
// another look may say more.
func isLasting(err error) bool {
	return errors.Is(err, store.ErrDamaged) || errors.Is(err, ErrNotFound) || errors.Is(err, people.ErrNotFound)
}

// isAway reports whether an error says that the store does not answer, or the server ends.
func isAway(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) || IsGoingDown(err)
}

// passing returns an error if it is worth another look. One of a store that answers is not for ever: after a while it
// counts as damage, so that nobody keeps a right by it, and the news behind it take effect.
func (c *Chat) passing(err error) error {
	if err == nil || isLasting(err) || !isAway(err) && c.follower.hasFailed(maxFailing) {
		return nil
	}
	return err
}

// each calls a function with each subject, and removes those for which it does not fail.
func each[S comparable](ctx context.Context, subjects map[S]bool, run func(context.Context, S) error) error {
	for subject := range subjects {
		if err := run(ctx, subject); err != nil {
			return err
		}
		delete(subjects, subject)
	}
	return nil
}

// changed are the subjects of some news, each once.
type changed struct {
	accounts, secrets, settings map[string]bool
	rooms                       map[string]bool // by key: whether more has changed than who is in them
	members, pushes, expelled   map[people.Subject]bool
	taken, erased, cut          map[string]bool
}

func newChanged() *changed {
	set := func() map[string]bool { return make(map[string]bool) }
	pairs := func() map[people.Subject]bool { return make(map[people.Subject]bool) }
	return &changed{set(), set(), set(), set(), pairs(), pairs(), pairs(), set(), set(), set()}
}

// add adds what one transaction has changed.
func (all *changed) add(keys []string) {
	var rooms []string
	entered := make(map[string]bool)
	for _, key := range keys {
		s, ok := people.SubjectOf(key)
		if !ok {
			continue
		}
		switch s.Kind {
		case people.SubjectAccount:
			all.accounts[s.Account] = true
		case people.SubjectSecret:
			all.secrets[s.Account] = true
		case people.SubjectSetting:
			all.settings[s.ID] = true
		case people.SubjectRoom:
			rooms = append(rooms, s.Room)
		case people.SubjectMember:
			all.members[s], entered[s.Room] = true, true
		case people.SubjectPush:
			all.pushes[s] = true
		case people.SubjectExpelled:
			all.expelled[s] = true
		case people.SubjectTaken:
			all.taken[s.ID] = true
		case people.SubjectErased:
			all.erased[s.Account] = true
		case people.SubjectCut:
			all.cut[s.Room] = true
		}
	}
	for _, room := range rooms { // which counts its members
		all.rooms[room] = all.rooms[room] || !entered[room]
	}
}

// changedElsewhere has changes take effect that other nodes have made, and takes them out. It ends with the first
// for which the store does not answer.
func (c *Chat) changedElsewhere(ctx context.Context, changed *changed) error {
	for _, effects := range []func() error{
		func() error { return each(ctx, changed.accounts, c.accountElsewhere) }, // first: they may be shut out
		func() error { return c.secretsElsewhere(ctx, changed.secrets) },
		func() error { return each(ctx, changed.settings, c.settingElsewhere) },
		func() error { return c.visits.takenElsewhere(ctx, changed.taken) },
		func() error { return each(ctx, changed.expelled, c.expelledElsewhere) },
		func() error { return c.roomsElsewhere(ctx, changed.rooms) },
		func() error { return c.membersElsewhere(ctx, changed.members) },
		func() error { return each(ctx, changed.pushes, c.pushElsewhere) },
		func() error { return c.erasedElsewhere(changed.erased) },
		func() error { return c.cutElsewhere(changed.cut) },
	} {
		if err := effects(); err != nil {
			return err
		}
	}
	return nil
}

// settingElsewhere is SettingChanged, and what else a server does, after another node has changed a setting.
func (c *Chat) settingElsewhere(_ context.Context, key string) error {
	c.follower.setting(key)
	return nil
}

// roomsElsewhere brings what is known of rooms up to date, and tells those in them.
func (c *Chat) roomsElsewhere(ctx context.Context, rooms map[string]bool) error {
	for key, more := range rooms {
		name, err := c.roomElsewhere(ctx, key)
		if err := c.passing(err); err != nil {
			return err
		}
		if err == nil && more {
			c.changed(name)
		}
		delete(rooms, key)
	}
	return nil
}

// accountElsewhere is AccountChanged after another node has changed the account, which does
// its tasks.
func (c *Chat) accountElsewhere(ctx context.Context, id string) error {
	ended, err := c.endedOf(ctx, id)
	if err := c.passing(err); err != nil {
		return err
	}
	for _, account := range ended {
		c.Revoke(account, "")
	}
	if err != nil { // it is not known who may stay
		c.Revoke(id, "")
	}
	err = c.reviseAccount(id, true)
	c.tell(id, kaban.RoomName{})
	return c.passing(err)
}

// endedOf returns an account and its bots, or those of them that may not be connected any more.
func (c *Chat) endedOf(ctx context.Context, id string) (ended []string, err error) {
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		ended = nil
		active := false
		switch a, err := people.Accounts.Get(tx, id); {
		case err == nil:
			active = a.Status == people.StatusActive
		case !errors.Is(err, people.ErrNotFound):
			return err
		}
		if !active {
			ended = append(ended, id)
		}
		return people.Accounts.Bots(tx, id, func(bot *people.Account) bool {
			if !active || bot.Status != people.StatusActive {
				ended = append(ended, bot.ID)
			}
			return true
		})
	})
	return ended, err
}

// inUse is a secret that connections of an account depend on.
type inUse struct{ account, identity, secret string }

// secretsElsewhere ends the connections of accounts whose secrets are gone, and takes the accounts out.
func (c *Chat) secretsElsewhere(ctx context.Context, accounts map[string]bool) error {
	var all []inUse
	for account := range accounts {
		for _, id := range identities(account) {
			for _, secret := range c.names.Credentials(id) {
				all = append(all, inUse{account, id, secret})
			}
		}
	}
	for batch := range slices.Chunk(all, maxBatch) {
		gone, err := c.goneSecrets(ctx, batch)
		if err != nil {
			return err
		}
		for _, s := range gone {
			c.names.Revoke(s.identity, func(used *session.Credential) bool { return used.ID == s.secret })
		}
	}
	clear(accounts)
	return nil
}

// goneSecrets returns those of some secrets that are not their accounts' any more, or are damaged.
func (c *Chat) goneSecrets(ctx context.Context, batch []inUse) (gone []inUse, err error) {
	damaged, err := severally(batch, func(some []inUse) error {
		ids := make([]string, len(some))
		for i := range some {
			ids[i] = some[i].secret
		}
		var kept []people.Secret
		err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			kept, err = people.Secrets.WithIDs(tx, ids)
			return err
		})
		if err != nil {
			return err
		}
		for i := range kept {
			if kept[i].Account != some[i].account {
				gone = append(gone, some[i])
			}
		}
		return nil
	})
	return append(gone, damaged...), err
}

// roomElsewhere brings what is known of a room up to date, which another node may have made. One that cannot be
// read is not listed.
func (c *Chat) roomElsewhere(ctx context.Context, key string) (kaban.RoomName, error) {
	name, err := kaban.ParseAnyRoom(key)
	if err != nil {
		return name, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	r, err := c.dispatcher.Lookup(ctx, name)
	if err != nil {
		return name, err
	}
	name = r.Name()
	f, err := c.appearance(ctx, name)
	if err := c.passing(err); err != nil {
		return name, err
	}
	if f.Unlisted || err != nil {
		c.dispatcher.Unlist(r)
	} else {
		c.dispatcher.List(r)
	}
	if err != nil {
		return name, err
	}
	c.dispatcher.SetAccounts(r, f.Accounts, f.Turnover)
	return name, nil
}

// found says how a room is to be kept that another node has made. One about which nothing can be
// found out is not listed until it can.
func (c *Chat) found(name kaban.RoomName) dispatch.Appearance {
	f, err := c.appearance(context.Background(), name)
	if err != nil {
		c.follower.hide(name)
		return dispatch.Appearance{Unlisted: true}
	}
	return f
}

// maxHidden bounds the rooms that are looked at again.
const maxHidden = 10_000

// hide has it found out later whether a room is listed.
func (f *follower) hide(name kaban.RoomName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.hidden) < maxHidden {
		f.hidden = append(f.hidden, name)
	}
}

// appearance says what the documents say of a room.
func (c *Chat) appearance(ctx context.Context, name kaban.RoomName) (f dispatch.Appearance, err error) {
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		room, _, err := people.Rooms.Known(tx, name)
		f = dispatch.Appearance{Unlisted: room.Kind != kaban.RoomPublic || name.IsDirect(), Accounts: room.Members, Turnover: room.Turnover}
		return err
	})
	return f, err
}

// maxBatch is how many documents of other nodes' news are read at a time.
const maxBatch = 256

// membersElsewhere tells accounts of their rooms after other nodes have changed memberships, or what these
// say of their owners alone. Each read marker is such a change, so they are read together. What is
// known of the rooms does not depend on them: where it changes, the room has news of its own.
func (c *Chat) membersElsewhere(ctx context.Context, members map[people.Subject]bool) error {
	for s := range members {
		if !c.isOnline(s.Account) && c.pushes.noted(s.Account) == 0 {
			delete(members, s) // nobody is to be told here, and no push waits
		}
	}
	for batch := range slices.Chunk(slices.Collect(maps.Keys(members)), maxBatch) {
		if err := c.someMembersElsewhere(ctx, batch); err != nil {
			return err
		}
		for _, s := range batch {
			delete(members, s)
		}
	}
	return nil
}

// someMembersElsewhere is membersElsewhere for a batch.
func (c *Chat) someMembersElsewhere(ctx context.Context, batch []people.Subject) error {
	damaged, err := severally(batch, func(some []people.Subject) error {
		var members []people.Member // zero where one has ended
		err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			members, err = people.Members.FindAll(tx, some)
			return err
		})
		if err != nil {
			return err
		}
		for i, s := range some {
			c.memberElsewhere(s, &members[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range damaged {
		c.memberElsewhere(s, &people.Member{})
	}
	return nil
}

// memberElsewhere tells an account of a room after another node has changed its membership.
func (c *Chat) memberElsewhere(s people.Subject, m *people.Member) {
	name, err := kaban.ParseAnyRoom(cmp.Or(m.Name, s.Room))
	if err != nil {
		return // there is no such room
	}
	c.tell(s.Account, name)
	if m.Read > 0 {
		c.pushes.read(s.Account, name, m.Read)
	}
}

// pushElsewhere notes that a browser was subscribed to pushes by another node, or is no more.
func (c *Chat) pushElsewhere(ctx context.Context, s people.Subject) error {
	is := false
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		p, err := people.Pushes.Get(tx, s.ID)
		is = err == nil && p.Account == s.Account
		if errors.Is(err, people.ErrNotFound) {
			err = nil
		}
		return err
	})
	switch {
	case err != nil:
	case is:
		c.Subscribed(s.Account)
	default:
		c.Unsubscribed(s.Account, s.ID)
	}
	return c.passing(err)
}

// expelledElsewhere ends the subscriptions of somebody without an account that was thrown out of
// a room by another node.
func (c *Chat) expelledElsewhere(_ context.Context, s people.Subject) error {
	name, err := kaban.ParseAnyRoom(s.Room)
	if err != nil {
		return nil
	}
	if r := c.dispatcher.Peek(name); r != nil {
		c.dispatcher.Expel(r, people.ChangeKicked, func(reader dispatch.Reader) bool {
			return reader.Peer.ID() == s.ID && isStranger(reader.Peer)
		})
	}
	return nil
}

// mentionedElsewhere has those told that a message of another node mentions.
func (c *Chat) mentionedElsewhere(room kaban.RoomName, everyone bool, accounts []string) {
	to := nobody
	if everyone {
		to = everybody
	}
	c.spread(room, to, func(a *audience) { a.mentioned = include(a.mentioned, accounts) })
}

// expelledNews adds to the news that somebody has to leave a room, as far as no document says so.
func (d *deed) expelledNews(tx store.Tx, s *scene) {
	if d.act.Action == access.Kick && d.visitor {
		news.Note(tx, people.ExpelledKey(s.room.Key, kaban.Visitor(d.act.Subject).ID()))
	}
}
