package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// Limits of invites and links.
const (
	inviteFor      = 7 * 24 * time.Hour // unless told otherwise
	maxInviteAge   = 365 * 24 * time.Hour
	maxInviteUses  = 10_000
	maxInviteRooms = 50
	maxInvites     = 5000           // of the server; admins may make more
	maxOwnInvites  = 100            // of a member; expired ones are not counted
	maxAdminsOwn   = 1000           // of an admin
	maxListed      = 10_000         // more are not shown
	maxLinks       = 100            // into one account; a new one drops those before
	firstLinkFor   = inviteFor      // of an account that an admin made
	resetLinkFor   = 24 * time.Hour // of one that exists
)

// NewInvite describes a link by which people make accounts.
type NewInvite struct {
	Role    kaban.Role // member or guest; 0 is member
	Rooms   []string   // names of rooms to join
	Uses    int        // 0 is one
	Expires time.Duration
}

// InviteInfo is what people see of an invite or of a link into an account.
type InviteInfo struct {
	ID       string
	Role     kaban.Role
	Rooms    []string
	Uses     int
	Expires  int64 // Unix milliseconds
	Created  int64
	Creator  string // a username; empty is the operator
	Username string // of the account that the link signs in to; empty if it makes one
}

func (n *NewInvite) check() (i people.Invite, err error) {
	i.Role, i.Uses = n.Role, n.Uses
	if i.Role == 0 {
		i.Role = kaban.RoleMember
	}
	if i.Uses == 0 {
		i.Uses = 1
	}
	if n.Expires == 0 {
		n.Expires = inviteFor
	}
	switch {
	case i.Role > kaban.RoleMember:
		return i, &ValueError{"role", "an invite makes a member or a guest"}
	case i.Uses < 0 || i.Uses > maxInviteUses:
		return i, &ValueError{"uses", "it must be 1 to 10,000"}
	case n.Expires < time.Minute || n.Expires > maxInviteAge:
		return i, &ValueError{"expires", "it must be between a minute and a year"}
	case len(n.Rooms) > maxInviteRooms:
		return i, &ValueError{"rooms", "there are more than 50"}
	}
	for _, r := range n.Rooms {
		room, err := kaban.ParseRoomName(r)
		if err != nil {
			return i, err
		}
		if !slices.Contains(i.Rooms, room.String()) {
			i.Rooms = append(i.Rooms, room.String())
		}
	}
	return i, nil
}

// Invite makes a link by which people make accounts, and returns its secret, which
// cannot be had again. The actor must be one that invites to the rooms, now and when
// they are joined: what was lost meanwhile lets nobody in. Errors are *UnknownRoomError
// for a room that does not exist or that the actor may not know, *CannotInviteError for
// one that it may not invite to, *RefusedError, ErrUnclaimed, ErrTooMany, *ValueError and *kaban.MessageError.
func (s *Service) Invite(ctx context.Context, by Actor, n NewInvite) (InviteInfo, string, error) {
	invite, err := n.check()
	if err != nil {
		return InviteInfo{}, "", err
	}
	secret := newSecret(invitePrefix)
	invite.Hash, invite.ID = hashOf(secret), newID()
	action := access.InviteMember
	if invite.Role == kaban.RoleGuest {
		action = access.InviteGuest
	}
	var info InviteInfo
	err = s.update(ctx, by, func(c *change) error {
		f, err := c.facts()
		if err != nil {
			return err
		}
		if err := c.verdict(action, f); err != nil {
			return err
		}
		for _, room := range invite.Rooms {
			if err := c.invitesTo(f, room, invite.Role); err != nil {
				return err
			}
		}
		if err := c.countInvites(); err != nil {
			return err
		}
		invite.Created, invite.Expires = c.now, c.now+n.Expires.Milliseconds()
		invite.Creator = c.creator()
		if err := people.Invites.Put(c.Tx, &invite); err != nil {
			return err
		}
		if info, err = c.inviteInfo(&invite); err != nil {
			return err
		}
		return c.audit(people.AuditInviteAdd, invite.ID, fmt.Sprintf("%s, uses: %d", invite.Role, invite.Uses))
	})
	if err != nil {
		return InviteInfo{}, "", fmt.Errorf("make an invite: %w", err)
	}
	return info, secret, nil
}

func (c *change) creator() string {
	if c.by.Operator {
		return ""
	}
	return c.by.Principal.Account.ID
}

// countInvites returns ErrTooMany if the actor has too many, or members altogether.
// Those that have expired make room. Admins have a limit of their own only, so that
// members cannot shut them out, and the operator has none.
func (c *change) countInvites() error {
	if c.by.Operator {
		return nil
	}
	own, admin := maxOwnInvites, c.by.Principal.Role >= kaban.RoleAdmin
	if admin {
		own = maxAdminsOwn
	}
	invites, _, err := people.Invites.InvitesBy(c.Tx, c.by.Principal.Account.ID, own)
	if err != nil {
		return err
	}
	switch full, err := c.isFull(invites, own); {
	case err != nil:
		return err
	case full:
		return fmt.Errorf("%w: the limit of invites of an account is %d", ErrTooMany, own)
	case admin:
		return nil
	}
	if invites, _, err = people.Invites.List(c.Tx, nil, nil, maxInvites); err != nil {
		return err
	}
	full, err := c.isFull(invites, maxInvites)
	if full && err == nil {
		err = fmt.Errorf("%w: the limit of invites is 5,000", ErrTooMany)
	}
	return err
}

// isFull reports whether there are as many invites as there may be. It removes those
// that have expired if that makes room.
func (c *change) isFull(invites []people.Invite, limit int) (bool, error) {
	if len(invites) < limit {
		return false, nil
	}
	full := true
	for _, i := range invites {
		if c.now < i.Expires {
			continue
		}
		full = false
		if err := people.Invites.Delete(c.Tx, i.Hash); err != nil {
			return false, err
		}
	}
	return full, nil
}

func (c *change) inviteInfo(i *people.Invite) (InviteInfo, error) {
	info := InviteInfo{ID: i.ID, Role: i.Role, Rooms: i.Rooms, Uses: i.Uses, Expires: i.Expires, Created: i.Created}
	var err error
	if info.Creator, err = c.usernameOf(i.Creator); err != nil {
		return info, err
	}
	info.Username, err = c.usernameOf(i.Account)
	return info, err
}

// usernameOf returns the username of an account; empty if there is none.
func (c *change) usernameOf(id string) (string, error) {
	if id == "" {
		return "", nil
	}
	a, err := people.Accounts.Get(c.Tx, id)
	return a.Username, ignoreNotFound(err)
}

// Invites returns the invites of the actor, or of everybody for admins.
func (s *Service) Invites(ctx context.Context, by Actor) (infos []InviteInfo, err error) {
	err = s.view(ctx, by, func(c *change) error {
		infos = nil
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		all, err := c.seesOthers()
		if err != nil {
			return err
		}
		invites, _, err := people.Invites.List(c.Tx, nil, nil, maxListed)
		if err != nil {
			return err
		}
		for i := range invites {
			if c.now >= invites[i].Expires || !all && invites[i].Creator != c.creator() {
				continue
			}
			info, err := c.inviteInfo(&invites[i])
			if err != nil {
				return err
			}
			infos = append(infos, info)
		}
		return nil
	})
	slices.SortFunc(infos, func(a, b InviteInfo) int { return int(b.Created - a.Created) })
	return infos, err
}

// seesOthers reports whether the actor may see what concerns others; see MayAdminister.
func (c *change) seesOthers() (bool, error) {
	err := c.may(access.ReadAudit)
	if isRefusal(err) {
		return false, nil
	}
	return err == nil, err
}

// RevokeInvite ends an invite of the actor, or of anybody for admins. Errors are
// *RefusedError, and ErrNotFound for an invite that the actor may not know of.
func (s *Service) RevokeInvite(ctx context.Context, by Actor, id string) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.may(access.ChangeProfile); err != nil {
			return err
		}
		all, err := c.seesOthers()
		if err != nil {
			return err
		}
		invite, err := people.Invites.WithID(c.Tx, id)
		others := invite.Creator != c.creator()
		switch {
		case errors.Is(err, people.ErrNotFound), err == nil && others && !all:
			return notFound("invite", id, "kaban invite list")
		case err != nil:
			return err
		}
		if others {
			if err := c.may(access.RevokeInvite); err != nil {
				return err
			}
		}
		if err := people.Invites.Delete(c.Tx, invite.Hash); err != nil {
			return err
		}
		return c.audit(people.AuditInviteRevoke, invite.ID, "")
	})
}

// Link returns what a link is for, so that a page can greet its holder. The error is
// ErrExpired for every secret that is no longer, or never was, of use.
func (s *Service) Link(ctx context.Context, secret string) (info InviteInfo, err error) {
	err = s.view(ctx, Actor{}, func(c *change) error {
		invite, err := c.link(secret)
		if err != nil {
			return err
		}
		info, err = c.inviteInfo(&invite)
		return err
	})
	return info, err
}

// link returns the invite with a secret if it is of use.
func (c *change) link(secret string) (i people.Invite, err error) {
	if !looksLike(secret, invitePrefix) {
		return i, ErrExpired
	}
	i, err = people.Invites.Get(c.Tx, hashOf(secret))
	switch {
	case errors.Is(err, people.ErrNotFound):
		return i, ErrExpired
	case err == nil && (i.Uses <= 0 || c.now >= i.Expires):
		return i, ErrExpired
	case err != nil:
		return i, err
	}
	stands, err := c.stands(&i)
	if err == nil && !stands {
		err = ErrExpired
	}
	return i, err
}

// stands reports whether the creator of an invite, or of a link into an account, could
// still make it. Otherwise it would outlive the right: an admin that became a member
// could come in with a link into an account that became an admin's.
func (c *change) stands(i *people.Invite) (bool, error) {
	if i.Creator == "" {
		return true, nil
	}
	creator, err := people.Accounts.Get(c.Tx, i.Creator)
	if errors.Is(err, people.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if creator.Bot { // programs make none; older versions let them
		return false, nil
	}
	f := access.Facts{Who: access.Identity{Active: true, Named: true, Person: true, InPerson: true, Fresh: true, Reach: access.ReachServer, Writes: true}}
	if f.Server, err = serverFacts(c.Tx); err != nil {
		return false, err
	}
	f.Server.Admission = max(f.Server.Admission, access.InviteOnly) // a closed server says so itself
	switch f.Who.Role, err = authorizeSignIn(c.Tx, &creator, WayDevice); {
	case errors.Is(err, ErrSuspended), errors.Is(err, ErrAuthFailed):
		return false, nil
	case err != nil:
		return false, err
	}
	action := access.InviteMember
	switch {
	case i.Account != "":
		action = access.Reset
		a, err := people.Accounts.Get(c.Tx, i.Account)
		if err != nil {
			return false, ignoreNotFound(err)
		}
		f.Target = access.Target{Whom: access.Other, Role: a.Role}
	case i.Role == kaban.RoleGuest:
		action = access.InviteGuest
	}
	return access.Can(action, f) == access.Allowed, nil
}

// use takes one use of an invite.
func (c *change) use(i people.Invite) error {
	if i.Uses--; i.Uses > 0 {
		return people.Invites.Put(c.Tx, &i)
	}
	return people.Invites.Delete(c.Tx, i.Hash)
}

// AcceptInvite makes an account, in the transaction that takes a use of the invite,
// and signs in. Errors are ErrExpired and those of SignUp.
func (s *Service) AcceptInvite(ctx context.Context, secret string, n NewAccount, device Device) (Session, error) {
	if _, err := s.Link(ctx, secret); err != nil { // before the work of hashing
		return Session{}, err
	}
	d, err := s.prepareAccount(hashFor(ctx, device.Address), n)
	if err != nil {
		return Session{}, err
	}
	var session Session
	err = s.update(ctx, Actor{Address: device.Address}, func(c *change) error {
		invite, err := c.link(secret)
		if err != nil {
			return err
		}
		if invite.Account != "" {
			return ErrExpired // it makes no account
		}
		if err := signUpAllowed(c.Tx, true); err != nil {
			return err
		}
		if err := c.use(invite); err != nil {
			return err
		}
		session, err = c.join(d, device, invite.Role, invite.Rooms, invite.Creator)
		return err
	})
	if err != nil {
		return Session{}, fmt.Errorf("accept an invite: %w", err)
	}
	return session, nil
}

// SignInWithLink signs in to the account of a link and uses the link up. A password
// that is not empty becomes the account's and revokes its other devices. Errors are
// ErrExpired, ErrWeakPassword and those of every sign-in.
func (s *Service) SignInWithLink(ctx context.Context, secret, password string, device Device) (Session, error) {
	info, err := s.Link(ctx, secret)
	if err != nil {
		return Session{}, err
	}
	if password == "" {
		return s.signInWithLink(ctx, secret, device, nil)
	}
	hash, err := s.newPassword(hashFor(ctx, device.Address), info.Username, password)
	if err != nil {
		return Session{}, err
	}
	return s.signInWithLink(ctx, secret, device, func(c *change, account string) error { return c.putPassword(account, hash) })
}

// SignInWithLinkAndPasskey is SignInWithLink that adds a passkey instead of a password.
// The passkey answers the options of BeginNewPasskey for the same link. Errors are also
// ErrCeremony, ErrPasskey, ErrPasskeyKnown and *OriginError.
func (s *Service) SignInWithLinkAndPasskey(ctx context.Context, secret string, n NewPasskey, device Device) (Session, error) {
	a, err := s.linked(ctx, secret)
	if err != nil {
		return Session{}, err
	}
	id, key, err := n.Keys.createdNew(ctx, a.ID, n.Browser, n.Response)
	if err != nil {
		return Session{}, err
	}
	return s.signInWithLink(ctx, secret, device, func(c *change, account string) error {
		if account != id {
			return ErrCeremony // it was begun for another link
		}
		kept, err := n.Keys.add(c.Tx, id, "", key)
		if err != nil {
			return err
		}
		return c.audit(people.AuditPasskeyAdd, kept.ID, kept.Name)
	})
}

// signInWithLink is the part that both have. put, if any, adds a way in, which revokes
// other devices.
func (s *Service) signInWithLink(ctx context.Context, secret string, device Device, put func(c *change, account string) error) (Session, error) {
	return s.signInCounted(ctx, WayLink, device, func(c *change) (proof, error) {
		invite, err := c.link(secret)
		if err != nil {
			return proof{}, err
		}
		if invite.Account == "" {
			return proof{}, ErrExpired
		}
		a, err := people.Accounts.Get(c.Tx, invite.Account)
		if err != nil {
			return proof{}, authFailed(err)
		}
		if err := c.use(invite); err != nil {
			return proof{}, err
		}
		if put != nil {
			if err := put(c, a.ID); err != nil {
				return proof{}, err
			}
			if err := c.revokeSecrets(a.ID, people.SecretDevice, ""); err != nil {
				return proof{}, err
			}
		}
		return proof{account: a}, nil
	})
}

// putLink makes a link into an account. It makes earlier ones useless.
func (c *change) putLink(a *people.Account, secret string, lifetime time.Duration) error {
	if err := c.dropLinks(a.ID); err != nil {
		return err
	}
	return people.Invites.Put(c.Tx, &people.Invite{
		Hash: hashOf(secret), ID: newID(), Account: a.ID, Role: a.Role, Uses: 1,
		Created: c.now, Expires: c.now + lifetime.Milliseconds(), Creator: c.creator(),
	})
}

// dropLinks makes the links into an account useless.
func (c *change) dropLinks(account string) error {
	links, _, err := people.Invites.For(c.Tx, account, maxLinks)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := people.Invites.Delete(c.Tx, l.Hash); err != nil {
			return err
		}
	}
	return nil
}
