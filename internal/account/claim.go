package account

import (
	"context"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
)

// The claim is a ticket with a code, so that there is one at most.
const (
	claimKind = "claim"
	claimCode = "claim"
	claimFor  = int64(100 * 365 * 24 * 3600 * 1000) // until the next start
)

// NewClaim returns a new secret with which somebody becomes the first owner. It
// makes the former one useless. The error is ErrClaimed if there is an owner. Call it
// at each start.
func (s *Service) NewClaim(ctx context.Context) (string, error) {
	secret := newSecret(claimPrefix)
	err := s.documents.Update(ctx, func(tx store.Tx) error {
		has, err := people.Accounts.HasOwner(tx)
		if err != nil {
			return err
		}
		if err := dropClaim(tx); err != nil {
			return err
		}
		if has {
			return nil
		}
		return people.Tickets.Put(tx, &people.Ticket{
			Hash: hashOf(secret), Kind: claimKind, Code: claimCode, Expires: s.now() + claimFor,
		})
	})
	if err != nil {
		return "", fmt.Errorf("make a claim: %w", err)
	}
	if _, has, err := s.Settings(ctx); err != nil || has {
		return "", errors.Join(err, ErrClaimed)
	}
	return secret, nil
}

// dropClaim makes the secret of the claim useless.
func dropClaim(tx store.Tx) error {
	t, err := people.Tickets.WithCode(tx, claimKind, claimCode)
	if err != nil {
		return ignoreNotFound(err)
	}
	return people.Tickets.Delete(tx, t.Hash)
}

// IsClaim reports whether a secret is that of the claim, so that a page can greet its
// holder.
func (s *Service) IsClaim(ctx context.Context, secret string) (ok bool, err error) {
	err = s.documents.View(ctx, func(tx store.Tx) error {
		ok, err = isClaim(tx, secret)
		return err
	})
	return ok, err
}

func isClaim(tx store.Tx, secret string) (bool, error) {
	if !looksLike(secret, claimPrefix) {
		return false, nil
	}
	t, err := people.Tickets.Get(tx, hashOf(secret))
	return err == nil && t.Kind == claimKind, ignoreNotFound(err)
}

// Claimed is what a claim made.
type Claimed struct {
	Session       Session
	RecoveryCodes []string
}

// ClaimServer makes the first owner, in the transaction that consumes the secret, and
// sets access: to invite if that is empty. Errors are ErrClaimed, ErrAuthFailed and
// those of SignUp.
func (s *Service) ClaimServer(ctx context.Context, secret string, n NewAccount, accessTo string, device Device) (Claimed, error) {
	ok, err := s.IsClaim(ctx, secret) // before the work of hashing
	if err != nil {
		return Claimed{}, err
	}
	if !ok {
		_, has, err := s.Settings(ctx)
		switch {
		case err != nil:
			return Claimed{}, err
		case has:
			return Claimed{}, ErrClaimed
		}
		s.failed("", device.Address)
		return Claimed{}, ErrAuthFailed
	}
	d, err := s.prepareAccount(hashFor(ctx, device.Address), n)
	if err != nil {
		return Claimed{}, err
	}
	made := Claimed{RecoveryCodes: newRecoveryCodes()}
	err = s.update(ctx, Actor{Address: device.Address}, func(c *change) error {
		if ok, err := isClaim(c.Tx, secret); err != nil || !ok {
			return errors.Join(err, ErrClaimed)
		}
		made.Session, err = c.claim(d, device, made.RecoveryCodes, accessTo)
		return err
	})
	if err != nil {
		return Claimed{}, fmt.Errorf("claim the server: %w", err)
	}
	return made, nil
}

func (c *change) claim(d draft, device Device, codes []string, accessTo string) (Session, error) {
	a, err := c.firstOwner(d, accessTo)
	if err != nil {
		return Session{}, err
	}
	if err := c.audit(people.AuditServerClaim, a.Username, ""); err != nil {
		return Session{}, err
	}
	if err := c.putRecoveryCodes(a.ID, codes); err != nil {
		return Session{}, err
	}
	return c.signIn(WayNew, device, proof{account: a}, d.secret)
}

// firstOwner makes the first owner, ends the claim and sets access.
func (c *change) firstOwner(d draft, accessTo string) (people.Account, error) {
	switch has, err := people.Accounts.HasOwner(c.Tx); {
	case err != nil:
		return people.Account{}, err
	case has:
		return people.Account{}, ErrClaimed
	}
	if err := dropClaim(c.Tx); err != nil {
		return people.Account{}, err
	}
	a, err := c.create(d, people.Account{Role: kaban.RoleOwner, Status: people.StatusActive})
	if err != nil {
		return a, err
	}
	if !c.by.Operator {
		c.by.Principal = Principal{Account: a, Role: a.Role}
	}
	if accessTo == "" {
		accessTo = "invite"
	}
	known, err := findSetting(SettingAccess)
	if err != nil {
		return a, err
	}
	if err := c.set(known, accessTo); err != nil {
		return a, err
	}
	return a, c.expectRooms(&a, nil, "")
}

// MadeOwner is what MakeOwner made. Secrets in it cannot be had again.
type MadeOwner struct {
	Account       people.Account
	First         bool     // the server had no owner
	New           bool     // the name had no account
	Link          string   // the secret of a link into the account, without a password
	RecoveryCodes []string // of a new account
}

// MakeOwner makes somebody an owner, by the operator, and with a password lets them
// in: the account is made, restored or promoted, whatever it was, unless it is a
// bot's or was removed. Former devices and passwords go when a password is given.
// It is how an owner that is locked out gets back in.
func (s *Service) MakeOwner(ctx context.Context, username, password string) (MadeOwner, error) {
	d, err := s.prepareAccount(ctx, NewAccount{Username: username, Password: password})
	if err != nil {
		return MadeOwner{}, err
	}
	link, codes := newSecret(invitePrefix), newRecoveryCodes()
	var made MadeOwner
	err = s.update(ctx, Operator(), func(c *change) (err error) {
		if made, err = c.makeOwner(d); err != nil {
			return err
		}
		if made.New {
			made.RecoveryCodes = codes
			if err := c.putRecoveryCodes(made.Account.ID, codes); err != nil {
				return err
			}
		}
		if password == "" {
			made.Link = link
			return c.putLink(&made.Account, link, resetLinkFor)
		}
		return nil
	})
	if err != nil {
		return MadeOwner{}, fmt.Errorf("make an owner: %w", err)
	}
	return made, nil
}

func (c *change) makeOwner(d draft) (made MadeOwner, err error) {
	has, err := people.Accounts.HasOwner(c.Tx)
	if err != nil {
		return made, err
	}
	a, err := people.Accounts.Named(c.Tx, d.username)
	made.First, made.New = !has, errors.Is(err, people.ErrNotFound)
	switch {
	case made.New && made.First:
		a, err = c.firstOwner(d, "")
	case made.New:
		if a, err = c.create(d, people.Account{Role: kaban.RoleOwner, Status: people.StatusActive}); err == nil {
			err = c.expectRooms(&a, nil, "")
		}
	case err == nil:
		err = c.promote(&a, d.hash, made.First)
	}
	if err != nil {
		return made, err
	}
	made.Account = a
	return made, c.audit(people.AuditAccountOwner, a.Username, "")
}

// promote makes an account that exists an owner.
func (c *change) promote(a *people.Account, hash string, first bool) error {
	if a.Bot || a.Status == people.StatusRemoved {
		return ErrNameTaken
	}
	if first {
		if err := dropClaim(c.Tx); err != nil {
			return err
		}
		known, err := findSetting(SettingAccess)
		if err != nil {
			return err
		}
		if err := c.set(known, "invite"); err != nil {
			return err
		}
	}
	if a.Status == people.StatusUnclaimed {
		if err := c.expectRooms(a, nil, ""); err != nil {
			return err
		}
	}
	a.Role, a.Status, a.Reason = kaban.RoleOwner, people.StatusActive, ""
	if hash != "" {
		if err := c.putPassword(a.ID, hash); err != nil {
			return err
		}
		if err := c.revokeSecrets(a.ID, people.SecretDevice, ""); err != nil {
			return err
		}
	}
	c.changed(a.ID)
	return people.Accounts.Put(c.Tx, a)
}
