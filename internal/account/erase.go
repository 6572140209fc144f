package account

import (
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
// others have written about it stays. The audit still says who did what to whom. What it has
// written is deleted later, in the background: Erasure says how far that is.
//
// The audit may be long, so its part is more than one transaction. An error that comes
// after the first one leaves addresses that are no older than 30 days; Erase may be
// called again.
func (s *Service) Erase(ctx context.Context, by Actor, username string) error {
	var erased people.Account
	err := s.administer(ctx, by, access.Erase, "account.erase", username, 0, func(c *change, a *people.Account) (string, error) {
		if err := c.remove(a); err != nil {
			return "", err
		}
		if err := c.eraseLater(a); err != nil {
			return "", err
		}
		if err := c.eraseRelations(a.ID); err != nil {
			return "", err
		}
		*a = people.Account{
			ID: a.ID, Username: a.Username, Role: kaban.RoleGuest, Status: people.StatusRemoved, Bot: a.Bot, Owner: a.Owner,
		}
		erased = *a
		return "", nil
	})
	if err != nil {
		return err
	}
	if err := s.eraseFromAudit(ctx, &erased); err != nil {
		return fmt.Errorf("erase an account from the audit: %w", err)
	}
	return nil
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
// was one. Given again once that is done, it begins anew.
func (c *change) eraseLater(a *people.Account) error {
	e := people.Erasure{Account: a.ID, Since: c.now}
	if before, err := people.Erasures.Get(c.Tx, a.ID); err == nil {
		if before.Done == 0 {
			return nil
		}
	} else if !errors.Is(err, people.ErrNotFound) {
		return err
	}
	var err error
	if e.Authors, err = c.authorsOf(a); err != nil {
		return err
	}
	return people.Erasures.Put(c.Tx, &e)
}

// authorsOf returns the ids of the identities that an account has written as.
func (c *change) authorsOf(a *people.Account) ([]string, error) {
	id, err := a.Identity()
	if err != nil {
		return nil, err
	}
	links, more, err := people.Links.Of(c.Tx, a.ID, maxErasedVisitors)
	if err != nil {
		return nil, err
	}
	if more {
		return nil, fmt.Errorf("%s has been more than %d visitors", a.Username, maxErasedVisitors)
	}
	authors := []string{id.ID()}
	for _, l := range links {
		if !slices.Contains(authors, l.Visitor) {
			authors = append(authors, l.Visitor)
		}
	}
	return authors, nil
}

// WouldErase returns the ids of the identities whose entries Erase would have deleted.
func (s *Service) WouldErase(ctx context.Context, by Actor, username string) (authors []string, err error) {
	err = s.view(ctx, by, func(c *change) error {
		a, err := c.target(access.Erase, username, 0)
		if err != nil {
			return err
		}
		e, err := people.Erasures.Get(c.Tx, a.ID)
		switch {
		case err == nil && e.Done == 0: // it is under way, and the visitors are linked no more
			authors = e.Authors
			return nil
		case err != nil && !errors.Is(err, people.ErrNotFound):
			return err
		}
		authors, err = c.authorsOf(&a)
		return err
	})
	return authors, err
}

// maxErasedVisitors bounds the names that an account had as a visitor.
const maxErasedVisitors = 1000

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

// eraseFromAudit removes what the audit has of an account beside its name and actions.
func (s *Service) eraseFromAudit(ctx context.Context, a *people.Account) error {
	identity, err := a.Identity()
	if err != nil {
		return err
	}
	var after *people.Audit
	for more := true; more; {
		err := s.documents.Update(ctx, func(tx store.Tx) error {
			rows, unfinished, err := people.Audits.Since(tx, 0, after, maintainStep)
			if err != nil {
				return err
			}
			more = unfinished
			for i := range rows {
				row := rows[i]
				by := row.Actor == identity.ID()
				if by {
					row.Address = ""
				}
				if isPersonal(row.Action) && (by || row.Subject == a.Username) {
					row.Detail = ""
				}
				if row == rows[i] {
					continue
				}
				if err := people.Audits.Put(tx, &row); err != nil {
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
