package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kaban/internal/tlstest"
)

const (
	// mostTimesTCP is the aim for what a delivery over TLS costs, as a multiple of TCP.
	mostTimesTCP = 1.6
	// mostTLSKiB is the aim for the memory of an idle connection over TLS.
	mostTLSKiB = 20
)

// certificate writes the certificate of the servers over TLS, and returns the flags of
// kaban serve that name it.
func (m *meter) certificate() ([]string, error) {
	pair, err := tlstest.Server().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	var flags []string
	for _, file := range []struct {
		name, flag, kind string
		der              []byte
	}{{"cert.pem", "--tls-cert", "CERTIFICATE", pair.Certificate[0]}, {"key.pem", "--tls-key", "PRIVATE KEY", key}} {
		path := filepath.Join(m.scratch, file.name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.der}), 0o600); err != nil {
			return nil, err
		}
		flags = append(flags, file.flag, path)
	}
	return flags, nil
}

// tlsSection compares TLS with TCP.
func (r *record) tlsSection() string {
	var b strings.Builder
	f := r.Figures
	header(&b, "server CPU, µs per delivery", "TCP", "TLS", "TLS ÷ TCP", "aim")
	for _, w := range encryptedFloods {
		row(&b, w.title, figure(f.median(w.name, kabanMemory, microsPerDelivery)), figure(f.median(w.name, kabanTLS, microsPerDelivery)),
			r.ratio(w.name, kabanTLS, kabanMemory, microsPerDelivery), fmt.Sprintf("≤ %g", mostTimesTCP))
	}
	b.WriteString("\n")
	header(&b, "KiB of server memory for each", "TCP", "TLS", "aim")
	for _, w := range []work{few, idle} {
		row(&b, w.title, figure(f.median(w.name, kabanMemory, kibPerConnection)), figure(f.median(w.name, kabanTLS, kibPerConnection)), fmt.Sprintf("≤ %d", mostTLSKiB))
	}
	return b.String()
}
