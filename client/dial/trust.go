package dial

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// MaxCA bounds the bytes of Trust.CA.
const MaxCA = 512 << 10

// Trust says which certificates of a server count. The zero Trust accepts those that an
// authority of this system has signed for the server's name. A Trust may be copied and
// used at the same time, and must not be changed.
type Trust struct {
	// CA has the certificates of authorities, in PEM. They count instead of those of the
	// system, so that nobody else can vouch for the server. A self-signed certificate of
	// the server itself may be among them. Names and dates are checked as ever.
	CA []byte
	// Pin is the key that the server must have. It counts instead of authorities, names
	// and dates, because the key itself is proven. With a CA too, both must be right.
	Pin Pin
}

// IsZero reports whether the Trust is that in the authorities of the system.
func (t *Trust) IsZero() bool { return len(t.CA) == 0 && t.Pin == Pin{} }

// ErrNoCertificates means that a Trust.CA has no certificate that can be read.
var ErrNoCertificates = errors.New("there is no certificate in PEM form in it; it must have lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----")

// ParseCA checks a text for Trust.CA. The error is ErrNoCertificates, or says which
// certificate is bad.
func ParseCA(text []byte) (*x509.CertPool, error) {
	if len(text) > MaxCA {
		return nil, fmt.Errorf("it has %d bytes; the limit is %d", len(text), MaxCA)
	}
	pool := x509.NewCertPool()
	n := 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in it cannot be read: %w", n, err)
		}
		pool.AddCert(c)
	}
	if n == 0 {
		return nil, ErrNoCertificates
	}
	return pool, nil
}

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469, section 2.4).
// It stays the same when a certificate is renewed with the same key. The zero Pin is
// none.
type Pin [sha256.Size]byte

// pinPrefix is what String begins with.
const pinPrefix = "sha256:"

// ErrPin means that a text is no Pin.
var ErrPin = errors.New("a pin is the SHA-256 of a public key: 44 characters of base64, or 64 hexadecimal digits")

// ParsePin reads a pin in base64, as String returns it, or in hexadecimal digits with or
// without colons. "sha256:", "sha256/" and "sha256//" may precede it. The error is
// ErrPin.
func ParsePin(text string) (Pin, error) {
	text = strings.TrimSpace(text)
	for _, prefix := range []string{"", pinPrefix, "sha256//", "sha256/"} { // base64 may begin with a slash
		if len(text) <= len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
			continue
		}
		if p, ok := decodePin(text[len(prefix):]); ok {
			return p, nil
		}
	}
	return Pin{}, ErrPin
}

func decodePin(text string) (p Pin, ok bool) {
	var raw []byte
	var err error
	if digits := strings.ReplaceAll(text, ":", ""); len(digits) == hex.EncodedLen(len(p)) {
		raw, err = hex.DecodeString(digits)
	} else {
		raw, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimSuffix(text, "="))
	}
	if err != nil || len(raw) != len(p) {
		return Pin{}, false
	}
	p = Pin(raw)
	return p, p != Pin{}
}

// PinOf returns the pin of a certificate.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String returns "sha256:" and the pin in base64, or "" for the zero Pin.
func (p Pin) String() string {
	if p == (Pin{}) {
		return ""
	}
	return pinPrefix + base64.StdEncoding.EncodeToString(p[:])
}

// config returns the TLS configuration for a host.
func (t *Trust) config(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if len(t.CA) > 0 {
		pool, err := ParseCA(t.CA)
		if err != nil {
			return nil, fmt.Errorf("the authorities to trust: %w", err)
		}
		config.RootCAs = pool
	}
	if t.Pin != (Pin{}) {
		// The pin replaces the check that this switches off.
		config.InsecureSkipVerify = len(t.CA) == 0
		config.VerifyConnection = func(state tls.ConnectionState) error { return t.checkPin(host, &state) }
	}
	return config, nil
}

// checkPin compares the pin with the key of the server, which its handshake has proven.
func (t *Trust) checkPin(host string, state *tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &CertificateError{Host: host, Fault: Invalid, err: errors.New("the server has no certificate")}
	}
	leaf := state.PeerCertificates[0]
	if seen := PinOf(leaf); subtle.ConstantTimeCompare(seen[:], t.Pin[:]) != 1 {
		return newCertificateError(host, PinDiffers, leaf, nil)
	}
	return nil
}
