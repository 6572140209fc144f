package chat

import (
	"errors"
	"math"
	"slices"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// attributions are the visitors whose entries are shown as those of accounts, by the
// ids of their identities.
type attributions map[string]attribution

// attribution is the account of a visitor.
type attribution struct {
	author string // the id of its identity; "" if it is not known, because the link is damaged
	until  int64  // milliseconds since 1970 UTC; whoever has the name from then on is somebody else
}

// readAttributions reads all links of visitors to accounts. An entry of a visitor whose link is damaged is shown as its
// own, and is nobody's to change; one of a visitor whose account is damaged, as the account's.
func readAttributions(tx store.Tx) (attributions, error) {
	var visitors, accounts []string
	all := make(attributions)
	err := people.Links.Each(tx, nil, func(key []string, l *people.Link) {
		if l == nil || l.Visitor != key[0] {
			all[key[0]] = attribution{until: math.MaxInt64}
			return
		}
		visitors, accounts = append(visitors, l.Visitor), append(accounts, l.Account)
		all[l.Visitor] = attribution{until: l.Since}
	})
	if err != nil {
		return nil, err
	}
	for i, account := range accounts {
		author := kaban.Account(account, kaban.Username{}).ID()
		switch a, err := people.Accounts.Get(tx, account); {
		case errors.Is(err, people.ErrNotFound):
			delete(all, visitors[i])
			continue
		case errors.Is(err, store.ErrDamaged):
		case err != nil:
			return nil, err
		default:
			if identity, err := a.Identity(); err == nil {
				author = identity.ID()
			}
		}
		all[visitors[i]] = attribution{author: author, until: all[visitors[i]].until}
	}
	return all, nil
}

// damaged returns the visitors whose links are damaged.
func (all attributions) damaged() (visitors []string) {
	for visitor, a := range all {
		if a.author == "" {
			visitors = append(visitors, visitor)
		}
	}
	slices.Sort(visitors)
	return visitors
}

// attribute shows an entry of a visitor as one of the account that an owner has given
// its name to. The right to edit and the ids of messages are decided by the log, which
// stays as it is.
func (c *Chat) attribute(e *store.Entry) {
	all := c.attributed.Load()
	if all == nil || len(*all) == 0 {
		return
	}
	if a, ok := (*all)[e.Author]; ok && e.Time < a.until && a.author != "" {
		e.Author = a.author
	}
}

// isOf reports whether a message is that of an identity, and is not, or may not be, attributed to an account.
func (c *Chat) isOf(e *store.Entry, id string) bool {
	if e.Author != id {
		return false
	}
	all := c.attributed.Load()
	if all == nil {
		return true
	}
	a, ok := (*all)[id]
	return !ok || e.Time >= a.until
}
