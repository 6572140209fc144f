package preview

import (
	"container/list"
	"slices"
	"time"
)

// entry is the result for a page, or the wait for it. What done announces does not change.
type entry struct {
	key     string
	done    chan struct{} // closed when preview and err are known
	preview Preview
	err     error

	until time.Time     // when the result is forgotten; set by finish
	place *list.Element // in cache.results, nil while pending

	messages map[Message]struct{} // that link to the page, up to maxMessages
}

// Message is a message that links to a page. The zero value is none.
type Message struct {
	Room string
	Seq  uint64
}

// maxMessages is how many messages share a result. The next one has the page read again, so that
// the server always knows which results belong to a message.
const maxMessages = 64

// cache has an entry for each page that is read or was read lately. Its mutex is that of the
// Fetcher.
type cache struct {
	most    int // results
	entries map[string]*entry
	results *list.List                     // of *entry, the one that was used last in front
	rooms   map[string]map[uint64][]*entry // by room and seq of the messages that link to them
	pending int                            // entries without a result
	closed  bool
}

func newCache(most int) cache {
	return cache{most: most, entries: make(map[string]*entry), results: list.New(), rooms: make(map[string]map[uint64][]*entry)}
}

// find returns the entry of a key, or nil if there is none or it is too old.
func (c *cache) find(key string) *entry {
	e := c.entries[key]
	switch {
	case e == nil || e.place == nil:
		return e
	case time.Until(e.until) <= 0:
		c.remove(e)
		return nil
	}
	c.results.MoveToFront(e.place)
	return e
}

// add adds an entry without a result.
func (c *cache) add(key string) *entry {
	e := &entry{key: key, done: make(chan struct{})}
	c.entries[key] = e
	c.pending++
	return e
}

// finish keeps an entry that has its result for a time, unless it was cleared.
func (c *cache) finish(e *entry, keep time.Duration) {
	c.pending--
	if c.entries[e.key] != e {
		return
	}
	if keep <= 0 {
		c.remove(e)
		return
	}
	e.until = time.Now().Add(keep)
	e.place = c.results.PushFront(e)
	for c.results.Len() > c.most {
		c.remove(c.results.Back().Value.(*entry))
	}
}

// share notes that a message links to the page of an entry. It reports whether the entry takes one more.
func (c *cache) share(e *entry, m Message) bool {
	if _, ok := e.messages[m]; ok || m == (Message{}) {
		return true
	}
	if len(e.messages) == maxMessages {
		return false
	}
	if e.messages == nil {
		e.messages = make(map[Message]struct{}, 1)
	}
	e.messages[m] = struct{}{}
	room := c.rooms[m.Room]
	if room == nil {
		room = make(map[uint64][]*entry, 1)
		c.rooms[m.Room] = room
	}
	room[m.Seq] = append(room[m.Seq], e)
	return true
}

// forget removes the entries of pages that messages of a room link to, from the first to the last seq.
func (c *cache) forget(room string, first, last uint64) {
	of := c.rooms[room]
	if first == last {
		c.removeAll(of[first])
		return
	}
	for seq, entries := range of {
		if first <= seq && seq <= last {
			c.removeAll(entries)
		}
	}
}

func (c *cache) removeAll(entries []*entry) {
	for _, e := range slices.Clone(entries) { // remove changes them
		c.remove(e)
	}
}

// remove forgets an entry. What is read for it now is not remembered.
func (c *cache) remove(e *entry) {
	if e.place != nil {
		c.results.Remove(e.place)
	}
	delete(c.entries, e.key)
	for m := range e.messages {
		room := c.rooms[m.Room]
		left := slices.DeleteFunc(room[m.Seq], func(other *entry) bool { return other == e })
		if room[m.Seq] = left; len(left) == 0 {
			delete(room, m.Seq)
		}
		if len(room) == 0 {
			delete(c.rooms, m.Room)
		}
	}
}

// clear forgets everything. Pages that are read now are not remembered.
func (c *cache) clear() {
	clear(c.entries)
	clear(c.rooms)
	c.results.Init()
}
