// Package tlstest has certificates for tests of connections over TLS: an authority that
// issues them, and the two ends of a connection with one that is made once.
package tlstest

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
)

// Name is a name that the certificate of Server is for, beside localhost and the
// addresses of loopback.
const Name = "chat.example.org"

// ends are the certificate of Server and the root that Client trusts.
type ends struct {
	pair  tls.Certificate
	roots *x509.CertPool
}

// shared are made once.
var shared = sync.OnceValues(func() (*ends, error) {
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	// From the beginning of a bubble of synctest on.
	pair, err := a.pair(Certificate{Hosts: []string{Name, "localhost", "127.0.0.1", "::1"}, NotBefore: a.root.NotBefore, NotAfter: a.root.NotAfter})
	return &ends{pair, a.Pool()}, err
})

// Server returns the configuration of a server that has the certificate. If there is
// none, handshakes say why.
func Server() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		both, err := shared()
		if err != nil {
			return nil, err
		}
		pair := both.pair
		return &pair, nil
	}}
}

// Client returns the configuration of a client that trusts it.
func Client() *tls.Config {
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: Name}
	if both, err := shared(); err == nil {
		c.RootCAs = both.roots
	}
	return c
}
