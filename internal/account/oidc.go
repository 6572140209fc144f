package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Limits of requests to a provider.
const (
	providerTimeout = 10 * time.Second // of one request
	signInTimeout   = 20 * time.Second // of all requests of one sign-in
	maxAnswer       = 1 << 20          // bytes of one answer
	maxRedirects    = 3                // of one request, all to the same host
	// discoveryAge is how long the provider's configuration is used before it is
	// asked for again.
	discoveryAge = 24 * time.Hour
	// After a failure, nobody asks again for minBackoff, which doubles up to
	// maxBackoff.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// ErrProviderDown means that the provider of single sign-on cannot be reached or gives
// no valid answers. It ends no session. A *ProviderError is one.
var ErrProviderDown = errors.New("the provider of single sign-on cannot be reached")

// ProviderError says at which step a provider failed. Its text has nothing that the
// provider or a client keeps secret.
type ProviderError struct {
	Issuer string
	Step   string // discovery, token, keys, identity, userinfo
	Down   bool   // the provider, rather than the person, is the cause
	Reason string
}

func (e *ProviderError) Error() string {
	if e.Down {
		return fmt.Sprintf("%.200s cannot be reached (%s: %s); everybody that is signed in stays signed in", e.Issuer, e.Step, e.Reason)
	}
	return fmt.Sprintf("%.200s gave no valid identity (%s: %s)", e.Issuer, e.Step, e.Reason)
}

// Unwrap makes an error ErrProviderDown or ErrAuthFailed.
func (e *ProviderError) Unwrap() error {
	if e.Down {
		return ErrProviderDown
	}
	return ErrAuthFailed
}

// ErrUnproven means that an identity does not show that its person has signed in at the
// provider since a confirmation was begun.
var ErrUnproven = errors.New("the provider does not show a new sign-in")

// ConfirmationError is any error of a confirmation at a provider, so that the person can be
// asked to confirm in another way. It changes neither the error nor its text.
type ConfirmationError struct{ Err error }

func (e *ConfirmationError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *ConfirmationError) Unwrap() error { return e.Err }

// ProviderOptions configure a Provider.
type ProviderOptions struct {
	// Redirects are the addresses of this server that the provider sends browsers
	// back to, at least one, each at an origin of its own. A browser goes back to the
	// one at the origin that it came from, because that has its cookies, or else to
	// the first. They are registered at the provider.
	Redirects []string
	// Guard decides whether the server may connect to an address, after names are
	// resolved. Default: to all, because providers are often internal. With a
	// guard, the proxy of the environment is not used: it would hide the address.
	Guard func(netip.AddrPort) error
	// Now returns the time of day. Default: time.Now.
	Now func() time.Time
	// Elapsed returns the time since some moment and never goes back. Default: the
	// monotonic clock.
	Elapsed func() time.Duration
	// Log gets failures of the provider. Default: slog.Default.
	Log *slog.Logger
}

// Provider is the connection to an OpenID provider, as OpenID Connect Core 1.0 and
// Discovery 1.0 have it. It asks for the provider's configuration when somebody signs
// in, not before. Methods are safe for concurrent use.
type Provider struct {
	options ProviderOptions
	client  *http.Client
	turn    chan struct{} // of the one that asks for the configuration

	mu       sync.Mutex
	known    *discovered
	failure  error // of the last attempt
	failed   string
	backoff  time.Duration
	notUntil time.Duration // Elapsed
	warned   string        // about the file of the secret
}

// Refresh has the configuration of the provider asked for at the next sign-in, even if it
// is not old, or asking has failed a moment ago. The old one stays until then, and if
// asking fails.
func (p *Provider) Refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil {
		old := *p.known
		old.at = p.options.Elapsed() - discoveryAge
		p.known = &old
	}
	p.failure, p.failed, p.backoff, p.notUntil = nil, "", 0, 0
}

// discovered is the configuration of a provider. It does not change.
type discovered struct {
	issuer   string
	at       time.Duration // Elapsed
	provider *oidc.Provider
	keys     oidc.KeySet
	document discovery
}

// discovery is the part of a provider's configuration that the library does not give.
type discovery struct {
	Auth       string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	Keys       string   `json:"jwks_uri"`
	UserInfo   string   `json:"userinfo_endpoint"`
	Algorithms []string `json:"id_token_signing_alg_values_supported"`
	AuthStyles []string `json:"token_endpoint_auth_methods_supported"`
	// NamesIssuer is set if answers name the issuer (RFC 9207).
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// NewProvider returns a connection. It sends nothing.
func NewProvider(options ProviderOptions) *Provider {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Elapsed == nil {
		start := time.Now()
		options.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if options.Log == nil {
		options.Log = slog.Default()
	}
	return &Provider{options: options, client: newProviderClient(options.Guard), turn: make(chan struct{}, 1)}
}

// newProviderClient returns a client whose requests are bounded in time, size and
// destination.
func newProviderClient(guard func(netip.AddrPort) error) *http.Client {
	dialer := &net.Dialer{Timeout: providerTimeout / 2}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    providerTimeout / 2,
		ResponseHeaderTimeout:  providerTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxConnsPerHost:        8,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	if guard == nil {
		transport.Proxy = http.ProxyFromEnvironment
	} else {
		// The dialer calls this with the address that it connects to, so a name
		// cannot resolve to something else afterwards.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return guard(to)
		}
	}
	return &http.Client{Timeout: providerTimeout, Transport: bounded{transport}, CheckRedirect: sameHost}
}

// bounded limits the length of answers.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}

// sameHost permits redirects of requests without a body to the same host only. Another
// host could give another provider's configuration, or see a secret.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects || first.Method != http.MethodGet || r.URL.Host != first.URL.Host || r.URL.Scheme != first.URL.Scheme {
		return errors.New("it redirects elsewhere")
	}
	return nil
}

// within returns a context with the client.
func (p *Provider) within(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// discover returns the configuration of an issuer. One caller asks the provider, and
// the others wait for the answer. If it fails, an old configuration is used.
func (p *Provider) discover(ctx context.Context, issuer string) (*discovered, error) {
	if d, err, decided := p.cached(issuer); decided {
		return d, err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, &ProviderError{Issuer: issuer, Step: "discovery", Down: true, Reason: "it takes too long"}
	}
	if d, err, decided := p.cached(issuer); decided {
		return d, err
	}
	d, err := p.fetch(ctx, issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Elapsed()
	if err == nil {
		p.known, p.failure, p.backoff = d, nil, 0
		return d, nil
	}
	if p.failed != issuer {
		p.backoff = 0
	}
	p.backoff = min(max(2*p.backoff, minBackoff), maxBackoff)
	p.failure, p.failed, p.notUntil = err, issuer, now+p.backoff
	p.options.Log.Warn("single sign-on", "issuer", issuer, "error", err)
	if p.known != nil && p.known.issuer == issuer {
		return p.known, nil
	}
	return nil, err
}

// cached returns what is known without asking the provider, if that decides.
func (p *Provider) cached(issuer string) (d *discovered, err error, decided bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Elapsed()
	waits := p.failure != nil && p.failed == issuer && now < p.notUntil
	switch {
	case p.known != nil && p.known.issuer == issuer && (waits || now-p.known.at < discoveryAge):
		return p.known, nil, true
	case waits:
		return nil, p.failure, true
	}
	return nil, nil, false
}

// algorithms are those that a provider may sign with. None and those with a shared
// secret are not among them.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// fetch asks the provider for its configuration.
func (p *Provider) fetch(ctx context.Context, issuer string) (*discovered, error) {
	failed := func(reason string) error {
		return &ProviderError{Issuer: issuer, Step: "discovery", Down: true, Reason: reason}
	}
	provider, err := oidc.NewProvider(p.within(ctx), issuer)
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return nil, failed(fmt.Sprintf("it calls itself %.200q", mismatch.Discovered))
	}
	if err != nil {
		return nil, failed(reasonOf(err))
	}
	d := &discovered{issuer: issuer, at: p.options.Elapsed(), provider: provider}
	if err := provider.Claims(&d.document); err != nil {
		return nil, failed("its configuration is not valid")
	}
	for _, endpoint := range []string{d.document.Auth, d.document.Token, d.document.Keys} {
		if !safeEndpoint(endpoint) {
			return nil, failed(fmt.Sprintf("its configuration has the address %.200q, which is not https", endpoint))
		}
	}
	if d.document.UserInfo != "" && !safeEndpoint(d.document.UserInfo) {
		return nil, failed(fmt.Sprintf("its configuration has the address %.200q, which is not https", d.document.UserInfo))
	}
	d.document.Algorithms = slices.DeleteFunc(d.document.Algorithms, func(a string) bool { return !slices.Contains(algorithms, a) })
	d.keys = oidc.NewRemoteKeySet(p.within(context.Background()), d.document.Keys)
	return d, nil
}

// safeEndpoint reports whether secrets may be sent to an address: over https, or to
// this machine.
func safeEndpoint(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// reasonOf returns a short reason for people, without what a provider sent.
func reasonOf(err error) string {
	var dns *net.DNSError
	var failure net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "the request was cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &failure) && failure.Timeout():
		return "it takes too long"
	case errors.As(err, &dns):
		return "its name is unknown"
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return "its answer is too long"
	}
	var request *url.Error
	if errors.As(err, &request) {
		return fmt.Sprintf("%.200q", request.Err.Error())
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	status, _, isStatus := strings.Cut(text, ":")
	if isStatus && len(status) > 3 && status[0] >= '1' && status[0] <= '5' {
		return fmt.Sprintf("it answered %.60q", status)
	}
	return "it gave no valid answer"
}

// redirect returns where browsers that came from an origin go back to.
func (p *Provider) redirect(origin string) string {
	for _, redirect := range p.options.Redirects {
		if rest, ok := strings.CutPrefix(redirect, origin); ok && strings.HasPrefix(rest, "/") {
			return redirect
		}
	}
	return p.options.Redirects[0]
}

// oauth returns the configuration of OAuth 2.0.
func (d *discovered) oauth(redirect string, set *providerSettings, secret string) *oauth2.Config {
	endpoint := d.provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	styles := d.document.AuthStyles
	if secret == "" || len(styles) > 0 && !slices.Contains(styles, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: set.clientID, ClientSecret: secret, Endpoint: endpoint,
		RedirectURL: redirect, Scopes: set.scopes,
	}
}
