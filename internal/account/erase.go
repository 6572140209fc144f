package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Erase removes what is stored about an account, for good, whether it was removed
// before or not: display name, groups, credentials, devices, tokens, invites, blocks,
// the names that it had as a visitor, its memberships, and in the audit its addresses
// and the details that it or somebody else gave about it. What stays is its username,
// which nobody gets again, and its opaque id, under which the logs keep its entries. What
// others have written about it stays. The audit still says who did what to whom. Its bots are
// erased like it. What it has written, also by its bots and by hooks that it has made, is
// deleted later, in the background: Erasure says how far that is. Until that is done, Erase
// changes nothing and writes no row of the audit.
//
// The audit may be long, so its part is more than one transaction, of EraseFromAudit. The erasing
// begins with it.
func (s *Service) Erase(ctx context.Context, by Actor, username string) error {
	former, err := s.formerHooks(ctx, by, username, false)
	if err != nil {
		return fmt.Errorf("%s an account: %w", access.Erase, err)
	}
	return s.administer(ctx, by, access.Erase, people.AuditAccountErase, username, 0, func(c *change, a *people.Account) (string, error) {
		if erasing, err := c.isErasing(a); err != nil || erasing {
			c.changed(a.ID) // the erasing goes on, if it could not be begun before
			return "", cmp.Or(err, errUnchanged)
		}
		bots, err := c.allBots(a.ID)
		if err != nil {
			return "", err
		}
		_, err = c.eraseAll(a, bots, former)
		return "", err
	})
}

// eraseAll erases an account, which the caller stores, and bots of it. It returns all of them.
func (c *change) eraseAll(a *people.Account, bots []people.Account, former []string) ([]people.Account, error) {
	if err := c.eraseLater(a, bots, former); err != nil {
		return nil, err
	}
	if err := c.eraseAccount(a); err != nil {
		return nil, err
	}
	for i := range bots {
		bot := &bots[i]
		known := bot.Status == people.StatusRemoved
		if err := c.eraseAccount(bot); err != nil {
			return nil, err
		}
		if err := people.Accounts.Put(c.Tx, bot); err != nil {
			return nil, err
		}
		c.changed(bot.ID)
		if known {
			continue
		}
		if err := c.audit(people.AuditAccountErase, bot.Username, "with "+a.Username); err != nil {
			return nil, err
		}
	}
	return append([]people.Account{*a}, bots...), nil
}

// EraseAgain erases accounts, in the transaction of a restore, which has brought back what they
// were before. Those that are not there, or are erased there, stay as they are. So does a bot
// of one of them that is not among them: it had another owner when that one was erased. It
// works again once it is given to somebody. EraseAgain returns the
// usernames of the others, without those of bots that were erased with their owners. Nobody
// uses the service at the time, and what the accounts have written is deleted by the next
// server.
func (s *Service) EraseAgain(tx store.Tx, ids []string) (usernames []string, err error) {
	c := &change{Tx: tx, service: s, by: Operator(), now: s.now()}
	var all []people.Account
	var former map[string][]string
	for _, id := range ids {
		a, err := people.Accounts.Get(tx, id)
		if errors.Is(err, people.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if erased, err := c.isErased(&a); err != nil || erased {
			if err != nil {
				return nil, err
			}
			continue
		}
		identity, err := a.Identity()
		if err != nil {
			return nil, err
		}
		if former == nil {
			if former, err = allFormerHooks(tx); err != nil {
				return nil, err
			}
		}
		bots, err := c.allBots(a.ID)
		if err != nil {
			return nil, err
		}
		bots = slices.DeleteFunc(bots, func(bot people.Account) bool { return !slices.Contains(ids, bot.ID) })
		erased, err := c.eraseAll(&a, bots, former[identity.ID()])
		if err != nil {
			return nil, err
		}
		if err := people.Accounts.Put(tx, &a); err != nil {
			return nil, err
		}
		if err := c.audit(people.AuditAccountErase, a.Username, "again, after a restore"); err != nil {
			return nil, err
		}
		all, usernames = append(all, erased...), append(usernames, a.Username)
	}
	if len(all) == 0 {
		return nil, nil
	}
	scrub, err := scrubberOf(all)
	if err != nil {
		return nil, err
	}
	var failed error
	err = people.Audits.All(tx, func(row *people.Audit) bool {
		failed = scrub.row(tx, row)
		return failed == nil
	})
	return usernames, errors.Join(err, failed)
}

// isErased reports whether an account was erased, also if that was with its owner.
func (c *change) isErased(a *people.Account) (bool, error) {
	if a.Status != people.StatusRemoved {
		return false, nil
	}
	ids := []string{a.ID}
	if a.Owner != "" {
		ids = append(ids, a.Owner)
	}
	for _, id := range ids {
		_, err := people.Erasures.Get(c.Tx, id)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, people.ErrNotFound) {
			return false, err
		}
	}
	return false, nil
}

// isErasing reports whether an account was erased and what it has written is still being deleted.
func (c *change) isErasing(a *people.Account) (bool, error) {
	if a.Status != people.StatusRemoved {
		return false, nil
	}
	e, err := people.Erasures.Get(c.Tx, a.ID)
	return err == nil && e.Done == 0, ignoreNotFound(err)
}

// allFormerHooks returns for all identities the hooks that they have made, as formerHooks does for
// one: it goes through the audit once.
func allFormerHooks(tx store.Tx) (map[string][]string, error) {
	by := make(map[string][]string)
	err := people.Audits.All(tx, func(row *people.Audit) bool {
		if made := appendFormer(by[row.Actor], row, row.Actor); len(made) > 0 {
			by[row.Actor] = made
		}
		return true
	})
	return by, err
}

// appendFormer adds the newest of the hooks that somebody has made, if a row of the audit is
// about that. There are maxErasedHooks at most.
func appendFormer(hooks []string, row *people.Audit, by string) []string {
	if row.Action == "hook.add" && row.Actor == by {
		hooks = append(hooks, row.Subject)
	}
	return hooks[max(0, len(hooks)-maxErasedHooks):]
}

// eraseAccount removes an account and what is stored about it. The caller stores it.
func (c *change) eraseAccount(a *people.Account) error {
	if err := c.remove(a); err != nil {
		return err
	}
	if err := c.eraseRelations(a.ID); err != nil {
		return err
	}
	*a = people.Account{
		ID: a.ID, Username: a.Username, Role: kaban.RoleGuest, Status: people.StatusRemoved, Bot: a.Bot, Owner: a.Owner,
	}
	return nil
}

// allBots returns the bots of an account, also those that were removed.
func (c *change) allBots(owner string) (bots []people.Account, err error) {
	err = people.Accounts.Bots(c.Tx, owner, func(a *people.Account) bool { bots = append(bots, *a); return true })
	return bots, err
}

// formerHooks returns the ids of the hooks that an account has made, as the audit has them:
// those that were removed are stored nowhere else. They are the newest, and maxErasedHooks at
// most. The actor must be one that may erase the account. With again what was found last is enough,
// if that was for the same account. Once the account is erased it makes no more, and the erasure has
// them: nothing goes through the audit then.
func (s *Service) formerHooks(ctx context.Context, by Actor, username string, again bool) (hooks []string, err error) {
	var identity kaban.Identity
	known := false
	err = s.view(ctx, by, func(c *change) error {
		a, err := c.target(access.Erase, username, 0)
		if err != nil {
			return err
		}
		if identity, err = a.Identity(); err != nil {
			return err
		}
		hooks, known, err = c.erasedHooks(&a)
		return err
	})
	if err != nil || known {
		return hooks, err
	}
	if last := s.former.Load(); again && last != nil && last.by == identity.ID() {
		return last.hooks, nil
	}
	var after *people.Audit
	for more := true; more && err == nil; {
		var rows []people.Audit
		err = s.documents.View(ctx, func(tx store.Tx) (err error) {
			rows, more, err = people.Audits.Since(tx, 0, after, maintainStep)
			return err
		})
		for i := range rows {
			hooks = appendFormer(hooks, &rows[i], identity.ID())
			after = &rows[i]
		}
	}
	if err == nil {
		s.former.Store(&formerHooks{identity.ID(), hooks})
	}
	return hooks, err
}

// erasedHooks returns the hooks whose texts the erasure of an account has as its own, and whether
// these are all: an older server may not have looked for them.
func (c *change) erasedHooks(a *people.Account) (hooks []string, known bool, err error) {
	e, err := people.Erasures.Get(c.Tx, a.ID)
	if err != nil || a.Status != people.StatusRemoved || e.Version < people.ErasureVersion {
		return nil, false, ignoreNotFound(err)
	}
	for _, author := range e.Authors {
		if hook, ok := kaban.HookOf(author); ok {
			hooks = append(hooks, hook)
		}
	}
	return hooks, true, nil
}

// formerHooks are the hooks that an identity has made. It never changes.
type formerHooks struct {
	by    string
	hooks []string
}

// Erasure returns how far the erasing of what an account has written is: the zero value if the
// account was not erased.
func (s *Service) Erasure(ctx context.Context, by Actor, username string) (e people.Erasure, err error) {
	err = s.view(ctx, by, func(c *change) error {
		a, err := c.other(username)
		if err != nil {
			return err
		}
		if e, err = people.Erasures.Get(c.Tx, a.ID); errors.Is(err, people.ErrNotFound) {
			err = nil
		}
		return err
	})
	return e, err
}

// eraseLater has everything deleted that an account has written, also as a visitor before it
// was one, and by its programs. former are ids of hooks that it has made. Given again once that
// is done, it begins anew, and its report has what was erased before, too.
func (c *change) eraseLater(a *people.Account, bots []people.Account, former []string) error {
	before, err := people.Erasures.Get(c.Tx, a.ID)
	switch {
	case err != nil && !errors.Is(err, people.ErrNotFound):
		return err
	case err == nil && before.Done == 0:
		return nil
	}
	e, err := c.erasureOf(a, bots, former)
	if err != nil {
		return err
	}
	e.Messages, e.Reactions, e.Texts, e.Rooms = before.Messages, before.Reactions, before.Texts, before.Rooms
	return people.Erasures.Put(c.Tx, &e)
}

// erasureOf returns an erasure that has not begun, with the ids of all identities that an
// account has written as, and those of bots of it.
func (c *change) erasureOf(a *people.Account, bots []people.Account, former []string) (e people.Erasure, err error) {
	e = people.Erasure{Account: a.ID, Since: c.now, Version: people.ErasureVersion}
	id, err := a.Identity()
	if err != nil {
		return e, err
	}
	e.Authors = []string{id.ID()}
	links, more, err := people.Links.Of(c.Tx, a.ID, maxErasedVisitors)
	if err != nil {
		return e, err
	}
	if more {
		return e, fmt.Errorf("%s has been more than %d visitors", a.Username, maxErasedVisitors)
	}
	for _, l := range links {
		if !slices.Contains(e.Authors, l.Visitor) {
			e.Authors = append(e.Authors, l.Visitor)
			if e.Until == nil {
				e.Until = make(map[string]int64)
			}
			e.Until[l.Visitor] = l.Since
		}
	}
	for i := range bots {
		if id, err = bots[i].Identity(); err != nil {
			return e, err
		}
		e.Authors, e.Bots = append(e.Authors, id.ID()), e.Bots+1
	}
	hooks, _, err := people.Hooks.List(c.Tx, nil, nil, people.MaxHooks)
	if err != nil {
		return e, err
	}
	former = slices.Clone(former)
	for i := range hooks {
		if hooks[i].Creator == a.ID && !slices.Contains(former, hooks[i].ID) {
			former = append(former, hooks[i].ID)
		}
	}
	slices.Sort(former)
	for _, hook := range former {
		e.Authors, e.Hooks = append(e.Authors, kaban.Hook(hook, kaban.Username{}).ID()), e.Hooks+1
	}
	return e, nil
}

// WouldErase returns the erasure that Erase would begin: Authors are the ids of the identities
// whose entries it would have deleted. With again the answer may leave out hooks that were removed since it was
// last asked for; it does not go through the audit then.
func (s *Service) WouldErase(ctx context.Context, by Actor, username string, again bool) (e people.Erasure, err error) {
	former, err := s.formerHooks(ctx, by, username, again)
	if err != nil {
		return e, err
	}
	err = s.view(ctx, by, func(c *change) error {
		a, err := c.target(access.Erase, username, 0)
		if err != nil {
			return err
		}
		e, err = people.Erasures.Get(c.Tx, a.ID)
		switch {
		case err == nil && e.Done == 0: // it is under way, and the visitors are linked no more
			return nil
		case err != nil && !errors.Is(err, people.ErrNotFound):
			return err
		}
		bots, err := c.allBots(a.ID)
		if err != nil {
			return err
		}
		e, err = c.erasureOf(&a, bots, former)
		return err
	})
	return e, err
}

// maxErasedVisitors bounds the names that an account had as a visitor, maxErasedHooks the hooks
// that it has made and that were removed.
const maxErasedVisitors, maxErasedHooks = 1000, 1000

// eraseStep is how many relations of a kind are removed at a time.
const eraseStep = 500

// eraseRelations removes the blocks of an account and the visitors that it was.
func (c *change) eraseRelations(account string) error {
	for more := true; more; {
		var blocks []people.Block
		var err error
		if blocks, more, err = people.Blocks.List(c.Tx, []string{account}, nil, eraseStep); err != nil {
			return err
		}
		for _, b := range blocks {
			if err := people.Blocks.Delete(c.Tx, b.Account, b.Blocked); err != nil {
				return err
			}
		}
	}
	for more := true; more; {
		var links []people.Link
		var err error
		if links, more, err = people.Links.Of(c.Tx, account, eraseStep); err != nil {
			return err
		}
		for _, l := range links {
			if err := people.Links.Delete(c.Tx, l.Visitor); err != nil {
				return err
			}
		}
	}
	return nil
}

// scrubber removes what the audit has of accounts beside their names and actions.
type scrubber struct{ actors, names map[string]bool }

func scrubberOf(accounts []people.Account) (*scrubber, error) {
	s := &scrubber{make(map[string]bool), make(map[string]bool)}
	for i := range accounts {
		identity, err := accounts[i].Identity()
		if err != nil {
			return nil, err
		}
		s.actors[identity.ID()], s.names[accounts[i].Username] = true, true
	}
	return s, nil
}

// row changes a row, if it has to.
func (s *scrubber) row(tx store.Tx, old *people.Audit) error {
	row := *old
	by := s.actors[row.Actor]
	if by {
		row.Address = ""
	}
	if isPersonal(row.Action) && (by || s.names[row.Subject]) {
		row.Detail = ""
	}
	if row == *old {
		return nil
	}
	return people.Audits.Put(tx, &row)
}

// EraseFromAudit removes what the audit has of an account that was erased, and of its bots,
// beside their names and actions. Erase does so, too, but not if the server ends before it has
// got there; so it is done again before an erasing counts as done. It may be called again.
func EraseFromAudit(ctx context.Context, documents store.Documents, id string) error {
	var erased []people.Account
	err := documents.View(ctx, func(tx store.Tx) error {
		a, err := people.Accounts.Get(tx, id)
		if err != nil {
			return err
		}
		erased = []people.Account{a}
		return people.Accounts.Bots(tx, id, func(bot *people.Account) bool {
			if bot.Status == people.StatusRemoved { // else a restore has brought it back to its former owner
				erased = append(erased, *bot)
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	return eraseFromAudit(ctx, documents, erased)
}

// eraseFromAudit removes what the audit has of accounts beside their names and actions.
func eraseFromAudit(ctx context.Context, documents store.Documents, accounts []people.Account) error {
	scrub, err := scrubberOf(accounts)
	if err != nil {
		return err
	}
	var after *people.Audit
	for more := true; more; {
		err := documents.Update(ctx, func(tx store.Tx) error {
			rows, unfinished, err := people.Audits.Since(tx, 0, after, maintainStep)
			if err != nil {
				return err
			}
			more = unfinished
			for i := range rows {
				if err := scrub.row(tx, &rows[i]); err != nil {
					return err
				}
			}
			if len(rows) > 0 {
				after = &rows[len(rows)-1]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// personal are the beginnings of actions whose details say something about a person,
// such as the names of devices.
var personal = []string{"account.link", "account.name", "account.notifications", "account.suspend", "device.", "identity.", "passkey.", "token."}

func isPersonal(action string) bool {
	return slices.ContainsFunc(personal, func(prefix string) bool { return strings.HasPrefix(action, prefix) })
}
