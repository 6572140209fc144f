package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"

	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/text/unicode/norm"
)

// NewAccount describes an account to be made.
type NewAccount struct {
	Username string
	Name     string // shown to people; empty is the username
	Password string // empty is none
	Passkey  *NewPasskey
}

// maxName is the length of a display name, in code points.
const maxName = 64

// checkName returns a display name as it is kept: in NFC, without space at its ends.
func checkName(s string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case len(s) > 16*maxName || !utf8.ValidString(s):
		return "", &ValueError{"name", "it is too long, or no text"}
	case strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) && c != '\u200d' }):
		return "", &ValueError{"name", "it has an invisible character"}
	}
	s = norm.NFC.String(s)
	if utf8.RuneCountInString(s) > maxName {
		return "", &ValueError{"name", "it has more than 64 characters"}
	}
	return s, nil
}

// draft is an account whose texts have been checked.
type draft struct {
	username kaban.Username
	name     string
	hash     string // of the password; empty is none
	secret   string // of the device that signs in
	id       string // that the passkey was made for; empty is a new one
	passkey  *webauthn.Credential
	keys     *Passkeys // of the passkey
}

// prepareAccount checks what can be checked outside a transaction, and hashes the
// password.
func (s *Service) prepareAccount(ctx context.Context, n NewAccount) (d draft, err error) {
	if d.username, err = kaban.ParseUsername(n.Username); err != nil {
		return d, err
	}
	if kaban.IsReserved(d.username) {
		return d, ErrNameReserved
	}
	if d.name, err = checkName(n.Name); err != nil {
		return d, err
	}
	if n.Password != "" {
		if d.hash, err = s.newPassword(ctx, n.Username, n.Password); err != nil {
			return d, err
		}
	}
	if n.Passkey != nil {
		d.keys = n.Passkey.Keys
		if d.id, d.passkey, err = d.keys.createdNew(ctx, "", n.Passkey.Browser, n.Passkey.Response); err != nil {
			return d, err
		}
	}
	d.secret = newSecret(devicePrefix)
	return d, nil
}

// create adds an account. The name must not be, or look like, that of another one,
// whatever its status.
func (c *change) create(d draft, a people.Account) (people.Account, error) {
	alike, err := people.Accounts.Like(c.Tx, d.username, 1)
	if err != nil {
		return a, err
	}
	if len(alike) > 0 {
		return a, ErrNameTaken
	}
	a.ID, a.Username, a.Name, a.Created = cmp.Or(d.id, newID()), d.username.String(), d.name, c.now
	if a.Creator == "" {
		a.Creator = c.creator()
	}
	if _, err := people.Accounts.Get(c.Tx, a.ID); !errors.Is(err, people.ErrNotFound) {
		return a, cmp.Or(err, ErrCeremony) // a passkey chose the id
	}
	if err := people.Accounts.Put(c.Tx, &a); err != nil {
		return a, err
	}
	c.changed(a.ID) // a visitor may have the name
	if d.hash != "" {
		if err := c.putPassword(a.ID, d.hash); err != nil {
			return a, err
		}
	}
	if d.passkey != nil {
		kept, err := d.keys.add(c.Tx, a.ID, "", d.passkey)
		if err != nil {
			return a, err
		}
		return a, c.audit(people.AuditPasskeyAdd, kept.ID, kept.Name)
	}
	return a, nil
}

// NameFree reports whether a visitor may have a name: no account has it, or one that
// looks like it. Until the server has an owner, every name is free.
func (s *Service) NameFree(ctx context.Context, name kaban.Username) (free bool, err error) {
	err = s.documents.View(ctx, func(tx store.Tx) error {
		has, err := people.Accounts.HasOwner(tx)
		if err != nil || !has {
			free = !has
			return err
		}
		alike, err := people.Accounts.Like(tx, name, 1)
		free = len(alike) == 0
		return err
	})
	return free, err
}

// SignUp makes an account for a stranger where the setting access allows it, and
// signs in. Errors are ErrUnclaimed, ErrNotOpen, ErrNameTaken, ErrNameReserved,
// ErrWeakPassword, a *ValueError, those of kaban.ParseUsername, and with a passkey those
// of AddPasskey.
func (s *Service) SignUp(ctx context.Context, n NewAccount, device Device) (Session, error) {
	if err := s.maySignUp(ctx); err != nil { // before the work of hashing
		return Session{}, err
	}
	d, err := s.prepareAccount(hashFor(ctx, device.Address), n)
	if err != nil {
		return Session{}, err
	}
	var session Session
	err = s.update(ctx, Actor{Address: device.Address}, func(c *change) (err error) {
		if err := signUpAllowed(c.Tx, false); err != nil {
			return err
		}
		session, err = c.join(d, device, kaban.RoleMember, nil, "")
		return err
	})
	if err != nil {
		return Session{}, fmt.Errorf("sign up: %w", err)
	}
	return session, nil
}

func (s *Service) maySignUp(ctx context.Context) error {
	return s.documents.View(ctx, func(tx store.Tx) error { return signUpAllowed(tx, false) })
}

// signUpAllowed decides whether a stranger may make an account, perhaps with an
// invite.
func signUpAllowed(tx store.Tx, invited bool) error {
	server, err := serverFacts(tx)
	if err != nil {
		return err
	}
	if server.Claim != access.Claimed {
		return ErrUnclaimed
	}
	who := access.Identity{Active: true, Person: true, Writes: true, Reach: access.ReachServer, Invited: invited}
	if access.Can(access.SignUp, access.Facts{Server: server, Who: who}) != access.Allowed {
		return ErrNotOpen
	}
	return nil
}

// join makes an account for whoever acts, and its first device.
func (c *change) join(d draft, device Device, role kaban.Role, rooms []string, inviter string) (Session, error) {
	a, err := c.create(d, people.Account{Role: role, Status: people.StatusActive, Creator: inviter})
	if err != nil {
		return Session{}, err
	}
	c.by.Principal = Principal{Account: a, Role: role}
	if err := c.audit(people.AuditAccountAdd, a.Username, role.String()); err != nil {
		return Session{}, err
	}
	if err := c.expectRooms(&a, rooms, inviter); err != nil {
		return Session{}, err
	}
	return c.signIn(WayNew, device, proof{account: a}, d.secret)
}

// expectRooms records the rooms that a new account is to join: the lobby and those of
// the setting auto_join for members, and those of the invite. Joining is an entry in
// the log of a room, so it is a task.
func (c *change) expectRooms(a *people.Account, invited []string, inviter string) error {
	task, earlier, err := people.Tasks.Find(c.Tx, a.ID, people.TaskJoin)
	if err != nil {
		return err
	}
	rooms := task.Rooms
	if a.Role >= kaban.RoleMember && !a.Bot {
		settings, err := readSettings(c.Tx)
		if err != nil {
			return err
		}
		rooms = append(append(rooms, kaban.Lobby), settings.AutoJoin...)
	}
	task.Rooms, task.Invited = unique(rooms), unique(append(task.Invited, invited...))
	c.changed(a.ID)
	if !earlier && len(task.Rooms)+len(task.Invited) == 0 {
		return nil
	}
	task.Account, task.Kind, task.ID, task.Since = a.ID, people.TaskJoin, newID(), c.now
	if inviter != "" {
		task.Inviter = inviter
	}
	return people.Tasks.Put(c.Tx, &task)
}

// unique returns the rooms in their order, each once.
func unique(rooms []string) (once []string) {
	for _, r := range rooms {
		if !slices.Contains(once, r) {
			once = append(once, r)
		}
	}
	return once
}
