package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/wire"
)

// Account is what others may know of an account.
type Account struct {
	Username string `json:"username" doc:"The name it signs in with and is mentioned by."`
	Name     string `json:"name" doc:"The name to display; empty is the username."`
	Role     string `json:"role" enum:"guest,member,admin,owner" doc:"What it may do on the server."`
	Bot      bool   `json:"bot" doc:"It belongs to another account and signs in with tokens only."`
	Status   string `json:"status,omitempty" enum:"active,suspended,removed,unclaimed" doc:"Whether it can be used. Absent unless the request is an admin's."`
	Created  string `json:"created,omitempty" format:"date-time" doc:"When it was made."`
	Owner    string `json:"owner,omitempty" doc:"Of a bot: the username of its owner."`
}

// DeviceName is a device in a session.
type DeviceName struct {
	ID   string `json:"id" doc:"Names it in /v1/devices."`
	Name string `json:"name" doc:"What people call it."`
}

// Session is a sign-in.
type Session struct {
	Account Account    `json:"account"`
	Device  DeviceName `json:"device" doc:"What is signed in: a device, or a token."`
	Fresh   bool       `json:"fresh" doc:"Somebody has signed in or confirmed it within the last 15 minutes."`
	Expires string     `json:"expires,omitempty" format:"date-time" doc:"When the session ends by itself."`
	Ways    []string   `json:"ways,omitempty" nullable:"false" enum:"passkey,password,oidc" doc:"How to confirm it, the ways that the account has. Only in the answer to GET, and absent for a token."`
}

// SignIn is how to prove who one is: a username with a password or a recovery code, or
// a link for one sign-in.
type SignIn struct {
	Username     string          `json:"username,omitempty"`
	Password     string          `json:"password,omitempty" doc:"With a username: its password. With a link: the new password, if any."`
	RecoveryCode string          `json:"recovery_code,omitempty" doc:"One of the codes that the account was given. It works once."`
	Link         string          `json:"link,omitempty" doc:"The secret of a link into an account. It works once."`
	Passkey      json.RawMessage `json:"passkey,omitempty" doc:"With a link: the new passkey, if any, as for /v1/invite/accept."`
	Device       string          `json:"device,omitempty" doc:"What to call the device."`
}

// Confirmation proves again who is at a device.
type Confirmation struct {
	Password string `json:"password" minLength:"1" doc:"The password of the account."`
}

// sessionOutput is a session whose cookie is set.
type sessionOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      Session
}

func (s *Server) registerSessions(api huma.API, operation func(id, method, path, summary string, errors ...int) huma.Operation) {
	get := operation("get-session", http.MethodGet, "/v1/session", "See who is signed in")
	register(s, api, toAccounts, get, s.getSession)
	in := operation("sign-in", http.MethodPost, "/v1/session", "Sign in", 400, 401, 413, 429)
	in.Description = "Sets the cookie of a new device. The request needs an Origin header: the server's own, or one of --origin."
	register(s, api, toAnybody|signsIn, in, s.signIn)
	out := operation("sign-out", http.MethodDelete, "/v1/session", "Sign out")
	out.Description = "Revokes the device or the token that the request is made with."
	register(s, api, toAccounts, out, s.signOut)
	confirm := operation("confirm-session", http.MethodPost, "/v1/session/confirm", "Make the sign-in fresh again", 400, 413, 429)
	confirm.MaxBodyBytes = maxSignInBody
	register(s, api, toAccounts|secret, confirm, s.confirmSession)
}

func (s *Server) getSession(ctx context.Context, _ *struct{}) (*output[Session], error) {
	by := whoOf(ctx)
	session := s.sessionOf(&by.principal)
	if by.isProgram() {
		return &output[Session]{session}, nil
	}
	ways, err := s.config.Accounts.Ways(ctx, by.actor(), s.config.Passkeys)
	if err != nil {
		return nil, s.problemOf(err)
	}
	for _, way := range ways {
		session.Ways = append(session.Ways, string(way))
	}
	return &output[Session]{session}, nil
}

// sessionOf returns a principal as a session.
func (s *Server) sessionOf(p *account.Principal) Session {
	session := Session{Account: accountOf(&p.Account), Device: DeviceName{ID: p.SecretID, Name: p.SecretName}, Fresh: s.config.Accounts.Fresh(*p), Expires: timeOrNever(p.Expires)}
	session.Account.Role = p.Role.String() // a bot's is never above its owner's
	return session
}

// accountOf returns what anybody that knows of an account may know.
func accountOf(a *people.Account) Account {
	return Account{Username: a.Username, Name: a.Name, Role: a.Role.String(), Bot: a.Bot}
}

// signInInput is a sign-in. The cookie binds a new passkey to the browser that made it.
type signInInput struct {
	BrowserCookies
	Body SignIn
}

func (s *Server) signIn(ctx context.Context, in *signInInput) (*sessionOutput, error) {
	by, b := whoOf(ctx), &in.Body
	device := by.device(b.Device)
	var session account.Session
	var err error
	switch {
	case len(b.Passkey) > 0 && b.Link != "" && b.Username == "" && b.RecoveryCode == "" && b.Password == "":
		var keys *account.Passkeys
		if keys, err = s.passkeys(); err == nil {
			n := account.NewPasskey{Keys: keys, Browser: in.browser(by), Response: b.Passkey}
			session, err = s.config.Accounts.SignInWithLinkAndPasskey(ctx, b.Link, n, device)
		}
	case len(b.Passkey) > 0:
		return nil, problem(wire.CodeMissingField, "a new passkey is for a link, without a password")
	case b.Link != "" && b.Username == "" && b.RecoveryCode == "":
		session, err = s.config.Accounts.SignInWithLink(ctx, b.Link, b.Password, device)
	case b.Username != "" && b.RecoveryCode != "" && b.Password == "" && b.Link == "":
		session, err = s.config.Accounts.SignInWithRecoveryCode(ctx, b.Username, b.RecoveryCode, device)
	case b.Username != "" && b.Password != "" && b.RecoveryCode == "" && b.Link == "":
		session, err = s.config.Accounts.SignInWithPassword(ctx, b.Username, b.Password, device)
	default:
		return nil, problem(wire.CodeMissingField, "give a username with a password or a recovery code, or a link")
	}
	if err != nil {
		return nil, s.problemOf(err)
	}
	return s.signedIn(by, &session), nil
}

// signedIn returns a new session with its cookie, and that of the browser in which its
// account has now signed in.
func (s *Server) signedIn(by *who, session *account.Session) *sessionOutput {
	cookies := []http.Cookie{by.cookie(session.Secret, cookieFor), by.browserCookie(by.browserSecret(), browserFor)}
	return &sessionOutput{cookies, s.sessionOf(&session.Principal)}
}

// cookieOutput is no content, with cookies.
type cookieOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
}

func (s *Server) signOut(ctx context.Context, _ *struct{}) (*cookieOutput, error) {
	by := whoOf(ctx)
	err := s.config.Accounts.RevokeDevice(ctx, by.actor(), by.principal.SecretID)
	if err != nil && !errors.Is(err, account.ErrAuthFailed) { // somebody else was faster
		return nil, s.problemOf(err)
	}
	return by.signedOut(by.principal.SecretID), nil
}

func (s *Server) confirmSession(ctx context.Context, in *struct{ Body Confirmation }) (*struct{}, error) {
	by := whoOf(ctx)
	if err := s.config.Accounts.Confirm(ctx, by.actor(), in.Body.Password); err != nil {
		return nil, s.problemOf(err)
	}
	return nil, nil
}
