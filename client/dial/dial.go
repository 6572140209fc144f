package dial

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	// keepAlive is the interval of TCP's own probes.
	keepAlive = 30 * time.Second
	// maxAnswer bounds the bytes of the answer of a proxy, and of a server to the
	// handshake of a WebSocket.
	maxAnswer = 64 << 10
)

// Dialer connects to a server. It may be copied, and used at the same time, but not
// changed meanwhile.
type Dialer struct {
	Address Address
	Trust   Trust
	// Proxy returns the proxy for the https address of a server, or nil for none.
	// Default: HTTPS_PROXY and NO_PROXY, as http.ProxyFromEnvironment reads them. tcp, tls
	// and ws addresses use no proxy.
	Proxy func(*url.URL) (*url.URL, error)
}

// Dial connects and does all handshakes. The lines of kaban/1 come from and go to the
// connection, also over WebSocket. A connection that is encrypted has a method
// ConnectionState like that of *tls.Conn. A read that ends with os.ErrDeadlineExceeded
// has lost nothing; a write goes on beyond its deadline as long as it makes progress.
//
// The error is a *CertificateError, ErrNoTLS, ErrTLSOnly, ErrWebServer, ErrNoWebServer,
// ErrNoUse, a *ProxyError, an *UpgradeError or an error of the network; a connection without TLS
// reports ErrTLSOnly and ErrWebServer at its first read.
func (d *Dialer) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := d.transport(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case !d.Address.isWeb() && d.Address.IsEncrypted():
		return conn, nil
	case !d.Address.isWeb():
		return &plain{Conn: conn}, nil
	}
	return within(ctx, conn, func() (net.Conn, error) { return upgrade(conn, &d.Address) })
}

// Check returns the error of a Dialer that cannot work: ErrNoUse or that of ParseCA.
func (d *Dialer) Check() error {
	if !d.Address.IsEncrypted() {
		if !d.Trust.IsZero() {
			return ErrNoUse
		}
		return nil
	}
	_, err := d.Trust.config(d.Address.host)
	return err
}

// transport connects as far as TLS.
func (d *Dialer) transport(ctx context.Context) (net.Conn, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	if !d.Address.IsEncrypted() {
		return connect(ctx, d.Address.HostPort())
	}
	conn, err := d.reach(ctx)
	if err != nil {
		return nil, err
	}
	config, err := d.Trust.config(d.Address.host)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if d.Address.isWeb() {
		config.NextProtos = []string{"http/1.1"}
	}
	return within(ctx, conn, func() (net.Conn, error) {
		over := tls.Client(conn, config)
		if err := over.Handshake(); err != nil {
			return nil, explain(d.Address.host, err, time.Now(), len(d.Trust.CA) > 0)
		}
		return over, nil
	})
}

// connect connects over TCP.
func connect(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &steady{Conn: conn}, nil
}

// within does a step that ends with the context. The connection is closed if it fails.
func within(ctx context.Context, conn net.Conn, step func() (net.Conn, error)) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	next, err := step()
	if !stop() { // the deadline may be in the past
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return next, nil
}

// reach connects to the server of an https or tls address, perhaps through a proxy.
func (d *Dialer) reach(ctx context.Context) (net.Conn, error) {
	if !d.Address.isWeb() {
		return connect(ctx, d.Address.HostPort())
	}
	find := d.Proxy
	if find == nil {
		find = fromEnvironment
	}
	proxy, err := find(&url.URL{Scheme: "https", Host: d.Address.urlHost()})
	switch {
	case err != nil: // its text has the address, perhaps with a password
		return nil, &ProxyError{err: errNoProxy}
	case proxy == nil:
		return connect(ctx, d.Address.HostPort())
	case proxy.Scheme != "http" && proxy.Scheme != "https":
		return nil, &ProxyError{Proxy: proxy.Host, err: errors.New("only http:// and https:// proxies are supported")}
	}
	conn, err := tunnel(ctx, proxy, d.Address.HostPort())
	if err != nil {
		bad, ok := errors.AsType[*ProxyError](err)
		if !ok {
			bad = &ProxyError{err: err}
		}
		bad.Proxy = proxy.Host
		return nil, bad
	}
	return conn, nil
}

var errNoProxy = errors.New("HTTPS_PROXY is no address of a proxy; it must be like http://proxy.example:3128")

// fromEnvironment returns the proxy of the environment. Other than
// http.ProxyFromEnvironment it does not pass over an address that cannot be read.
func fromEnvironment(u *url.URL) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	given := cmp.Or(os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy"))
	if err != nil || proxy != nil || given == "" {
		return proxy, err
	}
	if _, err := url.Parse(given); err != nil {
		if _, err := url.Parse("http://" + given); err != nil {
			return nil, errNoProxy
		}
	}
	return nil, nil
}

// tunnel connects to an address through a proxy (RFC 9110, section 9.3.6).
func tunnel(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	at := proxy.Host
	if proxy.Port() == "" {
		port := "80"
		if proxy.Scheme == "https" {
			port = "443"
		}
		at = net.JoinHostPort(proxy.Hostname(), port)
	}
	conn, err := connect(ctx, at)
	if err != nil {
		return nil, err
	}
	return within(ctx, conn, func() (net.Conn, error) {
		way := conn
		if proxy.Scheme == "https" {
			over := tls.Client(conn, &tls.Config{ServerName: proxy.Hostname(), MinVersion: tls.VersionTLS12})
			if err := over.Handshake(); err != nil {
				return nil, explain(proxy.Hostname(), err, time.Now(), false)
			}
			way = over
		}
		return way, askTunnel(way, proxy.User, address)
	})
}

// askTunnel asks a proxy for a tunnel.
func askTunnel(conn net.Conn, user *url.Userinfo, address string) error {
	ask := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if user != nil {
		password, _ := user.Password()
		ask += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, ask+"\r\n"); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("it does not answer like an HTTP proxy: %w", err)
	}
	answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		return &ProxyError{Status: answer.StatusCode}
	case reader.Buffered() > 0: // the server speaks after the client
		return errors.New("it sends something before the server does")
	}
	return nil
}

// Transport returns an http.RoundTripper for the server's API, which keeps no
// connections: the same way as Dial, but for the WebSocket. Requests to other hosts
// fail.
func (d Dialer) Transport() *http.Transport {
	way := func(ctx context.Context, _, address string) (net.Conn, error) {
		if address != d.Address.HostPort() {
			return nil, fmt.Errorf("%s is not the server", address)
		}
		return d.transport(ctx)
	}
	return &http.Transport{DialContext: way, DialTLSContext: way, DisableKeepAlives: true}
}

// steady is a connection that does not give up a write that makes progress. A write
// deadline is the longest time without progress.
type steady struct {
	net.Conn

	mu   sync.Mutex    // guards span, and that no old deadline follows a new one
	span time.Duration // of the last write deadline; not positive for none or the past
}

// SetDeadline implements net.Conn.
func (s *steady) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.span = time.Until(t)
	return s.Conn.SetDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *steady) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.span = time.Until(t)
	return s.Conn.SetWriteDeadline(t)
}

// Write implements net.Conn.
func (s *steady) Write(p []byte) (n int, err error) {
	for {
		m, err := s.Conn.Write(p[n:])
		n += m
		if err == nil || m == 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !s.extend() {
			return n, err
		}
	}
}

// extend begins the span of the write deadline again, unless it has been taken back.
func (s *steady) extend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.span > 0 && s.Conn.SetWriteDeadline(time.Now().Add(s.span)) == nil
}

// plain is a connection without TLS. Its first bytes say if the server is another one.
type plain struct {
	net.Conn
	known bool // the first bytes were looked at; the reader's
}

// Read implements net.Conn.
func (p *plain) Read(b []byte) (n int, err error) {
	n, err = p.Conn.Read(b)
	if p.known || n == 0 {
		return n, err
	}
	p.known = true
	if strange := recognize(b[:n]); strange != nil {
		return 0, strange
	}
	return n, err
}

// recognize returns ErrTLSOnly or ErrWebServer for the first bytes of such a server: an
// alert or a handshake record (RFC 8446, section 5.1), or a status line.
func recognize(first []byte) error {
	const alert, handshake, major = 21, 22, 3
	switch {
	case len(first) >= 2 && (first[0] == alert || first[0] == handshake) && first[1] == major:
		return ErrTLSOnly
	case len(first) >= 5 && string(first[:5]) == "HTTP/":
		return ErrWebServer
	}
	return nil
}
