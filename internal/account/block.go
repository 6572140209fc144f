package account

import (
	"context"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// maxBlocks is how many others an account blocks.
const maxBlocks = 1000

// Block keeps direct messages and rings of somebody from the actor. Blocking somebody
// again changes nothing.
func (s *Service) Block(ctx context.Context, by Actor, username string) error {
	return s.block(ctx, by, username, true, func(c *change, self, other string) error {
		blocks, _, err := people.Blocks.List(c.Tx, []string{self}, nil, maxBlocks)
		if err != nil {
			return err
		}
		if len(blocks) >= maxBlocks {
			return fmt.Errorf("%w: the limit of blocks is 1,000", ErrTooMany)
		}
		return people.Blocks.Put(c.Tx, &people.Block{Account: self, Blocked: other, Since: c.now})
	}, people.AuditBlockAdd)
}

// Unblock undoes Block. Without one it changes nothing.
func (s *Service) Unblock(ctx context.Context, by Actor, username string) error {
	return s.block(ctx, by, username, false, func(c *change, self, other string) error {
		return people.Blocks.Delete(c.Tx, self, other)
	}, people.AuditBlockRemove)
}

// block changes whether the actor blocks somebody, unless it is so already.
func (s *Service) block(ctx context.Context, by Actor, username string, want bool, do func(c *change, self, other string) error, row people.AuditAction) error {
	return s.update(ctx, by, func(c *change) error {
		a, err := c.target(access.Block, username, 0)
		if err != nil {
			return err
		}
		if by.Operator {
			return &RefusedError{access.Block, access.Forbidden}
		}
		self := c.by.Principal.Account.ID
		switch _, err := people.Blocks.Get(c.Tx, self, a.ID); {
		case err != nil && !errors.Is(err, people.ErrNotFound):
			return err
		case (err == nil) == want:
			return errUnchanged
		}
		if err := do(c, self, a.ID); err != nil {
			return err
		}
		return c.audit(row, "", "") // nobody else sees whom somebody blocks
	})
}

// Blocks returns the usernames of those that the actor blocks.
func (s *Service) Blocks(ctx context.Context, by Actor) (names []string, err error) {
	err = s.view(ctx, by, func(c *change) error {
		names = nil
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		blocks, _, err := people.Blocks.List(c.Tx, []string{c.by.Principal.Account.ID}, nil, maxBlocks)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			name, err := c.usernameOf(b.Blocked)
			if err != nil {
				return err
			}
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// Wrote reports whether an identity has written anything at or after a time, in milliseconds
// since 1970 UTC.
type Wrote func(ctx context.Context, author string, since int64) (bool, error)

// LinkVisitor attributes what a visitor with a name wrote until now to an account, by an
// owner. Whoever uses the name later, where visitors may, is somebody else.
// Ids of messages and the right to edit do not move.
//
// A visitor that has written nothing is a NotFoundError: the name may be mistyped, and its next
// user would be taken for the account when that one is erased. Done again it changes nothing,
// unless the visitor has written since. Without wrote, each visitor is taken for one that has.
//
// A visitor is one account's at a time: linked to another one, everything that it wrote until now is that one's,
// also what was the first one's, and the audit has a row for both.
func (s *Service) LinkVisitor(ctx context.Context, by Actor, visitor, username string, wrote Wrote) error {
	name, err := kaban.ParseUsername(visitor)
	if err != nil {
		return err
	}
	id, since := kaban.Visitor(name).ID(), int64(0)
	err = s.view(ctx, by, func(c *change) error {
		a, err := c.linkable(username)
		if err != nil {
			return err
		}
		link, err := people.Links.Get(c.Tx, id)
		if since = 0; err == nil && link.Account == a.ID {
			since = link.Since
		}
		return ignoreNotFound(err)
	})
	if err != nil {
		return err
	}
	if wrote != nil {
		switch news, err := wrote(ctx, id, since); {
		case err != nil:
			return fmt.Errorf("look for what a visitor wrote: %w", err)
		case !news && since != 0:
			return nil
		case !news:
			return notFound("visitor with messages", visitor, "kaban user visitors")
		}
	}
	return s.update(ctx, by, func(c *change) error {
		a, err := c.linkable(username)
		if err != nil {
			return err
		}
		if err := c.unlinkVisitor(id, a.ID); err != nil {
			return err
		}
		link := people.Link{Visitor: id, Account: a.ID, Since: c.now}
		if err := people.Links.Put(c.Tx, &link); err != nil {
			return err
		}
		c.changed(a.ID)
		return c.audit(people.AuditAccountLink, a.Username, "visitor "+name.String())
	})
}

// unlinkVisitor notes that what a visitor wrote is not an account's any more, if it is about to be another one's. The row
// names neither the visitor nor the other account: erasing that must leave nothing that leads to it.
func (c *change) unlinkVisitor(id, to string) error {
	link, err := people.Links.Get(c.Tx, id)
	if err != nil || link.Account == to {
		return ignoreNotFound(err)
	}
	first, err := people.Accounts.Get(c.Tx, link.Account)
	if err != nil {
		return ignoreNotFound(err)
	}
	c.changed(first.ID)
	return c.audit(people.AuditAccountUnlink, first.Username, "")
}

// linkable returns an account that the actor may link a visitor to.
func (c *change) linkable(username string) (a people.Account, err error) {
	if err := c.may(access.ChangeSettings); err != nil {
		return a, err
	}
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return a, NoAccount(username)
	}
	a, err = people.Accounts.Named(c.Tx, name)
	if ignoreNotFound(err) != nil {
		return a, err
	}
	if err != nil || a.Status == people.StatusRemoved {
		return a, NoAccount(username)
	}
	return a, nil
}
