package embedded

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"kaban/internal/bus"
)

// nodeName is the name in the certificates of nodes. It is no host: what counts is who has signed
// them.
const nodeName = "node.kaban.internal"

// Certificates are made at each start and never stored, so their dates do not matter, and a
// clock that is wrong must not keep nodes apart.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280, section 4.1.2.5: no expiration
)

// certificates returns TLS for both ends of a route. The key of the authority is derived from the
// secret of the cluster, so whoever has the secret can make a certificate, and nobody else.
func certificates(secret string) (*tls.Config, error) {
	seed, err := bus.Derive(secret, "certificates", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	authorityKey := ed25519.NewKeyFromSeed(seed)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kaban cluster"}, NotBefore: notBefore, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	encoded, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return nil, fmt.Errorf("make the authority of the cluster: %w", err)
	}
	if authority, err = x509.ParseCertificate(encoded); err != nil {
		return nil, fmt.Errorf("read the authority of the cluster: %w", err)
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the node: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("number the certificate of the node: %w", err)
	}
	node := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: nodeName}, DNSNames: []string{nodeName}, NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if encoded, err = x509.CreateCertificate(rand.Reader, node, authority, public, authorityKey); err != nil {
		return nil, fmt.Errorf("make the certificate of the node: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: nodeName,
		Certificates: []tls.Certificate{{Certificate: [][]byte{encoded}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}
