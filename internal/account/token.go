package account

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
)

// Limits of tokens and bots.
const (
	maxTokens     = 200                       // per account
	maxBots       = 100                       // per owner
	maxTokenRooms = 100                       // that a token is bound to
	maxTokenAge   = 10 * 365 * 24 * time.Hour // of a token that expires
)

// NewToken describes a token to be made.
type NewToken struct {
	Username string // the account of the token: the actor's, or a bot's
	Name     string // what it is for; 1 to 100 characters
	Expires  time.Duration
	Rooms    []string // names of rooms that the account may know of; if there are any, the token works in no other room
	ReadOnly bool
}

// MakeToken makes a token and returns its secret, which cannot be had again. The
// actor needs a fresh sign-in, and must be the account, the owner of the bot, or the
// operator. An account that nobody has signed in to yet is active from
// then on. A *StateError tells the operator that it is suspended, an *UnknownRoomError that
// the account may know of no such room.
func (s *Service) MakeToken(ctx context.Context, by Actor, n NewToken) (SecretInfo, string, error) {
	secret := newSecret(tokenPrefix)
	kept, err := n.check()
	if err != nil {
		return SecretInfo{}, "", err
	}
	kept.Hash, kept.ID, kept.Kind = hashOf(secret), newID(), people.SecretToken
	err = s.update(ctx, by, func(c *change) error {
		a, err := c.ownAccount(n.Username, access.MakeToken, access.MakeBot)
		if err != nil {
			return err
		}
		if err := c.inUse(&a); err != nil {
			return err
		}
		if kept.Rooms, err = c.roomsOf(&a, n.Rooms); err != nil {
			return err
		}
		kept.Account, kept.Created = a.ID, c.now
		if n.Expires > 0 {
			kept.Expires = c.now + n.Expires.Milliseconds()
		}
		tokens, _, err := people.Secrets.Of(c.Tx, a.ID, people.SecretToken, maxTokens)
		if err != nil {
			return err
		}
		if len(tokens) >= maxTokens {
			return fmt.Errorf("%w: the limit of tokens is 200", ErrTooMany)
		}
		if err := people.Secrets.Put(c.Tx, &kept); err != nil {
			return err
		}
		return c.audit(people.AuditTokenAdd, a.Username, kept.ID+" "+kept.Name)
	})
	if err != nil {
		return SecretInfo{}, "", fmt.Errorf("make a token: %w", err)
	}
	return infoOf(&kept), secret, nil
}

// check returns the token as it is kept.
func (n *NewToken) check() (kept people.Secret, err error) {
	name := deviceName(n.Name)
	switch {
	case n.Name == "" || utf8.RuneCountInString(n.Name) > maxDeviceName || name != n.Name:
		return kept, &ValueError{"name", "it must have 1 to 100 visible characters"}
	case n.Expires < 0 || n.Expires > maxTokenAge:
		return kept, &ValueError{"expires", "it must be within ten years"}
	case len(n.Rooms) > maxTokenRooms:
		return kept, &ValueError{"rooms", "there are more than 100"}
	}
	kept.Name, kept.ReadOnly = name, n.ReadOnly
	for _, r := range n.Rooms {
		if _, err := kaban.ParseAnyRoom(r); err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// ownAccount returns the actor's account, or a bot of it, if the actor may do an action
// on its own account, or another one on its bot. An empty name is the actor's own. The
// operator may do it on every account.
func (c *change) ownAccount(username string, onSelf, onBot access.Action) (people.Account, error) {
	self := c.by.Principal.Account.ID
	a := c.by.Principal.Account
	if username == "" && c.by.Operator { // else its token would be nobody's
		return a, &ValueError{"username", "the operator has no account; name one"}
	}
	if username != "" {
		name, err := kaban.ParseUsername(username)
		if err != nil {
			return a, NoAccount(username)
		}
		if a, err = people.Accounts.Named(c.Tx, name); errors.Is(err, people.ErrNotFound) {
			return people.Account{}, NoAccount(username)
		} else if err != nil {
			return a, err
		}
	}
	action := onSelf
	if a.Bot {
		action = onBot
	}
	others := !c.by.Operator && a.ID != self && (!a.Bot || a.Owner != self)
	if others && c.mayTo(access.KnowPerson, &a, 0) != nil { // first, or other refusals tell of it
		return a, NoAccount(username)
	}
	if err := c.may(action); err != nil {
		return a, err
	}
	if others {
		return a, &RefusedError{action, access.Forbidden}
	}
	// The operator sees what accounts have that are not in use at the moment.
	if a.Status != people.StatusActive && (!c.by.Operator || a.Status == people.StatusRemoved) {
		return a, NoAccount(username)
	}
	return a, nil
}

// Tokens returns the tokens of the actor's account or of a bot of it.
func (s *Service) Tokens(ctx context.Context, by Actor, username string) (infos []SecretInfo, err error) {
	err = s.view(ctx, by, func(c *change) error {
		a, err := c.ownAccount(username, access.ReadDevices, access.ReadDevices)
		if err != nil {
			return err
		}
		infos, err = c.secretsOf(a.ID, people.SecretToken)
		return err
	})
	return infos, err
}

// NewBot describes a bot to be made.
type NewBot struct {
	Username string
	Name     string
	Role     kaban.Role // 0 is member; it can never do more than its owner
	Owner    string     // a username; empty is the actor, or the only owner of the server
}

// MakeBot makes a bot. It signs in with tokens only; see MakeToken.
func (s *Service) MakeBot(ctx context.Context, by Actor, n NewBot) (a people.Account, err error) {
	d, err := s.prepareAccount(ctx, NewAccount{Username: n.Username, Name: n.Name})
	if err != nil {
		return a, err
	}
	if n.Role == 0 {
		n.Role = kaban.RoleMember
	}
	if n.Role > kaban.RoleAdmin {
		return a, &ValueError{"role", "a bot is no owner"}
	}
	err = s.update(ctx, by, func(c *change) error {
		if err := c.may(access.MakeBot); err != nil {
			return err
		}
		owner, err := c.botOwner(n.Owner)
		if err != nil {
			return err
		}
		if n.Role > owner.Role {
			return &ValueError{"role", "a bot cannot do more than its owner"}
		}
		bots := 0
		if err := people.Accounts.Bots(c.Tx, owner.ID, func(*people.Account) bool { bots++; return bots < maxBots }); err != nil {
			return err
		}
		if bots >= maxBots {
			return fmt.Errorf("%w: the limit of bots is 100", ErrTooMany)
		}
		a, err = c.create(d, people.Account{Role: n.Role, Status: people.StatusActive, Bot: true, Owner: owner.ID})
		if err != nil {
			return err
		}
		return c.audit(people.AuditBotAdd, a.Username, "owner "+owner.Username)
	})
	if err != nil {
		return people.Account{}, fmt.Errorf("make a bot: %w", err)
	}
	return a, nil
}

// botOwner returns the account that is to own a bot. Only the operator names another
// one than the actor; GiveBot is for admins.
func (c *change) botOwner(username string) (people.Account, error) {
	if !c.by.Operator {
		if username != "" && username != c.by.Principal.Account.Username {
			return people.Account{}, &RefusedError{access.MakeBot, access.Forbidden}
		}
		return c.by.Principal.Account, nil
	}
	if username == "" {
		owners, _, err := people.Accounts.WithRole(c.Tx, kaban.RoleOwner, people.StatusActive, 2)
		if err != nil || len(owners) != 1 {
			if err == nil {
				err = &ValueError{"owner", "the server has several owners; name one"}
			}
			return people.Account{}, err
		}
		return owners[0], nil
	}
	return c.activePerson(username)
}

// activePerson returns the active account of a person, or a *StateError. One that nobody
// has signed in to yet is active from then on if the operator asks. Whoever asks may know
// of all accounts.
func (c *change) activePerson(username string) (people.Account, error) {
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return people.Account{}, NoAccount(username)
	}
	a, err := people.Accounts.Named(c.Tx, name)
	switch {
	case errors.Is(err, people.ErrNotFound), err == nil && (a.Bot || a.Status == people.StatusRemoved):
		err = NoAccount(username)
	case err != nil:
	default:
		err = c.inUse(&a)
	}
	return a, err
}

// inUse returns a *StateError for an account that is suspended, or that nobody has signed
// in to yet: only scripts of the operator begin with a program, which makes it active.
func (c *change) inUse(a *people.Account) error {
	switch {
	case a.Status == people.StatusUnclaimed && c.by.Operator:
		return c.activate(a)
	case a.Status == people.StatusUnclaimed:
		return &StateError{a.Username, "has not signed in yet; sign in with the link of the account first"}
	case a.Status == people.StatusSuspended:
		return &StateError{a.Username, "is suspended; restore the account first"}
	}
	return nil
}

// Bots returns the bots of an account, the actor's if the name is empty, with the roles
// that they act with. Only admins ask for those of others.
func (s *Service) Bots(ctx context.Context, by Actor, owner string) (bots []people.Account, err error) {
	err = s.view(ctx, by, func(c *change) error {
		bots = nil
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		id := c.by.Principal.Account.ID
		if owner != "" && owner != c.by.Principal.Account.Username {
			a, err := c.other(owner)
			if err != nil {
				return err
			}
			id = a.ID
		}
		owner, err := people.Accounts.Get(c.Tx, id)
		if err != nil {
			return ignoreNotFound(err) // the operator has none
		}
		return people.Accounts.Bots(c.Tx, id, func(a *people.Account) bool {
			if a.Status != people.StatusRemoved {
				bots = append(bots, *a)
				bots[len(bots)-1].Role = min(a.Role, owner.Role)
			}
			return true
		})
	})
	return bots, err
}

// GiveBot gives a bot to another owner, by an admin. Its tokens end: whoever had it before
// may know them. The new owner makes others.
func (s *Service) GiveBot(ctx context.Context, by Actor, bot, owner string) error {
	return s.update(ctx, by, func(c *change) error {
		a, err := c.target(access.GiveBot, bot, 0)
		if err != nil {
			return err
		}
		if !a.Bot {
			return notFound("bot", bot, "kaban bot list")
		}
		to, err := c.activePerson(owner)
		if err != nil {
			return err
		}
		if err := c.revokeSecrets(a.ID, "", ""); err != nil {
			return err
		}
		a.Owner, a.Role = to.ID, min(a.Role, to.Role)
		if err := people.Accounts.Put(c.Tx, &a); err != nil {
			return err
		}
		c.changed(a.ID)
		return c.audit(people.AuditBotGive, a.Username, to.Username)
	})
}
