// Package idpool hands out the ids of connections. Every connection acquires a
// Token from a Pool and redeems it as its last act. The pool limits the number of
// connections and can wait for the last one.
//
// The pool is sharded, so connections that come and go concurrently do not contend
// for one lock. Ids are reused after they are redeemed; origins are never reused.
// All methods are safe for concurrent use.
package idpool

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"kaban"
)

// Errors of this package.
var (
	// ErrFull means that all ids are in use.
	ErrFull = errors.New("all connection ids are in use")
	// ErrDraining means that Drain was called.
	ErrDraining = errors.New("the pool of connection ids is draining")
	// ErrRedeemed means that the token is already redeemed. The call is a no-op.
	ErrRedeemed = errors.New("token is already redeemed")
)

// Pool hands out tokens.
type Pool struct {
	capacity int
	shards   []shard
	// hints holds the indexes of the shards to try first. A sync.Pool keeps one
	// per processor, so processors use different shards while ids are available.
	hints sync.Pool
	// sealed is set once every shard is draining and no token can follow.
	sealed atomic.Bool

	mu      sync.Mutex // guards the fields below; never locked while holding a shard's
	drained chan struct{}
}

// shard holds every len(Pool.shards)-th id. The padding keeps the shards of
// different cores on different cache lines.
type shard struct {
	mu       sync.Mutex // guards the fields below
	size     uint32     // ids of this shard
	free     []uint32   // redeemed ids
	holders  []uint32   // of each id that was acquired at least once, the turn of the token that has it; 0: redeemed
	inUse    int
	turns    uint32 // counts tokens, to distinguish the holders of an id
	draining bool
	_        [64]byte
}

// Token is the right to be a connection. It must be redeemed once. It is a value, so that it
// can be a part of a connection.
type Token struct {
	pool     *Pool
	id, turn uint32
}

// New returns a pool of capacity ids, at least 1. It allocates memory as ids are
// used.
func New(capacity int) *Pool {
	return newSharded(capacity, 1<<bits.Len(uint(runtime.GOMAXPROCS(0)*4-1)))
}

func newSharded(capacity, shards int) *Pool {
	capacity = max(capacity, 1)
	shards = min(shards, capacity)
	p := &Pool{capacity: capacity, shards: make([]shard, shards), drained: make(chan struct{})}
	for i := range p.shards {
		p.shards[i].size = uint32(capacity / shards)
		if i < capacity%shards {
			p.shards[i].size++
		}
	}
	var next atomic.Uint32
	p.hints.New = func() any {
		first := next.Add(1) % uint32(shards)
		return &first
	}
	return p
}

// Capacity returns the maximum number of tokens in use.
func (p *Pool) Capacity() int { return p.capacity }

// InUse returns the number of tokens in use.
func (p *Pool) InUse() int {
	n := 0
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		n += s.inUse
		s.mu.Unlock()
	}
	return n
}

// Acquire returns a token. It tries the processor's own shard first and returns
// ErrFull only if all shards are empty. After Drain it returns ErrDraining.
func (p *Pool) Acquire() (Token, error) {
	hint := p.hints.Get().(*uint32)
	defer p.hints.Put(hint)
	n := uint32(len(p.shards))
	for i := range n {
		shard := (*hint + i) % n
		slot, turn, err := p.shards[shard].take()
		if err == nil {
			*hint = shard
			return Token{pool: p, id: slot*n + shard + 1, turn: turn}, nil
		}
		if errors.Is(err, ErrDraining) {
			return Token{}, err
		}
	}
	return Token{}, ErrFull
}

func (s *shard) take() (slot, turn uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch last := len(s.free) - 1; {
	case s.draining:
		return 0, 0, ErrDraining
	case last >= 0:
		slot = s.free[last]
		s.free = s.free[:last]
	case len(s.holders) < int(s.size):
		slot = uint32(len(s.holders))
		s.holders = append(s.holders, 0)
	default:
		return 0, 0, ErrFull
	}
	if s.turns++; s.turns == 0 {
		s.turns = 1
	}
	s.holders[slot] = s.turns
	s.inUse++
	return slot, s.turns, nil
}

// ID returns the id, from 1 to the pool's capacity. Once this token is redeemed,
// another one may have the same id.
func (t Token) ID() uint32 { return t.id }

// Origin returns the token's origin, which no other of the pool has until its shard has issued
// 2^32 - 1 more.
func (t Token) Origin() kaban.Origin {
	return kaban.Origin(uint64(t.turn)<<32 | uint64(t.id))
}

// Redeem returns the id to the pool. Further calls return ErrRedeemed, even if
// another token has the id by then, until the shard has issued 2^32 - 1 more.
func (t Token) Redeem() error {
	p := t.pool
	n := uint32(len(p.shards))
	last, err := p.shards[(t.id-1)%n].give((t.id-1)/n, t.turn)
	if last && p.sealed.Load() {
		p.finish()
	}
	return err
}

// give takes an id back. It reports whether it was the last one in use.
func (s *shard) give(slot, turn uint32) (last bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[slot] != turn {
		return false, ErrRedeemed
	}
	s.holders[slot] = 0
	s.free = append(s.free, slot)
	s.inUse--
	return s.inUse == 0, nil
}

// Drain stops handing out tokens and waits until every token is redeemed. If ctx
// ends first, it returns the cause and the number of tokens in use. It may be
// called repeatedly and concurrently.
func (p *Pool) Drain(ctx context.Context) error {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		s.draining = true
		s.mu.Unlock()
	}
	// From here on every Redeem checks whether it was the last. Earlier ones are
	// covered by this check.
	p.sealed.Store(true)
	p.finish()
	select {
	case <-p.drained:
		return nil
	default:
	}
	select {
	case <-p.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d connections are still open: %w", p.InUse(), context.Cause(ctx))
	}
}

// finish ends the drain if no token is in use. The pool must be sealed.
func (p *Pool) finish() {
	if p.InUse() > 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}
