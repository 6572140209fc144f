package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"kaban/internal/limit"

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

// hasher hashes a few passwords at a time. By default that is one less than there are
// processors: a hash in this process keeps one busy for 20 ms and more, and messages must
// not wait for that. Addresses that wait take turns, so that a flood from one of them
// delays the others by one hash each.
type hasher struct {
	current parameters // of new hashes
	compute Argon2id
	count   atomic.Int64  // of hashes computed
	refused atomic.Uint64 // requests, because too many wait

	mu      sync.Mutex
	free    int                          // slots; none while somebody waits
	waiting int                          // in all queues
	queues  map[limit.Key][]chan<- error // by address; none is empty
	turns   []limit.Key                  // the addresses that wait, the next one first
}

func newHasher(slots int, compute Argon2id) *hasher {
	if slots <= 0 {
		slots = max(1, runtime.GOMAXPROCS(0)-1)
	}
	return &hasher{current: recommended, compute: compute, free: slots, queues: make(map[limit.Key][]chan<- error)}
}

type hashAddress struct{}

// hashFor returns a context for work on passwords on behalf of an address.
func hashFor(ctx context.Context, address string) context.Context {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, hashAddress{}, limit.AddressKey(addr))
}

// acquire waits for a slot. It returns ErrBusy if there are too many waiters or it
// takes too long.
func (h *hasher) acquire(ctx context.Context) error {
	key, _ := ctx.Value(hashAddress{}).(limit.Key)
	turn := make(chan error, 1)
	h.mu.Lock()
	switch {
	case h.free > 0:
		h.free--
		h.mu.Unlock()
		return nil
	case h.waiting >= maxHashWaiters && !h.evictLocked(key):
		h.mu.Unlock()
		return ErrBusy
	}
	if len(h.queues[key]) == 0 {
		h.turns = append(h.turns, key)
	}
	h.queues[key] = append(h.queues[key], turn)
	h.waiting++
	h.mu.Unlock()
	timer := time.NewTimer(maxHashWait)
	defer timer.Stop()
	select {
	case err := <-turn:
		return err
	case <-timer.C:
		h.leave(key, turn)
		return ErrBusy
	case <-ctx.Done():
		h.leave(key, turn)
		return context.Cause(ctx)
	}
}

// evictLocked makes room for an address by refusing the last waiter of the longest
// queue, unless that is not longer than the address's own would be.
func (h *hasher) evictLocked(key limit.Key) bool {
	longest := key
	for k, queue := range h.queues {
		if len(queue) > len(h.queues[longest]) {
			longest = k
		}
	}
	n := len(h.queues[longest])
	if n <= len(h.queues[key])+1 {
		return false
	}
	h.queues[longest][n-1] <- ErrBusy // the channel has room
	h.queues[longest] = h.queues[longest][:n-1]
	h.waiting--
	return true
}

// leave removes a waiter, or passes on the slot that it got meanwhile.
func (h *hasher) leave(key limit.Key, turn chan error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	queue := h.queues[key]
	at := slices.Index(queue, chan<- error(turn))
	if at < 0 {
		if err := <-turn; err == nil {
			h.releaseLocked()
		}
		return
	}
	h.waiting--
	if h.queues[key] = slices.Delete(queue, at, at+1); len(queue) == 1 {
		delete(h.queues, key)
		h.turns = slices.DeleteFunc(h.turns, func(k limit.Key) bool { return k == key })
	}
}

// release gives a slot to the first waiter of the next address.
func (h *hasher) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked()
}

func (h *hasher) releaseLocked() {
	if h.waiting == 0 {
		h.free++
		return
	}
	key := h.turns[0]
	h.turns = h.turns[1:]
	queue := h.queues[key]
	queue[0] <- nil // the channel has room
	h.waiting--
	if queue = queue[1:]; len(queue) == 0 {
		delete(h.queues, key)
		return
	}
	h.queues[key] = queue
	h.turns = append(h.turns, key)
}

func (h *hasher) key(ctx context.Context, password, salt []byte, p parameters, length int) ([]byte, error) {
	if err := h.acquire(ctx); err != nil {
		return nil, h.refusal(err)
	}
	defer h.release()
	h.count.Add(1)
	return h.compute(password, salt, p.passes, p.memory, p.lanes, uint32(length)), nil
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
