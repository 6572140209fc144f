package chat

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// This file does what changes of accounts leave to be done in rooms; see people.Task.
// Each entry is decided in the transaction that stores it, by the facts of then, so a
// task that is done again, or by two goroutines at a time, does nothing twice.

// taskPage is how many accounts with tasks are read at a time.
const taskPage = 100

// taskInterval is how often DoTasks looks for some.
const taskInterval = 30 * time.Second

// errDone ends what need not be done: it was done before, or facts have changed.
var errDone = errors.New("there is nothing to do")

// upgrade gives the task to leave to accounts that an older version has removed and left
// in their rooms. It looks for them, among removed accounts only, until it has found some
// and they have their tasks; it gives again what was given if it did not get to its end.
func (c *Chat) upgrade(ctx context.Context) error {
	var members []string
	var done bool
	err := c.dispatcher.View(ctx, func(tx store.Tx) error {
		switch _, err := people.Upgrades.Get(tx, people.UpgradeLeave); {
		case err == nil:
			done = true
			return nil
		case !errors.Is(err, people.ErrNotFound):
			return err
		}
		members = nil
		var failed error
		err := people.Accounts.Removed(tx, func(a *people.Account) bool {
			failed = people.Members.AllOf(tx, a.ID, func(*people.Member) bool {
				members = append(members, a.ID)
				return false
			})
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	if err != nil || done || len(members) == 0 {
		return err
	}
	for page := range slices.Chunk(members, taskPage) {
		err := c.dispatcher.Update(ctx, func(tx store.Tx) error {
			for _, account := range page {
				task := people.Task{Account: account, Kind: people.TaskLeave, ID: rand.Text(), Since: c.now()}
				if err := people.Tasks.Put(tx, &task); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return c.dispatcher.Update(ctx, func(tx store.Tx) error {
		return people.Upgrades.Put(tx, &people.Upgrade{Name: people.UpgradeLeave, Time: c.now()})
	})
}

// runAllTasks does what a server that has ended, or a store that has failed, left.
func (c *Chat) runAllTasks(ctx context.Context) error {
	c.tasksLeft.Store(false)
	after := ""
	for {
		var accounts []string
		err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			accounts, err = people.Tasks.Accounts(tx, after, taskPage)
			return err
		})
		if err != nil || len(accounts) == 0 {
			return err
		}
		for _, after = range accounts {
			c.runTasks(ctx, after)
		}
	}
}

// DoTasks does tasks that were left undone, until ctx ends. Where there are other nodes, one of
// them has to: one that has died may have left some.
func (c *Chat) DoTasks(ctx context.Context) {
	ticker := time.NewTicker(taskInterval)
	defer ticker.Stop()
	for {
		if err := c.runAllTasks(ctx); err != nil {
			c.tasksLeft.Store(true)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// runTasks does all tasks for an account. Those that fail are kept for later.
func (c *Chat) runTasks(ctx context.Context, account string) {
	var tasks []people.Task
	var a people.Account
	err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		if tasks, err = people.Tasks.Of(tx, account); err != nil || len(tasks) == 0 {
			return err
		}
		a, err = people.Accounts.Get(tx, account)
		return err
	})
	for i := range tasks {
		if err != nil {
			break
		}
		err = c.runTask(ctx, &tasks[i], &a)
	}
	if err != nil {
		c.tasksLeft.Store(true)
	}
}

func (c *Chat) runTask(ctx context.Context, t *people.Task, a *people.Account) error {
	id, err := a.Identity()
	if err != nil {
		return err
	}
	u := c.As(id, netip.Addr{})
	switch t.Kind {
	case people.TaskJoin:
		err = u.joinFirst(ctx, t)
	case people.TaskSucceed:
		err = u.handOver(ctx)
	case people.TaskLeave:
		if err = u.leaveAll(ctx); err == nil {
			err = u.endHooks(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("%s rooms: %w", t.Kind, err)
	}
	return c.dispatcher.Update(ctx, func(tx store.Tx) error {
		now, ok, err := people.Tasks.Find(tx, t.Account, t.Kind)
		if err != nil || !ok || now.ID != t.ID { // it was given again meanwhile
			return err
		}
		return people.Tasks.Delete(tx, t.Account, string(t.Kind))
	})
}

// isFinal reports whether an error would be the same the next time.
func isFinal(err error) bool {
	_, alike := errors.AsType[*LookalikeError](err)
	if alike {
		return true
	}
	for _, final := range []error{
		errDone, ErrNotFound, ErrNotJoined, ErrForbidden, ErrAuthRequired, ErrRoomTaken, ErrIDConflict, ErrTooManyRooms,
	} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// settled returns nil for an error that is final.
func settled(err error) error {
	if isFinal(err) {
		return nil
	}
	return err
}

// joinFirst has a new account join its first rooms. A room that it may not join is left
// out.
func (u User) joinFirst(ctx context.Context, t *people.Task) error {
	for _, text := range t.Rooms {
		if err := settled(u.joinPublic(ctx, text)); err != nil {
			return err
		}
	}
	for _, text := range t.Invited {
		join := func() error { return u.joinPublic(ctx, text) }
		if t.Inviter != "" {
			join = func() error { return u.acceptInvitation(ctx, text, t.Inviter) }
		}
		if err := settled(join()); err != nil {
			return err
		}
	}
	return nil
}

// entryID returns the same id whenever something is done again for an account in a room:
// who has left since does not come back.
func entryID(what, account string, room kaban.RoomName) string {
	sum := sha256.Sum256([]byte(store.Key(account, room.Key())))
	return what + "-" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])
}

// joinPublic has an account join a public room because the server says so. If there is none,
// it is made, with an owner of the server as op.
func (u User) joinPublic(ctx context.Context, text string) error {
	name, err := kaban.ParseRoomName(text)
	if err != nil {
		return errDone // by the rules of this version it is none
	}
	if err := u.chat.makeFirst(ctx, name); err != nil {
		return err
	}
	return u.enterWith(ctx, name, entryID("joined", u.account(), name), people.MemberChange{Subject: u.peer.Name().String(), Change: people.ChangeJoined}, func(tx store.Tx) error {
		s, err := u.scene(tx, name, true, false)
		switch {
		case err != nil:
			return err
		case !s.Who.Active && s.account.Status != people.StatusUnclaimed || s.member.Account != "" || s.room.Kind != kaban.RoomPublic ||
			s.Membership.Standing == access.Banned || s.room.Flags.Has(kaban.FlagArchived):
			return errDone
		}
		return people.Enter(tx, u.chat.dispatcher.Epoch(), &s.room, &people.Member{
			Room: s.room.Key, Account: u.account(), Role: kaban.RoomRoleMember, From: 1, Since: u.chat.now(),
		})
	})
}

// makeFirst makes a public room that new accounts are to join, or a hook is to post in, unless there
// is one. Settings and the operator's hooks are the owners', so one of them is its op. It returns
// errDone if the server has none.
func (c *Chat) makeFirst(ctx context.Context, name kaban.RoomName) error {
	if _, err := c.dispatcher.Lookup(ctx, name); !errors.Is(err, ErrNotFound) {
		return err
	}
	var owners []people.Account
	err := c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		owners, _, err = people.Accounts.WithRole(tx, kaban.RoleOwner, people.StatusActive, 1)
		return err
	})
	if err != nil {
		return err
	}
	if len(owners) == 0 {
		return errDone
	}
	err = c.inNameOf(ctx, &owners[0], name, NewRoom{Kind: kaban.RoomPublic})
	if errors.Is(err, ErrRoomTaken) { // just now
		err = nil
	}
	return err
}

// enterWith stores an entry of kind member about the user, if its documents can be
// changed.
func (u User) enterWith(ctx context.Context, name kaban.RoomName, id string, change people.MemberChange, decide func(store.Tx) error) error {
	body, err := people.EncodeChange(change)
	if err != nil {
		return err
	}
	message, err := kaban.ParseMessageID(id)
	if err != nil {
		return err
	}
	_, err = u.chat.dispatcher.Post(ctx, Send{
		Draft: kaban.Draft{Author: u.peer.Identity, Room: name, ID: message, Kind: kaban.KindMember, Body: body},
		Terms: &dispatch.Terms{Decide: decide, Published: func() { u.chat.entered(u.account(), name) }},
	}, func() {})
	return err
}

// acceptInvitation has the account that made a link invite the user to a room, if it
// still may.
func (u User) acceptInvitation(ctx context.Context, text, inviter string) error {
	name, err := kaban.ParseRoomName(text)
	if err != nil {
		return errDone
	}
	var by people.Account
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		by, err = people.Accounts.Get(tx, inviter)
		if errors.Is(err, people.ErrNotFound) {
			err = errDone
		}
		return err
	})
	if err != nil {
		return err
	}
	host, err := by.Identity()
	if err != nil {
		return err
	}
	id, err := kaban.ParseMessageID(entryID("invited", u.account(), name))
	if err != nil {
		return err
	}
	as := u.chat.As(host, netip.Addr{})
	send, err := as.Act(nil, 0, Act{Action: access.Invite, Room: name, ID: id, Subject: u.peer.Name()})
	if err != nil {
		return err
	}
	_, err = as.Commit(ctx, send)
	return err
}

// membershipsOf returns the rooms of the user in which a membership is of some kind.
func (u User) membershipsOf(ctx context.Context, is func(*people.Member) bool) (rooms []people.Room, err error) {
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		rooms = nil
		var failed error
		err := people.Members.AllOf(tx, u.account(), func(m *people.Member) bool {
			if !is(m) {
				return true
			}
			var room people.Room
			if room, failed = people.Rooms.Get(tx, m.Room); failed == nil {
				rooms = append(rooms, room)
			}
			return failed == nil
		})
		return errors.Join(err, failed)
	})
	return rooms, err
}

// handOver makes somebody else op in each room of which the user, whose account is not
// active any more, was the last one.
func (u User) handOver(ctx context.Context) error {
	rooms, err := u.membershipsOf(ctx, func(m *people.Member) bool { return m.Role == kaban.RoomRoleOp })
	if err != nil {
		return err
	}
	for i := range rooms {
		name, err := kaban.ParseAnyRoom(rooms[i].Name)
		if err != nil {
			return err
		}
		for range maxRulings {
			if err = u.handOverRoom(ctx, name); !errors.Is(err, errChanged) {
				break
			}
		}
		if err = settled(err); err != nil {
			return err
		}
	}
	return nil
}

// errChanged says that another successor must be found.
var errChanged = fmt.Errorf("the members have changed: %w", store.ErrStale)

// handOverRoom makes the member of longest standing op, unless there is another op.
func (u User) handOverRoom(ctx context.Context, name kaban.RoomName) error {
	var heir people.Account
	err := u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		if err = u.isLastOp(tx, name); err == nil {
			heir, err = u.heir(tx, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	body, err := people.EncodeChange(people.MemberChange{Subject: heir.Username, Change: people.ChangeRole, Role: kaban.RoomRoleOp})
	if err != nil {
		return err
	}
	id, err := kaban.ParseMessageID("heir-" + rand.Text())
	if err != nil {
		return err
	}
	_, err = u.chat.dispatcher.Post(ctx, Send{
		// The account did nothing: the server is the author.
		Draft: kaban.Draft{Author: u.chat.Operator().peer.Identity, Room: name, ID: id, Kind: kaban.KindMember, Body: body},
		Terms: &dispatch.Terms{
			Decide: func(tx store.Tx) error {
				if err := u.isLastOp(tx, name); err != nil {
					return err
				}
				member, in, err := people.Members.Find(tx, name.Key(), heir.ID)
				if err != nil {
					return err
				}
				now, err := people.Accounts.Get(tx, heir.ID)
				if err != nil {
					return err
				}
				if !in || !mayInherit(&now) {
					return errChanged
				}
				member.Role = kaban.RoomRoleOp
				return errors.Join(people.Members.Put(tx, &member), tx.Bump(name))
			},
			Published: func() { u.chat.tell(heir.ID, name) },
		},
	}, func() {})
	return err
}

// isLastOp returns errDone unless the account of the user is not active, but an op, and
// no other person is one.
func (u User) isLastOp(tx store.Tx, name kaban.RoomName) error {
	a, err := people.Accounts.Get(tx, u.account())
	if err != nil {
		return err
	}
	m, in, err := people.Members.Find(tx, name.Key(), u.account())
	if err != nil {
		return err
	}
	if a.Status == people.StatusActive || a.Bot || !in || m.Role != kaban.RoomRoleOp {
		return errDone
	}
	other, err := hasOtherOp(tx, name.Key(), u.account())
	if err == nil && other {
		err = errDone
	}
	return err
}

// mayInherit reports whether a member may become op because nobody else is.
func mayInherit(a *people.Account) bool {
	return a.Status == people.StatusActive && !a.Bot && a.Role > kaban.RoleGuest
}

// heir returns the member of longest standing that is no guest and no bot, or errDone if
// there is none.
func (u User) heir(tx store.Tx, name kaban.RoomName) (heir people.Account, err error) {
	var first people.Member
	var failed error
	err = people.Members.All(tx, name.Key(), func(m *people.Member) bool {
		if first.Account != "" && cmp.Or(cmp.Compare(m.Since, first.Since), cmp.Compare(m.Account, first.Account)) >= 0 {
			return true
		}
		a, err := people.Accounts.Get(tx, m.Account)
		if failed = err; err == nil && mayInherit(&a) {
			first, heir = *m, a
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err == nil && first.Account == "" {
		err = errDone
	}
	return heir, err
}

// leaveAll ends all memberships of an account that was removed, and what moderation left
// it. In a private room that is an entry.
func (u User) leaveAll(ctx context.Context) error {
	rooms, err := u.membershipsOf(ctx, func(*people.Member) bool { return true })
	if err != nil {
		return err
	}
	for i := range rooms {
		name, err := kaban.ParseAnyRoom(rooms[i].Name)
		if err != nil {
			return err
		}
		leave := func(tx store.Tx) error {
			room, err := people.Rooms.Get(tx, name.Key())
			if err != nil {
				return err
			}
			_, in, err := people.Members.Find(tx, name.Key(), u.account())
			if err == nil && !in {
				err = errDone
			}
			if err != nil {
				return err
			}
			return errors.Join(people.Leave(tx, &room, u.account()), tx.Bump(name))
		}
		if rooms[i].Kind == kaban.RoomPrivate {
			change := people.MemberChange{Subject: u.peer.Name().String(), Change: people.ChangeLeft}
			err = u.enterWith(ctx, name, "left-"+rand.Text(), change, leave)
		} else if err = u.chat.dispatcher.Update(ctx, leave); err == nil {
			err = u.refresh(ctx, name)
			u.chat.recount(name)
		}
		if err = settled(err); err != nil {
			return err
		}
	}
	return u.forgiveAll(ctx)
}

// endHooks removes the hooks that an account has made that was removed. Their rooms see it.
func (u User) endHooks(ctx context.Context) error {
	hooks, _, err := u.chat.hooksOf(ctx, func(_ store.Tx, creator string) (bool, error) { return creator == u.account(), nil })
	if err != nil {
		return err
	}
	for i := range hooks {
		err := u.chat.endHook(ctx, &hooks[i], func(tx store.Tx) error {
			kept, err := people.Hooks.Get(tx, hooks[i].Hash)
			if errors.Is(err, people.ErrNotFound) {
				return errDone
			}
			if err != nil {
				return err
			}
			switch err := u.chat.hookStanding(tx, &kept); {
			case errors.Is(err, ErrNotFound):
				return people.Hooks.Delete(tx, kept.Hash)
			case err != nil && !errors.Is(err, ErrPaused):
				return err
			}
			return errDone // its account is another one by now
		})
		if err = settled(err); err != nil {
			return err
		}
	}
	return nil
}

// hooksOf returns the hooks of those creators that a function wants, and how many hooks are damaged.
func (c *Chat) hooksOf(ctx context.Context, wants func(tx store.Tx, creator string) (bool, error)) (hooks []people.Hook, damaged int, err error) {
	err = c.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		var all []people.Hook
		hooks = nil
		if all, damaged, err = people.Hooks.Readable(tx); err != nil {
			return err
		}
		for i := range all {
			wanted, err := wants(tx, all[i].Creator)
			if err != nil {
				return err
			}
			if wanted {
				hooks = append(hooks, all[i])
			}
		}
		return nil
	})
	return hooks, damaged, err
}

// orphanHooks gives the task to leave to accounts that an older version has removed, and
// whose hooks it has left.
func (c *Chat) orphanHooks(ctx context.Context) error {
	orphans, damaged, err := c.hooksOf(ctx, func(tx store.Tx, creator string) (bool, error) {
		if creator == "" {
			return false, nil
		}
		a, err := people.Accounts.Get(tx, creator)
		if isLasting(err) {
			return false, nil
		}
		return a.Status == people.StatusRemoved, err
	})
	if err == nil && len(orphans) > 0 {
		err = c.leaveHooks(ctx, orphans)
	}
	if err == nil && damaged > 0 {
		err = fmt.Errorf("%w: %d hooks, by which nobody can post", store.ErrDamaged, damaged)
	}
	return err
}

// leaveHooks gives the creators of hooks the task to leave.
func (c *Chat) leaveHooks(ctx context.Context, orphans []people.Hook) error {
	return c.dispatcher.Update(ctx, func(tx store.Tx) error {
		for i := range orphans {
			task := people.Task{Account: orphans[i].Creator, Kind: people.TaskLeave, ID: rand.Text(), Since: c.now()}
			if err := people.Tasks.Put(tx, &task); err != nil {
				return err
			}
		}
		return nil
	})
}

// refresh has a room that is in use know its revision.
func (u User) refresh(ctx context.Context, name kaban.RoomName) error {
	if r := u.chat.dispatcher.Peek(name); r != nil {
		return u.chat.dispatcher.Refresh(ctx, r)
	}
	return nil
}

// forgiveAll removes what moderation left an account in all rooms.
func (u User) forgiveAll(ctx context.Context) error {
	subject := accountIdentity(u.account())
	var after []string
	for more := true; more; {
		var page []people.Restriction
		err := u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			page, more, err = people.Restrictions.List(tx, nil, after, defaultNames)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page {
			after = []string{page[i].Room, page[i].Subject}
			if page[i].Subject != subject {
				continue
			}
			err := u.chat.dispatcher.Update(ctx, func(tx store.Tx) error { return people.Restrictions.Delete(tx, after...) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}
