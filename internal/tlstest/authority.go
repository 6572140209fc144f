package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates. Its methods are for one goroutine.
type Authority struct {
	t      testing.TB
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
	// PEM is the root for a file.
	PEM []byte
	// Now is the time that certificates are issued for. Default: time.Now.
	Now func() time.Time
}

// Certificate describes a certificate for servers.
type Certificate struct {
	// Hosts are names and addresses.
	Hosts []string
	// The dates default to a minute ago and an hour from now.
	NotBefore, NotAfter time.Time
	// SelfSigned means that no authority signs it.
	SelfSigned bool
}

// NewAuthority returns an authority that nobody trusts yet. It is good for a hundred
// years from 2000 on, which suits the time in a bubble of synctest too.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	a.t = t
	return a
}

func newAuthority() (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of a test"},
		NotBefore: begin, NotAfter: begin.AddDate(100, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	return &Authority{root: root, key: key, serial: 1, PEM: certPEM(der), Now: time.Now}, err
}

// Pool returns the root for the client's side.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// Pair returns a certificate with a new key, and itself in PEM.
func (a *Authority) Pair(c Certificate) (tls.Certificate, []byte) {
	a.t.Helper()
	pair, err := a.pair(c)
	a.must(err)
	return pair, certPEM(pair.Leaf.Raw)
}

func (a *Authority) pair(c Certificate) (tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	signer := a.key
	if c.SelfSigned {
		signer = key
	}
	der, err := a.sign(c, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// Issue returns a certificate with its root behind it, and its key, in PEM. It is good
// for a time, from a minute ago on; a negative life has ended already.
func (a *Authority) Issue(life time.Duration, hosts ...string) (cert, key []byte) {
	a.t.Helper()
	secret, err := newKey()
	a.must(err)
	cert = append(certPEM(a.Sign(secret.Public(), life, hosts...)), a.PEM...)
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	a.must(err)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Sign is Issue for a public key; the certificate is in DER.
func (a *Authority) Sign(public any, life time.Duration, hosts ...string) []byte {
	a.t.Helper()
	c := Certificate{Hosts: hosts, NotAfter: a.Now().Add(life)}
	if life < 0 {
		c.NotBefore = a.Now().Add(2 * life)
	}
	der, err := a.sign(c, public, a.key)
	a.must(err)
	return der
}

// sign returns a certificate in DER. The signer is the authority's key, or that of a
// certificate that signs itself.
func (a *Authority) sign(c Certificate, public any, signer *ecdsa.PrivateKey) ([]byte, error) {
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: "Server of a test"}, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = a.Now().Add(-time.Minute)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = a.Now().Add(time.Hour)
	}
	for _, host := range c.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	parent := a.root
	if c.SelfSigned {
		parent = template
	}
	return x509.CreateCertificate(rand.Reader, template, parent, public, signer)
}

// Write writes a certificate and its key to files in a directory.
func (a *Authority) Write(dir string, cert, key []byte) (certFile, keyFile string) {
	a.t.Helper()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.must(os.WriteFile(certFile, cert, 0o600))
	a.must(os.WriteFile(keyFile, key, 0o600))
	return certFile, keyFile
}

func (a *Authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
