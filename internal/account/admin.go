package account

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"

	"golang.org/x/text/cases"
)

// maxReason is the length of a reason, in code points.
const maxReason = 200

// NewPerson describes an account that an admin makes for somebody else.
type NewPerson struct {
	NewAccount
	Role kaban.Role // 0 is member
}

// AddAccount makes an account for somebody else, by an admin. Without a password it
// returns the secret of a link for the first sign-in, which cannot be had again.
func (s *Service) AddAccount(ctx context.Context, by Actor, n NewPerson) (a people.Account, link string, err error) {
	if n.Role == 0 {
		n.Role = kaban.RoleMember
	}
	// Nobody else may make the server hash.
	if err := s.view(ctx, by, func(c *change) error { return c.mayAdd(n.Role) }); err != nil {
		return a, "", err
	}
	d, err := s.prepareAccount(hashFor(ctx, by.Address), n.NewAccount)
	if err != nil {
		return a, "", err
	}
	if d.hash == "" {
		link = newSecret(invitePrefix)
	}
	err = s.update(ctx, by, func(c *change) error {
		if err := c.mayAdd(n.Role); err != nil {
			return err
		}
		status := people.StatusActive
		if d.hash == "" {
			status = people.StatusUnclaimed
		}
		if a, err = c.create(d, people.Account{Role: n.Role, Status: status}); err != nil {
			return err
		}
		if d.hash == "" {
			err = c.putLink(&a, link, firstLinkFor)
		}
		if err == nil { // people can be invited and found before they sign in
			err = c.expectRooms(&a, nil, "")
		}
		if err != nil {
			return err
		}
		return c.audit(people.AuditAccountAdd, a.Username, n.Role.String())
	})
	if err != nil {
		return people.Account{}, "", fmt.Errorf("add an account: %w", err)
	}
	return a, link, nil
}

// mayAdd returns nil if the actor may make an account with a role: owners any, admins
// those below.
func (c *change) mayAdd(role kaban.Role) error {
	f, err := c.facts()
	if err != nil {
		return err
	}
	if role > kaban.RoleOwner || f.Who.Role < kaban.RoleOwner && role >= f.Who.Role {
		return &RefusedError{access.CreateAccount, access.Forbidden}
	}
	return c.verdict(access.CreateAccount, f)
}

// administer changes an account, by an admin. done gets the account as it is, and
// returns the detail of the audit.
func (s *Service) administer(ctx context.Context, by Actor, action access.Action, row people.AuditAction, username string, newRole kaban.Role, do func(*change, *people.Account) (detail string, err error)) error {
	err := s.update(ctx, by, func(c *change) error {
		a, err := c.target(action, username, newRole)
		if err != nil {
			return err
		}
		detail, err := do(c, &a)
		if err != nil {
			return err
		}
		if err := people.Accounts.Put(c.Tx, &a); err != nil {
			return err
		}
		c.changed(a.ID)
		return c.audit(row, a.Username, detail)
	})
	if err != nil {
		return fmt.Errorf("%s an account: %w", action, err)
	}
	return nil
}

// ended announces that an account and its bots cannot be used any more. What somebody has
// begun for it is void. Where it was the last op, somebody else becomes one.
func (c *change) ended(account string) error {
	c.revoked(account, "")
	if err := c.endPushesOf(account); err != nil {
		return err
	}
	if err := c.dropTickets(account); err != nil {
		return err
	}
	if err := c.task(account, people.TaskSucceed); err != nil {
		return err
	}
	return c.botsOf(account, func(bot string) { c.revoked(bot, "") })
}

// task records what is to be done in rooms.
func (c *change) task(account string, kind people.TaskKind) error {
	return people.Tasks.Put(c.Tx, &people.Task{Account: account, Kind: kind, ID: newID(), Since: c.now})
}

func (c *change) botsOf(owner string, do func(id string)) error {
	return people.Accounts.Bots(c.Tx, owner, func(bot *people.Account) bool {
		do(bot.ID)
		return true
	})
}

// Suspend keeps an account, and its bots, from being used. Its devices and tokens
// work again after Restore.
func (s *Service) Suspend(ctx context.Context, by Actor, username, reason string) error {
	if utf8.RuneCountInString(reason) > maxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		return &ValueError{"reason", "it has more than 200 characters, or a control character"}
	}
	return s.administer(ctx, by, access.Suspend, people.AuditAccountSuspend, username, 0, func(c *change, a *people.Account) (string, error) {
		a.Status, a.Reason = people.StatusSuspended, reason
		return reason, c.ended(a.ID)
	})
}

// Restore undoes Suspend.
func (s *Service) Restore(ctx context.Context, by Actor, username string) error {
	return s.administer(ctx, by, access.Restore, people.AuditAccountRestore, username, 0, func(c *change, a *people.Account) (string, error) {
		if a.Status != people.StatusSuspended {
			return "", &StateError{a.Username, "is not suspended"}
		}
		a.Reason, a.Status = "", people.StatusActive
		if used, err := c.everUsed(a); err != nil || used {
			return "", err
		}
		a.Status = people.StatusUnclaimed
		return "", nil
	})
}

// everUsed reports whether somebody has signed in to an account, as far as it has
// something to sign in with.
func (c *change) everUsed(a *people.Account) (bool, error) {
	if a.Bot {
		return true, nil
	}
	secrets, _, err := people.Secrets.Of(c.Tx, a.ID, "", 1)
	if err != nil || len(secrets) > 0 {
		return true, err
	}
	credentials, _, err := people.Credentials.Of(c.Tx, a.ID, "", 1)
	return len(credentials) > 0, err
}

// Reset revokes everything that an account signs in with: devices, tokens, password,
// passkeys, recovery codes and single sign-on. It returns the secret of a link into
// the account. Tokens of the account's bots stay valid.
func (s *Service) Reset(ctx context.Context, by Actor, username string) (link string, err error) {
	link = newSecret(invitePrefix)
	err = s.administer(ctx, by, access.Reset, people.AuditAccountReset, username, 0, func(c *change, a *people.Account) (string, error) {
		if a.Bot {
			return "", &ValueError{"account", "a bot signs in with tokens only"}
		}
		if err := c.disarm(a.ID); err != nil {
			return "", err
		}
		return "", c.putLink(a, link, resetLinkFor)
	})
	if err != nil {
		return "", err
	}
	return link, nil
}

// disarm removes everything that an account signs in with.
func (c *change) disarm(account string) error {
	if err := c.revokeSecrets(account, "", ""); err != nil {
		return err
	}
	return c.deleteCredentials(account, "")
}

// SetRole changes the role of an account: somebody else's, or one's own, downward.
func (s *Service) SetRole(ctx context.Context, by Actor, username string, role kaban.Role) error {
	return s.administer(ctx, by, access.ChangeRole, people.AuditAccountRole, username, role, func(c *change, a *people.Account) (string, error) {
		if a.Bot && role > kaban.RoleAdmin {
			return "", &ValueError{"role", "a bot is no owner"}
		}
		a.Role = role
		return role.String(), c.botsOf(a.ID, c.changed)
	})
}

// Remove ends an account for good. Its name stays taken, and its bots stop until
// GiveBot. Links by which it has invited people are of no use any more, and the incoming
// webhooks that it has made have ended. The actor may
// remove nobody above, and an owner may remove itself while there is another one.
func (s *Service) Remove(ctx context.Context, by Actor, username string) error {
	return s.administer(ctx, by, access.Remove, people.AuditAccountRemove, username, 0, func(c *change, a *people.Account) (string, error) {
		return "", c.remove(a)
	})
}

func (c *change) remove(a *people.Account) error {
	if a.Status != people.StatusRemoved {
		if err := c.endHooks(a); err != nil {
			return err
		}
	}
	a.Status, a.Reason = people.StatusRemoved, ""
	a.Notifications, a.PushHint, a.Away = people.Notifications{}, false, nil
	if err := c.ended(a.ID); err != nil {
		return err
	}
	if err := c.task(a.ID, people.TaskLeave); err != nil { // once others are ops
		return err
	}
	kept, err := c.tombstones(a.ID)
	if err != nil {
		return err
	}
	if err := c.disarm(a.ID); err != nil {
		return err
	}
	for _, t := range kept {
		if err := people.Credentials.Put(c.Tx, &t); err != nil {
			return err
		}
	}
	for more := true; more; {
		var invites []people.Invite
		if invites, more, err = people.Invites.By(c.Tx, a.ID, maxAdminsOwn); err != nil {
			return err
		}
		for _, i := range invites {
			if err := people.Invites.Delete(c.Tx, i.Hash); err != nil {
				return err
			}
		}
	}
	return nil
}

// tombstones returns what is left of the identities of an account that is removed: the
// hashes of issuer and subject, so that a sign-in at the provider makes no new account of
// somebody that was removed.
func (c *change) tombstones(account string) (kept []people.Credential, err error) {
	found, _, err := people.Credentials.Of(c.Tx, account, people.CredentialOIDC, maxCredentials)
	for i := range found {
		kept = append(kept, people.Credential{Kind: people.CredentialOIDC, ID: found[i].ID, Account: account, Data: []byte("{}")})
	}
	return kept, err
}

// SetName changes the display name of the actor, or with a username that of an
// account below the actor. An empty name is the username.
func (s *Service) SetName(ctx context.Context, by Actor, username, name string) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	if username != "" {
		return s.administer(ctx, by, access.Reset, people.AuditAccountName, username, 0, func(_ *change, a *people.Account) (string, error) {
			a.Name = name
			return name, nil
		})
	}
	return s.changeOwn(ctx, by, access.ChangeProfile, people.AuditAccountName, name, func(c *change, a *people.Account) {
		a.Name = name
		c.changed(a.ID)
	})
}

// changeOwn changes the actor's own account, with a row of the audit, if the actor may do an action.
func (s *Service) changeOwn(ctx context.Context, by Actor, action access.Action, row people.AuditAction, detail string, set func(*change, *people.Account)) error {
	return s.update(ctx, by, func(c *change) error {
		if err := c.may(action); err != nil {
			return err
		}
		a := c.by.Principal.Account
		if a.ID == "" {
			return ErrNotFound
		}
		set(c, &a)
		if err := people.Accounts.Put(c.Tx, &a); err != nil {
			return err
		}
		return c.audit(row, a.Username, detail)
	})
}

// PeopleQuery selects accounts. Empty fields select everything.
type PeopleQuery struct {
	Prefix string // of the username or the name, in upper or lower case
	Text   string // anywhere in them
	Role   kaban.Role
	Status people.Status // empty is all but removed ones
	After  string        // the Cursor of the page before
	Limit  int           // 1 to 500; 0 is 100
}

// PeoplePage is a page of accounts, in the order of the keys of their usernames.
type PeoplePage struct {
	People []people.Account
	Cursor string // for the next page; empty if this is the last one
}

// Limits of a page of accounts.
const (
	defaultPeoplePage = 100
	maxPeoplePage     = 500
	maxPeopleScan     = 5000 // accounts looked at for one page; the page may be short
)

// People returns a page of the accounts that the actor may know of. Only admins see
// reasons of suspensions, groups and creators, and accounts that are not active. Bots have
// the role that they act with.
func (s *Service) People(ctx context.Context, by Actor, q PeopleQuery) (page PeoplePage, err error) {
	if q.Limit <= 0 {
		q.Limit = defaultPeoplePage
	}
	q.Limit = min(q.Limit, maxPeoplePage)
	fold := cases.Fold()
	q.Prefix, q.Text = fold.String(q.Prefix), fold.String(q.Text)
	err = s.view(ctx, by, func(c *change) error {
		page = PeoplePage{}
		f, err := c.facts()
		if err != nil {
			return err
		}
		return page.fill(c, f, q)
	})
	return page, err
}

func (p *PeoplePage) fill(c *change, f access.Facts, q PeopleQuery) error {
	admin := f.Who.Role >= kaban.RoleAdmin && f.Who.Reach == access.ReachServer
	after, last := q.After, q.After // looked at, and on the page
	for scanned := 0; ; {
		found, more, err := people.Accounts.InOrder(c.Tx, after, maxPeoplePage)
		if err != nil {
			return err
		}
		for i := range found {
			a := &found[i]
			key, err := nameKey(a)
			if err != nil {
				return err
			}
			after = key
			shown, err := withRole(c.Tx, *a)
			if err != nil {
				return err
			}
			if q.matches(&shown) && (admin || a.Status == people.StatusActive) {
				switch err := c.judge(access.KnowPerson, f, a, 0); {
				case err != nil && !admin && !isRefusal(err):
					return err
				case err != nil && !admin:
				case len(p.People) == q.Limit: // there are more only if one of them may be shown
					p.Cursor = last
					return nil
				default:
					p.People, last = append(p.People, visible(&shown, admin)), key
				}
			}
			if scanned++; scanned >= maxPeopleScan {
				if more || i+1 < len(found) {
					p.Cursor = after
				}
				return nil
			}
		}
		if !more {
			return nil
		}
	}
}

// withRole returns an account with the role that it acts with. A bot's is never above its
// owner's.
func withRole(tx store.Tx, a people.Account) (people.Account, error) {
	if !a.Bot {
		return a, nil
	}
	owner, err := people.Accounts.Get(tx, a.Owner)
	if err == nil {
		a.Role = min(a.Role, owner.Role)
	}
	return a, ignoreNotFound(err)
}

func nameKey(a *people.Account) (string, error) {
	name, err := kaban.ParseUsername(a.Username)
	return name.Key(), err
}

// visible returns what the actor sees of an account.
func visible(a *people.Account, admin bool) people.Account {
	if admin {
		return *a
	}
	return people.Account{
		ID: a.ID, Username: a.Username, Name: a.Name, Role: a.Role, Status: a.Status, Bot: a.Bot, Owner: a.Owner,
	}
}

func (q *PeopleQuery) matches(a *people.Account) bool {
	fold := cases.Fold()
	username, name := fold.String(a.Username), fold.String(a.Name)
	switch {
	case q.Status == "" && a.Status == people.StatusRemoved, q.Status != "" && a.Status != q.Status:
		return false
	case q.Role != 0 && a.Role != q.Role:
		return false
	case !strings.HasPrefix(username, q.Prefix) && !strings.HasPrefix(name, q.Prefix):
		return false
	}
	return strings.Contains(username, q.Text) || strings.Contains(name, q.Text)
}
