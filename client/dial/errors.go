package dial

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Errors to compare with errors.Is.
var (
	// ErrNoTLS means that the server at a tls, wss or https address does not speak TLS.
	ErrNoTLS = errors.New("the server does not speak TLS here")
	// ErrTLSOnly means that the server at a tcp, ws or http address speaks TLS.
	ErrTLSOnly = errors.New("the server speaks TLS here")
	// ErrWebServer means that a web server answered at a tcp or tls address.
	ErrWebServer = errors.New("a web server answers here")
	// ErrNoWebServer means that something else than a web server answered at a ws, wss,
	// http or https address.
	ErrNoWebServer = errors.New("no web server answers here")
	// ErrNoUse means that there is a Trust for a connection without TLS.
	ErrNoUse = errors.New("a certificate authority or a pin is of use with tls://, wss:// and https:// only")
)

// Fault is what is wrong with a certificate.
type Fault uint8

// The faults.
const (
	Invalid          Fault = iota // none of the others; see the text
	WrongName                     // it is for other names
	Expired                       // its time is over
	NotYetValid                   // its time has not begun
	SelfSigned                    // no authority signed it
	UnknownAuthority              // an authority signed it that is not trusted
	PinDiffers                    // its key is not the one of Trust.Pin
)

// maxNames bounds the names in the text of an error.
const maxNames = 5

// CertificateError means that a server's certificate does not count. Nothing was sent.
type CertificateError struct {
	Host  string // that was asked for
	Fault Fault
	// Pin is that of the certificate. Whoever knows from another source that it is the
	// server's can trust it.
	Pin Pin
	// Names are those that the certificate is for, at most 5.
	Names []string
	// OwnCA means that Trust.CA counted instead of the authorities of the system.
	OwnCA bool
	// NotBefore and NotAfter are when it is valid.
	NotBefore, NotAfter time.Time

	err error
}

// Error returns what is wrong.
func (e *CertificateError) Error() string {
	switch e.Fault {
	case WrongName:
		names := strings.Join(e.Names, ", ")
		if names == "" {
			names = "no name at all"
		}
		return fmt.Sprintf("the certificate is for %s, not for %s", names, e.Host)
	case Expired:
		return fmt.Sprintf("the certificate of %s expired on %s", e.Host, e.NotAfter.UTC().Format(time.DateTime+" MST"))
	case NotYetValid:
		return fmt.Sprintf("the certificate of %s is not valid before %s", e.Host, e.NotBefore.UTC().Format(time.DateTime+" MST"))
	case SelfSigned:
		return fmt.Sprintf("the certificate of %s is self-signed: no authority vouches for it (its pin is %v)", e.Host, e.Pin)
	case UnknownAuthority:
		if e.OwnCA {
			return fmt.Sprintf("the certificate of %s is not signed by the authority that was given for it, but by another (its pin is %v)", e.Host, e.Pin)
		}
		return fmt.Sprintf("the certificate of %s is signed by an authority that is not trusted here (its pin is %v)", e.Host, e.Pin)
	case PinDiffers:
		return fmt.Sprintf("the key of %s is not the pinned one: its pin is %v", e.Host, e.Pin)
	}
	return fmt.Sprintf("the certificate of %s is not valid: %v", e.Host, e.err)
}

// Unwrap returns the error of package crypto/x509, or nil.
func (e *CertificateError) Unwrap() error { return e.err }

func newCertificateError(host string, fault Fault, c *x509.Certificate, err error) *CertificateError {
	e := &CertificateError{Host: host, Fault: fault, Pin: PinOf(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter, err: err}
	e.Names = append(e.Names, c.DNSNames[:min(len(c.DNSNames), maxNames)]...)
	for _, ip := range c.IPAddresses[:min(len(c.IPAddresses), maxNames-len(e.Names))] {
		e.Names = append(e.Names, ip.String())
	}
	return e
}

// explain returns the precise error for that of a TLS handshake. ownCA is that of a
// CertificateError.
func explain(host string, err error, now time.Time, ownCA bool) error {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && header.Conn != nil {
		return ErrNoTLS
	}
	failed, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(failed.UnverifiedCertificates) == 0 {
		if bad, ok := errors.AsType[*CertificateError](err); ok {
			return bad
		}
		return fmt.Errorf("agree on TLS: %w", err)
	}
	leaf := failed.UnverifiedCertificates[0]
	bad := newCertificateError(host, faultOf(leaf, failed.Err, now), leaf, failed.Err)
	bad.OwnCA = ownCA
	return bad
}

// faultOf classifies an error of package crypto/x509.
func faultOf(leaf *x509.Certificate, err error, now time.Time) Fault {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		switch { // else it is that of an authority
		case now.Before(leaf.NotBefore):
			return NotYetValid
		case now.After(leaf.NotAfter):
			return Expired
		}
		return Invalid
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return WrongName
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		return Invalid
	}
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
		return SelfSigned
	}
	return UnknownAuthority
}

// ProxyError means that the proxy of the environment does not lead to the server.
type ProxyError struct {
	// Proxy is its host and port, without user information.
	Proxy string
	// Status is its answer, or 0: 407 means that it wants a name and a password, or
	// others.
	Status int

	err error
}

// Error returns what is wrong.
func (e *ProxyError) Error() string {
	switch {
	case e.Proxy == "":
		return fmt.Sprintf("the proxy of the environment: %v", e.err)
	case e.Status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("the proxy at %s wants a name and a password (HTTP status %d)", e.Proxy, e.Status)
	case e.Status != 0:
		return fmt.Sprintf("the proxy at %s refuses to connect to the server (HTTP status %d)", e.Proxy, e.Status)
	}
	return fmt.Sprintf("the proxy at %s: %v", e.Proxy, e.err)
}

// Unwrap returns the error of the connection to the proxy, or nil.
func (e *ProxyError) Unwrap() error { return e.err }

// UpgradeError means that the answer to the handshake of the WebSocket was no.
type UpgradeError struct {
	Status int // of HTTP
	// Location is where the answer points to, or "".
	Location string
	// Detail is what a Kaban server says for people; "" if it is none, or says nothing. It is not
	// fit for terminals.
	Detail string
}

// Error returns the answer.
func (e *UpgradeError) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("%s (HTTP status %d)", e.Detail, e.Status)
	}
	if e.Location != "" {
		return fmt.Sprintf("there is no Kaban WebSocket: HTTP status %d, which points to %s", e.Status, e.Location)
	}
	return fmt.Sprintf("there is no Kaban WebSocket: HTTP status %d", e.Status)
}
