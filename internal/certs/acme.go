package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"
)

// LetsEncrypt is the directory of Let's Encrypt.
const LetsEncrypt = acme.LetsEncryptURL

const (
	// maxHosts is how many hosts may be named.
	maxHosts = 100
	// attemptTimeout is for one attempt to get a certificate.
	attemptTimeout = 5 * time.Minute
	// firstRetry is after what time a refused attempt is repeated. Each further refusal
	// doubles it, up to lastRetry. Let's Encrypt permits five failed validations of a
	// host an hour: these are two in the first attempt and three until the hour is over.
	firstRetry = 5 * time.Minute
	lastRetry  = 6 * time.Hour
	// maxRetryAfter is how long a pause an ACME server can ask for.
	maxRetryAfter = 7 * 24 * time.Hour
	// maxRenewBefore is how long before its end a certificate is renewed, unless a third
	// of its life is less.
	maxRenewBefore = 30 * 24 * time.Hour
	// maxSpread is by how much the renewals of hosts are spread, unless a tenth of the
	// time before the end is less.
	maxSpread = time.Hour
)

// ACME says which certificates to ask for, and where.
type ACME struct {
	// Hosts are the names of the server, up to 100. A handshake without a name gets the
	// certificate of the first one.
	Hosts []string
	// Email is where the ACME server can write to; optional.
	Email string
	// Directory is the URL of the ACME server's directory. Default: Let's Encrypt's.
	Directory string
	// Cache is a directory for the account and the certificates, with their keys. It
	// is made with mode 0700, its files have 0600.
	Cache string
}

// SettingError means that a setting of ACME is wrong.
type SettingError struct {
	// Key is its name: hosts, email, directory, or cache for ACME.Cache.
	Key string
	// Problem is what is wrong, and what to do.
	Problem string
}

// Error returns the problem.
func (e *SettingError) Error() string { return "acme: " + e.Problem }

func badSetting(key, format string, args ...any) error {
	return &SettingError{Key: key, Problem: fmt.Sprintf(format, args...)}
}

// check returns the settings with names as handshakes have them, and with defaults.
func (a ACME) check() (ACME, error) {
	switch {
	case len(a.Hosts) == 0:
		return a, badSetting("hosts", "name the hosts of this server, such as hosts = [\"chat.example.org\"]")
	case len(a.Hosts) > maxHosts:
		return a, badSetting("hosts", "there are %d hosts; the limit is %d", len(a.Hosts), maxHosts)
	case a.Email != "" && (strings.Count(a.Email, "@") != 1 || strings.ContainsAny(a.Email, " ,<>?:")):
		return a, badSetting("email", "%q is no email address such as admin@example.org", a.Email)
	case a.Cache == "":
		return a, badSetting("cache", "certificates need a place to stay, or each start would ask for new ones until the ACME server refuses; start with a data directory")
	}
	hosts := make([]string, 0, len(a.Hosts))
	for _, host := range a.Hosts {
		name, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
		_, ipErr := netip.ParseAddr(host)
		switch {
		case strings.HasPrefix(host, "*."):
			return a, badSetting("hosts", "%s: an ACME server asks the DNS about such names, which this server cannot answer for; name each host", host)
		case err != nil || ipErr == nil || !strings.Contains(name, "."):
			return a, badSetting("hosts", "%q is no public host name such as chat.example.org", host)
		case slices.Contains(hosts, name):
			return a, badSetting("hosts", "the host %s is there twice", host)
		}
		hosts = append(hosts, name)
	}
	a.Hosts = hosts
	a.Directory = cmp.Or(a.Directory, LetsEncrypt)
	u, err := url.Parse(a.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return a, badSetting("directory", "directory %q is no address such as %s; it must begin with https://", a.Directory, LetsEncrypt)
	}
	// Each server has its own certificates, so that trying with one that is made for
	// tests leaves nothing behind for the real one.
	a.Cache = filepath.Join(a.Cache, folderName(u.Host+u.Path))
	return a, nil
}

// folderName returns a name of a folder for a URL.
func folderName(text string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(text)), "-.")
}

// managed has the certificates from an ACME server.
type managed struct {
	settings   ACME
	options    Options
	counts     *counters
	cache      autocert.Cache
	challenges challenges
	accountMu  sync.Mutex
	client     *acme.Client // nil before the account is there
	hosts      []*host
	// ask gets a new certificate for a host: obtain, but in tests of when it is called.
	ask func(context.Context, *host) (*tls.Certificate, error)
}

// host is one name with its certificate.
type host struct {
	name    string
	current atomic.Pointer[tls.Certificate]
	asked   chan struct{} // has room for one: Reload asks for an attempt now
	report  report

	// These belong to run.
	renewAt  time.Time // the zero Time if there is no certificate
	failures int       // in a row
	retryAt  time.Time // not before
}

// openACME reads the certificates that are there already.
func openACME(settings ACME, options Options, counts *counters) (*managed, error) {
	settings, err := settings.check()
	if err != nil {
		return nil, err
	}
	m := &managed{settings: settings, options: options, counts: counts, cache: autocert.DirCache(settings.Cache)}
	m.ask = m.obtain
	for _, name := range settings.Hosts {
		h := &host{name: name, asked: make(chan struct{}, 1)}
		m.hosts = append(m.hosts, h)
		pair, err := m.load(name)
		if err != nil {
			if !errors.Is(err, autocert.ErrCacheMiss) {
				options.Log.Warn("a certificate cannot be read, so a new one is asked for", "host", name, "error", err)
			}
			continue
		}
		m.use(h, pair)
	}
	return m, nil
}

// find returns the host of a handshake, nil if the name is not one of the server's.
func (m *managed) find(hello *tls.ClientHelloInfo) *host {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		return m.hosts[0]
	}
	for _, h := range m.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

func (m *managed) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h := m.find(hello)
	if h == nil {
		return nil, nil
	}
	pair := h.current.Load()
	if pair == nil {
		return nil, fmt.Errorf("%w yet for %s; the log says why", ErrNone, h.name)
	}
	return pair, nil
}

func (m *managed) notAfter() (first time.Time) {
	for _, h := range m.hosts {
		if pair := h.current.Load(); pair != nil && (first.IsZero() || pair.Leaf.NotAfter.Before(first)) {
			first = pair.Leaf.NotAfter
		}
	}
	return first
}

func (m *managed) hostNames() []string { return slices.Clone(m.settings.Hosts) }

// reload has the attempts that are waited for made now.
func (m *managed) reload(settings *Settings) error {
	if settings != nil && settings.ACME == nil {
		return errAnotherWay
	}
	for _, h := range m.hosts {
		select {
		case h.asked <- struct{}{}:
		default: // asked already
		}
	}
	return nil
}

// run keeps the certificates of all hosts until ctx ends.
func (m *managed) run(ctx context.Context) {
	var keeping sync.WaitGroup
	for _, h := range m.hosts {
		keeping.Go(func() { m.keep(ctx, h) })
	}
	keeping.Wait()
}

// longWait is after what time a wait looks at the clock again, which may have been set
// or have gone on while the machine slept.
const longWait = time.Hour

// keep keeps the certificate of a host.
func (m *managed) keep(ctx context.Context, h *host) {
	for ctx.Err() == nil {
		now := m.options.Clock.Now()
		due := h.due()
		if !now.Before(due) {
			h.report.begin()
			err := m.attempt(ctx, h)
			h.report.end(h.failures, err)
			continue
		}
		h.report.wait(due)
		select {
		case <-ctx.Done():
		case <-h.asked:
			h.retryAt = time.Time{}
		case <-m.options.Clock.After(min(due.Sub(now), longWait)):
		}
	}
}

// due returns when the next attempt is to be made.
func (h *host) due() time.Time {
	if h.retryAt.After(h.renewAt) {
		return h.retryAt
	}
	return h.renewAt
}

// use takes a certificate into use.
func (m *managed) use(h *host, pair *tls.Certificate) {
	h.current.Store(pair)
	h.renewAt = renewAt(pair)
	h.failures, h.retryAt = 0, time.Time{}
	m.counts.loaded.Add(1)
	m.options.Log.Info("certificate", "hosts", strings.Join(namesOf(pair.Leaf), ","), "ends", pair.Leaf.NotAfter, "renewal", h.renewAt)
}

// renewAt returns when to renew a certificate: when two thirds of its life are over, at
// most thirty days before its end, and hosts not all at once.
func renewAt(pair *tls.Certificate) time.Time {
	before := min(pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)/3, maxRenewBefore)
	spread := min(before/10, maxSpread)
	return pair.Leaf.NotAfter.Add(-before + rand.N(max(spread, 1)))
}

// errClockAhead means that a new certificate is due for renewal when it comes.
var errClockAhead = errors.New("the new certificate is due for renewal already, so the clock of this machine is probably ahead; set it")

// attempt asks for a certificate once. It logs how that ended, and returns what is still
// wrong.
func (m *managed) attempt(ctx context.Context, h *host) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	pair, err := m.ask(ctx, h)
	if err == nil {
		return m.take(ctx, h, pair)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // Close
	}
	m.counts.refused.Add(1)
	h.failures++
	pause := retryPause(h.failures, err)
	h.retryAt = m.options.Clock.Now().Add(pause)
	args := []any{"host", h.name, "server", m.settings.Directory, "attempts", h.failures, "next", h.retryAt.Truncate(time.Second), "error", err}
	if pair := h.current.Load(); pair != nil {
		m.options.Log.Warn("the certificate was not renewed, the old one stays in use", append(args, "ends", pair.Leaf.NotAfter)...)
		return err
	}
	m.options.Log.Error("there is no certificate yet, so nobody can connect over TLS", args...)
	return err
}

// take takes a new certificate into use and stores it.
func (m *managed) take(ctx context.Context, h *host, pair *tls.Certificate) (problem error) {
	early := h.failures + 1
	m.use(h, pair)
	if now := m.options.Clock.Now(); !h.renewAt.After(now) {
		// The clock is ahead of the ACME server's: each new certificate would be
		// renewed at once, until the server refuses.
		h.failures = early
		h.retryAt = now.Add(renewalPause(early, pair, now))
		problem = errClockAhead
		m.options.Log.Warn(problem.Error(), "host", h.name, "begins", pair.Leaf.NotBefore, "next", h.retryAt.Truncate(time.Second))
	}
	if err := m.store(ctx, h.name, pair); err != nil {
		const stays = "the new certificate is in use, but cannot be stored, so the next start asks for another one; make the directory writable for the server"
		problem = fmt.Errorf("%s: %w", stays, err)
		m.options.Log.Error(stays, "host", h.name, "directory", m.settings.Cache, "error", err)
	}
	return problem
}

// retryPause returns how long to wait after a number of refusals in a row: longer each
// time, a little at random, and not less than the ACME server asks for.
func retryPause(failures int, err error) time.Duration {
	pause := lastRetry
	if doublings := failures - 1; doublings < 16 {
		pause = min(firstRetry<<doublings, lastRetry)
	}
	pause += rand.N(pause / 10)
	if refusal, ok := errors.AsType[*acme.Error](err); ok {
		if asked, ok := acme.RateLimit(refusal); ok {
			pause = max(pause, min(asked, maxRetryAfter))
		}
	}
	return pause
}

// renewalPause returns how long to wait when a number of new certificates in a row were
// due for renewal already: as after refusals, but not past the end of a short one.
func renewalPause(early int, pair *tls.Certificate, now time.Time) time.Duration {
	return min(retryPause(early, nil), max(pair.Leaf.NotAfter.Sub(now)/2, firstRetry))
}

func (m *managed) handler(next http.Handler) http.Handler {
	m.challenges.overHTTP.Store(true)
	return m.challenges.handler(next)
}

func (m *managed) challenge(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	return m.challenges.config(hello)
}
