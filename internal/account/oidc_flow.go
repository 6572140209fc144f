package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"kaban/internal/secretfile"
)

// Limits of identities.
const (
	maxSubject      = 255     // bytes, as OpenID Connect Core 1.0, section 2, has it
	maxClaimedGroup = 255     // bytes
	maxGroups       = 1000    // of one person
	maxClientSecret = 4 << 10 // bytes of its file
	maxCode         = 4 << 10 // bytes
	maxAuthTime     = 1 << 40 // seconds since 1970
)

// ProviderAnswer is what a browser brings back from the provider: the parameters of
// the request to ProviderOptions.Redirect, and the cookie.
type ProviderAnswer struct {
	Browser string // the secret of the cookie
	State   string // state
	Code    string // code
	Issuer  string // iss; RFC 9207
	Error   string // error; such as access_denied
}

// providerTicket is what a sign-in at a provider remembers.
type providerTicket struct {
	Issuer string `json:"issuer"`
	Return string `json:"return,omitempty"` // where the page goes on
	// Redirect is where the provider sends the browser back to. It is in both requests
	// (RFC 6749, section 4.1.3).
	Redirect string `json:"redirect"`
	// Confirm is set if the sign-in is to make a device of the account fresh again.
	Confirm bool `json:"confirm,omitempty"`
	// Begun is when that was asked for, in milliseconds since 1970 UTC.
	Begun int64 `json:"begun,omitempty"`
}

// identity is what a provider says about a person. It has been verified.
type identity struct {
	issuer, subject, claim string // claim is the one that the subject comes from
	username, name         string // as claimed
	email                  string // folded; only if verified
	groups                 []string
	groupsUnknown          bool      // there are more groups than the provider sends
	signedIn               time.Time // auth_time; zero if there is none
}

// derive returns a value that only the browser that holds a secret leads to, for one
// state. So neither the nonce nor the verifier of PKCE is stored.
func derive(label, browser, state string) string {
	mac := hmac.New(sha256.New, []byte(browser))
	mac.Write([]byte(label + " " + state))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// address returns where the browser is to go for a state. The code flow uses PKCE with
// S256 (RFC 7636).
func (p *Provider) address(d *discovered, set *providerSettings, redirect, browser, state string, more ...oauth2.AuthCodeOption) string {
	return d.oauth(redirect, set, "").AuthCodeURL(state, append(more,
		oidc.Nonce(derive("nonce", browser, state)),
		oauth2.S256ChallengeOption(derive("verifier", browser, state)))...)
}

// redeem exchanges the code of an answer and verifies the identity. The ticket of the
// state has been used up. Errors are *ProviderError, and those of the file with the
// client's secret.
func (p *Provider) redeem(ctx context.Context, set *providerSettings, redirect string, answer ProviderAnswer) (identity, error) {
	refused := func(step, reason string) error {
		return &ProviderError{Issuer: set.issuer, Step: step, Reason: reason}
	}
	ctx, cancel := context.WithTimeout(p.within(ctx), signInTimeout)
	defer cancel()
	d, err := p.discover(ctx, set.issuer)
	if err != nil {
		return identity{}, err
	}
	switch {
	case answer.Issuer != "" && answer.Issuer != set.issuer, answer.Issuer == "" && d.document.NamesIssuer:
		return identity{}, refused("identity", "another provider answered")
	case answer.Error != "":
		return identity{}, refused("identity", fmt.Sprintf("it answered %.60q", answer.Error))
	case answer.Code == "" || len(answer.Code) > maxCode:
		return identity{}, refused("identity", "the answer has no valid code")
	}
	secret, err := p.secret(set)
	if err != nil {
		return identity{}, err
	}
	verifier := derive("verifier", answer.Browser, answer.State)
	token, err := d.oauth(redirect, set, secret).Exchange(ctx, answer.Code, oauth2.VerifierOption(verifier))
	if err != nil {
		return identity{}, tokenError(set.issuer, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return identity{}, refused("token", "there is no ID token")
	}
	return p.identity(ctx, d, set, token, raw, derive("nonce", answer.Browser, answer.State))
}

// checkConfirmed refuses an identity whose person has not signed in at the provider since
// a confirmation was begun. Clocks may differ by maxSkew. The error is ErrUnproven and a
// *ProviderError.
func (p *Provider) checkConfirmed(who identity, begun time.Time) error {
	now, reason := p.options.Now(), ""
	switch {
	case who.signedIn.IsZero():
		reason = "the ID token has no auth_time, so nothing shows that the person has signed in again; have the provider send it, as max_age asks for it (OpenID Connect Core 1.0, section 3.1.2.1), or confirm with a passkey or a password, which a link of an admin (kaban user reset) can set"
	case who.signedIn.Before(begun.Add(-maxSkew)):
		reason = fmt.Sprintf("it took a sign-in of %v ago where a new one was asked for; have the provider honor prompt=login and max_age, and compare the clocks of both servers", now.Sub(who.signedIn).Round(time.Second))
	case who.signedIn.After(now.Add(maxSkew)):
		reason = "auth_time is in the future; compare the clocks of both servers"
	default:
		return nil
	}
	err := &ProviderError{Issuer: who.issuer, Step: "identity", Reason: reason}
	p.options.Log.Warn("single sign-on", "issuer", who.issuer, "error", err) // the person cannot do anything about it
	return fmt.Errorf("%w: %w", ErrUnproven, err)
}

// tokenError returns the error of an exchange. The answer of the provider is not in it,
// because it may have secrets.
func tokenError(issuer string, err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response.StatusCode < 500 {
		if e.ErrorCode == "" {
			return &ProviderError{Issuer: issuer, Step: "token", Reason: fmt.Sprintf("it answered %d", e.Response.StatusCode)}
		}
		return &ProviderError{Issuer: issuer, Step: "token", Reason: fmt.Sprintf("it answered %.60q", e.ErrorCode)}
	} else if ok {
		return &ProviderError{Issuer: issuer, Step: "token", Down: true, Reason: fmt.Sprintf("it answered %d", e.Response.StatusCode)}
	}
	return &ProviderError{Issuer: issuer, Step: "token", Down: true, Reason: reasonOf(err)}
}

// watchedKeys remembers whether the keys could be had.
type watchedKeys struct {
	oidc.KeySet
	failure error
}

func (k *watchedKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		k.failure = err
	}
	return payload, err
}

// identity verifies an ID token as OpenID Connect Core 1.0, section 3.1.3.7, has it, and
// returns its claims. Clocks may differ by maxSkew.
func (p *Provider) identity(ctx context.Context, d *discovered, set *providerSettings, token *oauth2.Token, raw, nonce string) (identity, error) {
	refused := func(reason string) error {
		return &ProviderError{Issuer: set.issuer, Step: "identity", Reason: reason}
	}
	now := p.options.Now()
	keys := &watchedKeys{KeySet: d.keys}
	verified, err := oidc.NewVerifier(set.issuer, keys, &oidc.Config{
		ClientID: set.clientID, SupportedSigningAlgs: d.document.Algorithms,
		Now: func() time.Time { return now.Add(-maxSkew) },
	}).Verify(ctx, raw)
	if keys.failure != nil {
		return identity{}, &ProviderError{Issuer: set.issuer, Step: "keys", Down: true, Reason: reasonOf(keys.failure)}
	}
	if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
		return identity{}, refused("the ID token has expired; compare the clocks of both servers")
	}
	if err != nil {
		return identity{}, refused(fmt.Sprintf("%.200q", err.Error()))
	}
	claims := make(map[string]any)
	if err := verified.Claims(&claims); err != nil {
		return identity{}, refused("its claims are not valid")
	}
	azp, hasParty := claims["azp"]
	switch {
	case subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(nonce)) != 1:
		return identity{}, refused("the nonce is another one's")
	case hasParty && azp != set.clientID, !hasParty && len(verified.Audience) > 1:
		return identity{}, refused("it is for another client")
	case verified.IssuedAt.After(now.Add(maxSkew)):
		return identity{}, refused("the ID token is from the future; compare the clocks of both servers")
	case verified.Subject == "" || len(verified.Subject) > maxSubject:
		return identity{}, refused("it has no valid subject")
	}
	if verified.AccessTokenHash != "" && verified.VerifyAccessToken(token.AccessToken) != nil {
		return identity{}, refused("the access token is another one's")
	}
	if err := p.askMore(ctx, d, set, token, verified.Subject, claims); err != nil {
		return identity{}, err
	}
	who := readIdentity(set, claims)
	if who.subject == "" || len(who.subject) > maxSubject {
		return identity{}, refused(fmt.Sprintf("the claim %q is no valid subject", set.subjectClaim))
	}
	return who, nil
}

// askMore adds claims that are not in the ID token from the provider's userinfo.
func (p *Provider) askMore(ctx context.Context, d *discovered, set *providerSettings, token *oauth2.Token, subject string, claims map[string]any) error {
	missing := false
	for _, claim := range set.wanted() {
		_, has := claims[claim]
		missing = missing || !has
	}
	if !missing || d.document.UserInfo == "" {
		return nil
	}
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return &ProviderError{Issuer: set.issuer, Step: "userinfo", Down: true, Reason: reasonOf(err)}
	}
	if info.Subject != subject {
		return &ProviderError{Issuer: set.issuer, Step: "userinfo", Reason: "it is about somebody else"}
	}
	more := make(map[string]any)
	if err := info.Claims(&more); err != nil {
		return &ProviderError{Issuer: set.issuer, Step: "userinfo", Reason: "its claims are not valid"}
	}
	// An address and whether it is verified come from one source.
	if _, has := claims["email"]; has {
		delete(more, "email_verified")
	}
	for claim, value := range more {
		if _, has := claims[claim]; !has {
			claims[claim] = value
		}
	}
	return nil
}

// readIdentity returns what claims say.
func readIdentity(set *providerSettings, claims map[string]any) identity {
	text := func(claim string) string {
		s, _ := claims[claim].(string)
		return s
	}
	who := identity{
		issuer: set.issuer, subject: text(set.subjectClaim), claim: set.subjectClaim,
		username: text(set.usernameClaim), name: text("name"),
	}
	if v, ok := claims["auth_time"].(float64); ok && v > 0 && v < maxAuthTime {
		who.signedIn = time.Unix(int64(v), 0)
	}
	if v := claims["email_verified"]; v == true || v == "true" {
		who.email = strings.ToLower(strings.TrimSpace(text("email")))
	}
	switch groups := claims[set.groupsClaim].(type) {
	case string:
		who.groups = []string{groups}
	case []any:
		for _, g := range groups[:min(len(groups), maxGroups)] {
			if s, ok := g.(string); ok && s != "" && len(s) <= maxClaimedGroup {
				who.groups = append(who.groups, s)
			}
		}
		who.groupsUnknown = len(groups) > maxGroups
	case nil:
		// A distributed claim (section 5.6.2): the provider keeps it elsewhere.
		names, _ := claims["_claim_names"].(map[string]any)
		_, who.groupsUnknown = names[set.groupsClaim]
	}
	return who
}

// secret returns the client's secret; empty for a public client. The file is read each
// time, so that a new secret needs no restart.
func (p *Provider) secret(set *providerSettings) (string, error) {
	if set.secretFile == "" {
		return "", nil
	}
	secret, warning, err := secretfile.Read(set.secretFile, maxClientSecret)
	p.warn(warning)
	if err != nil {
		return "", fmt.Errorf("oidc.client_secret_file: %w", err)
	}
	return secret, nil
}

// warn logs a warning about the file of the secret, once.
func (p *Provider) warn(warning string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if warning != "" && warning != p.warned {
		p.options.Log.Warn(warning)
	}
	p.warned = warning
}
