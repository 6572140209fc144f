package account

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// linkOwn links an identity to the actor.
func (c *change) linkOwn(set *providerSettings, who identity) ([]RoomChange, error) {
	a := c.by.Principal.Account
	kept, data, err := c.linkTo(&a, who.issuer, who.subject, who.claim)
	if err != nil {
		return nil, err
	}
	if err := c.audit(people.AuditIdentityLink, a.Username, who.issuer); err != nil {
		return nil, err
	}
	return c.arrive(set, &a, kept, data, who)
}

// linkTo returns the identity of an account, which is added if it is new.
func (c *change) linkTo(a *people.Account, issuer, subject, claim string) (*people.Credential, people.ProviderIdentity, error) {
	id := identityID(issuer, subject)
	kept, err := people.Credentials.Get(c.Tx, string(people.CredentialOIDC), id)
	switch {
	case err == nil && kept.Account != a.ID:
		other, err := people.Accounts.Get(c.Tx, kept.Account)
		if ignoreNotFound(err) != nil {
			return nil, people.ProviderIdentity{}, err
		}
		if !c.by.Operator || err == nil && other.Status != people.StatusRemoved {
			return nil, people.ProviderIdentity{}, ErrIdentityTaken
		} // else somebody comes back that was removed
	case err == nil:
		data, err := kept.Identity()
		data.Claim = claim
		return &kept, data, err
	case !errors.Is(err, people.ErrNotFound):
		return nil, people.ProviderIdentity{}, err
	}
	return &people.Credential{
		Kind: people.CredentialOIDC, ID: id, Account: a.ID, Name: issuer, Created: c.now,
	}, people.ProviderIdentity{Issuer: issuer, Subject: subject, Claim: claim}, nil
}

// emailID returns the id of the credential for an address.
func emailID(folded string) string { return hashOf("email " + folded) }

// byEmail returns the account that an address leads to. It never leads to an admin,
// to a bot, or to an account that has an identity at the provider already: the
// provider may have given the address to somebody new.
func (c *change) byEmail(who identity) (a people.Account, ok bool, err error) {
	address, err := people.Credentials.Get(c.Tx, string(people.CredentialEmail), emailID(who.email))
	if err != nil {
		return a, false, ignoreNotFound(err)
	}
	if a, err = people.Accounts.Get(c.Tx, address.Account); err != nil {
		return a, false, ignoreNotFound(err)
	}
	if a.Role >= kaban.RoleAdmin || a.Bot || a.Status == people.StatusRemoved {
		return a, false, nil
	}
	found, _, err := people.Credentials.Of(c.Tx, a.ID, people.CredentialOIDC, maxCredentials)
	if err != nil {
		return a, false, err
	}
	for i := range found {
		data, err := found[i].Identity()
		if err != nil || data.Issuer == who.issuer {
			return a, false, err
		}
	}
	return a, true, c.audit(people.AuditIdentityLink, a.Username, who.issuer+" by e-mail")
}

// keepEmail remembers the hash of a verified address if the setting says that it links.
// The first account with an address keeps it.
func (c *change) keepEmail(set *providerSettings, a *people.Account, data *people.ProviderIdentity, who identity) error {
	id := ""
	if set.linkByEmail && who.email != "" {
		id = emailID(who.email)
	}
	if data.Email != "" && data.Email != id {
		if err := people.Credentials.Delete(c.Tx, string(people.CredentialEmail), data.Email); err != nil {
			return err
		}
		data.Email = ""
	}
	if id == "" || data.Email == id {
		return nil
	}
	_, err := people.Credentials.Get(c.Tx, string(people.CredentialEmail), id)
	if !errors.Is(err, people.ErrNotFound) {
		return err
	}
	data.Email = id
	return people.Credentials.Put(c.Tx, &people.Credential{Kind: people.CredentialEmail, ID: id, Account: a.ID, Created: c.now})
}

// LinkIdentity links an identity at a provider to an account: `kaban user link`. It is a
// way into the account that its owner does not notice, so only the operator does it. People
// link their own by signing in at the provider (BeginLink).
func (s *Service) LinkIdentity(ctx context.Context, by Actor, username, issuer, subject string) error {
	if issuer, err := parseIssuer(issuer); err != nil || issuer == "" {
		return &ValueError{"issuer", "it is no https address"}
	}
	if subject = strings.TrimSpace(subject); subject == "" || len(subject) > maxSubject || strings.ContainsFunc(subject, unicode.IsControl) {
		return &ValueError{"subject", "it has 1 to 255 bytes, and no control character"}
	}
	return s.update(ctx, by, func(c *change) error {
		a, err := c.target(access.LinkIdentity, username, 0)
		if err != nil {
			return err
		}
		claim, err := readSetting(c.Tx, "oidc.subject_claim")
		if err != nil {
			return err
		}
		kept, data, err := c.linkTo(&a, issuer, subject, claim)
		if err != nil {
			return err
		}
		if err := putIdentity(c.Tx, kept, data); err != nil {
			return err
		}
		return c.audit(people.AuditIdentityLink, a.Username, issuer)
	})
}

// Identity is an identity at a provider as its owner sees it.
type Identity struct {
	ID      string `json:"id"`
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Created int64  `json:"created"`        // milliseconds since 1970 UTC
	Used    int64  `json:"used,omitempty"` // the last sign-in
}

// Identities returns the identities of the actor at providers.
func (s *Service) Identities(ctx context.Context, by Actor) (list []Identity, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		found, _, err := people.Credentials.Of(c.Tx, c.by.Principal.Account.ID, people.CredentialOIDC, maxCredentials)
		if err != nil {
			return err
		}
		list = nil
		for i := range found {
			data, err := found[i].Identity()
			if err != nil {
				return err
			}
			list = append(list, Identity{found[i].ID, data.Issuer, data.Subject, found[i].Created, found[i].Used})
		}
		return nil
	})
	return list, err
}

// UnlinkIdentity removes an identity of the actor and ends the devices that depend on
// its provider. It needs a fresh sign-in. If nothing else signs in to the account,
// the error is ErrLastWay.
func (s *Service) UnlinkIdentity(ctx context.Context, by Actor, keys *Passkeys, id string) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.mayOwn(access.ChangeCredentials); err != nil {
			return err
		}
		a := c.by.Principal.Account
		kept, err := found(people.Credentials.Get(c.Tx, string(people.CredentialOIDC), id))
		if err != nil {
			return err
		}
		data, err := kept.Identity()
		if err != nil {
			return err
		}
		if err := c.removeWay(keys, a.ID, kept.Kind, id); err != nil {
			return err
		}
		return c.unlinked(&a, data)
	})
}

// unlinked removes the address that came with an identity, and ends the devices that
// depend on it.
func (c *change) unlinked(a *people.Account, data people.ProviderIdentity) error {
	if data.Email != "" {
		if err := people.Credentials.Delete(c.Tx, string(people.CredentialEmail), data.Email); err != nil {
			return err
		}
	}
	if err := c.dropTickets(a.ID); err != nil { // one of the devices may have approved another one
		return err
	}
	secrets, _, err := people.Secrets.Of(c.Tx, a.ID, people.SecretDevice, maxDevices)
	if err != nil {
		return err
	}
	for i := range secrets {
		if secrets[i].Issuer != data.Issuer {
			continue
		}
		if err := c.deleteSecret(&secrets[i]); err != nil {
			return err
		}
	}
	return c.audit(people.AuditIdentityUnlink, a.Username, data.Issuer)
}
