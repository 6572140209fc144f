package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Lengths of a password, in bytes.
const (
	MinPassword = 10
	MaxPassword = 1024
)

// passwordData is the Data of a password's credential.
type passwordData struct {
	Hash string `json:"hash"` // a PHC string
}

// SignInWithPassword makes a device for whoever knows the password of an account.
// A failure takes the same work and returns ErrAuthFailed whatever its cause;
// ErrSuspended needs the right password. ErrBusy is no failure of the caller. Whoever
// fails often gets a *WaitError; see limit.SignIns.
func (s *Service) SignInWithPassword(ctx context.Context, username, password string, device Device) (Session, error) {
	return s.proveWithPassword(ctx, username, password, device.Address, device.Place, func(prove func(*change) (proof, error)) (Session, error) {
		return s.signIn(ctx, WayPassword, device, prove)
	})
}

// Confirm makes a device fresh again if the password is right.
func (s *Service) Confirm(ctx context.Context, by Actor, password string) error {
	// Whoever is signed in is at a place of their own: strangers guess elsewhere.
	place := "device " + by.Principal.SecretID
	if s.options.SignIns != nil && by.Principal.SecretID != "" {
		s.options.SignIns.RememberAt(place, guessedName(by.Principal.Account.Username))
	}
	_, err := s.proveWithPassword(ctx, by.Principal.Account.Username, password, by.Address, place, func(prove func(*change) (proof, error)) (Session, error) {
		return Session{}, s.update(ctx, by, func(c *change) error {
			proven, err := prove(c)
			if err != nil {
				return err
			}
			if proven.account.ID != by.Principal.Account.ID {
				return ErrAuthFailed
			}
			if _, err := authorizeSignIn(c.Tx, &proven.account, WayPassword); err != nil {
				return err
			}
			return c.refresh(by.Principal, WayPassword)
		})
	})
	return err
}

// refresh records that the person at a device has proved themselves again.
func (c *change) refresh(p Principal, way Way) error {
	kept, err := people.Secrets.WithID(c.Tx, p.SecretID)
	if err != nil {
		return authFailed(err)
	}
	if kept.Account != p.Account.ID || kept.Kind != people.SecretDevice {
		return ErrAuthFailed
	}
	kept.Fresh = c.now
	if err := people.Secrets.Put(c.Tx, &kept); err != nil {
		return err
	}
	return c.audit(people.AuditDeviceConfirm, kept.ID, string(way))
}

// proveWithPassword checks a password and calls use with a function that proves the
// account in a transaction.
func (s *Service) proveWithPassword(ctx context.Context, username, password, address, place string, use func(func(*change) (proof, error)) (Session, error)) (_ Session, err error) {
	defer func() { s.signIns.count(err) }()
	attempt, err := s.begin(username, address, place)
	if err != nil {
		return Session{}, err
	}
	defer func() { attempt.end(err) }()
	ctx = hashFor(ctx, address)
	account, stored, err := s.passwordOf(ctx, username)
	if err != nil {
		return Session{}, err
	}
	prepared, ok := prepare(password)
	if !ok {
		prepared = "" // fits no hash, but takes the same work
	}
	right, outdated, err := s.hasher.verify(ctx, prepared, stored)
	if err != nil {
		return Session{}, fmt.Errorf("check a password: %w", err)
	}
	if !right || !ok {
		s.failed(account, address)
		return Session{}, ErrAuthFailed
	}
	var renewed string
	if outdated {
		if renewed, err = s.hasher.hash(ctx, prepared); err != nil {
			return Session{}, fmt.Errorf("hash a password: %w", err)
		}
	}
	return use(func(c *change) (proof, error) { return c.provePassword(account, stored, renewed) })
}

// passwordOf returns the account with a name and the hash of its password. Both are
// empty if there is none.
func (s *Service) passwordOf(ctx context.Context, username string) (account, hash string, err error) {
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return "", "", nil
	}
	err = s.documents.View(ctx, func(tx store.Tx) error {
		a, err := people.Accounts.Named(tx, name)
		if err != nil {
			return ignoreNotFound(err)
		}
		account = a.ID
		credential, err := people.Credentials.Get(tx, string(people.CredentialPassword), a.ID)
		if err != nil {
			return ignoreNotFound(err)
		}
		hash, err = decodePassword(&credential)
		return err
	})
	return account, hash, err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, people.ErrNotFound) {
		return nil
	}
	return err
}

func decodePassword(credential *people.Credential) (hash string, err error) {
	var data passwordData
	if err := json.Unmarshal(credential.Data, &data); err != nil {
		return "", fmt.Errorf("%w: the password of an account: %w", store.ErrDamaged, err)
	}
	return data.Hash, nil
}

// provePassword checks that the password is still the one that was verified.
func (c *change) provePassword(account, verified, renewed string) (proof, error) {
	a, err := people.Accounts.Get(c.Tx, account)
	if err != nil {
		return proof{}, authFailed(err)
	}
	credential, err := people.Credentials.Get(c.Tx, string(people.CredentialPassword), account)
	if err != nil {
		return proof{}, authFailed(err)
	}
	hash, err := decodePassword(&credential)
	if err != nil {
		return proof{}, err
	}
	if hash != verified {
		return proof{}, ErrAuthFailed
	}
	if renewed != "" {
		hash = renewed
	}
	return proof{account: a}, c.putPassword(account, hash)
}

// putPassword stores the hash of a password.
func (c *change) putPassword(account, hash string) error {
	credential, err := people.Credentials.Get(c.Tx, string(people.CredentialPassword), account)
	if errors.Is(err, people.ErrNotFound) {
		credential = people.Credential{Kind: people.CredentialPassword, ID: account, Account: account, Created: c.now}
	} else if err != nil {
		return err
	}
	if credential.Data, err = json.Marshal(passwordData{hash}); err != nil {
		return err
	}
	credential.Used = c.now
	return people.Credentials.Put(c.Tx, &credential)
}

// SetPassword gives the actor a password and revokes the actor's other devices. It
// needs a fresh sign-in. Tokens stay valid. Errors are ErrNotFresh and
// ErrWeakPassword.
func (s *Service) SetPassword(ctx context.Context, by Actor, password string) error {
	// Before the work of hashing.
	if err := s.view(ctx, by, func(c *change) error { return c.mayOwn(access.ChangeCredentials) }); err != nil {
		return err
	}
	hash, err := s.newPassword(hashFor(ctx, by.Address), by.Principal.Account.Username, password)
	if err != nil {
		return err
	}
	return s.update(ctx, by, func(c *change) error {
		if err := c.mayOwn(access.ChangeCredentials); err != nil {
			return err
		}
		account := c.by.Principal.Account
		if err := c.putPassword(account.ID, hash); err != nil {
			return err
		}
		if err := c.revokeSecrets(account.ID, people.SecretDevice, by.Principal.SecretID); err != nil {
			return err
		}
		return c.audit(people.AuditPasswordSet, account.Username, "")
	})
}

// newPassword returns the hash of a password if it is accepted.
func (s *Service) newPassword(ctx context.Context, username, password string) (hash string, err error) {
	prepared, err := checkPassword(username, password)
	if err != nil {
		return "", err
	}
	if hash, err = s.hasher.hash(ctx, prepared); err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

// RemovePassword removes the password of the actor, which needs a fresh sign-in. The
// error is ErrLastWay if the actor has neither a passkey nor single sign-on.
func (s *Service) RemovePassword(ctx context.Context, by Actor) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.mayOwn(access.ChangeCredentials); err != nil {
			return err
		}
		a := c.by.Principal.Account
		if err := c.removeWay(nil, a.ID, people.CredentialPassword, a.ID); err != nil {
			return err
		}
		return c.audit(people.AuditPasswordRemove, a.Username, "")
	})
}
