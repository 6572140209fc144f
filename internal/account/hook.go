package account

import (
	"context"
	"fmt"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxHooks is the number of incoming webhooks of a server.
const maxHooks = 1000

// mayHook returns nil if the actor may manage incoming webhooks, which takes as much as
// making a guest. On a server without an owner only the operator may.
func (c *change) mayHook() error {
	if c.by.Operator {
		return nil
	}
	return c.mayAdd(kaban.RoleGuest)
}

// KeepHook stores an incoming webhook by an admin, in the transaction of a caller that
// also makes the hook a member of its room. Errors are *RefusedError, ErrUnclaimed,
// ErrTooMany and people.ErrExists.
func (s *Service) KeepHook(tx store.Tx, by Actor, h *people.Hook) error {
	c := &change{Tx: tx, service: s, by: by, now: s.now()}
	if err := c.mayHook(); err != nil {
		return err
	}
	all, _, err := people.Hooks.List(tx, nil, nil, maxHooks)
	if err != nil {
		return err
	}
	if len(all) >= maxHooks {
		return fmt.Errorf("%w: the limit of hooks is 1,000", ErrTooMany)
	}
	h.Created, h.Creator = c.now, c.creator()
	if err := people.Hooks.Put(tx, h); err != nil {
		return err
	}
	return c.audit("hook.add", h.ID, h.Username+" in "+h.Room)
}

// DropHook removes an incoming webhook by an admin, in the transaction of a caller.
// Errors are *RefusedError, ErrUnclaimed and ErrNotFound.
func (s *Service) DropHook(tx store.Tx, by Actor, h *people.Hook) error {
	c := &change{Tx: tx, service: s, by: by, now: s.now()}
	if err := c.mayHook(); err != nil {
		return err
	}
	if _, err := found(people.Hooks.Get(tx, h.Hash)); err != nil {
		return err
	}
	if err := people.Hooks.Delete(tx, h.Hash); err != nil {
		return err
	}
	return c.audit("hook.remove", h.ID, h.Username+" in "+h.Room)
}

// Hooks returns all incoming webhooks, in no particular order, to an admin.
func (s *Service) Hooks(ctx context.Context, by Actor) (hooks []people.Hook, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.mayHook(); err != nil {
			return err
		}
		hooks, _, err = people.Hooks.List(c.Tx, nil, nil, maxHooks)
		return err
	})
	return hooks, err
}
