package account

import (
	"fmt"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// mayHook returns an error if the secret of the actor is not valid any more. On a server
// without an owner only the operator manages hooks.
func (c *change) mayHook() error {
	if c.by.Operator {
		return nil
	}
	_, err := c.facts()
	return err
}

// KeepHook stores an incoming webhook, in the transaction of a caller that has decided
// that the actor may add it, and also makes it a member of its room. Errors are
// ErrUnclaimed, ErrTooMany and people.ErrExists.
func (s *Service) KeepHook(tx store.Tx, by Actor, h *people.Hook) error {
	c := &change{Tx: tx, service: s, by: by, now: s.now()}
	if err := c.mayHook(); err != nil {
		return err
	}
	if err := c.countHooks(h.Room); err != nil {
		return err
	}
	h.Created, h.Creator = c.now, c.creator()
	if err := people.Hooks.Put(tx, h); err != nil {
		return err
	}
	return c.audit(people.AuditHookAdd, h.ID, h.Username+" in "+h.Room)
}

// Limits of incoming webhooks, besides people.MaxHooks on a server. What members make
// leaves some to admins and the operator.
const (
	maxOwnHooks     = 50 // that one account has made
	maxRoomHooks    = 50
	maxMembersHooks = 900
)

// countHooks returns ErrTooMany if there are too many hooks for another one in a room.
func (c *change) countHooks(room string) error {
	all, damaged, err := people.Hooks.Readable(c.Tx)
	if err != nil {
		return err
	}
	admin := c.by.Operator || c.by.Principal.Role >= kaban.RoleAdmin
	own, inRoom := 0, 0
	for i := range all {
		if all[i].Creator == c.creator() {
			own++
		}
		if all[i].Room == room {
			inRoom++
		}
	}
	switch {
	case len(all)+damaged >= people.MaxHooks, !admin && len(all)+damaged >= maxMembersHooks:
		return fmt.Errorf("%w: the limit of hooks is 1,000, and 900 for those of members", ErrTooMany)
	case !c.by.Operator && own >= maxOwnHooks:
		return fmt.Errorf("%w: the limit of hooks that one account makes is 50", ErrTooMany)
	case !c.by.Operator && inRoom >= maxRoomHooks:
		return fmt.Errorf("%w: the limit of hooks of a room is 50", ErrTooMany)
	}
	return nil
}

// endHooks notes in the audit that the hooks end that an account has made which is removed.
// Package chat lets no hook of such an account post, and removes it in TaskLeave, with the
// entry that its room's members see.
func (c *change) endHooks(a *people.Account) error {
	all, _, err := people.Hooks.Readable(c.Tx)
	if err != nil {
		return err
	}
	for i := range all {
		if h := &all[i]; h.Creator == a.ID {
			if err := c.audit(people.AuditHookRemove, h.ID, h.Username+" in "+h.Room+", with "+a.Username); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropHook removes an incoming webhook, in the transaction of a caller that has decided
// that the actor may remove it. Errors are ErrUnclaimed and ErrNotFound.
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
	return c.audit(people.AuditHookRemove, h.ID, h.Username+" in "+h.Room)
}
