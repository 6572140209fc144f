package account

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Errors of single sign-on that callers distinguish with errors.Is.
var (
	// ErrIdentityTaken means that the identity belongs to another account.
	ErrIdentityTaken = errors.New("the identity at the provider belongs to another account")
	// ErrSubjectClaim means that an identity was stored under another claim than
	// oidc.subject_claim names now. The same value of two claims may be two people.
	ErrSubjectClaim = errors.New("the identity was linked under another oidc.subject_claim; link it again")
	// ErrRenew means that the account depends on its provider, and must sign in there
	// again.
	ErrRenew = errors.New("sign in at the provider of single sign-on again")
)

// anyAge is a max_age, in seconds, that forces nobody to sign in again: ten years.
const anyAge = "315360000"

// maxReturn is the maximum length of where a page goes on, in bytes.
const maxReturn = 1024

func identityID(issuer, subject string) string { return hashOf(store.Key(issuer, subject)) }

func putIdentity(tx store.Tx, c *people.Credential, data people.ProviderIdentity) error {
	if err := c.SetIdentity(data); err != nil {
		return err
	}
	return people.Credentials.Put(tx, c)
}

// SignInAddress returns the address at the provider that the browser goes to for a
// sign-in, and BeginLink the one for linking. browser is the secret of a cookie
// (NewBrowser), origin is where it is, as scheme://host[:port], and next is where the page goes on afterwards. Every call stores a
// ticket, so the caller limits them per address. Errors are ErrNoProvider and
// ErrProviderDown.
func (s *Service) SignInAddress(ctx context.Context, p *Provider, browser, origin, next string) (string, error) {
	// With any max_age the provider must send auth_time (OpenID Connect Core 1.0, section 2).
	return s.providerAddress(ctx, p, browser, "", providerTicket{Return: next, Redirect: p.redirect(origin)},
		oauth2.SetAuthURLParam("max_age", anyAge))
}

// BeginLink returns the address at the provider that links an identity there to the
// actor. It needs a fresh sign-in.
func (s *Service) BeginLink(ctx context.Context, by Actor, p *Provider, browser, origin, next string) (string, error) {
	if err := s.view(ctx, by, func(c *change) error { return c.mayOwn(access.ChangeCredentials) }); err != nil {
		return "", err
	}
	return s.providerAddress(ctx, p, browser, by.Principal.Account.ID, providerTicket{Return: next, Redirect: p.redirect(origin)})
}

// BeginConfirmation returns the address at the provider where the actor signs in again
// to make the device fresh. The provider is asked not to let its own session be enough,
// and to say when the person has signed in (OpenID Connect Core 1.0, section 3.1.2.1).
func (s *Service) BeginConfirmation(ctx context.Context, by Actor, p *Provider, browser, origin, next string) (string, error) {
	if err := s.view(ctx, by, func(c *change) error { return c.mayOwn(access.TendCredentials) }); err != nil {
		return "", err
	}
	ticket := providerTicket{Return: next, Redirect: p.redirect(origin), Confirm: true, Begun: s.now()}
	return s.providerAddress(ctx, p, browser, by.Principal.Account.ID, ticket,
		oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
}

func (s *Service) providerAddress(ctx context.Context, p *Provider, browser, account string, ticket providerTicket, more ...oauth2.AuthCodeOption) (string, error) {
	if len(ticket.Return) > maxReturn {
		return "", &ValueError{"return", "it is too long"}
	}
	set, err := s.providerSettings(ctx)
	if err != nil {
		return "", err
	}
	d, err := p.discover(ctx, set.issuer)
	if err != nil {
		return "", err
	}
	state := newSecret("")
	ticket.Issuer = set.issuer
	err = s.documents.Update(ctx, func(tx store.Tx) error {
		return beginCeremony(tx, ticketProvider, state, browser, account, s.options.Now(), ticket)
	})
	if err != nil {
		return "", err
	}
	return p.address(d, set, ticket.Redirect, browser, state, more...), nil
}

func (s *Service) providerSettings(ctx context.Context) (set *providerSettings, err error) {
	err = s.documents.View(ctx, func(tx store.Tx) error {
		set, err = readProvider(tx)
		return err
	})
	return set, err
}

// ProviderName returns what the button for single sign-on says, or ErrNoProvider.
func (s *Service) ProviderName(ctx context.Context) (string, error) {
	set, err := s.providerSettings(ctx)
	if err != nil {
		return "", err
	}
	return set.name, nil
}

// ProviderResult is the result of coming back from a provider.
type ProviderResult struct {
	Session Session // of a sign-in; empty if an identity was linked
	Linked  bool
	// Confirmed is set if the device of the actor was made fresh again.
	Confirmed bool
	Next      string       // where the page goes on
	Rooms     []RoomChange // for the caller to make
}

// FinishProvider signs in, or links an identity to the actor, with what a browser
// brings back from the provider. by is the account that is signed in, if any. Errors
// are ErrCeremony, *ProviderError, ErrIdentityTaken, ErrSubjectClaim, ErrNotOpen, and
// those of every sign-in. Those of a confirmation are *ConfirmationError too.
func (s *Service) FinishProvider(ctx context.Context, by Actor, p *Provider, answer ProviderAnswer, device Device) (ProviderResult, error) {
	var ticket providerTicket
	account, err := finishCeremony(ctx, s.documents, ticketProvider, answer.State, answer.Browser, s.options.Now(), &ticket)
	if err != nil {
		return ProviderResult{}, err
	}
	set, err := s.providerSettings(ctx)
	switch {
	case err != nil:
		return ProviderResult{}, err
	case ticket.Issuer != set.issuer, account != "" && account != by.Principal.Account.ID,
		ticket.Confirm && ticket.Begun == 0: // of a server that did not know when it was begun
		return ProviderResult{}, ErrCeremony
	}
	result := ProviderResult{Next: ticket.Return}
	who, err := p.redeem(ctx, set, ticket.Redirect, answer)
	if err == nil && ticket.Confirm {
		result.Confirmed = true
		if err = p.checkConfirmed(who, time.UnixMilli(ticket.Begun)); err == nil {
			err = s.update(ctx, by, func(c *change) error { return c.confirmWith(who) })
		}
	} else if err == nil && account != "" {
		result.Linked = true
		err = s.update(ctx, by, func(c *change) (err error) {
			if err := c.mayOwn(access.TendCredentials); err != nil {
				return err
			}
			result.Rooms, err = c.linkOwn(set, who)
			return err
		})
	} else if err == nil {
		result.Session, err = s.signInCounted(ctx, WayOIDC, device, func(c *change) (proof, error) {
			a, rooms, err := c.identify(set, who)
			result.Rooms = rooms
			return proof{account: a, issuer: set.issuer, maxAge: set.maxAge, signedIn: who.signedIn}, err
		})
	}
	if err != nil {
		if errors.Is(err, ErrAuthFailed) || errors.Is(err, ErrSuspended) {
			s.failed("", device.Address)
		}
		if ticket.Confirm {
			err = &ConfirmationError{err}
		}
		return ProviderResult{}, err
	}
	return result, nil
}

// confirmWith makes the device of the actor fresh again, if an identity is the actor's.
func (c *change) confirmWith(who identity) error {
	kept, err := people.Credentials.Get(c.Tx, string(people.CredentialOIDC), identityID(who.issuer, who.subject))
	if err != nil {
		return authFailed(err)
	}
	data, err := kept.Identity()
	if err != nil {
		return err
	}
	a := c.by.Principal.Account
	if kept.Account != a.ID || data.Claim != who.claim {
		return ErrAuthFailed
	}
	if _, err := authorizeSignIn(c.Tx, &a, WayOIDC); err != nil {
		return err
	}
	return c.refresh(c.by.Principal, WayOIDC)
}

// identify returns the account of an identity: the one that it is linked to, one that
// its address leads to, or a new one.
func (c *change) identify(set *providerSettings, who identity) (people.Account, []RoomChange, error) {
	kept, err := people.Credentials.Get(c.Tx, string(people.CredentialOIDC), identityID(who.issuer, who.subject))
	if err != nil && !errors.Is(err, people.ErrNotFound) {
		return people.Account{}, nil, err
	}
	if err == nil {
		data, err := kept.Identity()
		if err != nil {
			return people.Account{}, nil, err
		}
		a, err := people.Accounts.Get(c.Tx, kept.Account)
		switch {
		case err != nil:
			return a, nil, authFailed(err)
		case a.Status == people.StatusRemoved:
			return people.Account{}, nil, ErrAuthFailed
		case data.Claim != who.claim:
			return people.Account{}, nil, ErrSubjectClaim
		}
		rooms, err := c.arrive(set, &a, &kept, data, who)
		return a, rooms, err
	}
	a, made, err := c.accountFor(set, who)
	if err != nil {
		return a, nil, err
	}
	fresh, data, err := c.linkTo(&a, who.issuer, who.subject, who.claim)
	if err != nil {
		return a, nil, err
	}
	data.Made = made
	rooms, err := c.arrive(set, &a, fresh, data, who)
	return a, rooms, err
}

// accountFor returns the account that a verified address leads to, or a new one.
func (c *change) accountFor(set *providerSettings, who identity) (a people.Account, made bool, err error) {
	if set.linkByEmail && who.email != "" {
		a, ok, err := c.byEmail(who)
		if err != nil || ok {
			return a, false, err
		}
	}
	server, err := serverFacts(c.Tx)
	switch {
	case err != nil:
		return a, false, err
	case server.Claim != access.Claimed:
		return a, false, ErrUnclaimed
	case !set.create:
		return a, false, ErrNotOpen
	}
	name, err := freeName(c.Tx, who.username)
	if err != nil {
		return a, false, err
	}
	display, err := checkName(who.name)
	if err != nil {
		display = "" // the person can choose another one
	}
	role := kaban.RoleMember
	if set.roleOf(who.groups) == kaban.RoleGuest {
		role = kaban.RoleGuest
	}
	a, err = c.create(draft{username: name, name: display}, people.Account{Role: role, Status: people.StatusActive})
	if err != nil {
		return a, false, err
	}
	c.by.Principal = Principal{Account: a, Role: role}
	if err := c.audit(people.AuditAccountAdd, a.Username, "single sign-on"); err != nil {
		return a, false, err
	}
	return a, true, c.expectRooms(&a, nil, "")
}

// arrive records a sign-in at the provider: groups, the address, and the devices of the
// account that depend on the provider.
func (c *change) arrive(set *providerSettings, a *people.Account, kept *people.Credential, data people.ProviderIdentity, who identity) ([]RoomChange, error) {
	kept.Used = c.now
	if err := c.keepEmail(set, a, &data, who); err != nil {
		return nil, err
	}
	rooms, err := c.applyGroups(set, a, &data, who)
	if err != nil {
		return nil, err
	}
	if err := putIdentity(c.Tx, kept, data); err != nil {
		return nil, err
	}
	return rooms, c.renewDevices(a.ID, who.issuer, c.now+set.maxAge.Milliseconds())
}

// renewDevices moves the expiry of all devices that depend on a provider.
func (c *change) renewDevices(account, issuer string, until int64) error {
	secrets, _, err := people.Secrets.Of(c.Tx, account, people.SecretDevice, maxDevices)
	if err != nil {
		return err
	}
	for i := range secrets {
		if secrets[i].Issuer != issuer || secrets[i].Expires <= c.now {
			continue
		}
		secrets[i].Expires = until
		if err := people.Secrets.Put(c.Tx, &secrets[i]); err != nil {
			return err
		}
		c.changed(account)
	}
	return nil
}

// dependsOn completes the proof of a sign-in of an account whose sessions depend on a
// provider: one that the provider made, or that has no other way in. Its other devices
// end when its last sign-in at the provider is oidc.max_age ago. Then the error is
// ErrRenew.
func (c *change) dependsOn(way Way, proven proof) (issuer string, expires int64, err error) {
	if proven.maxAge > 0 {
		expires = c.now + proven.maxAge.Milliseconds()
	}
	if way == WayOIDC || proven.issuer != "" {
		return proven.issuer, expires, nil
	}
	found, _, err := people.Credentials.Of(c.Tx, proven.account.ID, "", maxCredentials)
	if err != nil {
		return "", 0, err
	}
	var identity *people.Credential
	depends := true
	for i := range found {
		switch found[i].Kind {
		case people.CredentialPassword, people.CredentialPasskey:
			depends = false
		case people.CredentialOIDC:
			if identity == nil || found[i].Used > identity.Used {
				identity = &found[i]
			}
		}
	}
	if identity == nil {
		return "", expires, nil
	}
	data, err := identity.Identity()
	if err != nil || !depends && !data.Made {
		return "", expires, err
	}
	set, err := readProvider(c.Tx)
	if errors.Is(err, ErrNoProvider) || err == nil && set.issuer != data.Issuer {
		return "", expires, nil // it cannot be renewed
	}
	if err != nil {
		return "", 0, err
	}
	until := identity.Used + set.maxAge.Milliseconds()
	if identity.Used > 0 && until <= c.now {
		return "", 0, ErrRenew
	}
	if identity.Used == 0 { // linked by an admin, and not used yet
		return "", expires, nil
	}
	return data.Issuer, until, nil
}
