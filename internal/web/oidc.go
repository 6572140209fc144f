package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
	"kaban/wire"
)

// CallbackPath is where an OpenID provider sends browsers back to.
const CallbackPath = "/v1/oidc/callback"

// providerOperations are those of single sign-on with an OpenID provider.
func (s *Server) providerOperations(api huma.API) {
	leads(s, api, toAnybody|secret|stores, "start-oidc", "/v1/oidc/start", "Go to the OpenID provider to sign in", s.startProvider)
	link := "Go to the OpenID provider to link an identity there to your account; needs a fresh sign-in"
	leads(s, api, toAccounts|secret, "link-oidc", "/v1/oidc/link", link, s.linkProvider)
	leads(s, api, toAccounts|secret, "confirm-oidc", "/v1/oidc/confirm", "Go to the OpenID provider to make the sign-in fresh again", s.confirmAtProvider)
	leads(s, api, toAnybody|secret, "finish-oidc", CallbackPath, "Come back from the OpenID provider", s.finishProvider)
	asks(s, api, toAccounts, aboutPeople("list-identities", http.MethodGet, "/v1/identities", "List your identities at OpenID providers"), s.listIdentities)
	does(s, api, toAccounts, aboutPeople("unlink-identity", http.MethodDelete, "/v1/identities/{id}", "Unlink an identity; needs a fresh sign-in and another way in"), s.unlinkIdentity)
}

// redirect leads a browser elsewhere.
type redirect struct {
	Location     string        `header:"Location"`
	SetCookie    []http.Cookie `header:"Set-Cookie"`
	CacheControl string        `header:"Cache-Control" hidden:"true"`
	Referrer     string        `header:"Referrer-Policy" hidden:"true"`
}

// leads registers an operation that a browser is led to and on from. It answers 303
// (RFC 9110, section 15.4.4).
func leads[I any](s *Server, api huma.API, d door, id, path, summary string, do func(context.Context, *who, *I) (redirect, error)) {
	op := aboutPeople(id, http.MethodGet, path, summary)
	op.DefaultStatus = http.StatusSeeOther
	register(s, api, d, op, func(ctx context.Context, in *I) (*redirect, error) {
		to, err := do(ctx, whoOf(ctx), in)
		if err != nil {
			return nil, s.problemIn(err)
		}
		to.CacheControl, to.Referrer = noStore, "no-referrer" // the code in the address is nobody's business
		return &to, nil
	})
}

type providerInput struct {
	BrowserCookies
	Next      string `query:"next" doc:"The path of this server where the browser goes on afterwards."`
	FetchSite string `header:"Sec-Fetch-Site" hidden:"true"`
}

// provider returns the OpenID provider of the server.
func (s *Server) provider() (*account.Provider, error) {
	if s.config.Provider == nil {
		return nil, account.ErrNoProvider
	}
	return s.config.Provider, nil
}

func (s *Server) startProvider(ctx context.Context, by *who, in *providerInput) (redirect, error) {
	provider, err := s.provider()
	if err != nil {
		return redirect{}, err
	}
	browser, cookies := in.begin(by)
	to, err := s.config.Accounts.SignInAddress(ctx, provider, browser, by.origin, s.localPath(in.Next))
	if errors.Is(err, account.ErrProviderDown) {
		return s.signInFailed(err), nil
	}
	return redirect{Location: to, SetCookie: cookies}, err
}

// linkProvider takes no browser that a page of another site sends here: at the provider
// it could be signed in as somebody else, who would then own the account.
func (s *Server) linkProvider(ctx context.Context, by *who, in *providerInput) (redirect, error) {
	provider, err := s.provider()
	if err != nil {
		return redirect{}, err
	}
	if by.proof == cookieProof && in.FetchSite != "same-origin" {
		return redirect{}, problem(wire.CodeForbidden, "link an identity from the page of this server")
	}
	browser, cookies := in.begin(by)
	to, err := s.config.Accounts.BeginLink(ctx, by.actor(), provider, browser, by.origin, s.localPath(in.Next))
	if errors.Is(err, account.ErrProviderDown) {
		return s.signInFailed(err), nil
	}
	return redirect{Location: to, SetCookie: cookies}, err
}

func (s *Server) confirmAtProvider(ctx context.Context, by *who, in *providerInput) (redirect, error) {
	provider, err := s.provider()
	if err != nil {
		return redirect{}, err
	}
	if by.proof == cookieProof && in.FetchSite != "same-origin" {
		return redirect{}, problem(wire.CodeForbidden, "confirm a sign-in from the page of this server")
	}
	browser, cookies := in.begin(by)
	to, err := s.config.Accounts.BeginConfirmation(ctx, by.actor(), provider, browser, by.origin, s.localPath(in.Next))
	if errors.Is(err, account.ErrProviderDown) {
		return s.signInFailed(&account.ConfirmationError{Err: err}), nil
	}
	return redirect{Location: to, SetCookie: cookies}, err
}

type callbackInput struct {
	BrowserCookies
	State  string `query:"state" doc:"As the provider got it."`
	Code   string `query:"code" doc:"The authorization code."`
	Issuer string `query:"iss" doc:"RFC 9207."`
	Error  string `query:"error" doc:"Why the provider refuses."`
}

// maxParameter bounds the parameters of a callback, in bytes.
const maxParameter = 4096

// finishProvider leads people to a page in any case, because they look at the answer
// themselves: if the sign-in failed, to the one for signing in, with the code of the
// error in the fragment, and if a confirmation failed with that.
func (s *Server) finishProvider(ctx context.Context, by *who, in *callbackInput) (redirect, error) {
	provider, err := s.provider()
	if err != nil {
		return redirect{}, err
	}
	for _, parameter := range []string{in.State, in.Code, in.Issuer, in.Error} {
		if len(parameter) > maxParameter {
			return s.signInFailed(account.ErrCeremony), nil
		}
	}
	result, err := s.config.Accounts.FinishProvider(ctx, by.actor(), provider, account.ProviderAnswer{
		Browser: in.browser(by), State: in.State, Code: in.Code, Issuer: in.Issuer, Error: in.Error,
	}, by.device("browser, by single sign-on"))
	if err != nil {
		return s.signInFailed(err), nil
	}
	to := redirect{Location: s.localPath(result.Next)}
	who := &by.principal.Account
	if !result.Linked && !result.Confirmed {
		who = &result.Session.Principal.Account
		to.SetCookie = s.signedIn(by, &result.Session).SetCookie
	}
	s.grantRooms(ctx, who, result.Rooms)
	return to, nil
}

func (s *Server) signInFailed(err error) redirect {
	fragment := "#error=" + url.QueryEscape(s.problemIn(err).Code)
	if _, confirming := errors.AsType[*account.ConfirmationError](err); errors.Is(err, account.ErrUnproven) {
		fragment += "&about=unproven"
	} else if confirming {
		fragment += "&about=confirming"
	}
	return redirect{Location: s.config.BasePath + signInPage + fragment}
}

// localPath returns where a browser goes on: a path of this server, whatever it was
// given. Browsers take a second slash or a backslash for another server.
func (s *Server) localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, s.config.BasePath+"/") ||
		strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f }) {
		return s.config.BasePath + "/"
	}
	return next
}

// ProviderIdentity is an identity of an account at an OpenID provider.
type ProviderIdentity struct {
	ID      string `json:"id" doc:"The id."`
	Issuer  string `json:"issuer" doc:"The provider."`
	Subject string `json:"subject" doc:"Who it is there."`
	Created string `json:"created" format:"date-time" doc:"When it was linked."`
	Used    string `json:"used,omitempty" format:"date-time" doc:"When it signed in last. Absent if it never did."`
}

// IdentityList are the identities of an account.
type IdentityList struct {
	Identities []ProviderIdentity `json:"identities" nullable:"false" doc:"In no order."`
}

func (s *Server) listIdentities(ctx context.Context, by *who, _ *nothing) (IdentityList, error) {
	found, err := s.config.Accounts.Identities(ctx, by.actor())
	list := IdentityList{Identities: make([]ProviderIdentity, len(found))}
	for i, f := range found {
		list.Identities[i] = ProviderIdentity{ID: f.ID, Issuer: f.Issuer, Subject: f.Subject, Created: formatTime(f.Created), Used: timeOrNone(f.Used)}
	}
	return list, err
}

func (s *Server) unlinkIdentity(ctx context.Context, by *who, in *IDPath) error {
	return s.config.Accounts.UnlinkIdentity(ctx, by.actor(), s.config.Passkeys, in.ID)
}
