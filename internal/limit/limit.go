// Package limit bounds how often somebody does something, and how many connections
// somebody has at once.
//
// A [Limiter] is a token bucket for each key: an address, an account, a credential.
// [Connections] counts what is open at once. [SignIns] slows down guessing. A [Queue]
// bounds how much runs at once.
// [Limits] has one of each for everything the server limits, with the numbers of
// [Config].
//
// Guarantees:
//
//   - A limit never favors the flood. A key that is forgotten too early, because
//     there are more keys than are remembered, has a full bucket again. So a flood
//     of new addresses costs nobody else anything.
//   - Memory is bounded: a key takes less than 150 bytes, a limiter remembers at
//     most MaxKeys keys, and a key is forgotten once its bucket must be full.
//   - Time is a monotonic clock that the caller provides. If it jumps back, the jump
//     counts as no time. If it jumps ahead, buckets are full and no fuller.
//   - All methods are safe for concurrent use. They take one lock of many, call only
//     the clock while they hold it, and allocate nothing for a key that is known.
//
// The package keeps no state across a restart, and it does not know who is exempt:
// the caller passes the zero Key for those.
package limit

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"
)

// MaxKeys is how many keys a limiter remembers at most. The half of it that was
// used last is never forgotten early, as far as keys spread evenly over the shards.
const MaxKeys = 1 << 17

// Key identifies what a limit counts for. It is a hash under a secret of this
// process, so it means nothing elsewhere, and nobody outside can find two values
// with the same key. Limits ignore the zero Key.
type Key uint64

var seed = maphash.MakeSeed()

// AddressKey returns the key of an address: IPv6 by /64, the smallest network of a
// customer; IPv4-mapped IPv6 as IPv4; without a zone. The zero Addr has the zero
// Key. Loopback is an address like any other: the caller knows whether it is exempt.
func AddressKey(addr netip.Addr) Key {
	if !addr.IsValid() {
		return 0
	}
	bytes := addr.As16()
	if !addr.Is4() && !addr.Is4In6() {
		clear(bytes[8:])
	}
	return Key(max(maphash.Bytes(seed, bytes[:]), 1))
}

// NameKey returns the key of the id of an account or a credential. The empty string
// has the zero Key.
func NameKey(id string) Key {
	if id == "" {
		return 0
	}
	return Key(max(maphash.String(seed, id), 1))
}

// pairKey returns the key of an account at an address.
func pairKey(account, address Key) Key {
	return Key(max(maphash.Comparable(seed, [2]Key{account, address}), 1))
}

// ExceededError refuses something beyond a limit.
type ExceededError struct {
	// Limit is the name of the setting, such as "account_rooms_per_hour". It is "" for a Queue,
	// which has none.
	Limit string
	// RetryAfter is when to try again. It is more than 0.
	RetryAfter time.Duration
}

// Error implements error.
func (e *ExceededError) Error() string {
	if e.Limit == "" {
		return fmt.Sprintf("too many of your requests of this kind wait already; try again in %s", e.RetryAfter.Round(time.Millisecond))
	}
	return fmt.Sprintf("limits.%s is reached; try again in %s", e.Limit, e.RetryAfter.Round(time.Millisecond))
}
