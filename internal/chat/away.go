package chat

import (
	"context"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// NotificationsChanged has the connections of an account told what it wants to be notified of.
func (c *Chat) NotificationsChanged(account string) { c.tell(account, kaban.RoomName{}) }

// Notifications returns what the account wants to be notified of. It blocks while the store is
// asked. It returns ErrAuthRequired.
func (u User) Notifications(ctx context.Context) (n people.Notifications, err error) {
	if u.account() == "" {
		return n, u.chat.count(ErrAuthRequired)
	}
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
		account, err := people.Accounts.Get(tx, u.account())
		n = account.Notifications
		return err
	})
	return n, u.chat.count(err)
}

// SetAway sets what the account says of itself in lists of members, for all its devices. An
// until that is over already counts as over. It blocks while the store is asked. It returns
// ErrAuthRequired, ErrForbidden, and ErrTooLate if until is after MaxUntil.
func (u User) SetAway(ctx context.Context, away people.Away) error {
	if u.account() == "" {
		return u.chat.count(ErrAuthRequired)
	}
	if away.Until > MaxUntil {
		return u.chat.count(ErrTooLate)
	}
	return u.chat.count(u.chat.dispatcher.Update(ctx, func(tx store.Tx) error {
		s, err := u.scene(tx, kaban.RoomName{}, false, false)
		if err != nil {
			return err
		}
		if err := refusalOf(access.Can(access.ChangeProfile, s.Facts), access.ChangeProfile); err != nil {
			return err
		}
		if s.account.Away = nil; away != (people.Away{Until: away.Until}) {
			s.account.Away = &away
		}
		return people.Accounts.Put(tx, &s.account)
	}))
}
