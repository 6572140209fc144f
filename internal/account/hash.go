package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// parameters are those of Argon2id, RFC 9106.
type parameters struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
}

// recommended are the parameters of OWASP: a hash takes 19 MiB and 20 to 40 ms.
var recommended = parameters{memory: 19 << 10, passes: 2, lanes: 1}

// Lengths in bytes.
const (
	saltLength = 16
	hashLength = 32
)

// Bounds of the parameters of stored hashes, so that a damaged one cannot exhaust
// the memory.
const (
	maxStoredMemory = 256 << 10 // KiB
	maxStoredPasses = 16
)

// Bounds of a flood of sign-ins. They admit 1,000 at once.
const (
	maxHashWaiters = 2000
	maxHashWait    = 30 * time.Second
)

// hasher hashes a few passwords at a time, in the order in which they arrive. By default
// that is one less than there are processors: a hash keeps one busy for 20 ms and more,
// and messages must not wait for that. The memory is what limits two hashes on two
// processors, so they are hardly done sooner than one after the other.
type hasher struct {
	current parameters // of new hashes
	slots   chan struct{}
	waiting atomic.Int64
	count   atomic.Int64 // of hashes computed
}

func newHasher(slots int) *hasher {
	if slots <= 0 {
		slots = max(1, runtime.GOMAXPROCS(0)-1)
	}
	return &hasher{current: recommended, slots: make(chan struct{}, slots)}
}

// acquire waits for a slot. It returns ErrBusy if there are too many waiters or it
// takes too long.
func (h *hasher) acquire(ctx context.Context) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxHashWaiters {
		return ErrBusy
	}
	timer := time.NewTimer(maxHashWait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}: // goroutines that send to a channel queue up
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *hasher) key(ctx context.Context, password, salt []byte, p parameters, length int) ([]byte, error) {
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-h.slots }()
	h.count.Add(1)
	return argon2.IDKey(password, salt, p.passes, p.memory, p.lanes, uint32(length)), nil
}

// hash returns the hash of a prepared password as a PHC string.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails
	key, err := h.key(ctx, []byte(password), salt, h.current, hashLength)
	if err != nil {
		return "", err
	}
	return phc{h.current, salt, key}.String(), nil
}

// verify reports whether a prepared password has a hash, and whether the hash has
// other parameters than new ones. An invalid or empty hash takes the same work and
// fits no password.
func (h *hasher) verify(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	stored, err := parsePHC(hash)
	known := err == nil
	if !known {
		stored = phc{h.current, make([]byte, saltLength), make([]byte, hashLength)}
	}
	key, err := h.key(ctx, []byte(password), stored.salt, stored.parameters, len(stored.key))
	if err != nil {
		return false, false, err
	}
	same := subtle.ConstantTimeCompare(key, stored.key) == 1
	return same && known, stored.parameters != h.current, nil
}

// phc is a hash in the format of the Password Hashing Competition.
type phc struct {
	parameters
	salt, key []byte
}

func (p phc) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.passes, p.lanes, encode(p.salt), encode(p.key))
}

func parsePHC(s string) (p phc, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, fmt.Errorf("parse a password hash: it has no format of Argon2id")
	}
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, fmt.Errorf("parse a password hash: unknown version")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, fmt.Errorf("parse a password hash: parameters: %w", err)
	}
	if p.memory > maxStoredMemory || p.passes == 0 || p.passes > maxStoredPasses || p.lanes == 0 {
		return p, fmt.Errorf("parse a password hash: parameters out of bounds")
	}
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, fmt.Errorf("parse a password hash: salt: %w", err)
	}
	if p.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return p, fmt.Errorf("parse a password hash: key: %w", err)
	}
	if len(p.salt) < 8 || len(p.key) < 16 || len(p.key) > 64 {
		return p, fmt.Errorf("parse a password hash: lengths out of bounds")
	}
	return p, nil
}

// prepare returns a password in the form in which it is hashed: OpaqueString of
// RFC 8265. ok is false if it is no password at all.
func prepare(password string) (prepared string, ok bool) {
	if len(password) > MaxPassword || !utf8.ValidString(password) {
		return "", false
	}
	prepared, err := precis.OpaqueString.String(password)
	return prepared, err == nil && len(prepared) <= MaxPassword
}
