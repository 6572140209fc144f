package account

import "kaban/internal/people"

// maxCredentials is the maximum number of credentials of one account that are read.
const maxCredentials = 200

// removeWay removes a credential, unless it is the last one that signs in to the
// account again and again: then the error is ErrLastWay. Recovery codes do not count,
// because each works once; nor do passkeys that keys cannot use and identities at
// another provider than the present one. If keys is nil, every passkey counts.
func (c *change) removeWay(keys *Passkeys, account string, kind people.CredentialKind, id string) error {
	held, err := found(people.Credentials.Get(c.Tx, string(kind), id))
	if err != nil {
		return err
	}
	if held.Account != account {
		return ErrNotFound
	}
	issuer, err := readSetting(c.Tx, "oidc.issuer")
	if err != nil {
		return err
	}
	others, _, err := people.Credentials.Of(c.Tx, account, "", maxCredentials)
	if err != nil {
		return err
	}
	for i := range others {
		other := &others[i]
		if (other.Kind != kind || other.ID != id) && signsIn(other, keys, issuer) {
			return people.Credentials.Delete(c.Tx, string(kind), id)
		}
	}
	return ErrLastWay
}

// signsIn reports whether a credential signs in again and again at this server.
func signsIn(c *people.Credential, keys *Passkeys, issuer string) bool {
	switch c.Kind {
	case people.CredentialPassword:
		return true
	case people.CredentialPasskey:
		data, err := passkeyOf(c)
		return err == nil && (keys == nil || data.Party == keys.party.Config.RPID)
	case people.CredentialOIDC:
		data, err := c.Identity()
		return err == nil && data.Issuer == issuer
	}
	return false
}
