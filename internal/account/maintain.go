package account

import (
	"context"
	"fmt"
	"time"

	"kaban/internal/people"
	"kaban/internal/store"
)

// How long things are kept.
const (
	auditFor     = 365 * 24 * time.Hour
	addressesFor = 30 * 24 * time.Hour // in the audit
	expiredFor   = 30 * 24 * time.Hour // devices and tokens that have expired
)

// maintainStep is how many documents of a kind one transaction looks at.
const maintainStep = 500

// cursors are where the next step of Maintain goes on. They begin anew with each
// process.
type cursors struct {
	addresses *people.Audit
	secrets   string // a hash
}

// Maintain removes what has expired, in one short transaction. It returns whether
// there is more to do; then call it again soon, else in an hour. Only one goroutine may
// call it.
func (s *Service) Maintain(ctx context.Context) (more bool, err error) {
	if err := s.FlushFailures(ctx); err != nil {
		return false, fmt.Errorf("maintain accounts: %w", err)
	}
	next := s.cursors
	err = s.documents.Update(ctx, func(tx store.Tx) error {
		next, more = s.cursors, false
		now := s.now()
		for _, step := range []func(store.Tx, int64, *cursors) (bool, error){
			expireTickets, expireInvites, expireAudit, dropAddresses, expireSecrets,
		} {
			unfinished, err := step(tx, now, &next)
			if err != nil {
				return err
			}
			more = more || unfinished
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("maintain accounts: %w", err)
	}
	s.cursors = next
	return more, nil
}

func expireTickets(tx store.Tx, now int64, _ *cursors) (bool, error) {
	n, err := people.Tickets.Expire(tx, now, maintainStep)
	return n == maintainStep, err
}

func expireInvites(tx store.Tx, now int64, _ *cursors) (bool, error) {
	invites, _, err := people.Invites.List(tx, nil, nil, maxListed)
	if err != nil {
		return false, err
	}
	n := 0
	for _, i := range invites {
		if now < i.Expires || n == maintainStep {
			continue
		}
		n++
		if err := people.Invites.Delete(tx, i.Hash); err != nil {
			return false, err
		}
	}
	return n == maintainStep, nil
}

func expireAudit(tx store.Tx, now int64, _ *cursors) (bool, error) {
	rows, more, err := people.Audits.Since(tx, 0, nil, maintainStep)
	if err != nil {
		return false, err
	}
	for i := range rows {
		if rows[i].Time > now-auditFor.Milliseconds() {
			return false, nil
		}
		if err := people.Audits.Remove(tx, &rows[i]); err != nil {
			return false, err
		}
	}
	return more, nil
}

func dropAddresses(tx store.Tx, now int64, at *cursors) (bool, error) {
	rows, more, err := people.Audits.Since(tx, 0, at.addresses, maintainStep)
	if err != nil {
		return false, err
	}
	for i := range rows {
		row := rows[i]
		if row.Time > now-addressesFor.Milliseconds() {
			return false, nil
		}
		at.addresses = &rows[i]
		if row.Address == "" {
			continue
		}
		if err := withoutAddress(tx, row); err != nil {
			return false, err
		}
	}
	return more, nil
}

// withoutAddress removes the address from a row. Counts of failed sign-ins have it in
// their ids, too, so they become rows with new ones.
func withoutAddress(tx store.Tx, row people.Audit) error {
	if row.Action == actionSignInFailed {
		if err := people.Audits.Remove(tx, &row); err != nil {
			return err
		}
		row.ID = newID()
	}
	row.Address = ""
	return people.Audits.Put(tx, &row)
}

func expireSecrets(tx store.Tx, now int64, at *cursors) (bool, error) {
	var after []string
	if at.secrets != "" {
		after = []string{at.secrets}
	}
	secrets, more, err := people.Secrets.List(tx, nil, after, maintainStep)
	if err != nil {
		return false, err
	}
	for _, k := range secrets {
		at.secrets = k.Hash
		if k.Expires != 0 && k.Expires <= now-expiredFor.Milliseconds() {
			if err := people.Secrets.Delete(tx, k.Hash); err != nil {
				return false, err
			}
		}
	}
	if !more {
		at.secrets = "" // begin anew in an hour
	}
	return more, nil
}
