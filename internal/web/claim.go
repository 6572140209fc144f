package web

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
)

// arrivalOperations are those by which somebody gets an account.
func (s *Server) arrivalOperations(api huma.API) {
	arrive(s, api, aboutPeople("claim-server", http.MethodPost, "/v1/claim", "Become the first owner"), s.claim)
	does(s, api, toAnybody|secret, aboutPeople("look-at-claim", http.MethodPost, "/v1/claim/look", "Ask whether a secret claims the server"), s.lookAtClaim)
	arrive(s, api, aboutPeople("sign-up", http.MethodPost, "/v1/accounts", "Sign up, where the server takes anybody"), s.signUp)
	asks(s, api, toAnybody|secret, aboutPeople("look-at-invite", http.MethodPost, "/v1/invite/look", "Ask what an invite or a link into an account is for"), s.lookAtInvite)
	arrive(s, api, aboutPeople("accept-invite", http.MethodPost, "/v1/invite/accept", "Make an account with an invite"), s.acceptInvite)
}

// arrive registers an operation that makes an account and signs in.
func arrive[I, O any](s *Server, api huma.API, op huma.Operation, do func(context.Context, *who, *I) (O, error)) {
	comesIn(s, api, made(op), do)
}

// comesIn registers an operation that signs in.
func comesIn[I, O any](s *Server, api huma.API, op huma.Operation, do func(context.Context, *who, *I) (O, error)) {
	op.Description = "Sets the cookie of a new device. The request needs an Origin header: the server's own, or one of --origin."
	registerBody(s, api, toAnybody|signsIn, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, whoOf(ctx), in)
		if err != nil {
			return nil, s.problemIn(err)
		}
		return &out, nil
	})
}

// device returns what signs in by a request.
func (w *who) device(name string) account.Device {
	return account.Device{Name: name, Address: w.address(), Place: w.browserSecret()}
}

type claimBody struct {
	Claim    string          `json:"claim" doc:"The secret of the claim link."`
	Username string          `json:"username" doc:"The username of the owner."`
	Name     string          `json:"name,omitempty" maxLength:"64" doc:"The display name."`
	Password string          `json:"password,omitempty" minLength:"10" maxLength:"1024" doc:"Unless there is a passkey."`
	Passkey  json.RawMessage `json:"passkey,omitempty" doc:"What navigator.credentials.create returned for the options of /v1/passkeys/new/begin, as PublicKeyCredential.toJSON writes it."`
	Access   string          `json:"access,omitempty" enum:"open,signup,invite,closed" doc:"The setting access. Default: invite."`
	Device   string          `json:"device,omitempty" doc:"What to call the device."`
}

// Claimed is what a claim made.
type Claimed struct {
	Session
	RecoveryCodes
	Invite string `json:"invite,omitempty" doc:"A link by which one member makes an account. Absent if nobody can."`
}

type claimedOutput struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      Claimed
}

func (s *Server) claim(ctx context.Context, by *who, in *newInput[claimBody]) (out claimedOutput, err error) {
	body, err := in.read(s)
	if err != nil {
		return out, err
	}
	owner, err := s.newAccount(by, &in.BrowserCookies, body.Username, body.Name, body.Password, body.Passkey)
	if err != nil {
		return out, err
	}
	claimed, err := s.config.Accounts.ClaimServer(ctx, body.Claim, owner, body.Access, by.device(body.Device))
	if err != nil {
		return out, err
	}
	session := s.signedIn(by, &claimed.Session)
	out.SetCookie = session.SetCookie
	out.Body.Session, out.Body.RecoveryCodes = session.Body, RecoveryCodes{claimed.RecoveryCodes}
	// The server is claimed, whatever becomes of the invite: where access is closed
	// there is none, and the owner can make one at any time.
	_, invite, err := s.config.Accounts.Invite(ctx, claimed.Session.Principal.As(by.address()), account.NewInvite{})
	if err == nil {
		out.Body.Invite = s.InviteLink(invite)
	}
	return out, nil
}

// newInput is the body of a request for an account. The cookie binds its passkey, if it
// has one, to the browser that made it.
type newInput[T any] struct {
	BrowserCookies
	JSON[T]
}

// newAccount returns the account that a request asks for, with a way in.
func (s *Server) newAccount(by *who, cookies *BrowserCookies, username, name, password string, passkey json.RawMessage) (account.NewAccount, error) {
	n := account.NewAccount{Username: username, Name: name, Password: password}
	if len(passkey) == 0 {
		if password == "" {
			return n, account.ErrNoWayIn
		}
		return n, nil
	}
	keys, err := s.passkeys()
	n.Passkey = &account.NewPasskey{Keys: keys, Browser: cookies.browser(by), Response: passkey}
	return n, err
}

type lookAtClaimBody struct {
	Claim string `json:"claim" doc:"The secret of the claim link."`
}

func (s *Server) lookAtClaim(ctx context.Context, _ *who, in *JSON[lookAtClaimBody]) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	ok, err := s.config.Accounts.IsClaim(ctx, body.Claim)
	if err == nil && !ok {
		err = account.ErrNotFound
	}
	return err
}

type signUpBody struct {
	Username string          `json:"username" doc:"The username."`
	Name     string          `json:"name,omitempty" maxLength:"64" doc:"The display name."`
	Password string          `json:"password,omitempty" minLength:"10" maxLength:"1024" doc:"Unless there is a passkey."`
	Passkey  json.RawMessage `json:"passkey,omitempty" doc:"What navigator.credentials.create returned for the options of /v1/passkeys/new/begin, as PublicKeyCredential.toJSON writes it."`
	Device   string          `json:"device,omitempty" doc:"What to call the device."`
}

func (s *Server) signUp(ctx context.Context, by *who, in *newInput[signUpBody]) (out sessionOutput, err error) {
	body, err := in.read(s)
	if err != nil {
		return out, err
	}
	if err := s.limitSignUp(by); err != nil { // before the work of hashing
		return out, err
	}
	n, err := s.newAccount(by, &in.BrowserCookies, body.Username, body.Name, body.Password, body.Passkey)
	if err != nil {
		return out, err
	}
	session, err := s.config.Accounts.SignUp(ctx, n, by.device(body.Device))
	if err != nil {
		return out, err
	}
	return *s.signedIn(by, &session), nil
}

type lookAtInviteBody struct {
	Invite string `json:"invite" doc:"The secret of the link."`
}

// Invitation is what the holder of a link may know of it.
type Invitation struct {
	Kind     string   `json:"kind" enum:"invite,sign_in" doc:"invite makes an account, sign_in signs in to one."`
	Role     string   `json:"role" enum:"guest,member,admin,owner" doc:"The role of the account."`
	Rooms    []string `json:"rooms" nullable:"false" doc:"The rooms that a new account joins."`
	By       string   `json:"by,omitempty" doc:"The username of whoever made the link. Absent if a command did."`
	Username string   `json:"username,omitempty" doc:"Of the account that the link signs in to."`
	Expires  string   `json:"expires" format:"date-time" doc:"When the link ends."`
}

func (s *Server) lookAtInvite(ctx context.Context, _ *who, in *JSON[lookAtInviteBody]) (Invitation, error) {
	body, err := in.read(s)
	if err != nil {
		return Invitation{}, err
	}
	info, err := s.config.Accounts.Link(ctx, body.Invite)
	if err != nil {
		return Invitation{}, linkError(err)
	}
	i := Invitation{
		Kind: "invite", Role: info.Role.String(), Rooms: orEmpty(info.Rooms), By: info.Creator,
		Username: info.Username, Expires: formatTime(info.Expires),
	}
	if info.Username == "" {
		return i, nil
	}
	i.Kind = "sign_in"
	into, err := s.config.Accounts.Find(ctx, info.Username)
	i.Role = into.Role.String()
	return i, err
}

type acceptInviteBody struct {
	Invite   string          `json:"invite" doc:"The secret of the link."`
	Username string          `json:"username" doc:"The username."`
	Name     string          `json:"name,omitempty" maxLength:"64" doc:"The display name."`
	Password string          `json:"password,omitempty" minLength:"10" maxLength:"1024" doc:"Unless there is a passkey."`
	Passkey  json.RawMessage `json:"passkey,omitempty" doc:"What navigator.credentials.create returned for the options of /v1/passkeys/new/begin, as PublicKeyCredential.toJSON writes it."`
	Device   string          `json:"device,omitempty" doc:"What to call the device."`
}

func (s *Server) acceptInvite(ctx context.Context, by *who, in *newInput[acceptInviteBody]) (out sessionOutput, err error) {
	body, err := in.read(s)
	if err != nil {
		return out, err
	}
	n, err := s.newAccount(by, &in.BrowserCookies, body.Username, body.Name, body.Password, body.Passkey)
	if err != nil {
		return out, err
	}
	session, err := s.config.Accounts.AcceptInvite(ctx, body.Invite, n, by.device(body.Device))
	if err != nil {
		return out, linkError(err)
	}
	return *s.signedIn(by, &session), nil
}
