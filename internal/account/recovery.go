package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// recoveryCodes is how many codes an account has. Each signs in once.
const recoveryCodes = 10

// A recovery code has 16 characters of base32, so 80 random bits. A plain hash is
// enough: nobody can try 2^80 codes.
const (
	recoveryLength = 16
	recoveryGroup  = 4
)

// newRecoveryCodes returns codes for people to write down, as "abcd-efgh-ijkl-mnop".
func newRecoveryCodes() []string {
	codes := make([]string, recoveryCodes)
	for i := range codes {
		text := strings.ToLower(rand.Text()[:recoveryLength])
		groups := make([]string, 0, recoveryLength/recoveryGroup)
		for at := 0; at < recoveryLength; at += recoveryGroup {
			groups = append(groups, text[at:at+recoveryGroup])
		}
		codes[i] = strings.Join(groups, "-")
	}
	return codes
}

// parseRecoveryCode returns the hash of a code as somebody typed it.
func parseRecoveryCode(typed string) (hash string, ok bool) {
	if len(typed) > 100 {
		return "", false
	}
	code := strings.Map(func(c rune) rune {
		if c == '-' || c == ' ' {
			return -1
		}
		return c
	}, strings.ToLower(typed))
	return hashOf(code), len(code) == recoveryLength
}

// putRecoveryCodes replaces the codes of an account.
func (c *change) putRecoveryCodes(account string, codes []string) error {
	if err := c.deleteCredentials(account, people.CredentialRecovery); err != nil {
		return err
	}
	for _, code := range codes {
		hash, _ := parseRecoveryCode(code)
		err := people.Credentials.Put(c.Tx, &people.Credential{
			Kind: people.CredentialRecovery, ID: hash, Account: account, Created: c.now,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// credentialPage is how many credentials of an account are read at a time.
const credentialPage = 100

// deleteCredentials removes the credentials of an account. An empty kind is all kinds.
func (c *change) deleteCredentials(account string, kind people.CredentialKind) error {
	for {
		credentials, more, err := people.Credentials.Of(c.Tx, account, kind, credentialPage)
		if err != nil {
			return err
		}
		for _, k := range credentials {
			if err := people.Credentials.Delete(c.Tx, string(k.Kind), k.ID); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// NewRecoveryCodes replaces the recovery codes of the actor, which needs a fresh
// sign-in. The codes cannot be had again.
func (s *Service) NewRecoveryCodes(ctx context.Context, by Actor) ([]string, error) {
	codes := newRecoveryCodes()
	err := s.update(ctx, by, func(c *change) error {
		if err := c.mayOwn(access.ChangeCredentials); err != nil {
			return err
		}
		a := c.by.Principal.Account
		if err := c.putRecoveryCodes(a.ID, codes); err != nil {
			return err
		}
		return c.audit(people.AuditRecoverySet, a.Username, "")
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RecoveryCodesLeft returns how many codes the actor has.
func (s *Service) RecoveryCodesLeft(ctx context.Context, by Actor) (n int, err error) {
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		codes, _, err := people.Credentials.Of(c.Tx, c.by.Principal.Account.ID, people.CredentialRecovery, credentialPage)
		n = len(codes)
		return err
	})
	return n, err
}

// SignInWithRecoveryCode makes a device for whoever has a recovery code of an
// account, and uses the code up. Whoever fails often gets a *WaitError.
func (s *Service) SignInWithRecoveryCode(ctx context.Context, username, code string, device Device) (_ Session, err error) {
	defer func() { s.signIns.count(err) }()
	attempt, err := s.begin(username, device.Address, device.Place)
	if err != nil {
		return Session{}, err
	}
	defer func() { attempt.end(err) }()
	hash, ok := parseRecoveryCode(code)
	if !ok {
		hash = "" // no code has it
	}
	// A wrong code must not wait for, or hold up, those that write.
	err = s.view(ctx, Actor{}, func(c *change) error {
		_, err := recoveryAccount(c.Tx, username, hash)
		return err
	})
	var session Session
	if err == nil {
		session, err = s.signIn(ctx, WayRecovery, device, func(c *change) (proof, error) {
			a, err := recoveryAccount(c.Tx, username, hash)
			if err != nil {
				return proof{}, err
			}
			if err := people.Credentials.Delete(c.Tx, string(people.CredentialRecovery), hash); err != nil {
				return proof{}, fmt.Errorf("use a recovery code: %w", err)
			}
			return proof{account: a}, nil
		})
	}
	if errors.Is(err, ErrAuthFailed) {
		s.failedName(ctx, username, device.Address)
	}
	return session, err
}

// recoveryAccount returns the account with a name if one of its codes has a hash.
func recoveryAccount(tx store.Tx, username, hash string) (a people.Account, err error) {
	credential, err := people.Credentials.Get(tx, string(people.CredentialRecovery), hash)
	if err != nil {
		return a, authFailed(err)
	}
	if a, err = people.Accounts.Get(tx, credential.Account); err != nil {
		return a, authFailed(err)
	}
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return a, ErrAuthFailed
	}
	identity, err := a.Identity()
	if err != nil {
		return a, err
	}
	if identity.Name().Key() != name.Key() {
		return a, ErrAuthFailed
	}
	return a, nil
}
