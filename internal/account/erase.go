package account

import (
	"context"

	"kaban/internal/access"
	"kaban/internal/people"
)

// eraseStep is how many blocks and links of an account are read at a time.
const eraseStep = 500

// Erase is Remove, and also removes what is stored about the person: the display name,
// the groups of single sign-on, blocks, and the names that entries were written under
// without an account. The username stays, because it stays taken and entries have it.
// Rows of the audit end by their age.
func (s *Service) Erase(ctx context.Context, by Actor, username string) error {
	return s.administer(ctx, by, access.Erase, "account.erase", username, 0, func(c *change, a *people.Account) (string, error) {
		if err := c.ended(a.ID); err != nil {
			return "", err
		}
		if err := c.disarm(a.ID); err != nil {
			return "", err
		}
		if err := c.dropBlocks(a.ID); err != nil {
			return "", err
		}
		if err := c.dropVisitors(a.ID); err != nil {
			return "", err
		}
		a.Status, a.Reason, a.Name, a.Groups, a.Creator = people.StatusRemoved, "", "", nil, ""
		return "", nil
	})
}

// dropBlocks removes all blocks by an account.
func (c *change) dropBlocks(account string) error {
	for {
		blocks, more, err := people.Blocks.List(c.Tx, []string{account}, nil, eraseStep)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if err := people.Blocks.Delete(c.Tx, b.Account, b.Blocked); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// dropVisitors removes what attributes entries of visitors to an account.
func (c *change) dropVisitors(account string) error {
	var after []string
	for {
		links, more, err := people.Links.List(c.Tx, nil, after, eraseStep)
		if err != nil {
			return err
		}
		for _, l := range links {
			after = []string{l.Visitor}
			if l.Account != account {
				continue
			}
			if err := people.Links.Delete(c.Tx, l.Visitor); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}
