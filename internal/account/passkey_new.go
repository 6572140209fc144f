package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"kaban/internal/people"
	"kaban/internal/store"
)

// ErrNoWayIn means that a new account would have neither a password nor a passkey.
var ErrNoWayIn = errors.New("choose a password, or make a passkey")

// NewPasskey is the first passkey of an account that is to be made: a response of
// navigator.credentials.create to the options of BeginNewPasskey, in the same browser.
type NewPasskey struct {
	Keys     *Passkeys
	Browser  string
	Response []byte
}

// Admission is what lets a stranger make an account: the secret of the claim or of an
// invite, or nothing where anybody may sign up.
type Admission struct{ Claim, Invite string }

// BeginNewPasskey returns options for navigator.credentials.create, as JSON, for the
// passkey of an account that is to be made. It checks first what can be: whether the
// stranger may make an account at all, and under that name, since a passkey that no
// account comes to have stays behind in the authenticator. With a link into an account
// the passkey is for that account, whatever n is. Errors are those of
// ClaimServer, SignUp and AcceptInvite.
func (s *Service) BeginNewPasskey(ctx context.Context, by Admission, keys *Passkeys, browser string, n NewAccount, address string) (json.RawMessage, error) {
	if by.Invite != "" {
		if a, err := s.linked(ctx, by.Invite); err != nil || a.ID != "" {
			if err != nil {
				return nil, err
			}
			return keys.beginFor(ctx, a, a.ID, browser)
		}
	}
	if err := s.admit(ctx, by, address); err != nil {
		return nil, err
	}
	n.Password, n.Passkey = "", nil
	d, err := s.prepareAccount(ctx, n)
	if err != nil {
		return nil, err
	}
	return keys.beginNew(ctx, d, browser)
}

// linked returns the account that a link signs in to. It has no id if the link makes one.
func (s *Service) linked(ctx context.Context, secret string) (a people.Account, err error) {
	err = s.view(ctx, Actor{}, func(c *change) error {
		invite, err := c.link(secret)
		if err != nil || invite.Account == "" {
			return err
		}
		a, err = people.Accounts.Get(c.Tx, invite.Account)
		return err
	})
	return a, err
}

// admit checks that a stranger may make an account.
func (s *Service) admit(ctx context.Context, by Admission, address string) error {
	switch {
	case by.Claim != "":
		ok, err := s.IsClaim(ctx, by.Claim)
		if err == nil && !ok {
			s.failed("", address)
			err = ErrAuthFailed
		}
		return err
	case by.Invite != "":
		info, err := s.Link(ctx, by.Invite)
		if err == nil && info.Username != "" {
			err = ErrExpired // it makes no account
		}
		if err != nil {
			return err
		}
		return s.documents.View(ctx, func(tx store.Tx) error { return signUpAllowed(tx, true) })
	}
	return s.maySignUp(ctx)
}

// beginNew returns options for the passkey of a new account, whose id it chooses.
func (p *Passkeys) beginNew(ctx context.Context, d draft, browser string) (options json.RawMessage, err error) {
	err = p.docs.View(ctx, func(tx store.Tx) error {
		alike, err := people.Accounts.Like(tx, d.username, 1)
		if err == nil && len(alike) > 0 {
			err = ErrNameTaken
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.beginFor(ctx, people.Account{ID: newID(), Username: d.username.String(), Name: d.name}, "", browser)
}

// beginFor returns options for the passkey of an account. owner is its id if it exists,
// else "": what was begun for an account makes no other one, and the other way round.
func (p *Passkeys) beginFor(ctx context.Context, a people.Account, owner, browser string) (options json.RawMessage, err error) {
	err = p.docs.Update(ctx, func(tx store.Tx) (err error) {
		h := &holder{account: a}
		if owner != "" {
			if h, _, err = p.holderOf(tx, owner); err != nil {
				return err
			}
		}
		creation, session, err := p.party.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
		if err != nil {
			return fmt.Errorf("begin the registration of a passkey: %w", err)
		}
		if options, err = json.Marshal(creation); err != nil {
			return fmt.Errorf("begin the registration of a passkey: %w", err)
		}
		return p.begin(tx, ticketNew, browser, owner, session)
	})
	return options, err
}

// createdNew verifies a response of navigator.credentials.create that beginFor began for
// owner and returns the account's id. Errors are ErrCeremony, ErrPasskey and *OriginError.
func (p *Passkeys) createdNew(ctx context.Context, owner, browser string, response []byte) (id string, key *webauthn.Credential, err error) {
	parsed, err := parseCreation(response)
	if err != nil {
		return "", nil, err
	}
	session, begunFor, err := p.finish(ctx, ticketNew, browser, &parsed.Response.CollectedClientData)
	if err == nil && begunFor != owner {
		err = ErrCeremony
	}
	if err != nil {
		return "", nil, err
	}
	id = string(session.UserID)
	key, err = p.party.CreateCredential(&holder{account: people.Account{ID: id}}, session, parsed)
	if err != nil {
		return "", nil, refusedPasskey(err)
	}
	return id, key, nil
}

// parseCreation parses a response of navigator.credentials.create.
func parseCreation(response []byte) (*protocol.ParsedCredentialCreationData, error) {
	if len(response) > MaxResponse {
		return nil, fmt.Errorf("%w: a response of %d bytes", ErrPasskey, len(response))
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return nil, refusedPasskey(err)
	}
	return parsed, nil
}

// ConfirmWithPasskey makes a device fresh again with a response of
// navigator.credentials.get to the options of BeginPasskeySignIn: it must come from a
// passkey of the actor. Errors are those of SignInWithPasskey.
func (s *Service) ConfirmWithPasskey(ctx context.Context, by Actor, keys *Passkeys, browser string, response []byte) error {
	as, err := keys.asserted(ctx, browser, response)
	if err == nil {
		err = s.update(ctx, by, func(c *change) error {
			a, err := c.proveWithPasskey(keys, as)
			if err != nil {
				return err
			}
			if a.ID != by.Principal.Account.ID {
				return ErrAuthFailed
			}
			if _, err := authorizeSignIn(c.Tx, a, WayPasskey); err != nil {
				return err
			}
			return c.refresh(by.Principal, WayPasskey)
		})
	}
	if err != nil {
		return s.passkeyFailed(by.Principal.Account.ID, Device{Address: by.Address}, err)
	}
	return nil
}

// proveWithPasskey returns the account of the passkey that made an assertion.
func (c *change) proveWithPasskey(keys *Passkeys, as assertion) (*people.Account, error) {
	a, key, err := keys.use(c.Tx, as)
	if err == nil && key.Copied {
		err = c.audit(people.AuditPasskeyCopied, key.ID, key.Name)
	}
	return a, err
}

// Ways returns how the actor can make the device fresh again, in the order in which a
// page offers them: WayPasskey, WayPassword, WayOIDC. It is empty for an account that
// signs in with links and recovery codes only.
func (s *Service) Ways(ctx context.Context, by Actor, keys *Passkeys) (ways []Way, err error) {
	err = s.view(ctx, by, func(c *change) error {
		issuer, err := readSetting(c.Tx, "oidc.issuer")
		if err != nil {
			return err
		}
		held, _, err := people.Credentials.Of(c.Tx, by.Principal.Account.ID, "", maxCredentials)
		if err != nil {
			return err
		}
		ways = []Way{}
		for _, w := range []struct {
			kind people.CredentialKind
			way  Way
		}{{people.CredentialPasskey, WayPasskey}, {people.CredentialPassword, WayPassword}, {people.CredentialOIDC, WayOIDC}} {
			for i := range held {
				if held[i].Kind == w.kind && (w.kind != people.CredentialPasskey || keys != nil) && signsIn(&held[i], keys, issuer) {
					ways = append(ways, w.way)
					break
				}
			}
		}
		return nil
	})
	return ways, err
}
