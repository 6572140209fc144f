// Package dialtest has certificates, a TLS front and an HTTP proxy for the tests of
// clients.
package dialtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	// PEM is the certificate of the authority.
	PEM []byte
}

// Certificate describes a certificate for servers. Its dates default to an hour ago and
// an hour from now.
type Certificate struct {
	Names               []string
	IPs                 []net.IP
	NotBefore, NotAfter time.Time
	// SelfSigned means that no authority signs it.
	SelfSigned bool
}

// NewAuthority returns an authority that nobody trusts yet.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	a.cert, a.PEM = sign(t, template, template, &a.key.PublicKey, a.key)
	return a
}

// Sign returns a certificate with a new key, and the certificate in PEM.
func (a *Authority) Sign(c Certificate) (tls.Certificate, []byte) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server of a test"}, DNSNames: c.Names, IPAddresses: c.IPs,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	key, parent, signer := newKey(a.t), a.cert, a.key
	if c.SelfSigned {
		parent, signer = template, key
	}
	leaf, text := sign(a.t, template, parent, &key.PublicKey, signer)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, text
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// Front forwards connections to another address until the test ends. Safe for
// concurrent use.
type Front struct {
	listener net.Listener
	group    sync.WaitGroup

	mu     sync.Mutex // guards all below
	conns  map[net.Conn]bool
	closed bool
}

// NewFront starts a front for an address, over TLS unless there is no configuration.
func NewFront(t testing.TB, config *tls.Config, backend string) *Front {
	t.Helper()
	f := newFront(t)
	f.serve(func(conn net.Conn) {
		if config != nil {
			over := tls.Server(conn, config)
			defer over.Close()
			if over.Handshake() != nil {
				return
			}
			conn = over
		}
		f.forward(conn, conn, backend)
	})
	return f
}

func newFront(t testing.TB) *Front {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{listener: l, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		f.Cut()
		f.group.Wait()
	})
	return f
}

// Addr returns the host and port of the front.
func (f *Front) Addr() string { return f.listener.Addr().String() }

// Port returns the port of the front.
func (f *Front) Port() string {
	_, port, _ := net.SplitHostPort(f.Addr())
	return port
}

// Cut ends all connections.
func (f *Front) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// serve calls take for each connection.
func (f *Front) serve(take func(net.Conn)) {
	f.group.Go(func() {
		for {
			conn, err := f.listener.Accept()
			if err != nil {
				return
			}
			f.group.Go(func() {
				if f.keep(conn) {
					defer f.drop(conn)
					take(conn)
				}
			})
		}
	})
}

func (f *Front) keep(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		conn.Close()
		return false
	}
	f.conns[conn] = true
	return true
}

func (f *Front) drop(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	conn.Close()
	delete(f.conns, conn)
}

// forward copies both ways. from reads what comes from conn.
func (f *Front) forward(conn net.Conn, from io.Reader, backend string) {
	there, err := net.Dial("tcp", backend)
	if err != nil || !f.keep(there) {
		return
	}
	defer f.drop(there)
	var copying sync.WaitGroup
	copying.Go(func() {
		io.Copy(there, from)
		there.Close()
	})
	io.Copy(conn, there)
	conn.Close()
	copying.Wait()
}

// Proxy is an HTTP proxy for CONNECT. Safe for concurrent use.
type Proxy struct {
	*Front
	// Authorization is what Proxy-Authorization must be; "" for anything.
	authorization string
	places        map[string]string

	mu    sync.Mutex // guards asked
	asked []string
}

// NewProxy starts a proxy that leads to places: to each host and port an address of a
// test. It refuses others with 403, and with 407 without the right authorization unless
// that is "".
func NewProxy(t testing.TB, config *tls.Config, authorization string, places map[string]string) *Proxy {
	t.Helper()
	p := &Proxy{Front: newFront(t), authorization: authorization, places: places}
	p.serve(func(conn net.Conn) {
		if config != nil {
			over := tls.Server(conn, config)
			defer over.Close()
			conn = over
		}
		p.take(conn)
	})
	return p
}

// Asked returns the hosts and ports that it was asked for.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *Proxy) take(conn net.Conn) {
	reader := bufio.NewReader(conn)
	r, err := http.ReadRequest(reader)
	if err != nil || r.Method != http.MethodConnect {
		io.WriteString(conn, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	backend, ok := p.places[r.Host]
	switch {
	case p.authorization != "" && r.Header.Get("Proxy-Authorization") != p.authorization:
		io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
	case !ok:
		io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	default:
		io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		p.forward(conn, reader, backend)
	}
}
