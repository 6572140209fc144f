// Package account decides who somebody is: accounts, their credentials, devices,
// tokens and invites. Every way to sign in ends in one function, which decides
// whether the account may be used.
package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// secretBytes is the length of a secret: 256 random bits.
const secretBytes = 32

// The prefixes of secrets. They let people and scanners of source code recognise a
// secret in the wrong place.
const (
	devicePrefix = "kaban_device_"
	tokenPrefix  = "kaban_token_"
	invitePrefix = "kaban_invite_"
	claimPrefix  = "kaban_claim_"
)

// newSecret returns a random secret with a prefix, in characters that need no
// escaping in a URL.
func newSecret(prefix string) string {
	var random [secretBytes]byte
	rand.Read(random[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// hashOf returns the hash under which a secret is stored. A plain hash is enough:
// nobody can try 2^256 secrets.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// looksLike reports whether a text may be a secret with a prefix, before the store
// is asked.
func looksLike(secret, prefix string) bool {
	return len(secret) == len(prefix)+base64.RawURLEncoding.EncodedLen(secretBytes) && strings.HasPrefix(secret, prefix)
}

// newID returns an id that says nothing: 26 characters of base32 (RFC 4648).
func newID() string { return strings.ToLower(rand.Text()) }
