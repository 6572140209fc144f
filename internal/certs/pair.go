package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// maxFile is how long a file with a certificate or a key may be, in bytes.
const maxFile = 1 << 20

// pairError returns an ErrPair about a file.
func pairError(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: "+format, append([]any{ErrPair, path}, args...)...)
}

// readPair reads a certificate and its key. The error is ErrPair.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	key, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	if err := checkWhole(certFile, cert); err != nil {
		return nil, err
	}
	if err := checkWhole(keyFile, key); err != nil {
		return nil, err
	}
	if bytes.Contains(key, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")) || bytes.Contains(key, []byte("Proc-Type: 4,ENCRYPTED")) {
		return nil, pairError(keyFile, "the key has a passphrase, which nobody can enter when the server starts; store it without one (\"openssl pkey\"), readable for the server only")
	}
	pair, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return &pair, nil
	case strings.Contains(err.Error(), "does not match"):
		return nil, pairError(certFile, "the certificate is not for the key in %s; both must come from the same request", keyFile)
	case strings.Contains(err.Error(), "certificate input"):
		return nil, pairError(certFile, "there is no certificate in it; the file must have one in PEM, which begins with -----BEGIN CERTIFICATE-----")
	case strings.Contains(err.Error(), "key input"), strings.Contains(err.Error(), "rather than a key"):
		return nil, pairError(keyFile, "there is no private key in it; the file must have one in PEM, which begins with -----BEGIN PRIVATE KEY-----")
	}
	return nil, pairError(certFile, "this and %s are no certificate and its key: %w", keyFile, err)
}

// readFile reads a file.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
		var data []byte
		data, err = io.ReadAll(io.LimitReader(file, maxFile+1))
		if err == nil && len(data) > maxFile {
			return nil, pairError(path, "the file has more than %d bytes; it must be a certificate or a key in PEM", maxFile)
		}
		if err == nil {
			return data, nil
		}
	}
	if bad, ok := errors.AsType[*fs.PathError](err); ok {
		err = bad.Err // the path is there already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, pairError(path, "%w; check the path", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, pairError(path, "%w; make it readable for the user that runs the server", err)
	}
	return nil, pairError(path, "%w", err)
}

// checkWhole returns an error if a block in PEM is cut off or broken. The decoder skips
// those, so a certificate without the one between it and its root would pass.
func checkWhole(path string, data []byte) error {
	begun := bytes.Count(data, []byte("-----BEGIN "))
	for rest := data; ; begun-- {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
	}
	if begun != 0 {
		return pairError(path, "the file is cut off or damaged; write it again as a whole, or rename a new one into its place")
	}
	return nil
}

// isSame reports whether two pairs are the same certificates.
func isSame(a, b *tls.Certificate) bool {
	if len(a.Certificate) != len(b.Certificate) {
		return false
	}
	for i := range a.Certificate {
		if !bytes.Equal(a.Certificate[i], b.Certificate[i]) {
			return false
		}
	}
	return true
}

// namesOf returns the host names and addresses that a certificate is for.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// uncovered returns the names of an old certificate that a new one is not for. A wildcard
// of the old one is covered only by the same wildcard.
func uncovered(old, replacement *x509.Certificate) []string {
	return slices.DeleteFunc(namesOf(old), func(name string) bool { return replacement.VerifyHostname(name) == nil })
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }
