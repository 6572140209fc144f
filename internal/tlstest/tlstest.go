// Package tlstest has a certificate for tests of connections over TLS.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"
)

// Name is a name that the certificate is for, beside localhost and the addresses of
// loopback.
const Name = "chat.example.org"

// pair is the certificate, made once.
var pair = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: Name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), // synctest begins in 2000
		DNSNames: []string{Name, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
})

// Server returns the configuration of a server that has the certificate. If there is
// none, handshakes say why.
func Server() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		certificate, err := pair()
		return &certificate, err
	}}
}

// Client returns the configuration of a client that trusts it.
func Client() *tls.Config {
	roots := x509.NewCertPool()
	if certificate, err := pair(); err == nil {
		roots.AddCert(certificate.Leaf)
	}
	return &tls.Config{RootCAs: roots, ServerName: Name}
}
