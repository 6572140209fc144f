package account

import (
	"kaban"
	"kaban/internal/people"
)

// maxCredentials is the maximum number of credentials of one account that are read.
const maxCredentials = 200

// keepWayIn returns ErrLastWay if the actor is the only active owner, and would have no
// way in without a credential. Recovery codes do not count: they are for the day on
// which a way in is lost, and each works once. Passkeys for another address and
// identities at another provider do not count either.
func (c *change) keepWayIn(keys *Passkeys, without *people.Credential) error {
	a := &c.by.Principal.Account
	if a.Role != kaban.RoleOwner {
		return nil
	}
	if other, err := otherOwner(c.Tx, a.ID); err != nil || other {
		return err
	}
	issuer, err := readSetting(c.Tx, "oidc.issuer")
	if err != nil {
		return err
	}
	found, _, err := people.Credentials.Of(c.Tx, a.ID, "", maxCredentials)
	if err != nil {
		return err
	}
	for i := range found {
		other := &found[i]
		if other.Kind == without.Kind && other.ID == without.ID {
			continue
		}
		switch other.Kind {
		case people.CredentialPassword:
			return nil
		case people.CredentialPasskey:
			if data, err := passkeyOf(other); err == nil && keys != nil && data.Party == keys.party.Config.RPID {
				return nil
			}
		case people.CredentialOIDC:
			if data, err := identityOf(other); err == nil && data.Issuer == issuer {
				return nil
			}
		}
	}
	return ErrLastWay
}
