package account

import (
	"errors"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxCredentials is the maximum number of credentials of one account that are read.
const maxCredentials = 200

// ErrLastWay means that a change would take away the last way in of the last owner.
var ErrLastWay = errors.New("the last owner needs another way to sign in first")

// keepWayIn returns ErrLastWay if an account is the only active owner and would have no
// way in that remains reports true for. Recovery codes do not count: they are for the
// day on which a way in is lost, and each works once.
func keepWayIn(tx store.Tx, account string, remains func(*people.Credential) bool) error {
	a, err := people.Accounts.Get(tx, account)
	if err != nil {
		return err
	}
	last, err := isLastOwner(tx, &a)
	if err != nil || !last {
		return err
	}
	found, _, err := people.Credentials.Of(tx, account, "", maxCredentials)
	if err != nil {
		return err
	}
	for i := range found {
		if found[i].Kind != people.CredentialRecovery && found[i].Kind != people.CredentialEmail && remains(&found[i]) {
			return nil
		}
	}
	return ErrLastWay
}

// isLastOwner reports whether an account is the only active owner that is a person.
func isLastOwner(tx store.Tx, a *people.Account) (bool, error) {
	if a.Role != kaban.RoleOwner {
		return false, nil
	}
	owners, more, err := people.Accounts.WithRole(tx, kaban.RoleOwner, people.StatusActive, maxCredentials)
	if err != nil || more {
		return false, err
	}
	for i := range owners {
		if owners[i].ID != a.ID && !owners[i].Bot {
			return false, nil
		}
	}
	return true, nil
}
