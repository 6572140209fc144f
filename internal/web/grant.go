package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/account"
)

// grantOperations are the device authorization grant (RFC 8628): a device without a
// browser asks, and somebody that is signed in elsewhere approves.
func (s *Server) grantOperations(api huma.API) {
	begin := aboutPeople("begin-grant", http.MethodPost, "/v1/device", "Begin the sign-in of a device")
	begin.Description = "RFC 8628, section 3.1. The body is JSON or a form."
	asks(s, api, toAnybody|secret, begin, s.beginGrant)
	poll := aboutPeople("poll-grant", http.MethodPost, "/v1/device/token", "Ask whether a device is signed in")
	poll.Description = "RFC 8628, section 3.4. The body is JSON or a form. While nobody has approved it, the status is 400 and the error authorization_pending or, if the device asks too often, slow_down; in the end it may be access_denied or expired_token."
	poll.Errors = slices.DeleteFunc(poll.Errors, func(status int) bool { return status == http.StatusBadRequest })
	poll.Responses = map[string]*huma.Response{"400": {
		Description: "The device is not signed in.",
		Content: map[string]*huma.MediaType{
			jsonType: {Schema: schemaOf[GrantError](api)}, problemType: {Schema: schemaOf[Problem](api)},
		},
	}}
	asks(s, api, toAnybody|secret, poll, s.pollGrant)
	asks(s, api, toAccounts|secret, aboutPeople("look-at-grant", http.MethodPost, "/v1/device/look", "See which device asks for a sign-in"), s.lookAtGrant)
	does(s, api, toAccounts|secret, aboutPeople("decide-grant", http.MethodPost, "/v1/device/decide", "Approve or deny the sign-in of a device; approving needs a fresh sign-in"), s.decideGrant)
}

type beginGrantBody struct {
	Name     string `json:"name,omitempty" doc:"What the person sees of the device, such as its host name."`
	ClientID string `json:"client_id,omitempty" doc:"Ignored: there are no registered clients."`
	Scope    string `json:"scope,omitempty" doc:"Ignored: a device may do what its account may."`
}

// Grant is the sign-in of a device that has begun.
type Grant struct {
	DeviceCode string `json:"device_code" doc:"The secret with which the device asks. It shows it to nobody."`
	UserCode   string `json:"user_code" doc:"The code for the person to type."`
	Address    string `json:"verification_uri" format:"uri" doc:"Where the person types the code."`
	Complete   string `json:"verification_uri_complete" format:"uri" doc:"The same with the code in the fragment."`
	ExpiresIn  int    `json:"expires_in" doc:"The lifetime of the codes, in seconds."`
	Interval   int    `json:"interval" doc:"The time between two questions, in seconds."`
}

func (s *Server) beginGrant(ctx context.Context, by *who, in *Form[beginGrantBody]) (Grant, error) {
	body, err := in.read(s)
	if err != nil {
		return Grant{}, err
	}
	grant, err := s.config.Accounts.BeginGrant(ctx, by.device(body.Name))
	if err != nil {
		return Grant{}, err
	}
	return Grant{
		DeviceCode: grant.Secret, UserCode: grant.Code,
		Address: s.link(devicePage, ""), Complete: s.link(devicePage, grant.Code),
		ExpiresIn: int(grant.Lifetime / time.Second), Interval: int(grant.Interval / time.Second),
	}, nil
}

// grantType is the grant_type of RFC 8628, section 3.4.
const grantType = "urn:ietf:params:oauth:grant-type:device_code"

type pollGrantBody struct {
	DeviceCode string `json:"device_code" doc:"As /v1/device returned it."`
	GrantType  string `json:"grant_type,omitempty" doc:"urn:ietf:params:oauth:grant-type:device_code, or absent."`
	ClientID   string `json:"client_id,omitempty" doc:"Ignored."`
}

// GrantToken is the secret of a device that is signed in: RFC 6749, section 5.1.
type GrantToken struct {
	AccessToken string `json:"access_token" doc:"The secret. It is returned once."`
	TokenType   string `json:"token_type" enum:"Bearer"`
	Username    string `json:"username" doc:"The account."`
}

func (s *Server) pollGrant(ctx context.Context, _ *who, in *Form[pollGrantBody]) (GrantToken, error) {
	body, err := in.read(s)
	if err != nil {
		return GrantToken{}, err
	}
	if body.GrantType != "" && body.GrantType != grantType {
		return GrantToken{}, &GrantError{"unsupported_grant_type", "the grant_type is " + grantType}
	}
	session, err := s.config.Accounts.PollGrant(ctx, body.DeviceCode)
	if err != nil {
		return GrantToken{}, grantError(err)
	}
	return GrantToken{session.Secret, "Bearer", session.Principal.Account.Username}, nil
}

// GrantError is why a device is not signed in, as RFC 8628, section 3.5, has it: it is
// no problem (RFC 9457).
type GrantError struct {
	Code        string `json:"error" doc:"authorization_pending, slow_down, access_denied, expired_token or unsupported_grant_type."`
	Description string `json:"error_description" doc:"For people."`
}

// Error implements error.
func (e *GrantError) Error() string { return e.Code }

// GetStatus implements huma.StatusError.
func (e *GrantError) GetStatus() int { return http.StatusBadRequest }

// GetHeaders implements huma.HeadersError.
func (e *GrantError) GetHeaders() http.Header { return http.Header{"Cache-Control": {noStore}} }

// grantErrors are the errors of a device that asks. Whoever approved the device may
// have lost the account meanwhile.
var grantErrors = []struct {
	is   error
	code string
}{
	{account.ErrPending, "authorization_pending"},
	{account.ErrSlowDown, "slow_down"},
	{account.ErrDenied, "access_denied"},
	{account.ErrExpired, "expired_token"},
	{account.ErrAuthFailed, "access_denied"},
	{account.ErrSuspended, "access_denied"},
	{account.ErrRenew, "access_denied"},
}

func grantError(err error) error {
	for _, e := range grantErrors {
		if errors.Is(err, e.is) {
			return &GrantError{e.code, e.is.Error()}
		}
	}
	return err
}

type lookAtGrantBody struct {
	UserCode string `json:"user_code" doc:"The code that the device shows."`
}

// GrantAsker is a device that asks for a sign-in.
type GrantAsker struct {
	Name      string `json:"name" doc:"What the device says it is."`
	Address   string `json:"address,omitempty" doc:"Where it asks from. Absent if it is this machine."`
	Requested string `json:"requested" format:"date-time" doc:"When it asked."`
}

func (s *Server) lookAtGrant(ctx context.Context, by *who, in *JSON[lookAtGrantBody]) (GrantAsker, error) {
	body, err := in.read(s)
	if err != nil {
		return GrantAsker{}, err
	}
	info, err := s.config.Accounts.Grant(ctx, by.actor(), body.UserCode)
	return GrantAsker{info.Name, info.Address, formatTime(info.Begun)}, err
}

type decideGrantBody struct {
	UserCode string `json:"user_code" doc:"The code that the device shows."`
	Approve  bool   `json:"approve" doc:"Whether the device becomes one of yours."`
}

func (s *Server) decideGrant(ctx context.Context, by *who, in *JSON[decideGrantBody]) error {
	body, err := in.read(s)
	if err != nil {
		return err
	}
	return s.config.Accounts.DecideGrant(ctx, by.actor(), body.UserCode, body.Approve)
}
