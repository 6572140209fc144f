package bus

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// MinSecret is the least length of the secret of a cluster, in bytes. It is to be random,
// as of "openssl rand -base64 32".
const MinSecret = 32

// sealSize is how many bytes of a MAC a hint has: 128 bits cannot be guessed.
const sealSize = 16

var (
	// ErrForged means that a hint does not have the seal of the cluster: it comes from
	// somebody without the secret, or was changed on its way.
	ErrForged = errors.New("the hint does not have the seal of the cluster")
	// ErrShortSecret means that the secret of the cluster could be guessed.
	ErrShortSecret = fmt.Errorf("the secret of the cluster must have at least %d bytes", MinSecret)
)

// Key seals hints with the secret of a cluster, so that whoever else may use the same
// network can neither make one nor change one. It hides nothing. It is safe for concurrent use.
//
// A seal does not say when or by whom a hint was made, and need not: an old or repeated
// hint changes nothing.
type Key struct{ macs sync.Pool }

// NewKey returns the key of a cluster with a secret. It returns ErrShortSecret.
func NewKey(secret string) (*Key, error) {
	derived, err := Derive(secret, "hints", sha256.Size)
	if err != nil {
		return nil, err
	}
	return &Key{sync.Pool{New: func() any { return hmac.New(sha256.New, derived) }}}, nil
}

// Derive returns bytes for one use of a secret (HKDF, RFC 5869, with SHA-256). Those of one use say
// nothing about those of another, nor about the secret. It returns ErrShortSecret.
func Derive(secret, use string, length int) ([]byte, error) {
	if len(secret) < MinSecret {
		return nil, ErrShortSecret
	}
	derived, err := hkdf.Key(sha256.New, []byte(secret), nil, "kaban bus: "+use, length)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", use, err)
	}
	return derived, nil
}

// Seal appends the seal to an encoded hint (HMAC-SHA-256, RFC 2104, truncated to 128 bits).
func (k *Key) Seal(encoded []byte) []byte {
	var sum [sha256.Size]byte
	return append(encoded, k.sum(sum[:0], encoded)[:sealSize]...)
}

// Open returns a sealed hint without its seal, or ErrForged.
func (k *Key) Open(sealed []byte) ([]byte, error) {
	n := len(sealed) - sealSize
	if n < 0 {
		return nil, ErrForged
	}
	var sum [sha256.Size]byte
	if !hmac.Equal(k.sum(sum[:0], sealed[:n])[:sealSize], sealed[n:]) {
		return nil, ErrForged
	}
	return sealed[:n:n], nil
}

func (k *Key) sum(dst, encoded []byte) []byte {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	_, _ = mac.Write(encoded) // a hash never fails
	return mac.Sum(dst)
}
