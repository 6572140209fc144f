// Package certs is where the certificates of TLS come from: two files, which it reads
// again when they change, or an ACME server (RFC 8555), which it asks by itself.
//
// A certificate in use is only ever replaced by a better one. Files that do not fit
// together, or a server that refuses, leave the old one where it is; the log says why.
// A handshake takes the certificate out of memory. It never waits for a disk or for
// another machine.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrNone means that there are neither files nor hosts for ACME.
	ErrNone = errors.New("there is no certificate")
	// ErrPair means that two files are no certificate and its key that can be used now.
	ErrPair = errors.New("no usable certificate and key")
	// errAnotherWay means that a reload cannot change between files and ACME.
	errAnotherWay = errors.New("certificates come from files or by ACME; changing from one to the other takes a restart")
	// ErrRefused means that no certificate came from the ACME server.
	ErrRefused = errors.New("no certificate from the ACME server")
)

// Settings say where certificates come from: from files or by ACME.
type Settings struct {
	// Cert is a file in PEM with the certificate and then those that lead to its root.
	Cert string
	// Key is a file in PEM with the private key.
	Key string
	// ACME, if not nil, takes the place of files.
	ACME *ACME
}

// Options are what a Source needs of its surroundings. Zero values mean the defaults.
type Options struct {
	// Log gets a line for each change and one for each new reason why there is none.
	// Default: discarded.
	Log *slog.Logger
	// Clock is the time. Default: that of the machine.
	Clock Clock
	// Client makes the requests to the ACME server. Default: one that checks the
	// certificate of the server with the roots of the machine, by way of the proxy of
	// the environment.
	Client *http.Client
}

// Clock is the time. Its methods are safe for concurrent use.
type Clock interface {
	// Now returns the time of day.
	Now() time.Time
	// After returns a channel that receives once d has passed.
	After(d time.Duration) <-chan time.Time
}

type machineClock struct{}

func (machineClock) Now() time.Time                         { return time.Now() }
func (machineClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	return o
}

// Stats are numbers since the start.
type Stats struct {
	Loaded  uint64 // certificates that were taken into use
	Refused uint64 // attempts that left the old one in use
}

type counters struct{ loaded, refused atomic.Uint64 }

// provider is one way to certificates. All methods are safe for concurrent use.
type provider interface {
	// certificate returns the one for a handshake; nil if there is none for its name.
	certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// challenge returns the configuration of a handshake that only proves to an ACME
	// server who is there; nil for any other handshake.
	challenge(*tls.ClientHelloInfo) (*tls.Config, error)
	handler(http.Handler) http.Handler
	hostNames() []string
	reload(settings *Settings) error // nil: the same
	notAfter() time.Time
	states() []State
	run(ctx context.Context)
}

// Source is where certificates come from. All methods are safe for concurrent use.
type Source struct {
	provider provider
	counts   *counters

	ctx     context.Context
	stop    context.CancelFunc
	started sync.Once
	running sync.WaitGroup
}

// Open returns a Source. The caller starts it once its listeners take connections, and
// closes it. The error is ErrNone, ErrPair or about a setting; all say what to do.
//
// Files that cannot be used are an error here, unless they only have ended or not begun:
// a server that is started again must not stay down for that.
func Open(settings Settings, options Options) (*Source, error) {
	options = options.withDefaults()
	if err := settings.Check(); err != nil {
		return nil, err
	}
	s := &Source{counts: new(counters)}
	var err error
	if settings.ACME != nil {
		s.provider, err = openACME(*settings.ACME, options, s.counts)
	} else {
		s.provider, err = openFiles(settings.Cert, settings.Key, options, s.counts)
	}
	if err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Check returns what is wrong with the settings, as far as they say themselves. The
// error is ErrNone if there are none.
func (s Settings) Check() error {
	switch {
	case s.ACME != nil && s.Cert+s.Key != "":
		return errors.New("give either a certificate and its key, or acme, but not both")
	case s.ACME != nil:
		_, err := s.ACME.check()
		return err
	case s.Cert == "" && s.Key == "":
		return ErrNone
	case s.Cert == "":
		return errors.New("there is a key without its certificate; name the file with the certificate as well, with --tls-cert or as cert in [tls]")
	case s.Key == "":
		return errors.New("there is a certificate without its key; name the file with the private key as well, with --tls-key or as key in [tls]")
	}
	return nil
}

// Start has the source look after its certificates until Close. Call it when the
// listeners take connections: an ACME server then connects to them.
func (s *Source) Start() {
	s.started.Do(func() { s.running.Go(func() { s.provider.run(s.ctx) }) })
}

// Close ends what Start has begun. The certificates stay in use. It returns nil.
func (s *Source) Close() error {
	s.stop()
	s.started.Do(func() {}) // nothing begins any more
	s.running.Wait()
	return nil
}

// Config returns a configuration of TLS 1.2 and later with the certificates. It may be
// shared and cloned. The user adds NextProtos. A handshake for a name that the source
// has no certificate for fails with the alert unrecognized_name (RFC 6066, section 3);
// one without a name gets the first certificate.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetCertificate:     s.provider.certificate,
		GetConfigForClient: s.provider.challenge,
	}
}

// Handler returns a handler for plain HTTP: it answers what an ACME server asks for
// there (RFC 8555, section 8.3) and leaves the rest to next. From this call on the
// source tries that way to prove who is there.
func (s *Source) Handler(next http.Handler) http.Handler { return s.provider.handler(next) }

// Reload reads the files again, or asks the ACME server at once for what is missing or
// due. On an error, which says why, the old certificate stays. Asking is not waited for;
// how it ends is in the log.
func (s *Source) Reload() error { return s.provider.reload(nil) }

// ReloadFrom is Reload from files that may be others than before. Those by ACME stay the
// same, whatever the settings say. On an error the old files stay as well.
func (s *Source) ReloadFrom(settings Settings) error { return s.provider.reload(&settings) }

// NotAfter returns when the first of the certificates in use ends; the zero Time if
// there is none yet.
func (s *Source) NotAfter() time.Time { return s.provider.notAfter() }

// States returns how each certificate is: by ACME one for each host, in the order of the
// settings; from files a single one.
func (s *Source) States() []State { return s.provider.states() }

// Hosts returns the names that the first certificate is for, without wildcards, the
// main one first. By ACME these are the hosts of the settings, also while there is no
// certificate.
func (s *Source) Hosts() []string { return s.provider.hostNames() }

// Stats returns the numbers since the start.
func (s *Source) Stats() Stats {
	return Stats{Loaded: s.counts.loaded.Load(), Refused: s.counts.refused.Load()}
}
