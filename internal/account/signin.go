package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/peer"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Way is a way to prove who one is.
type Way string

// The ways. Each ends in authorizeSignIn.
const (
	WayPassword Way = "password"
	WayPasskey  Way = "passkey"
	WayOIDC     Way = "oidc"
	WayGrant    Way = "device grant" // another device approved it
	WayRecovery Way = "recovery code"
	WayLink     Way = "link" // into one account
	WayDevice   Way = "device"
	WayToken    Way = "token"
	WayNew      Way = "new" // the account was made in the same transaction
)

// authorizeSignIn decides whether an account may be used by somebody with the right
// secret, and with which role. Every way in goes through it, in the transaction that
// uses the secret. The error is ErrAuthFailed or ErrSuspended.
func authorizeSignIn(tx store.Tx, a *people.Account, way Way) (kaban.Role, error) {
	if a.Bot && way != WayToken {
		return 0, ErrAuthFailed
	}
	switch a.Status {
	case people.StatusActive:
	case people.StatusSuspended:
		return 0, ErrSuspended
	case people.StatusUnclaimed:
		// Nobody has such an account yet, so it can have no other secrets.
		if way != WayLink && way != WayOIDC {
			return 0, ErrAuthFailed
		}
	default:
		return 0, ErrAuthFailed
	}
	if !a.Bot {
		return a.Role, nil
	}
	owner, err := people.Accounts.Get(tx, a.Owner)
	switch {
	case err != nil && !errors.Is(err, people.ErrNotFound):
		return 0, err
	case err != nil || owner.Status != people.StatusActive || owner.Bot:
		return 0, ErrSuspended // until somebody owns the bot
	}
	return min(a.Role, owner.Role), nil
}

// Principal is an account with the secret that proved it.
type Principal struct {
	Account people.Account
	// Role is what the account may do on the server now. A bot's is never above its
	// owner's.
	Role     kaban.Role
	SecretID string
	// SecretName is what people call the device or the token.
	SecretName string
	Kind       people.SecretKind
	Rooms      []string // keys; a token that is bound to rooms works in no other
	ReadOnly   bool
	Expires    int64 // in Unix milliseconds; 0 is never
	fresh      int64
}

func newPrincipal(a people.Account, role kaban.Role, secret *people.Secret) Principal {
	return Principal{
		Account: a, Role: role, SecretID: secret.ID, SecretName: secret.Name, Kind: secret.Kind, Rooms: secret.Rooms,
		ReadOnly: secret.ReadOnly, Expires: secret.Expires, fresh: secret.Fresh,
	}
}

// Session is the result of a sign-in.
type Session struct {
	Principal Principal
	Secret    string // of the new device; it cannot be had again
}

// Caller is who opens a connection, as far as its handshake has shown.
type Caller struct {
	Peer peer.Peer
	// TakesSecrets is set if passwords and tokens are taken from there.
	TakesSecrets bool
	Principal    *Principal // nil if the handshake had no credential that is accepted
	// Refused is ErrSuspended if the handshake had the credential of such an account. A
	// browser does not let its page read why a handshake fails, so hello says it.
	Refused error
}

// Host returns the address as this package stores it; "" if there is none.
func (c *Caller) Host() string {
	if !c.Peer.Addr.IsValid() {
		return ""
	}
	return c.Peer.Addr.String()
}

// Device describes what signs in.
type Device struct {
	Name    string // such as "Firefox on Linux"; people can change it
	Address string // without a port
	// Place is a secret that a browser (NewBrowser) or a client keeps, whoever signs in
	// there. Where an account has signed in before, others' guesses do not slow it down.
	// It proves no account. Empty is none.
	Place string
}

// Limits of devices and their use.
const (
	maxDevices    = 200 // per account; the one used longest ago makes room
	maxDeviceName = 100 // code points
	usedAccuracy  = time.Hour
	freshFor      = 15 * time.Minute // of a sign-in, for actions that need a fresh one
)

// proof is the result of checking a credential.
type proof struct {
	account people.Account
	issuer  string        // the OpenID provider that the sign-in depends on
	maxAge  time.Duration // of the new device; 0 is unlimited
	// signedIn is when the person has signed in at the provider; zero if it does not say.
	signedIn time.Time
}

// fresh returns when the person has proved themselves, in milliseconds since 1970 UTC; 0
// if nothing shows it. A session at a provider may be enough for a sign-in there, and is
// no newer for it. Clocks may differ by maxSkew.
func (p *proof) fresh(way Way, now int64) int64 {
	if way != WayOIDC {
		return now
	}
	if p.signedIn.IsZero() || p.signedIn.UnixMilli() > now+maxSkew.Milliseconds() {
		return 0
	}
	return min(now, p.signedIn.UnixMilli())
}

// signIn makes a device for whoever the function proves, in the transaction in
// which the credential is checked and used up. If the account may not be used,
// nothing is changed. A proof that is wrong returns ErrAuthFailed.
func (s *Service) signIn(ctx context.Context, way Way, device Device, prove func(*change) (proof, error)) (Session, error) {
	var session Session
	secret := newSecret(devicePrefix)
	err := s.update(ctx, Actor{Address: device.Address}, func(c *change) error {
		proven, err := prove(c)
		if err != nil {
			return err
		}
		session, err = c.signIn(way, device, proven, secret)
		return err
	})
	if err != nil {
		return Session{}, fmt.Errorf("sign in with a %s: %w", way, err)
	}
	s.remember(&session.Principal, device)
	return session, nil
}

// signInCounted is signIn for a way that is nothing but it.
func (s *Service) signInCounted(ctx context.Context, way Way, device Device, prove func(*change) (proof, error)) (Session, error) {
	session, err := s.signIn(ctx, way, device, prove)
	s.signIns.count(err)
	return session, err
}

// activate ends the wait of an account for its first sign-in.
func (c *change) activate(a *people.Account) error {
	if a.Status != people.StatusUnclaimed {
		return nil
	}
	a.Status = people.StatusActive
	if err := people.Accounts.Put(c.Tx, a); err != nil {
		return err
	}
	return c.expectRooms(a, nil, "")
}

// signIn is the part of Service.signIn that follows the proof.
func (c *change) signIn(way Way, device Device, proven proof, secret string) (Session, error) {
	a := proven.account
	role, err := authorizeSignIn(c.Tx, &a, way)
	if err != nil {
		return Session{}, err
	}
	c.by.Principal = Principal{Account: a, Role: role}
	if err := c.activate(&a); err != nil {
		return Session{}, err
	}
	kept := people.Secret{
		Hash: hashOf(secret), ID: newID(), Account: a.ID, Kind: people.SecretDevice,
		Name: deviceName(device.Name), Created: c.now, Used: c.now, Fresh: proven.fresh(way, c.now),
		Address: device.Address,
	}
	if kept.Issuer, kept.Expires, err = c.dependsOn(way, proven); err != nil {
		return Session{}, err
	}
	if err := c.makeRoomForDevice(a.ID); err != nil {
		return Session{}, err
	}
	if err := people.Secrets.Put(c.Tx, &kept); err != nil {
		return Session{}, err
	}
	if err := c.audit(people.AuditDeviceAdd, kept.ID, string(way)); err != nil {
		return Session{}, err
	}
	p := newPrincipal(a, role, &kept)
	c.by.Principal = p
	return Session{Principal: p, Secret: secret}, nil
}

// makeRoomForDevice revokes the device used longest ago if the account has too many.
func (c *change) makeRoomForDevice(account string) error {
	devices, _, err := people.Secrets.Of(c.Tx, account, people.SecretDevice, maxDevices)
	if err != nil || len(devices) < maxDevices {
		return err
	}
	oldest := slices.MinFunc(devices, func(a, b people.Secret) int { return int(a.Used - b.Used) })
	return c.deleteSecret(&oldest)
}

// Authenticate returns whose secret it is. The secret is a device's or a token's.
// Errors are ErrAuthFailed, ErrExpired (no longer, but once) and ErrSuspended.
//
// It reads one consistent state of the store, so a secret that was revoked before
// the call is refused. It writes at most once an hour for each secret.
func (s *Service) Authenticate(ctx context.Context, secret, address string) (Principal, error) {
	if !looksLike(secret, devicePrefix) && !looksLike(secret, tokenPrefix) {
		return Principal{}, ErrAuthFailed
	}
	var (
		kept people.Secret
		p    Principal
		now  = s.now()
	)
	err := s.documents.View(ctx, func(tx store.Tx) (err error) {
		if kept, err = people.Secrets.Get(tx, hashOf(secret)); err != nil {
			return authFailed(err)
		}
		p, err = principal(tx, &kept, now)
		return err
	})
	switch {
	case errors.Is(err, ErrAuthFailed):
		s.countWrong(address)
		s.signIns.count(err)
		return Principal{}, err
	case err != nil:
		return Principal{}, err
	}
	s.remember(&p, Device{Address: address})
	if age := now - kept.Used; age >= usedAccuracy.Milliseconds() || age <= -usedAccuracy.Milliseconds() {
		s.touch(ctx, kept.Hash, address)
	}
	return p, nil
}

// authFailed hides whether something exists.
func authFailed(err error) error {
	if errors.Is(err, people.ErrNotFound) {
		return ErrAuthFailed
	}
	return err
}

// principal returns whose secret it is, if it may be used now.
func principal(tx store.Tx, kept *people.Secret, now int64) (Principal, error) {
	if kept.Expires != 0 && now >= kept.Expires {
		return Principal{}, ErrExpired
	}
	a, err := people.Accounts.Get(tx, kept.Account)
	if err != nil {
		return Principal{}, authFailed(err)
	}
	way := WayDevice
	if kept.Kind == people.SecretToken {
		way = WayToken
	}
	role, err := authorizeSignIn(tx, &a, way)
	if err != nil {
		return Principal{}, err
	}
	return newPrincipal(a, role, kept), nil
}

// Renew returns what a principal is now. Long-lived connections call it after
// OnChanged, and before the time that Expires says.
func (s *Service) Renew(ctx context.Context, p Principal) (Principal, error) {
	var now Principal
	err := s.documents.View(ctx, func(tx store.Tx) (err error) {
		kept, err := people.Secrets.WithID(tx, p.SecretID)
		if err != nil {
			return authFailed(err)
		}
		now, err = principal(tx, &kept, s.now())
		return err
	})
	return now, err
}

// touch stores that a secret was used. A failure only makes the list of devices less
// exact.
func (s *Service) touch(ctx context.Context, hash, address string) {
	s.mu.Lock()
	busy := s.touching[hash]
	s.touching[hash] = true
	s.mu.Unlock()
	if busy {
		return
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.touching, hash)
	}()
	err := s.documents.Update(ctx, func(tx store.Tx) error {
		kept, err := people.Secrets.Get(tx, hash)
		if err != nil {
			return err
		}
		kept.Used, kept.Address = s.now(), address
		return people.Secrets.Put(tx, &kept)
	})
	if err != nil && !errors.Is(err, people.ErrNotFound) && ctx.Err() == nil {
		s.options.Log.Warn("store the use of a secret", "error", err)
	}
}

// Fresh reports whether somebody has proved themselves on this device within the
// last 15 minutes. A moment in the future does not count: the clock was set back.
func (s *Service) Fresh(p Principal) bool {
	age := s.now() - p.fresh
	return p.Kind == people.SecretDevice && p.fresh != 0 && age >= 0 && age < freshFor.Milliseconds()
}
