package limit

import (
	"sync"
	"time"
)

// shards is over how many locks the keys of a limit are spread, so that cores do
// not queue at one.
const shards = 32

// maxGeneration is how many keys a generation of a shard has at most.
const maxGeneration = MaxKeys / 2 / shards

// slot is a place of a generation; its key is 0 while it is free.
type slot[V any] struct {
	key   Key
	value V
}

// generation is a hash table that only grows: open addressing, linear probing, a
// power of two of slots of which at most seven eighths are used.
type generation[V any] struct {
	slots []slot[V]
	used  int
}

// minSlots is the least number of slots of a generation that has any.
const minSlots = 8

// home is where the search for a key begins. The low bits chose the shard.
func (g *generation[V]) home(key Key) int { return int(key/shards) & (len(g.slots) - 1) }

// find returns the value of a key, or nil.
func (g *generation[V]) find(key Key) *V {
	if g.used == 0 {
		return nil
	}
	mask := len(g.slots) - 1
	for i := g.home(key); ; i = (i + 1) & mask {
		switch s := &g.slots[i]; s.key {
		case key:
			return &s.value
		case 0:
			return nil
		}
	}
}

// add returns the zero value of a key that is not in the table. It invalidates
// the results of earlier calls.
func (g *generation[V]) add(key Key) *V {
	if g.used >= len(g.slots)/8*7 {
		old := g.slots
		g.slots = make([]slot[V], max(2*len(old), minSlots))
		for i := range old {
			if old[i].key != 0 {
				*g.place(old[i].key) = old[i]
			}
		}
	}
	g.used++
	s := g.place(key)
	s.key = key
	return &s.value
}

// place returns the free slot for a key that is not in the table.
func (g *generation[V]) place(key Key) *slot[V] {
	mask := len(g.slots) - 1
	i := g.home(key)
	for g.slots[i].key != 0 {
		i = (i + 1) & mask
	}
	return &g.slots[i]
}

// empty removes all keys. It keeps the memory if the keys filled a good part of it,
// so that a steady load allocates nothing.
func (g *generation[V]) empty() {
	if g.used < len(g.slots)/4 && len(g.slots) > minSlots {
		g.slots = nil
	}
	clear(g.slots)
	g.used = 0
}

// shard is a part of a table. It has its keys in two generations: those used since
// the generations last turned, and those used only before. They turn once a period,
// which is as long as a value can differ from the zero value. What the older
// generation still has then is forgotten, and nothing is lost by it.
//
// A generation that is full turns early. Then keys that were not used for a while
// lose their values.
//
// A shard has a time of its own, which the clock moves only forward.
type shard[V any] struct {
	mu           sync.Mutex // a leaf; guards all below
	clock        func() time.Duration
	shown        time.Duration // what the clock showed
	now          time.Duration
	period       time.Duration
	turned       time.Duration // when the generations turned
	young, older generation[V]
	_            [64]byte // keeps shards that cores use at the same time off one cache line
}

// tickLocked returns the time of the shard, and turns the generations when it is
// time. It comes before anything else.
func (s *shard[V]) tickLocked() time.Duration {
	shown := s.clock()
	if passed := shown - s.shown; passed > 0 {
		s.now += passed
	}
	s.shown = shown
	if s.now-s.turned >= s.period {
		s.turnLocked()
	}
	return s.now
}

// atLocked returns the value of a key, and adds the key if it is not there. The
// result is valid until the lock is released or another key is added.
func (s *shard[V]) atLocked(key Key) *V {
	if v := s.young.find(key); v != nil {
		return v
	}
	if s.young.used >= maxGeneration {
		s.turnLocked()
	}
	older := s.older.find(key)
	v := s.young.add(key)
	if older != nil {
		*v = *older
	}
	return v
}

// hasLocked reports whether a key is remembered.
func (s *shard[V]) hasLocked(key Key) bool {
	return s.young.find(key) != nil || s.older.find(key) != nil
}

func (s *shard[V]) turnLocked() {
	if s.now-s.turned >= 2*s.period {
		s.young.empty()
	}
	s.young, s.older = s.older, s.young
	s.young.empty()
	s.turned = s.now
}

// table has a value for each key. A key that it does not have, has the zero value.
type table[V any] struct{ shards [shards]shard[V] }

// init makes a table usable. A value that was not used for a period must be as good
// as the zero value. Times begin at 1.
func (t *table[V]) init(clock func() time.Duration, period time.Duration) {
	for i := range t.shards {
		s := &t.shards[i]
		s.clock, s.shown, s.now, s.period, s.turned = clock, clock(), 1, period, 1
	}
}

// reset forgets all keys, and changes the period.
func (t *table[V]) reset(period time.Duration) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.period = period
		s.young.empty()
		s.older.empty()
		s.mu.Unlock()
	}
}

// of returns the shard of a key.
func (t *table[V]) of(key Key) *shard[V] { return &t.shards[key%shards] }

// keys returns how many keys are remembered. One that is in both generations of
// its shard counts twice.
func (t *table[V]) keys() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.tickLocked()
		n += s.young.used + s.older.used
		s.mu.Unlock()
	}
	return n
}
