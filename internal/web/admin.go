package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/wire"
)

// adminOperations are those on other people's accounts. Package access decides who may
// do each of them, and to whom.
func (s *Server) adminOperations(api huma.API) {
	const user = "/v1/admin/users/{username}"
	asks(s, api, toActors, aboutPeople("list-users", http.MethodGet, "/v1/admin/users", "List all accounts"), s.listUsers)
	asks(s, api, toActors|secret, made(aboutPeople("make-user", http.MethodPost, "/v1/admin/users", "Make an account for somebody else")), s.makeUser)
	asks(s, api, toActors, aboutPeople("get-user", http.MethodGet, user, "Get an account"), s.getUser)
	does(s, api, toActors, aboutPeople("suspend-user", http.MethodPost, user+"/suspend", "Keep an account and its bots from being used"), s.suspendUser)
	does(s, api, toActors, aboutPeople("restore-user", http.MethodPost, user+"/restore", "Undo the suspension of an account"), s.restoreUser)
	asks(s, api, toActors|secret, aboutPeople("reset-user", http.MethodPost, user+"/reset", "Revoke everything that an account signs in with, and make a link into it"), s.resetUser)
	does(s, api, toActors, aboutPeople("set-user-role", http.MethodPut, user+"/role", "Change the role of an account"), s.setUserRole)
	does(s, api, toActors, aboutPeople("set-user-name", http.MethodPut, user+"/name", "Change the display name of an account"), s.setUserName)
	does(s, api, toActors, aboutPeople("remove-user", http.MethodDelete, user, "End an account for good; its name stays taken"), s.removeUser)
	does(s, api, toActors, aboutPeople("erase-user", http.MethodPost, user+"/erase", "Remove an account and what is stored about it"), s.eraseUser)
	asks(s, api, toActors, aboutPeople("preview-erasure", http.MethodGet, user+"/erase/preview", "Count what erasing an account would delete"), s.previewErasure)
	asks(s, api, toActors, aboutPeople("get-erasure", http.MethodGet, user+"/erase", "Get how far the erasing of what an account has written is"), s.getErasure)
	does(s, api, toActors, aboutPeople("give-bot", http.MethodPut, user+"/owner", "Give a bot to another owner"), s.giveBot)
	does(s, api, toActors, aboutPeople("link-identity", http.MethodPut, user+"/identities", "Link an identity at an OpenID provider to an account; over the admin socket only"), s.linkIdentity)
	does(s, api, toActors, aboutPeople("link-visitor", http.MethodPut, user+"/visitor", "Attribute what somebody wrote as a visitor to an account"), s.linkVisitor)
	asks(s, api, toOperator|secret, aboutPeople("make-owner", http.MethodPost, "/v1/admin/owner", "Make somebody an owner; over the admin socket only"), s.makeOwner)
	asks(s, api, toOperator|secret, aboutPeople("make-claim", http.MethodPost, "/v1/admin/claim", "Make a link that claims the server; over the admin socket only"), s.makeClaim)
}

// User is an account as admins see it.
type User struct {
	Account
	Reason string   `json:"reason,omitempty" doc:"Why it is suspended."`
	Groups []string `json:"groups,omitempty" doc:"What single sign-on says of it."`
	// A bot has a status of its own, and stops with its owner.
	Stopped string `json:"stopped,omitempty" enum:"suspended,unclaimed,removed" doc:"The status of the owner of a bot that is active, but cannot be used without its owner."`
}

// UserList is a page of accounts as admins see them.
type UserList struct {
	Users []User `json:"users" nullable:"false" doc:"Sorted by username. A page of a search may be short and have more after it."`
	More  bool   `json:"more" doc:"There are more."`
	After string `json:"after,omitempty" doc:"With more: what to send as after for the next page."`
}

// usersOf returns accounts as admins see them.
func (s *Server) usersOf(ctx context.Context, accounts []people.Account) ([]User, error) {
	ids := make([]string, len(accounts))
	for i := range accounts {
		ids[i] = accounts[i].Owner
	}
	owners, err := s.config.Accounts.WithIDs(ctx, ids...)
	if err != nil {
		return nil, err
	}
	users := make([]User, len(accounts))
	for i := range accounts {
		a := &accounts[i]
		users[i] = User{Account: accountOf(a), Reason: a.Reason, Groups: a.Groups}
		users[i].Status, users[i].Created, users[i].Owner = string(a.Status), timeOrNone(a.Created), owners[a.Owner].Username
		if owner := owners[a.Owner]; a.Bot && a.Status == people.StatusActive && owner.Status != people.StatusActive {
			users[i].Stopped = string(cmp.Or(owner.Status, people.StatusRemoved))
		}
	}
	return users, nil
}

// userOf is usersOf for one.
func (s *Server) userOf(ctx context.Context, a people.Account) (User, error) {
	users, err := s.usersOf(ctx, []people.Account{a})
	if err != nil {
		return User{}, err
	}
	return users[0], nil
}

func (s *Server) listUsers(ctx context.Context, by *who, in *struct {
	PeoplePage
	Status string `query:"status" enum:"active,suspended,unclaimed,removed" doc:"Only accounts with this status. Without it, all but removed ones."`
},
) (UserList, error) {
	if err := s.config.Accounts.MayAdminister(ctx, by.actor()); err != nil {
		return UserList{}, err
	}
	q, err := in.query()
	if err != nil {
		return UserList{}, err
	}
	switch q.Status = people.Status(in.Status); q.Status {
	case "", people.StatusActive, people.StatusSuspended, people.StatusUnclaimed, people.StatusRemoved:
	default:
		return UserList{}, fieldProblem(wire.CodeBadField, "status", "status: it must be active, suspended, unclaimed or removed")
	}
	page, err := s.config.Accounts.People(ctx, by.actor(), q)
	if err != nil {
		return UserList{}, err
	}
	users, err := s.usersOf(ctx, page.People)
	return UserList{users, page.Cursor != "", page.Cursor}, err
}

func (s *Server) getUser(ctx context.Context, by *who, in *UsernamePath) (User, error) {
	if err := s.config.Accounts.MayAdminister(ctx, by.actor()); err != nil {
		return User{}, err
	}
	a, err := s.config.Accounts.Find(ctx, in.Username)
	if err != nil {
		return User{}, err
	}
	return s.userOf(ctx, a)
}

type newUserBody struct {
	Username string `json:"username" doc:"The username."`
	Name     string `json:"name,omitempty" maxLength:"64" doc:"The display name."`
	Role     string `json:"role,omitempty" enum:"guest,member,admin,owner" doc:"Default: member."`
	Password string `json:"password,omitempty" doc:"Without it, the answer has a link for one sign-in."`
}

// MadeUser is a new account.
type MadeUser struct {
	User
	Link string `json:"link,omitempty" doc:"A link for the first sign-in. It cannot be had again."`
}

func (s *Server) makeUser(ctx context.Context, by *who, in *JSON[newUserBody]) (MadeUser, error) {
	body, err := in.read(s)
	if err != nil {
		return MadeUser{}, err
	}
	role, err := parseRole(body.Role)
	if err != nil {
		return MadeUser{}, err
	}
	n := account.NewAccount{Username: body.Username, Name: body.Name, Password: body.Password}
	a, link, err := s.config.Accounts.AddAccount(ctx, by.actor(), account.NewPerson{NewAccount: n, Role: role})
	if err != nil {
		return MadeUser{}, err
	}
	user, err := s.userOf(ctx, a)
	if link != "" {
		link = s.SignInLink(link)
	}
	return MadeUser{user, link}, err
}

type suspendBody struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why. Admins see it."`
}

func (s *Server) suspendUser(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[suspendBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.Suspend(ctx, by.actor(), in.Username, body.Reason)
}

func (s *Server) restoreUser(ctx context.Context, by *who, in *UsernamePath) error {
	return s.config.Accounts.Restore(ctx, by.actor(), in.Username)
}

// Link is a link for one sign-in.
type Link struct {
	Link string `json:"link" doc:"The link. It cannot be had again."`
}

func (s *Server) resetUser(ctx context.Context, by *who, in *UsernamePath) (Link, error) {
	link, err := s.config.Accounts.Reset(ctx, by.actor(), in.Username)
	return Link{s.SignInLink(link)}, err
}

type roleBody struct {
	Role string `json:"role" enum:"guest,member,admin,owner" doc:"The new role."`
}

func (s *Server) setUserRole(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[roleBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	role, err := parseRole(body.Role)
	switch {
	case err != nil:
		return err
	case role == 0:
		return fieldProblem(wire.CodeBadField, "role", "role: it is empty")
	}
	return s.config.Accounts.SetRole(ctx, by.actor(), in.Username, role)
}

func (s *Server) setUserName(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[changeAccountBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.SetName(ctx, by.actor(), in.Username, body.Name)
}

func (s *Server) removeUser(ctx context.Context, by *who, in *UsernamePath) error {
	return s.config.Accounts.Remove(ctx, by.actor(), in.Username)
}

func (s *Server) eraseUser(ctx context.Context, by *who, in *UsernamePath) error {
	return s.config.Accounts.Erase(ctx, by.actor(), in.Username)
}

// Erasure is how far the erasing of what an account has written is.
type Erasure struct {
	State     string `json:"state" enum:"none,deleting,erasing,done" doc:"None if the account was not erased. First everything is deleted, then it is erased from all files."`
	Messages  int64  `json:"messages" doc:"How many messages were deleted, in the rooms that are finished."`
	Reactions int64  `json:"reactions" doc:"How many reactions were taken back, in the rooms that are finished."`
	Texts     int64  `json:"texts" doc:"How many topics, and reasons of deletions and of moderation, were taken out of entries, in the rooms that are finished."`
	Rooms     int64  `json:"rooms" doc:"How many of these rooms had any of them."`
	Bots      int    `json:"bots" doc:"How many bots the account had. They are removed with it, and what they have written counts as its own."`
	Hooks     int    `json:"hooks" doc:"How many incoming webhooks it had made, as far as the audit goes back. What they have written counts as its own."`
}

func (s *Server) getErasure(ctx context.Context, by *who, in *UsernamePath) (Erasure, error) {
	e, err := s.config.Accounts.Erasure(ctx, by.actor(), in.Username)
	if err != nil {
		return Erasure{}, err
	}
	answer := Erasure{State: "deleting", Messages: e.Messages, Reactions: e.Reactions, Texts: e.Texts, Rooms: e.Rooms, Bots: e.Bots, Hooks: e.Hooks}
	switch {
	case e.Account == "":
		answer.State = "none"
	case e.Done != 0:
		answer.State = "done"
	case e.Deleted:
		answer.State = "erasing"
	}
	return answer, nil
}

// Erasable is what erasing an account would delete.
type Erasable struct {
	Messages  int64  `json:"messages" doc:"Messages of the account, in this part of the rooms."`
	Reactions int64  `json:"reactions" doc:"Its reactions to messages of others, there."`
	Texts     int64  `json:"texts" doc:"Topics that it has set, and reasons that it gave for deletions and for moderation, there."`
	Rooms     int64  `json:"rooms" doc:"How many rooms have any of them and were not counted in a part before."`
	Bots      int    `json:"bots" doc:"How many bots the account has, the same in each part. They would be removed with it, and what they have written is counted."`
	Hooks     int    `json:"hooks" doc:"How many incoming webhooks it has made, as far as the audit goes back, the same in each part. What they have written is counted."`
	Next      string `json:"next,omitempty" doc:"Ask again with it, and add what you get; without it this was the last part."`
}

type previewQuery struct {
	UsernamePath
	After string `query:"after" doc:"The next of the answer before."`
}

func (s *Server) previewErasure(ctx context.Context, by *who, in *previewQuery) (Erasable, error) {
	would, err := s.config.Accounts.WouldErase(ctx, by.actor(), in.Username, in.After != "")
	if err != nil {
		return Erasable{}, err
	}
	var from *chat.ErasablePlace
	if in.After != "" {
		if from, err = parseErasablePlace(in.After); err != nil {
			return Erasable{}, fieldProblem(wire.CodeBadField, "after", "after: give the next of the answer before")
		}
	}
	found, err := s.chat.Erasable(ctx, &would, from)
	if err != nil {
		return Erasable{}, err
	}
	answer := Erasable{Messages: found.Messages, Reactions: found.Reactions, Texts: found.Texts, Rooms: found.Rooms, Bots: would.Bots, Hooks: would.Hooks}
	if p := found.Next; p != nil {
		answer.Next = fmt.Sprintf("%d.%t.%t.%t.%s", p.After, p.Counted, p.Texts, p.Named, p.Room)
	}
	return answer, nil
}

// parseErasablePlace parses the next of an Erasable.
func parseErasablePlace(text string) (*chat.ErasablePlace, error) {
	fields := strings.SplitN(text, ".", 5)
	if len(fields) < 5 {
		return nil, strconv.ErrSyntax
	}
	after, err := strconv.ParseUint(fields[0], 10, 64)
	counted, err2 := strconv.ParseBool(fields[1])
	texts, err3 := strconv.ParseBool(fields[2])
	named, err4 := strconv.ParseBool(fields[3])
	return &chat.ErasablePlace{Room: fields[4], After: after, Counted: counted, Texts: texts, Named: named}, errors.Join(err, err2, err3, err4)
}

type ownerBody struct {
	Username string `json:"username" doc:"The new owner."`
}

func (s *Server) giveBot(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[ownerBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.GiveBot(ctx, by.actor(), in.Username, body.Username)
}

type identityBody struct {
	Issuer  string `json:"issuer" doc:"The provider."`
	Subject string `json:"subject" doc:"Who it is there: the value of the claim that oidc.subject_claim names."`
}

func (s *Server) linkIdentity(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[identityBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.LinkIdentity(ctx, by.actor(), in.Username, body.Issuer, body.Subject)
}

type visitorBody struct {
	Visitor string `json:"visitor" doc:"The name that the visitor had."`
}

func (s *Server) linkVisitor(ctx context.Context, by *who, in *struct {
	UsernamePath
	JSON[visitorBody]
},
) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.LinkVisitor(ctx, by.actor(), body.Visitor, in.Username, s.chat.HasWritten)
}

type newOwnerBody struct {
	Username string `json:"username" doc:"The username."`
	Password string `json:"password,omitempty" doc:"Without it, the answer has a link for one sign-in. With it, former devices and passwords end."`
}

// MadeOwner is somebody that has become an owner.
type MadeOwner struct {
	Account User     `json:"account"`
	First   bool     `json:"first" doc:"The server had no owner."`
	New     bool     `json:"new" doc:"The name had no account."`
	Link    string   `json:"link,omitempty" doc:"A link for one sign-in, without a password."`
	Codes   []string `json:"recovery_codes,omitempty" doc:"Of a new account."`
}

func (s *Server) makeOwner(ctx context.Context, _ *who, in *JSON[newOwnerBody]) (MadeOwner, error) {
	body, err := in.read(s)
	if err != nil {
		return MadeOwner{}, err
	}
	owner, err := s.config.Accounts.MakeOwner(ctx, body.Username, body.Password)
	if err != nil {
		return MadeOwner{}, err
	}
	out := MadeOwner{First: owner.First, New: owner.New, Codes: owner.RecoveryCodes}
	if owner.Link != "" {
		out.Link = s.SignInLink(owner.Link)
	}
	out.Account, err = s.userOf(ctx, owner.Account)
	return out, err
}

func (s *Server) makeClaim(ctx context.Context, _ *who, _ *nothing) (Link, error) {
	secret, err := s.config.Accounts.NewClaim(ctx)
	return Link{s.ClaimLink(secret)}, err
}
