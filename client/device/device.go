// Package device signs a program in by the device authorization grant (RFC 8628): the
// program shows a short code, a person enters it on the server's page, where they are
// signed in, and the program gets a token of its own.
package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kaban/client"
	"kaban/client/dial"
	"kaban/wire"
)

const (
	// interval is how often the server is asked if it does not say (RFC 8628, section
	// 3.2), and how much longer the pause becomes when it wants fewer questions (section
	// 3.5).
	interval = 5 * time.Second
	// longestInterval bounds the pause between questions.
	longestInterval = time.Minute
	// longestLife bounds how long a code is waited for.
	longestLife = time.Hour
	// patience is how long an answer may take.
	patience = 30 * time.Second
	// maxAnswer bounds the bytes of an answer.
	maxAnswer = 64 << 10
	// maxText bounds the bytes of a code or an address in an answer.
	maxText = 2048
	// grantType is the one of RFC 8628, section 3.4.
	grantType = "urn:ietf:params:oauth:grant-type:device_code"
)

// Errors to compare with errors.Is.
var (
	// ErrDenied means that the person refused the device.
	ErrDenied = errors.New("the sign-in was refused")
	// ErrExpired means that nobody entered the code in time.
	ErrExpired = errors.New("nobody entered the code in time")
)

// Error is a refusal by the server.
type Error struct {
	Status int       // of HTTP
	Code   wire.Code // or ""
	Text   string    // for people
	// RetryAfter is when trying again makes sense, or 0.
	RetryAfter time.Duration
}

// Error returns the server's sentence, or the status.
func (e *Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("the server answered with HTTP status %d", e.Status)
	}
	return fmt.Sprintf("%s (%s)", e.Text, e.Code)
}

// Options are those of Begin.
type Options struct {
	// Name describes the device to the person, such as a host's name. The server
	// shortens it.
	Name string
	// Insecure allows http addresses of other machines.
	Insecure bool
	// Trust says which certificates of the server count. The zero Trust accepts those of
	// the system's authorities.
	Trust dial.Trust
	// Transport replaces the way to the server. The default is that of dial.Dialer; it
	// refuses http addresses of other machines, and follows no redirects.
	Transport http.RoundTripper
}

// Grant is a sign-in under way.
type Grant struct {
	// UserCode is what the person enters at URI. CompleteURI has the code already; it
	// may be "".
	UserCode, URI, CompleteURI string
	// Expires is when the code does.
	Expires time.Time

	http     *http.Client
	server   string
	secret   string
	interval time.Duration
}

// Token is the outcome of a sign-in.
type Token struct {
	Secret   wire.Secret // for client.Options.WithToken
	Username string
}

// Begin asks the server at an http or https address for a code. The error is an
// *Error, client.ErrInsecure, ErrNoWeb, a *dial.AddressError or one of dial.Dialer.
func Begin(ctx context.Context, server string, options Options) (*Grant, error) {
	address, err := parseAddress(server)
	if err != nil {
		return nil, err
	}
	g := &Grant{server: address.Web(), http: newClient(address, &options)}
	var answer struct {
		DeviceCode  string `json:"device_code"`
		UserCode    string `json:"user_code"`
		URI         string `json:"verification_uri"`
		CompleteURI string `json:"verification_uri_complete"`
		ExpiresIn   int64  `json:"expires_in"`
		Interval    int64  `json:"interval"`
	}
	if err := g.post(ctx, "/v1/device", map[string]string{"name": options.Name}, &answer); err != nil {
		return nil, err
	}
	for _, text := range []string{answer.DeviceCode, answer.UserCode, answer.URI} {
		if text == "" || len(text) > maxText || len(answer.CompleteURI) > maxText || answer.ExpiresIn < 1 {
			return nil, errors.New("the server's answer is no code to sign in with")
		}
	}
	g.secret, g.UserCode, g.URI, g.CompleteURI = answer.DeviceCode, answer.UserCode, answer.URI, answer.CompleteURI
	g.Expires = time.Now().Add(min(seconds(answer.ExpiresIn), longestLife))
	if g.interval = interval; answer.Interval > 0 {
		g.interval = min(seconds(answer.Interval), longestInterval)
	}
	return g, nil
}

// seconds returns a duration without an overflow.
func seconds(n int64) time.Duration {
	return time.Duration(min(n, int64(longestLife/time.Second))) * time.Second
}

// ErrNoWeb means that an address is one of kaban/1 only, where HTTP has no place.
var ErrNoWeb = errors.New("the server's address does not start with http:// or https://")

// parseAddress reads the address of a server's page and API.
func parseAddress(server string) (dial.Address, error) {
	address, err := dial.Parse(server)
	if err == nil && address.Web() == "" {
		err = ErrNoWeb
	}
	return address, err
}

// Wait asks until the person has decided. The error is ErrDenied, ErrExpired, an
// *Error or that of ctx. A server that cannot be reached is asked again, less often.
func (g *Grant) Wait(ctx context.Context) (Token, error) {
	pause := g.interval
	for {
		select {
		case <-time.After(min(pause, max(time.Until(g.Expires), 0))):
		case <-ctx.Done():
			return Token{}, context.Cause(ctx)
		}
		token, err := g.ask(ctx)
		refused, answered := errors.AsType[*Error](err)
		switch {
		case err == nil:
			return token, nil
		case ctx.Err() != nil:
			return Token{}, context.Cause(ctx)
		case errors.Is(err, errPending):
		case errors.Is(err, errSlowDown):
			g.interval = min(g.interval+interval, longestInterval)
		case !answered && !isFinal(err):
			g.interval = min(2*g.interval, longestInterval)
		case answered && (refused.Status == http.StatusTooManyRequests || refused.Status >= http.StatusInternalServerError):
			g.interval = min(max(2*g.interval, refused.RetryAfter), longestInterval)
		default:
			return Token{}, err
		}
		if pause = g.interval; !time.Now().Before(g.Expires) {
			return Token{}, ErrExpired
		}
	}
}

// isFinal reports whether asking again makes no sense.
func isFinal(err error) bool {
	return errors.Is(err, ErrDenied) || errors.Is(err, ErrExpired) || errors.Is(err, client.ErrInsecure) || errors.Is(err, errNoToken)
}

// The answers of RFC 8628, section 3.5, that are not the end.
var (
	errPending  = errors.New("the person has not decided yet")
	errSlowDown = errors.New("the server wants fewer questions")
	errNoToken  = errors.New("the server's answer has no token")
)

// ask asks once for the token.
func (g *Grant) ask(ctx context.Context) (Token, error) {
	var answer struct {
		Token    string `json:"access_token"`
		Type     string `json:"token_type"`
		Username string `json:"username"`
	}
	err := g.post(ctx, "/v1/device/token", map[string]string{"device_code": g.secret, "grant_type": grantType}, &answer)
	switch {
	case err != nil:
		return Token{}, err
	case answer.Token == "", len(answer.Token) > wire.MaxToken, !strings.EqualFold(answer.Type, "bearer"):
		return Token{}, errNoToken
	}
	return Token{Secret: wire.Secret(answer.Token), Username: answer.Username}, nil
}

// problem is an answer that reports an error: of RFC 8628, or of RFC 9457 with the
// server's code.
type problem struct {
	Error  string    `json:"error"`
	Code   wire.Code `json:"code"`
	Title  string    `json:"title"`
	Detail string    `json:"detail"`
}

// post sends a request and decodes the answer.
func (g *Grant) post(ctx context.Context, path string, body map[string]string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.server+path, strings.NewReader(string(encoded)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	text, err := exchange(g.http, request)
	if err != nil {
		return err
	}
	return decode(text, answer)
}

// exchange sends a request and returns the body of the answer, or its error.
func exchange(client *http.Client, request *http.Request) ([]byte, error) {
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		if bad, ok := errors.AsType[*url.Error](err); ok { // its text repeats the address
			err = bad.Err
		}
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the server's answer: %w", err)
	case response.StatusCode == http.StatusOK, response.StatusCode == http.StatusNoContent:
		return text, nil
	}
	return nil, refusal(response, text)
}

// refusal returns the error of an answer.
func refusal(response *http.Response, text []byte) error {
	var p problem
	if json.Unmarshal(text, &p) != nil {
		p = problem{}
	}
	if response.StatusCode == http.StatusBadRequest {
		switch p.Error {
		case "authorization_pending":
			return errPending
		case "slow_down":
			return errSlowDown
		case "access_denied":
			return ErrDenied
		case "expired_token":
			return ErrExpired
		}
	}
	e := &Error{Status: response.StatusCode, Code: p.Code, Text: p.Detail}
	if e.Text == "" {
		e.Text = p.Title
	}
	if after, err := time.ParseDuration(response.Header.Get("Retry-After") + "s"); err == nil && after > 0 {
		e.RetryAfter = min(after, longestLife)
	}
	return e
}
