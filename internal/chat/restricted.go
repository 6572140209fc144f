package chat

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// MaxRestricted is how many restrictions of a room are listed.
const MaxRestricted = 1000

// The beginnings of subjects, as kaban.Identity has them.
const (
	accountSubject = "account:"
	visitorSubject = "visitor:"
)

// Restricted is what moderation left somebody in a room.
type Restricted struct {
	Username string // a visitor's is folded
	Visitor  bool
	Banned   bool
	Muted    bool
	Until    int64 // of the ban, in milliseconds since 1970 UTC; 0 is for good
	Since    int64
	Reason   string
}

// Restricted returns who is banned from a room or muted in it, sorted by username, for
// those that may unban, and whether there are more than MaxRestricted. Networks are left
// out: they go with the names of visitors. It may block while the store is asked. Errors
// are ErrNotFound and ErrForbidden.
func (u User) Restricted(ctx context.Context, name kaban.RoomName) (list []Restricted, more bool, err error) {
	// SetFlags is of the same people as Unban, which asks whom it is about.
	err = u.whileAllowed(ctx, access.SetFlags, name, func(*dispatch.Room, ruling) error {
		return u.chat.dispatcher.View(ctx, func(tx store.Tx) error {
			list = nil
			room, _, err := people.Rooms.Known(tx, name)
			if err != nil {
				return err
			}
			var kept []people.Restriction
			if kept, more, err = people.Restrictions.List(tx, []string{room.Key}, nil, MaxRestricted); err != nil {
				return err
			}
			now := u.chat.now()
			for i := range kept {
				r, ok, err := restrictedOf(tx, &kept[i], now)
				if err != nil {
					return err
				}
				if ok {
					list = append(list, r)
				}
			}
			return nil
		})
	})
	slices.SortFunc(list, func(a, b Restricted) int { return cmp.Compare(a.Username, b.Username) })
	return list, more, err
}

// restrictedOf returns a restriction as an op sees it, or false for one that is over, or
// that is a network's.
func restrictedOf(tx store.Tx, kept *people.Restriction, now int64) (r Restricted, ok bool, err error) {
	r = Restricted{Banned: kept.Ban && (kept.Until == 0 || now < kept.Until), Muted: kept.Mute, Since: kept.Since, Reason: kept.Reason}
	if r.Banned {
		r.Until = kept.Until
	}
	if !r.Banned && !r.Muted {
		return r, false, nil
	}
	if name, isVisitor := strings.CutPrefix(kept.Subject, visitorSubject); isVisitor {
		r.Username, r.Visitor = name, true
		return r, true, nil
	}
	id, isAccount := strings.CutPrefix(kept.Subject, accountSubject)
	if !isAccount {
		return r, false, nil
	}
	a, err := people.Accounts.Get(tx, id)
	if errors.Is(err, people.ErrNotFound) {
		return r, false, nil
	}
	r.Username = a.Username
	return r, err == nil, err
}
