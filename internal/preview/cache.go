package preview

import (
	"container/list"
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
}

// cache has an entry for each page that is read or was read lately. Its mutex is that of the
// Fetcher.
type cache struct {
	most    int // results
	entries map[string]*entry
	results *list.List // of *entry, the one that was used last in front
	pending int        // entries without a result
	closed  bool
}

func newCache(most int) cache {
	return cache{most: most, entries: make(map[string]*entry), results: list.New()}
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
		delete(c.entries, e.key)
		return
	}
	e.until = time.Now().Add(keep)
	e.place = c.results.PushFront(e)
	for c.results.Len() > c.most {
		c.remove(c.results.Back().Value.(*entry))
	}
}

func (c *cache) remove(e *entry) {
	c.results.Remove(e.place)
	delete(c.entries, e.key)
}

// clear forgets everything. Pages that are read now are not remembered.
func (c *cache) clear() {
	clear(c.entries)
	c.results.Init()
}
