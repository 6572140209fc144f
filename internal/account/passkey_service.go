package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kaban/internal/access"
	"kaban/internal/people"
)

// BeginPasskeySignIn returns options for navigator.credentials.get, as JSON. browser is
// the secret of a cookie (NewBrowser), which SignInWithPasskey needs as well. Every
// call stores a ticket, so the caller limits them per address.
func (s *Service) BeginPasskeySignIn(ctx context.Context, keys *Passkeys, browser string) (json.RawMessage, error) {
	return keys.beginSignIn(ctx, browser)
}

// SignInWithPasskey signs in with a response of navigator.credentials.get. Errors are
// ErrAuthFailed, ErrCeremony, ErrSuspended and *OriginError.
func (s *Service) SignInWithPasskey(ctx context.Context, keys *Passkeys, browser string, response []byte, device Device) (_ Session, err error) {
	defer func() { s.signIns.count(err) }()
	as, err := keys.asserted(ctx, browser, response)
	if err != nil {
		return Session{}, s.passkeyFailed("", device, err)
	}
	var account string
	session, err := s.signIn(ctx, WayPasskey, device, func(c *change) (proof, error) {
		a, err := c.proveWithPasskey(keys, as)
		if err != nil {
			return proof{}, err
		}
		account = a.ID
		return proof{account: *a}, nil
	})
	if err != nil {
		return Session{}, s.passkeyFailed(account, device, err)
	}
	return session, nil
}

// passkeyFailed counts a failed sign-in and returns its error.
func (s *Service) passkeyFailed(account string, device Device, err error) error {
	if _, moved := errors.AsType[*OriginError](err); moved || errors.Is(err, ErrCeremony) {
		return err
	}
	if errors.Is(err, ErrPasskey) {
		err = fmt.Errorf("%w: %w", ErrAuthFailed, err)
	}
	if errors.Is(err, ErrAuthFailed) || errors.Is(err, ErrSuspended) {
		s.failed(account, device.Address)
	}
	return err
}

// BeginPasskey returns options for navigator.credentials.create, as JSON, for a new
// passkey of the actor. It needs a fresh sign-in.
func (s *Service) BeginPasskey(ctx context.Context, by Actor, keys *Passkeys, browser string) (json.RawMessage, error) {
	if err := s.view(ctx, by, func(c *change) error { return c.mayOwn(access.ChangeCredentials) }); err != nil {
		return nil, err
	}
	return keys.beginRegistration(ctx, by.Principal.Account.ID, browser)
}

// AddPasskey adds the passkey in a response of navigator.credentials.create to the
// actor's. An empty name becomes "Passkey" or "Passkey 2". Errors are ErrCeremony,
// ErrPasskey, ErrPasskeyKnown, ErrTooMany, *ValueError and *OriginError.
func (s *Service) AddPasskey(ctx context.Context, by Actor, keys *Passkeys, browser, name string, response []byte) (Passkey, error) {
	account := by.Principal.Account.ID
	key, err := keys.created(ctx, account, browser, response)
	if err != nil {
		return Passkey{}, err
	}
	var made Passkey
	err = s.update(ctx, by, func(c *change) error {
		if err := c.mayOwn(access.TendCredentials); err != nil {
			return err
		}
		kept, err := keys.add(c.Tx, account, name, key)
		if err != nil {
			return err
		}
		if made, err = keys.view(kept); err != nil {
			return err
		}
		return c.audit(people.AuditPasskeyAdd, kept.ID, kept.Name)
	})
	return made, err
}

// Passkeys returns the passkeys of the actor.
func (s *Service) Passkeys(ctx context.Context, by Actor, keys *Passkeys) (list []Passkey, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		list, err = keys.list(c.Tx, c.by.Principal.Account.ID)
		return err
	})
	return list, err
}

// RenamePasskey changes the name of a passkey of the actor.
func (s *Service) RenamePasskey(ctx context.Context, by Actor, keys *Passkeys, id, name string) error {
	return s.update(ctx, by, func(c *change) error {
		kept, err := c.ownPasskey(access.TendCredentials, keys, id)
		if err != nil {
			return err
		}
		if kept.Name = strings.TrimSpace(name); !validPasskeyName(kept.Name) {
			return errPasskeyName
		}
		if err := people.Credentials.Put(c.Tx, &kept); err != nil {
			return err
		}
		return c.audit(people.AuditPasskeyRename, id, kept.Name)
	})
}

// RemovePasskey removes a passkey of the actor. It needs a fresh sign-in. If
// nothing else signs in to the account, the error is ErrLastWay.
func (s *Service) RemovePasskey(ctx context.Context, by Actor, keys *Passkeys, id string) error {
	return s.update(ctx, by, func(c *change) error {
		kept, err := c.ownPasskey(access.ChangeCredentials, keys, id)
		if err != nil {
			return err
		}
		if err := c.removeWay(keys, kept.Account, kept.Kind, id); err != nil {
			return err
		}
		return c.audit(people.AuditPasskeyRemove, id, kept.Name)
	})
}

// ownPasskey returns a passkey of the actor, if it may do an action on it.
func (c *change) ownPasskey(action access.Action, keys *Passkeys, id string) (people.Credential, error) {
	if err := c.mayOwn(action); err != nil {
		return people.Credential{}, err
	}
	return keys.own(c.Tx, c.by.Principal.Account.ID, id)
}
