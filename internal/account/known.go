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

// Usernames returns the usernames of accounts by their ids. It asks nobody whether the
// caller may know. An account that does not exist is not in the result.
func (s *Service) Usernames(ctx context.Context, ids ...string) (names map[string]string, err error) {
	err = s.view(ctx, Actor{}, func(c *change) error {
		names = make(map[string]string, len(ids))
		for _, id := range ids {
			if id == "" {
				continue
			}
			a, err := people.Accounts.Get(c.Tx, id)
			if ignoreNotFound(err) != nil {
				return err
			}
			if err == nil {
				names[id] = a.Username
			}
		}
		return nil
	})
	return names, err
}
