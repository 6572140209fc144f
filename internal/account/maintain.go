package account

import (
	"context"
	"errors"
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
	step      int // of maintenance
	addresses *people.Audit
	invites   string // a hash
	secrets   string // a hash
	pushes    string // an id
}

// Bounds of a time of day that was set ahead.
const (
	leapSlack = time.Hour      // ahead of the time that has passed is no leap
	leapFor   = 24 * time.Hour // nothing is removed after one
)

// leaps notices that the time of day was set ahead while the process runs. That may be a
// mistake, which somebody corrects, but nobody brings back what was removed meanwhile.
type leaps struct {
	seen  bool
	ahead time.Duration // of the time of day ahead of Options.Elapsed, before a leap
	until time.Duration // of Options.Elapsed: the leap counts as meant then; 0 if there is none
}

// recent reports whether the time of day cannot be relied upon yet, and whether that is
// new.
func (l *leaps) recent(now int64, elapsed time.Duration) (recent, fresh bool) {
	ahead := time.Duration(now)*time.Millisecond - elapsed
	leapt := l.seen && ahead > l.ahead+leapSlack
	if l.seen = true; leapt && l.until == 0 {
		l.until, fresh = elapsed+leapFor, true
	}
	if leapt && elapsed < l.until {
		return true, fresh
	}
	l.ahead, l.until = ahead, 0
	return false, false
}

// Maintain removes some of what has expired, in one short transaction. It returns
// whether there is more to look at; then call it again soon, else in an hour. For a day
// after the time of day was set ahead by more than an hour it removes nothing. Only one
// goroutine may call it.
func (s *Service) Maintain(ctx context.Context) (more bool, err error) {
	if err := s.FlushFailures(ctx); err != nil {
		return false, fmt.Errorf("maintain accounts: %w", err)
	}
	if recent, fresh := s.leaps.recent(s.now(), s.options.Elapsed()); recent {
		if fresh {
			s.options.Log.Warn("the clock was set ahead; nothing that has expired is removed for a day, in case it is corrected", "now", s.options.Now())
		}
		return false, nil
	}
	var next cursors
	err = s.documents.Update(ctx, func(tx store.Tx) error {
		next = s.cursors
		var err error
		if more, err = maintenance[next.step](tx, s.now(), &next); err != nil {
			return err
		}
		if !more {
			next.step = (next.step + 1) % len(maintenance)
			more = next.step != 0
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("maintain accounts: %w", err)
	}
	s.cursors = next
	return more, nil
}

// maintenance has the steps of Maintain. Each returns whether it has more to do.
var maintenance = []func(tx store.Tx, now int64, at *cursors) (more bool, err error){
	expireTickets, expireInvites, expireAudit, dropAddresses, expireSecrets, expirePushes,
}

func expireTickets(tx store.Tx, now int64, _ *cursors) (bool, error) {
	n, err := people.Tickets.Expire(tx, now, maintainStep)
	return n == maintainStep, err
}

func expireInvites(tx store.Tx, now int64, at *cursors) (bool, error) {
	return expire(tx, &people.Invites.Table, &at.invites, func(i people.Invite) (string, bool) { return i.Hash, i.Expires <= now })
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
	return expire(tx, &people.Secrets.Table, &at.secrets, func(k people.Secret) (string, bool) {
		return k.Hash, k.Expires != 0 && k.Expires <= now-expiredFor.Milliseconds()
	})
}

// expirePushes removes the subscriptions of devices that expireSecrets has removed. Nothing was
// pushed to them since the device had expired.
func expirePushes(tx store.Tx, _ int64, at *cursors) (bool, error) {
	var failed error
	more, err := expire(tx, &people.Pushes.Table, &at.pushes, func(p people.Push) (string, bool) {
		_, err := people.Secrets.WithID(tx, p.Device)
		gone := errors.Is(err, people.ErrNotFound)
		if err != nil && !gone {
			failed = err
		}
		return p.ID, gone
	})
	return more, errors.Join(err, failed)
}

// expire looks at the documents of a table that come after a key, and deletes those that
// have expired. It returns whether there are more after them.
func expire[T any](tx store.Tx, table *people.Table[T], at *string, look func(T) (key string, expired bool)) (bool, error) {
	var after []string
	if *at != "" {
		after = []string{*at}
	}
	found, more, err := table.List(tx, nil, after, maintainStep)
	if err != nil {
		return false, err
	}
	for _, v := range found {
		key, expired := look(v)
		*at = key
		if !expired {
			continue
		}
		if err := table.Delete(tx, key); err != nil {
			return false, err
		}
	}
	if !more {
		*at = "" // begin anew in an hour
	}
	return more, nil
}
