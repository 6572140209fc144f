package account

import (
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
)

// This file asks package access. The facts are those of the transaction.

// maxOwners is the number of owners among which another active one is looked for.
const maxOwners = 100

// otherOwner reports whether an active owner other than an account exists.
func otherOwner(tx store.Tx, account string) (bool, error) {
	owners, _, err := people.Accounts.WithRole(tx, kaban.RoleOwner, people.StatusActive, maxOwners)
	if err != nil {
		return false, err
	}
	for _, o := range owners {
		if o.ID != account && !o.Bot {
			return true, nil
		}
	}
	return false, nil
}

// serverFacts returns the facts about the server. No listener counts as local: what
// is allowed there before the server has an owner does not concern accounts.
func serverFacts(tx store.Tx) (access.Server, error) {
	has, err := people.Accounts.HasOwner(tx)
	if err != nil {
		return access.Server{}, err
	}
	settings, err := readSettings(tx)
	if err != nil {
		return access.Server{}, err
	}
	server := access.Server{
		Claim: access.Unclaimed, Admission: settings.Access,
		MembersCreate: settings.CreateRooms <= kaban.RoleMember,
		MembersInvite: settings.InviteMembers <= kaban.RoleMember,
	}
	if has {
		server.Claim = access.Claimed
	}
	return server, nil
}

// actorFacts returns the facts about the actor, as of this transaction: the secret
// may have been revoked, and the role may have changed.
func (c *change) actorFacts() (access.Identity, error) {
	if c.by.Operator {
		return access.Identity{
			Role: kaban.RoleOwner, Active: true, Person: true, InPerson: true, Fresh: true, Operator: true,
			Reach: access.ReachServer, Writes: true,
		}, nil
	}
	kept, err := people.Secrets.WithID(c.Tx, c.by.Principal.SecretID)
	if err != nil {
		return access.Identity{}, authFailed(err)
	}
	if kept.Account != c.by.Principal.Account.ID {
		return access.Identity{}, ErrAuthFailed
	}
	p, err := principal(c.Tx, &kept, c.now)
	if err != nil {
		return access.Identity{}, err
	}
	c.by.Principal = p
	who := access.Identity{
		Role: p.Role, Active: true, Named: true, Person: !p.Account.Bot, InPerson: p.Kind == people.SecretDevice,
		Fresh: p.Kind == people.SecretToken || c.service.Fresh(p), Writes: !p.ReadOnly,
	}
	if len(p.Rooms) == 0 {
		who.Reach = access.ReachServer
	}
	return who, nil
}

// facts returns what is known before the target.
func (c *change) facts() (f access.Facts, err error) {
	if f.Server, err = serverFacts(c.Tx); err != nil {
		return f, err
	}
	if f.Server.Claim != access.Claimed {
		return f, ErrUnclaimed
	}
	f.Who, err = c.actorFacts()
	return f, err
}

// may returns nil if the actor may do something that has no target. Errors are
// *RefusedError, ErrUnclaimed, and those of a secret that is no longer valid.
func (c *change) may(action access.Action) error {
	f, err := c.facts()
	if err != nil {
		return err
	}
	return c.verdict(action, f)
}

// mayTo is may with a target. newRole is that of ChangeRole. A target without an id
// is nobody.
func (c *change) mayTo(action access.Action, target *people.Account, newRole kaban.Role) error {
	f, err := c.facts()
	if err != nil {
		return err
	}
	return c.judge(action, f, target, newRole)
}

// judge is mayTo for facts that are known already.
func (c *change) judge(action access.Action, f access.Facts, target *people.Account, newRole kaban.Role) (err error) {
	if target.ID == "" || target.Status == people.StatusRemoved && action != access.Erase {
		return c.verdict(action, f)
	}
	f.Target = access.Target{Whom: access.Other, Role: target.Role, NewRole: newRole}
	if !c.by.Operator && target.ID == c.by.Principal.Account.ID {
		f.Target.Whom = access.Self
	}
	if target.Role == kaban.RoleOwner {
		if f.Target.OtherOwner, err = otherOwner(c.Tx, target.ID); err != nil {
			return err
		}
	}
	if err := c.acquaint(&f, target.ID); err != nil {
		return err
	}
	return c.verdict(action, f)
}

// acquaint reads whether the actor and an account are in a room together, which only
// guests need to be. A bot's owner needs to know the account, too.
func (c *change) acquaint(f *access.Facts, account string) (err error) {
	if c.by.Operator || f.Who.Role > kaban.RoleGuest {
		return nil
	}
	actor := &c.by.Principal.Account
	if f.Target.SharesRoom, err = people.Members.Share(c.Tx, actor.ID, account); err != nil || !actor.Bot {
		return err
	}
	owner, err := people.Accounts.Get(c.Tx, actor.Owner)
	if err != nil {
		return err
	}
	var of access.Facts
	of.Who.Role = owner.Role
	if of.Target.SharesRoom, err = people.Members.Share(c.Tx, owner.ID, account); err != nil {
		return err
	}
	*f = access.LimitTarget(*f, of)
	return nil
}

func (c *change) verdict(action access.Action, f access.Facts) error {
	if v := access.Can(action, f); v != access.Allowed {
		return &RefusedError{action, v}
	}
	return nil
}

// target returns the account with a name if the actor may do something to it. One that
// the actor may not know of is a *NotFoundError, as is a name without an account.
func (c *change) target(action access.Action, username string, newRole kaban.Role) (people.Account, error) {
	var a people.Account
	if name, err := kaban.ParseUsername(username); err == nil {
		if a, err = people.Accounts.Named(c.Tx, name); ignoreNotFound(err) != nil {
			return a, fmt.Errorf("look for an account: %w", err)
		}
	}
	err := c.mayTo(action, &a, newRole)
	if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Verdict == access.NotFound {
		err = NoAccount(username)
	}
	return a, err
}

// other returns the account with a name, for somebody that may see what concerns others.
func (c *change) other(username string) (a people.Account, err error) {
	if err := c.may(access.ReadAudit); err != nil {
		return a, err
	}
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return a, NoAccount(username)
	}
	a, err = people.Accounts.Named(c.Tx, name)
	if errors.Is(err, people.ErrNotFound) {
		err = NoAccount(username)
	}
	return a, err
}

// mayOwn returns nil if the actor, a person, may change or tend its own credentials.
func (c *change) mayOwn(action access.Action) error {
	if c.by.Operator { // it has none
		return &RefusedError{action, access.Forbidden}
	}
	return c.may(action)
}

// isRefusal reports whether an error is a decision of package access.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*RefusedError](err)
	return ok
}
