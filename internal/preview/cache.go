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
	rooms    map[string]struct{}  // of more messages, which are not listed; nil if there are none. Up to maxMessages
	anywhere bool                 // there are more such rooms
}

// Message is a message that links to a page. The zero value is none.
type Message struct {
	Room string
	Seq  uint64
}

// maxMessages is how many messages of a result are listed. Of more only the room is known, and any of that
// room that is forgotten takes the result along. So the server never keeps what belongs to no message.
const maxMessages = 64

// cache has an entry for each page that is read or was read lately. Its mutex is that of the
// Fetcher.
type cache struct {
	most    int // results
	entries map[string]*entry
	results *list.List                     // of *entry, the one that was used last in front
	rooms   map[string]map[uint64][]*entry // by room and seq of the messages that link to them
	crowded map[*entry]struct{}            // those with more messages than are listed
	pending int                            // entries without a result
	closed  bool
}

func newCache(most int) cache {
	return cache{most: most, entries: make(map[string]*entry), results: list.New(), rooms: make(map[string]map[uint64][]*entry), crowded: make(map[*entry]struct{})}
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

// share notes that a message links to the page of an entry.
func (c *cache) share(e *entry, m Message) {
	if _, ok := e.messages[m]; ok || m == (Message{}) {
		return
	}
	if len(e.messages) == maxMessages {
		c.crowd(e, m.Room)
		return
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
}

// crowd notes that a message of a room links to the page of an entry, which lists no more.
func (c *cache) crowd(e *entry, room string) {
	c.crowded[e] = struct{}{}
	if e.rooms == nil {
		e.rooms = make(map[string]struct{}, 1)
	}
	if _, ok := e.rooms[room]; !ok && len(e.rooms) == maxMessages {
		e.anywhere = true
		return
	}
	e.rooms[room] = struct{}{}
}

// forget forgets messages of a room, from the first to the last seq, and the entries that no other message links to.
func (c *cache) forget(room string, first, last uint64) {
	for e := range c.crowded {
		if _, ok := e.rooms[room]; ok || e.anywhere {
			c.remove(e)
		}
	}
	if first == last {
		c.forgetMessage(Message{room, first})
		return
	}
	for seq := range c.rooms[room] {
		if first <= seq && seq <= last {
			c.forgetMessage(Message{room, seq})
		}
	}
}

func (c *cache) forgetMessage(m Message) {
	for _, e := range slices.Clone(c.rooms[m.Room][m.Seq]) { // what follows changes them
		if len(e.messages) == 1 || e.rooms != nil { // of a crowded one nobody knows whether another is left
			c.remove(e)
			continue
		}
		delete(e.messages, m)
		c.unlist(e, m)
	}
}

// unlist removes an entry from those of a message.
func (c *cache) unlist(e *entry, m Message) {
	room := c.rooms[m.Room]
	left := slices.DeleteFunc(room[m.Seq], func(other *entry) bool { return other == e })
	if room[m.Seq] = left; len(left) == 0 {
		delete(room, m.Seq)
	}
	if len(room) == 0 {
		delete(c.rooms, m.Room)
	}
}

// remove forgets an entry. What is read for it now is not remembered.
func (c *cache) remove(e *entry) {
	if e.place != nil {
		c.results.Remove(e.place)
	}
	delete(c.entries, e.key)
	delete(c.crowded, e)
	for m := range e.messages {
		c.unlist(e, m)
	}
}

// clear forgets everything. Pages that are read now are not remembered.
func (c *cache) clear() {
	clear(c.entries)
	clear(c.rooms)
	clear(c.crowded)
	c.results.Init()
}
