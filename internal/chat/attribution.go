package chat

import (
	"errors"
	"fmt"

	"kaban/internal/people"
	"kaban/internal/store"
)

// attributions are the visitors whose entries are shown as those of accounts, by the
// ids of their identities.
type attributions map[string]attribution

// attribution is the account of a visitor.
type attribution struct {
	author string // the id of its identity
	until  int64  // milliseconds since 1970 UTC; whoever has the name from then on is somebody else
}

// linksPerPage is how many links are read at a time.
const linksPerPage = 500

// readAttributions reads all links of visitors to accounts.
func readAttributions(tx store.Tx) (attributions, error) {
	var all attributions
	var after []string
	for more := true; more; {
		var links []people.Link
		var err error
		if links, more, err = people.Links.List(tx, nil, after, linksPerPage); err != nil {
			return nil, err
		}
		for _, l := range links {
			after = []string{l.Visitor}
			a, err := people.Accounts.Get(tx, l.Account)
			if errors.Is(err, people.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			identity, err := a.Identity()
			if err != nil {
				return nil, fmt.Errorf("%w: the name of an account: %w", store.ErrDamaged, err)
			}
			if all == nil {
				all = make(attributions)
			}
			all[l.Visitor] = attribution{author: identity.ID(), until: l.Since}
		}
	}
	return all, nil
}

// attribute shows an entry of a visitor as one of the account that an owner has given
// its name to. The right to edit and the ids of messages are decided by the log, which
// stays as it is.
func (c *Chat) attribute(e *store.Entry) {
	all := c.attributed.Load()
	if all == nil || len(*all) == 0 {
		return
	}
	if a, ok := (*all)[e.Author]; ok && e.Time < a.until {
		e.Author = a.author
	}
}
