// Package idpool hands out the ids of connections. Every connection holds a
// Token from a Pool and redeems it as its last act, so that a server knows how
// many there are, refuses more than it can take, and can wait for the last.
//
// The pool is sharded: connections that come and go at the same time do not
// queue at one lock. An id is used again after it was redeemed, but never by
// two at once; an Origin is never used again. All methods are safe for
// concurrent use.
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

// Facts that callers tell apart with errors.Is.
var (
	// ErrFull says that every id is held.
	ErrFull = errors.New("all connection ids are in use")
	// ErrDraining says that the pool gives out nothing any more.
	ErrDraining = errors.New("connection ids are not given out any more")
	// ErrRedeemed says that a token was redeemed before. Nothing has changed.
	ErrRedeemed = errors.New("token was redeemed before")
)

// Pool hands out tokens.
type Pool struct {
	capacity int
	shards   []shard
	// hints holds the index of a shard to begin with. It keeps one per
	// processor, so that each has a shard of its own as long as there are ids.
	hints sync.Pool
	// sealed says that every shard is draining: no token comes after it.
	sealed atomic.Bool

	mu      sync.Mutex // guards all below; never taken with a shard's held
	drained chan struct{}
}

// shard holds every len(Pool.shards)-th id. Its padding keeps shards that are
// used by different cores off one cache line.
type shard struct {
	mu       sync.Mutex // guards all below
	size     uint32     // ids of this shard
	issued   uint32     // ids that were ever given out: the first so many
	free     []uint32   // ids that were redeemed
	inUse    int
	turns    uint32 // counts tokens, to tell the holders of an id apart
	draining bool
	_        [64]byte
}

// Token is the right to be a connection. It must be redeemed once.
type Token struct {
	pool     *Pool
	id       uint32
	turn     uint32
	redeemed atomic.Bool
}

// New returns a pool of capacity ids, at least 1. Memory is taken by use.
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

// Capacity returns how many tokens can be out at a time.
func (p *Pool) Capacity() int { return p.capacity }

// InUse returns how many tokens are out.
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

// Acquire returns a token. It starts at the processor's own shard and goes on
// to the others, so that it returns ErrFull only when it found each shard
// empty. After Drain it returns ErrDraining.
func (p *Pool) Acquire() (*Token, error) {
	hint := p.hints.Get().(*uint32)
	defer p.hints.Put(hint)
	n := uint32(len(p.shards))
	for i := range n {
		shard := (*hint + i) % n
		slot, turn, err := p.shards[shard].take()
		if err == nil {
			*hint = shard
			return &Token{pool: p, id: slot*n + shard + 1, turn: turn}, nil
		}
		if errors.Is(err, ErrDraining) {
			return nil, err
		}
	}
	return nil, ErrFull
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
	case s.issued < s.size:
		slot = s.issued
		s.issued++
	default:
		return 0, 0, ErrFull
	}
	s.turns++
	s.inUse++
	return slot, s.turns, nil
}

// ID returns the id, from 1 to the pool's capacity. Another token may have it
// after this one was redeemed.
func (t *Token) ID() uint32 { return t.id }

// Origin returns what no other token of the pool has or had.
func (t *Token) Origin() kaban.Origin {
	return kaban.Origin(uint64(t.turn)<<32 | uint64(t.id))
}

// Redeem gives the id back. A second time it returns ErrRedeemed, also when
// somebody else holds the id by then.
func (t *Token) Redeem() error {
	if !t.redeemed.CompareAndSwap(false, true) {
		return ErrRedeemed
	}
	p := t.pool
	n := uint32(len(p.shards))
	s := &p.shards[(t.id-1)%n]
	s.mu.Lock()
	s.free = append(s.free, (t.id-1)/n)
	s.inUse--
	last := s.inUse == 0
	s.mu.Unlock()
	if last && p.sealed.Load() {
		p.finish()
	}
	return nil
}

// Drain refuses new tokens from now on and returns when every token is
// redeemed, or with the cause of ctx and how many are still out. It may be
// called again, and by several at once.
func (p *Pool) Drain(ctx context.Context) error {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		s.draining = true
		s.mu.Unlock()
	}
	// Whoever redeems from here on looks whether it was the last; who did so
	// before is not counted any more by this look.
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
		return fmt.Errorf("%d connections are still there: %w", p.InUse(), context.Cause(ctx))
	}
}

// finish ends the drain if no token is out. Only for a sealed pool.
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
