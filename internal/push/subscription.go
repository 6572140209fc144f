package push

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxEndpoint is the longest endpoint, in bytes. Those of the known push services have
	// up to about 500.
	MaxEndpoint = 2048
	// maxHostName is the longest name of a host, in bytes (RFC 1035, section 2.3.4).
	maxHostName = 253

	pointBytes = 65 // of an uncompressed point of P-256 (RFC 8291, section 3.1)
	authBytes  = 16 // of the authentication secret (RFC 8291, section 3.2)
)

// SubscriptionError means that a subscription cannot be used. It does not quote it, because
// whoever knows an endpoint and has the key can push to it.
type SubscriptionError struct {
	Field   string // endpoint, p256dh or auth
	Problem string
}

// Error names the field and the problem.
func (e *SubscriptionError) Error() string { return "push: " + e.Field + " " + e.Problem }

// Subscription is where a browser is notified. It does not change, and may be shared.
type Subscription struct {
	// FailingSince is what Config.Mark was called with last for this subscription; zero if it
	// was not called.
	FailingSince time.Time

	id       string
	endpoint string
	host     string // with the port, unless it is 443
	public   *ecdh.PublicKey
	auth     [authBytes]byte
}

// ParseSubscription checks a subscription as PushSubscription.toJSON() of a browser returns it:
// an https URL of up to MaxEndpoint bytes, the public key of the browser (a point of P-256) and its
// secret of 16 bytes, both in base64url without padding (RFC 4648, section 5). The error is a
// *SubscriptionError. Whether the host may be dialled is not decided here.
func ParseSubscription(endpoint, p256dh, auth string) (*Subscription, error) {
	s := &Subscription{endpoint: endpoint}
	var err error
	if s.host, err = hostOf(endpoint); err != nil {
		return nil, err
	}
	point, err := decode("p256dh", p256dh, pointBytes)
	if err != nil {
		return nil, err
	}
	if s.public, err = ecdh.P256().NewPublicKey(point); err != nil {
		return nil, &SubscriptionError{"p256dh", "is not a point of P-256"}
	}
	secret, err := decode("auth", auth, authBytes)
	if err != nil {
		return nil, err
	}
	copy(s.auth[:], secret)
	sum := sha256.Sum256([]byte(endpoint))
	s.id = base64.RawURLEncoding.EncodeToString(sum[:16])
	return s, nil
}

// ID returns a name for the subscription, of 22 characters of base64url. It is a hash of the
// endpoint, so that a browser that subscribes again has the same id as long as its endpoint does
// not change. It is no secret.
func (s *Subscription) ID() string { return s.id }

// Host returns the host of the push service, with its port unless that is 443.
func (s *Subscription) Host() string { return s.host }

// String returns the id and the host, and nothing that is secret.
func (s Subscription) String() string { return "push subscription " + s.id + " at " + s.host }

// Format writes String, whatever the verb is: others would print the fields.
func (s Subscription) Format(to fmt.State, _ rune) { io.WriteString(to, s.String()) }

// LogValue returns String.
func (s Subscription) LogValue() slog.Value { return slog.StringValue(s.String()) }

// decode decodes a field of exactly so many bytes.
func decode(field, text string, bytes int) ([]byte, error) {
	encoding := base64.RawURLEncoding.Strict()
	if want := encoding.EncodedLen(bytes); len(text) != want {
		return nil, &SubscriptionError{field, fmt.Sprintf("has %d characters; %d bytes in base64url without padding have %d", len(text), bytes, want)}
	}
	data, err := encoding.DecodeString(text)
	if err != nil || len(data) != bytes { // line ends are left out in decoding
		return nil, &SubscriptionError{field, "is not base64url without padding"}
	}
	return data, nil
}

// hostOf checks an endpoint and returns its host.
func hostOf(endpoint string) (string, error) {
	bad := func(format string, args ...any) (string, error) {
		return "", &SubscriptionError{"endpoint", fmt.Sprintf(format, args...)}
	}
	switch {
	case endpoint == "":
		return bad("is empty")
	case len(endpoint) > MaxEndpoint:
		return bad("has %d bytes; the limit is %d", len(endpoint), MaxEndpoint)
	case strings.ContainsFunc(endpoint, func(c rune) bool { return c <= ' ' || c > '~' }):
		return bad("has a character that URLs do not have")
	}
	u, err := url.Parse(endpoint) // its error quotes the endpoint
	switch {
	case err != nil:
		return bad("is not a URL")
	case u.Scheme != "https":
		return bad("must begin with https://")
	case u.User != nil:
		return bad("must have no user or password")
	case strings.Contains(endpoint, "#"):
		return bad("must have no fragment")
	}
	name := strings.ToLower(u.Hostname())
	if !isHost(name) {
		return bad("has no valid host")
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	port := u.Port()
	switch n, err := strconv.Atoi(port); {
	case port == "" && strings.HasSuffix(u.Host, ":"):
		return bad("has no valid port")
	case port == "" || n == 443:
		return name, nil
	case err != nil || n < 1 || n > 65535 || port[0] == '0':
		return bad("has no valid port")
	}
	return name + ":" + port, nil
}

// isHost reports whether a name is an address, or can be the name of a host.
func isHost(name string) bool {
	if strings.Contains(name, ":") {
		addr, err := netip.ParseAddr(name)
		return err == nil && addr.Is6() && addr.Zone() == ""
	}
	if name == "" || len(name) > maxHostName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
