package account

import (
	"fmt"

	"kaban/internal/people"
	"kaban/internal/store"
)

// mayHook returns nil if somebody that may manage the hooks of a room may do so with its
// credential: no program changes them. On a server without an owner only the operator
// manages any.
func (c *change) mayHook() error {
	if c.by.Operator {
		return nil
	}
	if _, err := c.facts(); err != nil {
		return err
	}
	if c.isProgram() {
		return ErrProgram
	}
	return nil
}

// KeepHook stores an incoming webhook, in the transaction of a caller that has decided
// that the actor may add it, and also makes it a member of its room. Errors are
// ErrProgram, ErrUnclaimed, ErrTooMany and people.ErrExists.
func (s *Service) KeepHook(tx store.Tx, by Actor, h *people.Hook) error {
	c := &change{Tx: tx, service: s, by: by, now: s.now()}
	if err := c.mayHook(); err != nil {
		return err
	}
	all, _, err := people.Hooks.List(tx, nil, nil, people.MaxHooks)
	if err != nil {
		return err
	}
	if len(all) >= people.MaxHooks {
		return fmt.Errorf("%w: the limit of hooks is 1,000", ErrTooMany)
	}
	h.Created, h.Creator = c.now, c.creator()
	if err := people.Hooks.Put(tx, h); err != nil {
		return err
	}
	return c.audit("hook.add", h.ID, h.Username+" in "+h.Room)
}

// DropHook removes an incoming webhook, in the transaction of a caller that has decided
// that the actor may remove it. Errors are ErrProgram, ErrUnclaimed and ErrNotFound.
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
