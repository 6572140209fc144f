package push

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const (
	// tokenLife is how long a token is valid. RFC 8292, section 2, allows 24 hours; the rest
	// is for clocks that differ.
	tokenLife = 12 * time.Hour
	// tokenUse is how long a token is used for.
	tokenUse = 11 * time.Hour
	// maxTokens is how many tokens are kept: one for each push service. Making one takes
	// less than a millisecond.
	maxTokens = 256
)

// tokenHeader is the header of all tokens.
var tokenHeader = base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`))

// signer makes the tokens that identify the server to push services (RFC 8292). All methods are safe
// for concurrent use.
type signer struct {
	key     *Key
	subject string

	mu     sync.Mutex // guards tokens; a leaf
	tokens map[string]token
}

// token is valid for one push service.
type token struct {
	header string // Authorization
	made   time.Time
}

func newSigner(key *Key, subject string) *signer {
	return &signer{key: key, subject: subject, tokens: make(map[string]token)}
}

// authorization returns the Authorization header for a push service, at a time of day.
func (s *signer) authorization(host string, now time.Time) (string, error) {
	now = now.Round(0) // the push service knows no other clock than that of the day
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tokens[host]; ok {
		if age := now.Sub(t.made); age >= 0 && age < tokenUse { // a clock that was set back makes it too long
			return t.header, nil
		}
	}
	text, err := s.sign(host, now)
	if err != nil {
		return "", err
	}
	if len(s.tokens) >= maxTokens {
		clear(s.tokens)
	}
	header := "vapid t=" + text + ", k=" + s.key.public
	s.tokens[host] = token{header, now}
	return header, nil
}

// sign makes a token for a host.
func (s *signer) sign(host string, now time.Time) (string, error) {
	claims, err := json.Marshal(struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}{"https://" + host, now.Add(tokenLife).Unix(), s.subject})
	if err != nil {
		return "", fmt.Errorf("encode a token: %w", err)
	}
	text := tokenHeader + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key.private, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	var signature [64]byte // RFC 7518, section 3.4
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature[:]), nil
}
