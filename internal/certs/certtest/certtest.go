// Package certtest makes certificates for tests, with an authority of their own.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	// Now is the time that certificates are issued for. Default: time.Now.
	Now func() time.Time
}

// NewAuthority returns an authority that is good for a hundred years from 2000 on, so
// that it suits the time in a bubble of synctest.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, key: newKey(t), serial: 1, Now: time.Now}
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of a test"},
		NotBefore: begin, NotAfter: begin.AddDate(100, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	a.must(err)
	a.root, err = x509.ParseCertificate(der)
	a.must(err)
	return a
}

// Pool returns the root for the client's side.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// RootPEM returns the root for a file.
func (a *Authority) RootPEM() []byte { return certPEM(a.root.Raw) }

// Issue returns a certificate with its root behind it, and its key, in PEM. It is for
// hosts, which may be addresses, and good for a time, from a minute ago on; a negative
// life has ended already.
func (a *Authority) Issue(life time.Duration, hosts ...string) (cert, key []byte) {
	a.t.Helper()
	secret := newKey(a.t)
	cert = append(certPEM(a.Sign(secret.Public(), life, hosts...)), a.RootPEM()...)
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	a.must(err)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Sign returns a certificate for a public key, in DER.
func (a *Authority) Sign(public any, life time.Duration, hosts ...string) []byte {
	a.t.Helper()
	a.serial++
	now := a.Now()
	begin := now.Add(-time.Minute)
	if life < 0 {
		begin = now.Add(2 * life)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), NotBefore: begin, NotAfter: now.Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, public, a.key)
	a.must(err)
	return der
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

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
