package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// This file is what changes of the server and of accounts mean for those that are
// connected. A change first becomes what new decisions are made of, and places that
// were found before it become stale; then whoever has lost a right is looked for. So
// nobody slips in between.

// reasonGone is why somebody must leave whose right to be in a room has gone.
const reasonGone = "gone"

// isOpen reports whether visitors may do everything that a room allows.
func (c *Chat) isOpen() bool { return c.server.Load().Admission == access.Open }

// Reload reads the facts about the server again after the settings or the owners have
// changed, and has all rights decided anew. The connections of visitors end if there
// may be none any more, or if the server has just got its owner.
func (c *Chat) Reload(ctx context.Context) error {
	before, err := c.readServer(ctx)
	if now := c.server.Load(); now.Admission != access.Open || now.Claim != before.Claim {
		c.names.RevokeVisitors()
	}
	if !c.isOpen() {
		for _, r := range c.dispatcher.InUse() {
			c.dispatcher.Expel(r, reasonGone, func(reader dispatch.Reader) bool { return isStranger(reader.Peer) })
		}
	}
	return err
}

// readServer reads the facts about the server and returns those before. Failing, it
// closes the server to visitors until the next time. Where there are other nodes, only damage is a failure: facts that
// the database does not say stay as they were until it does, and are asked for each second.
func (c *Chat) readServer(ctx context.Context) (before access.Server, err error) {
	c.reloading.Lock() // so that the facts that were read last stay
	defer c.reloading.Unlock()
	var server access.Server
	var attributed attributions
	err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		if server, err = readServer(tx); err != nil {
			return err
		}
		attributed, err = readAttributions(tx)
		return err
	})
	if known := c.server.Load(); known != nil {
		before = *known
	}
	mayPass := c.passing(err) != nil && c.follower != nil && c.server.Load() != nil
	c.unread.Store(mayPass)
	switch {
	case mayPass:
		server, err = before, fmt.Errorf("read the settings: %w", err)
	case err != nil:
		server, err = access.Server{Claim: before.Claim}, fmt.Errorf("read the settings: %w", err)
	}
	if before.Claim == 0 {
		before.Claim = server.Claim
	}
	if err == nil {
		old := c.attributed.Swap(&attributed)
		if old != nil && !maps.Equal(*old, attributed) {
			c.dispatcher.Reencode()
		}
		if damaged := attributed.damaged(); len(damaged) > 0 && (old == nil || !slices.Equal(old.damaged(), damaged)) {
			c.log.Error("cannot read whose accounts some visitors are, so what they wrote is shown as theirs; \"kaban check\" says what is damaged", "visitors", len(damaged), "first", damaged[0])
		}
	}
	c.server.Store(&server)
	c.dispatcher.Invalidate()
	return before, err
}

// isStranger reports whether somebody has no account and is no hook.
func isStranger(p *kaban.Peer) bool {
	account, program := kaban.AuthorOf(p.ID())
	return account == "" && !program
}

// SettingChanged has all rights decided anew after a setting of the server has changed.
func (c *Chat) SettingChanged(key string) {
	if key == people.SettingRetention {
		c.retentionChanged()
	}
	// A failure closes the server to visitors, which Reload has done.
	_ = c.Reload(context.Background())
}

// AccountChanged has all rights decided anew after an account was made, or after its
// name, role or status has changed, or the owner of a bot. It ends the subscriptions
// that the account and its bots may not have any more, and does the tasks for it. It
// blocks until what they do is stored.
func (c *Chat) AccountChanged(id string) {
	err := c.reviseAccount(id, false)
	if c.tasksLeft.Load() {
		err = c.runAllTasks(context.Background())
	} else {
		c.runTasks(context.Background(), id)
	}
	if err == nil {
		err = c.erase(context.Background())
	}
	if err != nil {
		c.tasksLeft.Store(true)
	}
}

// reviseAccount is AccountChanged but for the tasks. If it is called again after an error that may pass, such an error
// has nobody leave.
func (c *Chat) reviseAccount(id string, again bool) error {
	_ = c.Reload(context.Background())
	accounts := []string{id}
	var name kaban.Username
	err := c.dispatcher.View(context.Background(), func(tx store.Tx) error {
		accounts = accounts[:1]
		switch a, err := people.Accounts.Get(tx, id); {
		case err == nil:
			name, _ = kaban.ParseUsername(a.Username)
		case !errors.Is(err, people.ErrNotFound):
			return err
		}
		return people.Accounts.Bots(tx, id, func(bot *people.Account) bool {
			accounts = append(accounts, bot.ID)
			return true
		})
	})
	if !name.IsZero() {
		c.names.RevokeLike(name) // no visitor has the name of an account
	}
	var later error
	for _, r := range c.dispatcher.InUse() {
		failed := c.revise(r, err, again, func(p *kaban.Peer) bool {
			account, _ := kaban.AuthorOf(p.ID())
			return account != "" && slices.Contains(accounts, account)
		})
		if again {
			later = cmp.Or(later, c.passing(failed))
		}
	}
	return cmp.Or(err, later)
}

// revise ends the subscriptions to a room, among those of some people, whose holders
// may not read it any more. Where that cannot be found out, because of failed or
// another error, which it returns, nobody of them stays, unless it is called again after errors that may pass.
func (c *Chat) revise(r *dispatch.Room, failed error, again bool, among func(*kaban.Peer) bool) error {
	readers := slices.DeleteFunc(r.Readers(), func(reader dispatch.Reader) bool { return !among(reader.Peer) })
	if len(readers) == 0 {
		return failed
	}
	var gone map[dispatch.Reader]bool
	if failed == nil {
		gone, failed = c.withoutRight(context.Background(), r, readers, c.mayRead)
	}
	if again && c.passing(failed) != nil {
		return failed
	}
	c.dispatcher.Expel(r, reasonGone, func(reader dispatch.Reader) bool {
		return gone[reader] || failed != nil && among(reader.Peer)
	})
	return failed
}

// reviseBots ends the subscriptions of bots that may not read a room any more because
// their owners may not.
func (c *Chat) reviseBots(r *dispatch.Room) {
	_ = c.revise(r, nil, false, func(p *kaban.Peer) bool { // a failure has all of them leave
		account, program := kaban.AuthorOf(p.ID())
		return account != "" && program
	})
}

// expelStrangers ends the subscriptions of everybody that is not a member of a room, and of bots
// whose owners are not.
func (c *Chat) expelStrangers(r *dispatch.Room) {
	members := make(map[string]bool)
	readers := r.Readers()
	gone, err := c.withoutRight(context.Background(), r, readers, c.isMember)
	if err == nil { // else nobody stays for certain
		for _, reader := range readers {
			account, _ := kaban.AuthorOf(reader.Peer.ID())
			members[account] = account != "" && !gone[reader]
		}
	}
	c.dispatcher.Expel(r, reasonGone, func(reader dispatch.Reader) bool {
		account, _ := kaban.AuthorOf(reader.Peer.ID())
		return !members[account]
	})
	c.reviseBots(r)
}

// expel ends the subscriptions to a room of whoever an action was done to. A visitor's
// network is meant, too.
func (d *deed) expel(r *dispatch.Room, reason string) {
	c := d.user.chat
	if d.visitor {
		id := kaban.Visitor(d.act.Subject).ID()
		c.dispatcher.Expel(r, reason, func(reader dispatch.Reader) bool {
			if reader.Peer.ID() == id {
				return true
			}
			at, known := addressSubject(reader.Peer.Address)
			return known && at == d.address && isStranger(reader.Peer)
		})
		return
	}
	c.dispatcher.Expel(r, reason, func(reader dispatch.Reader) bool {
		account, _ := kaban.AuthorOf(reader.Peer.ID())
		return account != "" && account == d.target.ID
	})
	c.reviseBots(r)
}
