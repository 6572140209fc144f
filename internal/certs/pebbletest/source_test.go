package pebbletest

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban/internal/certs"
)

const host = "chat.example.org"

// patience is how long something real may take. Nothing is asserted about times.
const patience = 2 * time.Minute

// clock is the time of the machine, and how much it is ahead.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
	jumps chan struct{} // closed by the next jump
}

func newClock() *clock { return &clock{jumps: make(chan struct{})} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// glance is how often whoever waits looks at the time: a jump between Now and After wakes nobody.
const glance = 100 * time.Millisecond

// After implements certs.Clock. A jump ends all waits: those who wait look at the time.
func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	jump := c.jumps
	c.mu.Unlock()
	done := make(chan time.Time, 1)
	go func() {
		select {
		case <-jump:
		case <-time.After(min(d, glance)):
		}
		done <- time.Now()
	}()
	return done
}

func (c *clock) set(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = ahead
	close(c.jumps)
	c.jumps = make(chan struct{})
}

// site is a server with TLS and plain HTTP that echoes.
type site struct {
	t      *testing.T
	pebble *pebble
	source *certs.Source
	clock  *clock
	cache  string
	hosts  []string

	secure, plain net.Listener

	mu   sync.Mutex
	text strings.Builder // the log
}

// Write takes a line of the log. A certificate from pebble is of the real time, so when
// there is one, the clock has it as well.
func (s *site) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(string(line), "msg=certificate ") {
		s.clock.set(0)
	}
	return s.text.Write(line)
}

func (s *site) count(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), part)
}

func (s *site) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func listen(t *testing.T) (l net.Listener, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().(*net.TCPAddr).Port
}

// newSite returns a server that is not started.
func newSite(t *testing.T, life int) *site {
	t.Helper()
	s := &site{t: t, clock: newClock(), cache: filepath.Join(t.TempDir(), "acme"), hosts: []string{host}}
	var tlsPort, httpPort int
	s.secure, tlsPort = listen(t)
	s.plain, httpPort = listen(t)
	s.pebble = newPebble(t, httpPort, tlsPort, life)
	s.open()
	t.Cleanup(func() { s.source.Close() })
	return s
}

// open makes the source of the server.
func (s *site) open() {
	s.t.Helper()
	var err error
	s.source, err = certs.Open(
		certs.Settings{ACME: &certs.ACME{Hosts: s.hosts, Email: "admin@example.org", Directory: s.pebble.directory(), Cache: s.cache}},
		certs.Options{Log: slog.New(slog.NewTextHandler(s, nil)), Clock: s.clock, Client: s.pebble.server.Client()},
	)
	s.must(err)
}

// serve echoes over TLS, until the end of the test.
func (s *site) serve(config *tls.Config) {
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := s.secure.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				encrypted := tls.Server(conn, config)
				io.Copy(encrypted, encrypted)
				conn.Close()
			})
		}
	})
	s.t.Cleanup(func() {
		s.secure.Close()
		serving.Wait()
	})
}

// servePlain answers over plain HTTP, until the end of the test.
func (s *site) servePlain() {
	server := &http.Server{Handler: s.source.Handler(http.NotFoundHandler())}
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.plain) }()
	s.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// await waits for something.
func (s *site) await(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("no %s; the log is\n%s", what, s.log())
		}
	}
}

// awaitLoaded waits for a number of certificates, and for their lines in the log, which
// set the clock.
func (s *site) awaitLoaded(n uint64) {
	s.t.Helper()
	s.await("certificate", func() bool { return s.source.Stats().Loaded >= n && s.count("msg=certificate ") >= int(n) })
}

// awaitRefused waits for a number of refusals, and for their lines in the log.
func (s *site) awaitRefused(n uint64) {
	s.t.Helper()
	s.await("refusal", func() bool { return s.source.Stats().Refused >= n && s.count(" attempts=") >= int(n) })
}

// dial connects and checks the certificate.
func (s *site) dial(name string) (*tls.Conn, error) {
	return tls.Dial("tcp", s.secure.Addr().String(), s.pebble.client(name))
}

// leaf returns the certificate that a new connection gets.
func (s *site) leaf() *x509.Certificate {
	s.t.Helper()
	conn, err := s.dial(host)
	s.must(err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// says fails unless an old connection still echoes.
func (s *site) says(conn net.Conn, text string) {
	s.t.Helper()
	s.must(conn.SetDeadline(time.Now().Add(patience)))
	_, err := conn.Write([]byte(text))
	s.must(err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(conn, got)
	s.must(err)
	if string(got) != text {
		s.t.Fatalf("the echo of %q is %q", text, got)
	}
}

const quarter = 90 * 24 * 60 * 60 // seconds

// A certificate comes by a connection with TLS alone, whatever protocols the listener
// has. It is for its host only; its files are for the server only; the next start has
// it without asking.
func TestOverTLS(t *testing.T) {
	s := newSite(t, quarter)
	s.hosts = []string{host, "Talk.Example.Org."}
	s.open()
	config := s.source.Config()
	config.NextProtos = []string{"h2", "http/1.1"}
	s.serve(config)
	s.source.Start()
	s.awaitLoaded(2)
	for _, name := range []string{host, "talk.example.org"} {
		conn, err := s.dial(name)
		s.must(err)
		s.says(conn, "hello")
		conn.Close()
	}
	if _, err := s.dial("other.example.org"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("another host gets %v", err)
	}
	nameless := s.pebble.client(host)
	nameless.InsecureSkipVerify, nameless.ServerName = true, ""
	conn, err := tls.Dial("tcp", s.secure.Addr().String(), nameless)
	s.must(err)
	if got := conn.ConnectionState().PeerCertificates[0].DNSNames; len(got) != 1 || got[0] != host {
		t.Errorf("without a name, the certificate is for %v", got)
	}
	conn.Close()
	files, err := filepath.Glob(filepath.Join(s.cache, "*", "*"))
	s.must(err)
	if len(files) != 3 {
		t.Errorf("the files are %v", files)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}

	s.source.Close()
	s.pebble.end()
	s.open()
	if got := s.source.Stats(); got.Loaded != 2 || s.source.NotAfter().IsZero() {
		t.Errorf("the next start has %+v", got)
	}
}

// Where only plain HTTP is reachable, the certificate comes that way.
func TestOverHTTP(t *testing.T) {
	s := newSite(t, quarter)
	s.servePlain()
	s.serve(&tls.Config{GetCertificate: s.source.Config().GetCertificate}) // without challenges
	s.source.Start()
	s.awaitLoaded(1)
	s.leaf()
	got, err := http.Get("http://" + s.plain.Addr().String() + "/.well-known/acme-challenge/x")
	s.must(err)
	got.Body.Close()
	if got.StatusCode != http.StatusNotFound {
		t.Errorf("a challenge that is none is answered with %s", got.Status)
	}
}

// While there is no certificate, a handshake fails at once.
func TestBeforeTheFirstCertificate(t *testing.T) {
	s := newSite(t, quarter)
	s.pebble.end()
	s.serve(s.source.Config())
	s.source.Start()
	s.awaitRefused(1)
	if _, err := s.dial(host); err == nil {
		t.Error("a handshake succeeds without a certificate")
	}
	if s.count("nobody can connect over TLS") != 1 || !s.source.NotAfter().IsZero() {
		t.Errorf("the log is\n%s", s.log())
	}
	s.pebble.begin(quarter)
	s.must(s.source.Reload()) // asks at once
	s.awaitLoaded(1)
	s.leaf()
}

// A server that is down, that refuses, or that forgot the account leaves the old
// certificate in use. The log says why and when the next attempt is, which succeeds.
func TestRefusals(t *testing.T) {
	const days = 2 * 24 * 60 * 60 // renewed after 32 hours
	for name, test := range map[string]struct {
		refuse func(s *site)
		want   string // in the log
	}{
		"down":       {func(s *site) { s.pebble.end() }, "EOF"},
		"no policy":  {func(s *site) { s.must(s.pebble.memory.AddBlockedDomain(host)) }, "rejectedIdentifier"},
		"not found":  {func(s *site) { s.pebble.tlsPort = 1; s.pebble.begin(days) }, "check the DNS, the firewall and the ports"},
		"overloaded": {func(s *site) { s.pebble.limit("7200") }, "nothing but waiting helps"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, days)
			tlsPort := s.pebble.tlsPort
			s.serve(s.source.Config())
			s.source.Start()
			s.awaitLoaded(1)
			old := s.leaf()
			client := s.pebble.client(host)
			conn, err := s.dial(host)
			s.must(err)
			defer conn.Close()

			test.refuse(s)
			s.clock.set(33 * time.Hour)
			s.awaitRefused(1)
			if s.count("the old one stays in use") != 1 || s.count(test.want) == 0 || s.count("next=") != 1 {
				t.Errorf("want %q; the log is\n%s", test.want, s.log())
			}
			again, err := tls.Dial("tcp", s.secure.Addr().String(), client)
			s.must(err)
			if !again.ConnectionState().PeerCertificates[0].Equal(old) {
				t.Error("another certificate is in use")
			}
			again.Close()
			s.says(conn, "still here")

			s.pebble.tlsPort = tlsPort
			s.pebble.begin(days)
			s.clock.set(33*time.Hour + 4*time.Minute) // the next attempt is not yet
			s.clock.set(36 * time.Hour)
			s.awaitLoaded(2)
			if s.leaf().Equal(old) {
				t.Error("the old certificate is still in use")
			}
			s.says(conn, "still here")
		})
	}
}

// limit has the server answer that there were too many requests.
func (p *pebble) limit(seconds string) {
	next := p.handler.Load()
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "order") {
			(*next).ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", seconds)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}`)
	})
	p.handler.Store(&handler)
}

// A certificate that is replaced keeps all connections. New ones get the new one.
func TestRenewalKeepsConnections(t *testing.T) {
	s := newSite(t, 60*60)
	s.serve(s.source.Config())
	s.source.Start()
	s.awaitLoaded(1)
	old := s.leaf()
	var conns []net.Conn
	for range 300 {
		conn, err := s.dial(host)
		s.must(err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	for n := range uint64(3) {
		s.clock.set(45 * time.Minute)
		s.awaitLoaded(n + 2)
		for _, conn := range conns {
			s.says(conn, "still here")
		}
		if got := s.leaf(); got.Equal(old) || slices.Equal(got.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) {
			t.Error("the old certificate or its key is still in use")
		}
	}
	if got := s.source.Stats(); got.Refused != 0 {
		t.Errorf("%+v\n%s", got, s.log())
	}
}
