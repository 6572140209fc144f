package chat

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"kaban"
	"kaban/internal/markup"
	"kaban/internal/people"
	"kaban/internal/store"
)

// spreading has rooms that have changed for their members. These are told the new state, in
// the room or not. Whoever changes a room does not wait for that. A room that changes
// again before its turn is told once.
type spreading struct {
	mu     sync.Mutex // guards all below
	due    map[kaban.RoomName]*audience
	order  []kaban.RoomName // of due
	busy   bool             // a goroutine tells
	closed bool

	group sync.WaitGroup
}

// audience are those to tell of a change: some, those that it mentions, and those that were
// mentioned before.
type audience struct {
	whom
	mentioned map[string]struct{} // accounts
	named     map[string]struct{} // names that may be those of accounts
	rang      map[string]struct{} // authors of what mentioned everybody, or those that were here
	by        bool                // because of a message of this node: others are told
}

// whom is whom a change of a room concerns. A greater value includes a smaller one.
type whom uint8

const (
	nobody    whom = iota
	thoseAway      // those that have left a direct room until something is said there
	everybody      // all members
)

// changed has the members of a room told that it is different now.
func (c *Chat) changed(room kaban.RoomName) { c.spread(room, everybody, none) }

// grew has those told for whom a direct room comes back.
func (c *Chat) grew(room kaban.RoomName) { c.spread(room, thoseAway, none) }

// mentioned has the accounts told that a message mentions.
func (c *Chat) mentioned(room kaban.RoomName, m *store.Mentions) {
	to := nobody
	if m.Everyone {
		to = everybody
	}
	c.spread(room, to, func(a *audience) {
		a.mentioned, a.by = include(include(a.mentioned, m.Accounts), m.Online), true
	})
}

// unmentioned has the accounts told that a message of an author mentioned until now. Most
// edits leave no mention out; those are told the same again.
func (c *Chat) unmentioned(room kaban.RoomName, author string, was *markup.Mentioned) {
	c.spread(room, nobody, func(a *audience) {
		a.named, a.by = include(a.named, was.Names), true
		if was.Everyone || was.Here {
			a.rang = include(a.rang, []string{author})
		}
	})
}

// none adds nobody to an audience.
func none(*audience) {}

// include adds texts to a set.
func include(set map[string]struct{}, texts []string) map[string]struct{} {
	if set == nil && len(texts) > 0 {
		set = make(map[string]struct{})
	}
	for _, text := range texts {
		set[text] = struct{}{}
	}
	return set
}

func (c *Chat) spread(room kaban.RoomName, to whom, more func(*audience)) {
	n := &c.news
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if n.due == nil {
		n.due = make(map[kaban.RoomName]*audience)
	}
	due := n.due[room]
	if due == nil {
		due = new(audience)
		n.due[room], n.order = due, append(n.order, room)
	}
	due.whom = max(due.whom, to)
	more(due)
	if !n.busy {
		n.busy = true
		n.group.Go(c.spreadAll)
	}
}

// close drops what is due and waits for the goroutine.
func (n *spreading) close() {
	n.mu.Lock()
	n.due, n.order, n.closed = nil, nil, true
	n.mu.Unlock()
	n.group.Wait()
}

// take returns the next room, or false if there is none.
func (n *spreading) take() (room kaban.RoomName, to *audience, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy = len(n.order) > 0; !n.busy {
		n.order = nil
		return kaban.RoomName{}, nil, false
	}
	room, n.order = n.order[0], n.order[1:]
	to = n.due[room]
	delete(n.due, room)
	return room, to, true
}

func (c *Chat) spreadAll() {
	for {
		room, to, ok := c.news.take()
		if !ok {
			return
		}
		accounts, err := c.concerned(context.Background(), room, to)
		if to.by {
			c.dispatcher.AnnounceMentioned(room, to.whom == everybody, slices.Collect(maps.Keys(to.mentioned)))
		}
		if err != nil {
			continue // they see it when they ask; a store that fails says so elsewhere
		}
		for _, account := range accounts {
			c.tell(account, room)
		}
	}
}

// concerned returns the accounts to tell of a room that has changed.
func (c *Chat) concerned(ctx context.Context, room kaban.RoomName, to *audience) (accounts []string, err error) {
	if room.IsDirect() {
		if accounts, err = c.uncover(ctx, room); err != nil || to.isFew() && len(to.mentioned)+len(to.named)+len(to.rang) == 0 {
			return accounts, err
		}
	}
	if err := c.resolve(ctx, room, to); err != nil {
		return accounts, err
	}
	var online []string // of those that it may concern
	if to.whom == everybody {
		online = c.online()
	} else {
		for account := range to.mentioned {
			if c.isOnline(account) {
				online = append(online, account)
			}
		}
	}
	away := len(accounts)
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		accounts = accounts[:away]
		known, _, err := people.Rooms.Known(tx, room)
		if err != nil {
			return err
		}
		if to.whom == everybody && known.Members <= len(online) {
			return people.Members.Each(tx, []string{room.Key()}, func(key []string, _ *people.Member) {
				accounts = append(accounts, key[1]) // a damaged membership, too
			})
		}
		for batch := range slices.Chunk(online, maxBatch) {
			subjects := make([]people.Subject, len(batch))
			for i, account := range batch {
				subjects[i] = people.Subject{Room: room.Key(), Account: account}
			}
			members, err := people.Members.FindAll(tx, subjects)
			if err != nil {
				return err
			}
			for i, account := range batch {
				if members[i].Account != "" {
					accounts = append(accounts, account)
				}
			}
		}
		return nil
	})
	return accounts, err
}

// isFew reports whether only some members are told.
func (a *audience) isFew() bool { return a.whom != everybody }

// resolve adds those that were mentioned to an audience.
func (c *Chat) resolve(ctx context.Context, room kaban.RoomName, to *audience) error {
	if len(to.named)+len(to.rang) == 0 || !to.isFew() {
		return nil
	}
	return c.dispatcher.View(ctx, func(tx store.Tx) error {
		for id := range to.rang {
			author, err := kaban.ParseIdentity(id, kaban.Username{})
			if err != nil {
				continue // a visitor
			}
			if may, err := c.mayRing(tx, author, room); err != nil {
				return err
			} else if may {
				to.whom = everybody
				return nil
			}
		}
		f := mentionFinder{chat: c, tx: tx, named: make(map[string]string)}
		for name := range to.named {
			account, err := f.account(name)
			if err != nil {
				return err
			}
			if account != "" {
				to.mentioned = include(to.mentioned, []string{account})
			}
		}
		return nil
	})
}

// online returns the accounts that have a connection to this node.
func (c *Chat) online() []string { return accountsOf(c.names.Online()) }

// onlineAnywhere returns the accounts that have a connection to any node, each once.
func (c *Chat) onlineAnywhere() []string {
	elsewhere := c.dispatcher.OnlineElsewhere()
	if len(elsewhere) == 0 {
		return c.online()
	}
	all := append(c.online(), accountsOf(elsewhere)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// accountsOf makes of identities their accounts.
func accountsOf(ids []string) []string {
	for i, id := range ids {
		ids[i], _ = kaban.AuthorOf(id)
	}
	return ids
}

// isOnline reports whether an account has a connection to this node.
func (c *Chat) isOnline(account string) bool {
	return slices.ContainsFunc(identities(account), c.names.IsOnline)
}

// uncover ends that a direct room is hidden from people that have left it, if
// something was said there since. It returns their accounts.
func (c *Chat) uncover(ctx context.Context, room kaban.RoomName) (accounts []string, err error) {
	visit := func(do func(*people.Member) bool) func(store.Tx) error {
		return func(tx store.Tx) error { return people.Members.All(tx, room.Key(), do) }
	}
	said := make(map[uint64]bool) // since the seqs at which somebody has left
	err = c.dispatcher.View(ctx, visit(func(m *people.Member) bool {
		if m.Hidden > 0 {
			said[m.Hidden] = false
		}
		return true
	}))
	if err != nil || len(said) == 0 {
		return nil, err
	}
	tallies, err := c.dispatcher.Tallies(ctx, "", []kaban.RoomName{room})
	if err != nil {
		return nil, err
	}
	any := false
	for left := range said {
		if said[left], err = c.saidSince(ctx, room, &tallies[0], left); err != nil {
			return nil, err
		}
		any = any || said[left]
	}
	if !any {
		return nil, nil
	}
	err = c.dispatcher.Update(ctx, func(tx store.Tx) error {
		accounts = nil
		var failed error
		err = visit(func(m *people.Member) bool {
			if !said[m.Hidden] {
				return true
			}
			back := *m
			back.Hidden = 0
			accounts, failed = append(accounts, m.Account), people.Members.Put(tx, &back)
			return failed == nil
		})(tx)
		return errors.Join(err, failed)
	})
	return accounts, err
}

// saidSince reports whether there are messages in a room behind a seq. Other entries, such as
// reactions, do not count. It blocks while the store is asked.
func (c *Chat) saidSince(ctx context.Context, room kaban.RoomName, now *store.Tally, seq uint64) (bool, error) {
	if now.Head <= seq {
		return false, nil
	}
	then, err := c.dispatcher.CountTo(ctx, room, "", seq, store.Mark{})
	return then.Messages < now.Messages, err
}
