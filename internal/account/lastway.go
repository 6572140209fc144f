package account

import (
	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxCredentials is the maximum number of credentials of one account that are read.
const maxCredentials = 200

// keepWayIn returns ErrLastWay if an account is the only active owner and would have no
// way in that remains reports true for. Recovery codes do not count: they are for the
// day on which a way in is lost, and each works once.
func keepWayIn(tx store.Tx, account string, remains func(*people.Credential) bool) error {
	a, err := people.Accounts.Get(tx, account)
	if err != nil {
		return err
	}
	if a.Role != kaban.RoleOwner {
		return nil
	}
	if other, err := otherOwner(tx, account); err != nil || other {
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
