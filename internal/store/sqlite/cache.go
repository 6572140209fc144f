package sqlite

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"kaban"
	"kaban/internal/store"
)

// Limits of the cache of documents.
const (
	cacheBytes      = 256 << 10 // of each generation
	cacheLongest    = 4 << 10   // bytes of a value that is kept
	cacheOverhead   = 128       // bytes that an entry has beside its key and its value, about
	cacheRanges     = 16
	cacheRangeLimit = 2 // documents of a range that is kept
	cacheKeys       = 8 // keys of one GetAll that are kept
)

// cache keeps documents and revisions that were read lately, as they were read and verified:
// one sign-in asks for the same ones several times, each time in another transaction. It is
// exact. A transaction that reads is at a batch: the newest one that the database had when it
// began. An entry is known since a batch, and goes when a transaction that changes the
// document is published, before any reader is let on to its batch (database.await). So an
// entry that is there holds for every reader at its batch or later. All writers are in this
// process; see lockDirectory.
//
// Entries are in two generations. When the young one is full, it becomes the old one, whose
// entries go unless somebody asks for them again. The zero value is ready to use, by several
// goroutines. Its lock is a leaf.
type cache struct {
	mu         sync.Mutex
	changed    uint64 // the batch of the last transaction that has changed a document
	young, old map[string]cached
	bytes      int // of the young generation
	ranges     []cachedRange
	next       int // the range that makes room
}

// cached is what a key had at a batch.
type cached struct {
	value []byte // nil: there is no such document
	since uint64
}

// cachedRange is the result of a Scan.
type cachedRange struct {
	from, to string
	limit    int
	found    []store.Document
	since    uint64
}

// revisionKey is the key of a room's revision. No document has one like it.
func revisionKey(room kaban.RoomName) string { return "\x00" + room.Key() }

// get returns a copy of what a key has for a reader at a batch, if that is known.
func (c *cache) get(key string, at uint64) (value []byte, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, young := c.young[key]
	if !young {
		if e, known = c.old[key]; !known {
			return nil, false
		}
	}
	if e.since > at {
		return nil, false
	}
	if !young {
		c.add(key, e)
	}
	return bytes.Clone(e.value), true
}

// put notes what a reader at a batch has read: nil if there is no such document.
func (c *cache) put(key string, value []byte, at uint64) {
	if len(value) > cacheLongest {
		return
	}
	value = bytes.Clone(value)
	c.mu.Lock()
	defer c.mu.Unlock()
	if at >= c.changed { // else it may have changed since
		c.add(key, cached{value, at})
	}
}

func (c *cache) add(key string, e cached) {
	if c.young == nil || c.bytes > cacheBytes {
		c.young, c.old, c.bytes = make(map[string]cached), c.young, 0
	}
	c.young[key] = e
	c.bytes += len(key) + len(e.value) + cacheOverhead
}

// scan returns a copy of what a Scan found, if that is known for a reader at a batch.
func (c *cache) scan(from, to string, limit int, at uint64) (found []store.Document, known bool) {
	if limit > cacheRangeLimit {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ranges {
		if r := &c.ranges[i]; r.from == from && r.to == to && r.limit == limit && r.since <= at {
			return cloneDocuments(r.found), true
		}
	}
	return nil, false
}

// putScan notes what a Scan of a reader at a batch has found.
func (c *cache) putScan(from, to string, limit int, found []store.Document, at uint64) {
	if limit > cacheRangeLimit || slices.ContainsFunc(found, func(d store.Document) bool { return len(d.Value) > cacheLongest }) {
		return
	}
	r := cachedRange{from, to, limit, cloneDocuments(found), at}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at < c.changed:
	case len(c.ranges) < cacheRanges:
		c.ranges = append(c.ranges, r)
	default:
		c.ranges[c.next] = r
		c.next = (c.next + 1) % cacheRanges
	}
}

func cloneDocuments(found []store.Document) []store.Document {
	found = slices.Clone(found)
	for i := range found {
		found[i].Value = bytes.Clone(found[i].Value)
	}
	return found
}

// forget drops what a batch has changed, or everything if keys is nil. The batch is
// committed and not published yet. Its number is 0 if all its changes were undone.
func (c *cache) forget(keys map[string]struct{}, batch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = max(c.changed, batch)
	if keys == nil {
		c.young, c.old, c.bytes, c.ranges, c.next = nil, nil, 0, nil, 0
		return
	}
	for key := range keys {
		delete(c.young, key)
		delete(c.old, key)
		c.ranges = slices.DeleteFunc(c.ranges, func(r cachedRange) bool { return r.from <= key && key < r.to })
	}
	c.next = min(c.next, max(len(c.ranges)-1, 0))
}

// changes are the keys that a batch has changed or has tried to: what it reads of them is
// not known from before.
type changes struct {
	keys map[string]struct{}
	all  bool // too many to name
}

func (c *changes) add(key string) {
	if c.keys == nil {
		c.keys = make(map[string]struct{})
	}
	c.keys[key] = struct{}{}
}

// has reports whether a key may have changed.
func (c *changes) has(key string) bool {
	_, has := c.keys[key]
	return has || c.all
}

// any reports whether anything may have changed.
func (c *changes) any() bool { return len(c.keys) > 0 || c.all }

// forget drops what the committed batch has changed from the cache.
func (b *batch) forget() {
	switch {
	case b.changes.all:
		b.cache.forget(nil, uint64(b.number))
	case b.changes.any():
		b.cache.forget(b.changes.keys, uint64(b.number))
	}
}

// read returns what a key has, from the cache or by a function.
func (t *tx) read(key string, load func() ([]byte, error)) ([]byte, error) {
	if t.batch != nil && t.batch.changes.has(key) {
		return load()
	}
	if value, known := t.cache.get(key, t.at); known {
		return value, nil
	}
	value, err := load()
	if err == nil {
		t.cache.put(key, value, t.at)
	}
	return value, err
}

// readAll is read for several documents.
func (t *tx) readAll(keys []string) ([][]byte, error) {
	if len(keys) > cacheKeys {
		return t.stmts.getAll(t.ctx, t.sum, keys)
	}
	values := make([][]byte, len(keys))
	var missing []string
	var places []int
	for i, key := range keys {
		known := false
		if t.batch == nil || !t.batch.changes.has(key) {
			values[i], known = t.cache.get(key, t.at)
		}
		if !known {
			missing, places = append(missing, key), append(places, i)
		}
	}
	found, err := t.stmts.getAll(t.ctx, t.sum, missing)
	if err != nil {
		return nil, err
	}
	for i, value := range found {
		values[places[i]] = value
		if t.batch == nil || !t.batch.changes.has(missing[i]) {
			t.cache.put(missing[i], value, t.at)
		}
	}
	return values, nil
}

// readRange is Scan, from the cache or the database.
func (t *tx) readRange(from, to string, limit int) ([]store.Document, error) {
	if t.batch != nil && t.batch.changes.any() {
		return scanBy(t.ctx, t.stmts.scanDocuments, t.sum, from, to, limit)
	}
	if found, known := t.cache.scan(from, to, limit, t.at); known {
		return found, nil
	}
	found, err := scanBy(t.ctx, t.stmts.scanDocuments, t.sum, from, to, limit)
	if err == nil {
		t.cache.putScan(from, to, limit, found, t.at)
	}
	return found, err
}

// readRevision is the revision of a room, from the cache or the database.
func (t *tx) readRevision(name kaban.RoomName) (uint64, error) {
	value, err := t.read(revisionKey(name), func() ([]byte, error) {
		revision, err := t.reader.revisionOf(t.ctx, name)
		return binary.LittleEndian.AppendUint64(nil, revision), err
	})
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(value), nil
}
