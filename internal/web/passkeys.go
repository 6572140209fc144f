package web

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
)

// passkeyOperations are those of Web Authentication.
func (s *Server) passkeyOperations(api huma.API) {
	begin := aboutPeople("begin-new-passkey", http.MethodPost, "/v1/passkeys/new/begin", "Get the options for navigator.credentials.create, for an account that is to be made")
	registerBody(s, api, toAnybody|signsIn, begin, s.beginNewPasskey)
	confirm := aboutPeople("confirm-with-passkey", http.MethodPost, "/v1/passkeys/confirm", "Make the sign-in fresh again, with the options for a sign-in")
	does(s, api, toAccounts|secret, confirm, s.confirmWithPasskey)
	begins(s, api, toAnybody|signsIn, aboutPeople("begin-passkey-sign-in", http.MethodPost, "/v1/passkeys/sign-in/begin", "Get the options for navigator.credentials.get"), s.beginPasskeySignIn)
	sign := aboutPeople("sign-in-with-passkey", http.MethodPost, "/v1/passkeys/sign-in", "Sign in with a passkey")
	comesIn(s, api, sign, s.signInWithPasskey)
	begins(s, api, toAccounts|secret, aboutPeople("begin-passkey", http.MethodPost, "/v1/passkeys/begin", "Get the options for navigator.credentials.create; needs a fresh sign-in"), s.beginPasskey)
	asks(s, api, toAccounts|secret, made(aboutPeople("add-passkey", http.MethodPost, "/v1/passkeys", "Add a passkey to your account")), s.addPasskey)
	asks(s, api, toAccounts, aboutPeople("list-passkeys", http.MethodGet, "/v1/passkeys", "List your passkeys"), s.listPasskeys)
	does(s, api, toAccounts, aboutPeople("rename-passkey", http.MethodPatch, "/v1/passkeys/{id}", "Rename a passkey"), s.renamePasskey)
	does(s, api, toAccounts, aboutPeople("remove-passkey", http.MethodDelete, "/v1/passkeys/{id}", "Remove a passkey; needs a fresh sign-in and another way in"), s.removePasskey)
}

// passkeys returns the passkeys of the server, or why there are none.
func (s *Server) passkeys() (*account.Passkeys, error) {
	if s.config.Passkeys == nil {
		return nil, &account.UnavailableError{Reason: "they need the server to have an --origin with https, or localhost"}
	}
	return s.config.Passkeys, nil
}

// PasskeyOptions are what a browser needs for a passkey, as Web Authentication has it.
type PasskeyOptions struct {
	PublicKey json.RawMessage `json:"publicKey" doc:"The options, as PublicKeyCredential.parseCreationOptionsFromJSON or parseRequestOptionsFromJSON reads them."`
}

// optionsOutput are options whose ceremony is bound to the browser by a cookie.
type optionsOutput struct {
	SetCookie    []http.Cookie `header:"Set-Cookie"`
	CacheControl string        `header:"Cache-Control" hidden:"true"`
	Body         PasskeyOptions
}

// begins registers an operation that begins a ceremony.
func begins(s *Server, api huma.API, d door, op huma.Operation, do func(ctx context.Context, by *who, browser string) (json.RawMessage, error)) {
	register(s, api, d, op, func(ctx context.Context, in *BrowserCookies) (*optionsOutput, error) {
		return s.begin(ctx, in, do)
	})
}

// begin begins a ceremony.
func (s *Server) begin(ctx context.Context, in *BrowserCookies, do func(ctx context.Context, by *who, browser string) (json.RawMessage, error)) (*optionsOutput, error) {
	by := whoOf(ctx)
	browser, cookies := in.begin(by)
	options, err := do(ctx, by, browser)
	out := &optionsOutput{SetCookie: cookies, CacheControl: noStore}
	if err == nil {
		err = json.Unmarshal(options, &out.Body)
	}
	if err != nil {
		return nil, s.problemIn(err)
	}
	return out, nil
}

type newPasskeyBody struct {
	Username string `json:"username" doc:"The username of the account."`
	Name     string `json:"name,omitempty" maxLength:"64" doc:"The display name."`
	Claim    string `json:"claim,omitempty" doc:"The secret of the claim link, to become the first owner."`
	Invite   string `json:"invite,omitempty" doc:"The secret of an invite. With neither, to sign up."`
}

func (s *Server) beginNewPasskey(ctx context.Context, in *newInput[newPasskeyBody]) (*optionsOutput, error) {
	return s.begin(ctx, &in.BrowserCookies, func(ctx context.Context, by *who, browser string) (json.RawMessage, error) {
		keys, err := s.passkeys()
		if err != nil {
			return nil, err
		}
		body, err := in.read(s)
		if err != nil {
			return nil, err
		}
		admission := account.Admission{Claim: body.Claim, Invite: body.Invite}
		n := account.NewAccount{Username: body.Username, Name: body.Name}
		options, err := s.config.Accounts.BeginNewPasskey(ctx, admission, keys, browser, n, by.address())
		if err != nil && body.Invite != "" {
			err = linkError(err)
		}
		return options, err
	})
}

func (s *Server) confirmWithPasskey(ctx context.Context, by *who, in *passkeyInput) error {
	keys, err := s.passkeys()
	if err != nil {
		return err
	}
	if _, err := in.read(s); err != nil {
		return err
	}
	return s.config.Accounts.ConfirmWithPasskey(ctx, by.actor(), keys, in.browser(by), in.RawBody)
}

func (s *Server) beginPasskeySignIn(ctx context.Context, _ *who, browser string) (json.RawMessage, error) {
	keys, err := s.passkeys()
	if err != nil {
		return nil, err
	}
	return s.config.Accounts.BeginPasskeySignIn(ctx, keys, browser)
}

func (s *Server) beginPasskey(ctx context.Context, by *who, browser string) (json.RawMessage, error) {
	keys, err := s.passkeys()
	if err != nil {
		return nil, err
	}
	return s.config.Accounts.BeginPasskey(ctx, by.actor(), keys, browser)
}

// passkeyAnswer is what an authenticator answers, as PublicKeyCredential.toJSON writes
// it, and beside it what only this server reads. Package account checks the rest.
type passkeyAnswer struct {
	ID       string          `json:"id" doc:"As the browser wrote it, like all fields but name and device."`
	RawID    string          `json:"rawId"`
	Type     string          `json:"type"`
	Response json.RawMessage `json:"response"`
	Name     string          `json:"name,omitempty" doc:"To add a passkey: what to call it."`
	Device   string          `json:"device,omitempty" doc:"To sign in: what to call the device."`
}

type passkeyInput struct {
	BrowserCookies
	JSON[passkeyAnswer]
}

// isLenient reports that unknown fields are ignored: browsers add some.
func (passkeyInput) isLenient() bool { return true }

// read returns what this server reads of an answer.
func (in *passkeyInput) read(s *Server) (body passkeyAnswer, err error) {
	return in.readAs(s, true)
}

func (s *Server) signInWithPasskey(ctx context.Context, by *who, in *passkeyInput) (out sessionOutput, err error) {
	keys, err := s.passkeys()
	if err != nil {
		return out, err
	}
	body, err := in.read(s)
	if err != nil {
		return out, err
	}
	session, err := s.config.Accounts.SignInWithPasskey(ctx, keys, in.browser(by), in.RawBody, by.device(body.Device))
	if err != nil {
		return out, err
	}
	return *s.signedIn(by, &session), nil
}

// Passkey is a passkey of an account.
type Passkey struct {
	ID        string `json:"id" doc:"The id."`
	Name      string `json:"name" doc:"What its owner calls it."`
	Created   string `json:"created" format:"date-time" doc:"When it was added."`
	Used      string `json:"used,omitempty" format:"date-time" doc:"When it signed in last. Absent if it never did."`
	Synced    bool   `json:"synced" doc:"A password manager or a vendor keeps a copy."`
	Copied    bool   `json:"copied" doc:"Two authenticators may have the same key."`
	Elsewhere string `json:"elsewhere,omitempty" doc:"The address that it works at, if that is another one."`
}

func viewOfPasskey(k *account.Passkey) Passkey {
	return Passkey{
		ID: k.ID, Name: k.Name, Created: formatTime(k.Created), Used: timeOrNone(k.Used),
		Synced: k.Synced, Copied: k.Copied, Elsewhere: k.Elsewhere,
	}
}

func (s *Server) addPasskey(ctx context.Context, by *who, in *passkeyInput) (Passkey, error) {
	keys, err := s.passkeys()
	if err != nil {
		return Passkey{}, err
	}
	body, err := in.read(s)
	if err != nil {
		return Passkey{}, err
	}
	key, err := s.config.Accounts.AddPasskey(ctx, by.actor(), keys, in.browser(by), body.Name, in.RawBody)
	return viewOfPasskey(&key), err
}

// PasskeyList are the passkeys of an account.
type PasskeyList struct {
	Passkeys []Passkey `json:"passkeys" nullable:"false" doc:"In no order."`
}

func (s *Server) listPasskeys(ctx context.Context, by *who, _ *nothing) (PasskeyList, error) {
	keys, err := s.passkeys()
	if err != nil {
		return PasskeyList{}, err
	}
	found, err := s.config.Accounts.Passkeys(ctx, by.actor(), keys)
	list := PasskeyList{Passkeys: make([]Passkey, len(found))}
	for i := range found {
		list.Passkeys[i] = viewOfPasskey(&found[i])
	}
	return list, err
}

type nameBody struct {
	Name string `json:"name" doc:"The new name."`
}

func (s *Server) renamePasskey(ctx context.Context, by *who, in *struct {
	IDPath
	JSON[nameBody]
},
) error {
	keys, err := s.passkeys()
	if err != nil {
		return err
	}
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.RenamePasskey(ctx, by.actor(), keys, in.ID, body.Name)
}

func (s *Server) removePasskey(ctx context.Context, by *who, in *IDPath) error {
	keys, err := s.passkeys()
	if err != nil {
		return err
	}
	return s.config.Accounts.RemovePasskey(ctx, by.actor(), keys, in.ID)
}
