package account

import (
	"context"

	"kaban/internal/access"
	"kaban/internal/people"
)

// MayAdminister returns nil if somebody may see what concerns others: all accounts and
// everybody's invites and tokens. That is whoever may read the audit.
func (s *Service) MayAdminister(ctx context.Context, by Actor) error {
	return s.view(ctx, by, func(c *change) error { return c.may(access.ReadAudit) })
}

// WithIDs returns accounts by their ids. It asks nobody whether the caller may know. An
// account that does not exist is not in the result.
func (s *Service) WithIDs(ctx context.Context, ids ...string) (accounts map[string]people.Account, err error) {
	err = s.view(ctx, Actor{}, func(c *change) error {
		accounts = make(map[string]people.Account, len(ids))
		for _, id := range ids {
			if id == "" {
				continue
			}
			a, err := people.Accounts.Get(c.Tx, id)
			if ignoreNotFound(err) != nil {
				return err
			}
			if err == nil {
				accounts[id] = a
			}
		}
		return nil
	})
	return accounts, err
}
