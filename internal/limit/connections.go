package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// retryPlaces is when to try again after all places were taken. Nobody knows when
// a connection ends, and a client that was cut off leaves one behind for a while.
const retryPlaces = 5 * time.Second

// Connections counts how many connections each key has at once. It remembers a key
// while it has a connection, so there are never more keys than connections.
type Connections struct {
	name   string
	most   atomic.Int32 // 0: nothing is limited
	shards [shards]places

	exceeded atomic.Uint64 // how often somebody was refused
}

type places struct {
	mu    sync.Mutex // a leaf; guards all below
	taken map[Key]int32
	_     [64]byte
}

// NewConnections returns a limit of so many connections at once for each key. If
// most is 0 or less, nothing is limited. The name is for ExceededError.
func NewConnections(name string, most int) *Connections {
	c := &Connections{name: name}
	c.Set(most)
	return c
}

// Set changes how many connections there may be at once for each key. It ends none.
// Those that came while nothing was limited are not counted.
func (c *Connections) Set(most int) { c.most.Store(int32(max(min(most, 1<<30), 0))) }

// Place is what an open connection has taken of a limit. The zero Place is nothing.
// Its methods are not safe for concurrent use.
type Place struct {
	of  *Connections
	key Key
}

// Enter counts a connection until the place is left, or returns an *ExceededError.
func (c *Connections) Enter(key Key) (Place, error) {
	most := c.most.Load()
	if key == 0 || most == 0 {
		return Place{}, nil
	}
	s := &c.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[key] >= most {
		c.exceeded.Add(1)
		return Place{}, &ExceededError{Limit: c.name, RetryAfter: retryPlaces}
	}
	if s.taken == nil {
		s.taken = make(map[Key]int32)
	}
	s.taken[key]++
	return Place{c, key}, nil
}

// Leave ends the place. Further calls do nothing.
func (p *Place) Leave() {
	if p.of == nil {
		return
	}
	s := &p.of.shards[p.key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[p.key]--; s.taken[p.key] <= 0 {
		delete(s.taken, p.key)
		if len(s.taken) == 0 {
			s.taken = nil // a map does not shrink
		}
	}
	*p = Place{}
}

// Count returns how many connections a key has.
func (c *Connections) Count(key Key) int {
	s := &c.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.taken[key])
}
