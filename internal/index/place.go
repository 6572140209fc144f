package index

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// item is where the message with an order is.
type item struct {
	room uint32
	seq  uint64
}

func appendItem(dst []byte, i item) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(i.room)), i.seq)
}

// countItems returns how many items there are in data that is not malformed: each is two
// numbers, and the last byte of a number is below 0x80.
func countItems(data []byte) int {
	ends := 0
	for _, b := range data {
		if b < 0x80 {
			ends++
		}
	}
	return ends / 2
}

// itemAt returns one item, as decodeItems does, or false if there are not as many.
func itemAt(data []byte, at int) (i item, ok bool, err error) {
	for skip := 2 * at; skip > 0 && len(data) > 0; data = data[1:] {
		if data[0] < 0x80 {
			skip--
		}
	}
	room, n := binary.Uvarint(data)
	if len(data) == 0 {
		return item{}, false, nil
	}
	if n <= 0 || room > 1<<32-1 {
		return item{}, false, fmt.Errorf("%w: a chunk is malformed", errUnusable)
	}
	seq, m := binary.Uvarint(data[n:])
	if m <= 0 {
		return item{}, false, fmt.Errorf("%w: a chunk is malformed", errUnusable)
	}
	return item{uint32(room), seq}, true, nil
}

func decodeItems(data []byte) ([]item, error) {
	items := make([]item, 0, countItems(data))
	for len(data) > 0 {
		room, n := binary.Uvarint(data)
		if n <= 0 || room > 1<<32-1 {
			return nil, fmt.Errorf("%w: a chunk is malformed", errUnusable)
		}
		seq, m := binary.Uvarint(data[n:])
		if m <= 0 {
			return nil, fmt.Errorf("%w: a chunk is malformed", errUnusable)
		}
		items, data = append(items, item{uint32(room), seq}), data[n+m:]
	}
	return items, nil
}

// tail is the chunk that is being filled, as of the transaction in progress. It is guarded
// by Index.writing.
type tail struct {
	shape        shape
	id           uint64 // of the chunk
	items        []item
	data         []byte
	since, until int64
	changed      bool
	// published is the next order, as of the last commit.
	published atomic.Uint64
}

// load reads the last chunk.
func (t *tail) load(ctx context.Context, db *database, s shape) error {
	t.shape, t.id, t.items, t.data, t.since, t.until, t.changed = s, 0, nil, nil, 0, 0, false
	err := db.write.QueryRowContext(ctx, "SELECT id, since, until, items FROM chunks ORDER BY id DESC LIMIT 1").Scan(&t.id, &t.since, &t.until, &t.data)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if t.items, err = decodeItems(t.data); err != nil {
		return err
	}
	t.published.Store(t.next())
	return nil
}

// next returns the order of the next message.
func (t *tail) next() uint64 { return t.id*t.shape.chunk + uint64(len(t.items)) }

// add gives a message the next order.
func (t *tail) add(tx *sql.Tx, i item, time int64) (order uint64, err error) {
	if uint64(len(t.items)) == t.shape.chunk {
		if err := t.save(tx); err != nil {
			return 0, err
		}
		t.id, t.items, t.data = t.id+1, nil, nil
	}
	if len(t.items) == 0 {
		t.since, t.until = time, time
	}
	order = t.next()
	t.items, t.data = append(t.items, i), appendItem(t.data, i)
	t.since, t.until, t.changed = min(t.since, time), max(t.until, time), true
	return order, nil
}

// save writes the chunk.
func (t *tail) save(tx *sql.Tx) error {
	if !t.changed {
		return nil
	}
	t.changed = false
	_, err := tx.Exec("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)", t.id, t.since, t.until, t.data)
	return err
}

// cachedChunks is how many chunks are kept decoded, of 64 KiB each.
const cachedChunks = 128

// chunkCache keeps chunks. What a chunk has never changes; the newest one grows.
type chunkCache struct {
	mu     sync.Mutex
	chunks map[uint64][]item
}

func (c *chunkCache) get(id uint64) []item {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chunks[id]
}

func (c *chunkCache) put(id uint64, items []item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chunks == nil {
		c.chunks = make(map[uint64][]item)
	}
	for other := range c.chunks { // any of them
		if len(c.chunks) < cachedChunks {
			break
		}
		delete(c.chunks, other)
	}
	c.chunks[id] = items
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readChunk returns at least the first n items of a chunk, or all that there are.
func (d *database) readChunk(ctx context.Context, from querier, id uint64, n int) ([]item, error) {
	if items := d.chunks.get(id); len(items) >= n {
		return items, nil
	}
	var data []byte
	err := from.QueryRowContext(ctx, "SELECT items FROM chunks WHERE id = ?", id).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	items, err := decodeItems(data)
	if err == nil {
		d.chunks.put(id, items)
	}
	return items, err
}

// fewItems is how many items of a chunk are searched for in it one by one. For more it is
// decoded, which takes as long as a few, and kept.
const fewItems = 4

// readItem returns one item of a chunk, or false if it was dropped. Some are wanted of it.
func (d *database) readItem(ctx context.Context, id uint64, at, wanted int) (i item, ok bool, err error) {
	items := d.chunks.get(id)
	if len(items) <= at && wanted > fewItems {
		if items, err = d.readChunk(ctx, d.read, id, at+1); err != nil {
			return item{}, false, err
		}
	}
	if len(items) > at {
		return items[at], true, nil
	}
	stmt, err := d.prepared(ctx, "SELECT items FROM chunks WHERE id = ?", 0)
	if err != nil {
		return item{}, false, err
	}
	var data []byte
	err = stmt.QueryRowContext(ctx, id).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return item{}, false, nil
	}
	if err != nil {
		return item{}, false, err
	}
	return itemAt(data, at)
}

// lookUp returns the order of a message that was read, or false if it has none.
func (x *Index) lookUp(tx *sql.Tx, r *room, seq uint64) (order uint64, ok bool, err error) {
	if r.id == 0 {
		return 0, false, nil
	}
	want := item{r.id, seq}
	t := &x.tail
	for i := len(t.items) - 1; i >= 0; i-- { // most changes are of new messages
		if t.items[i] == want {
			return t.id*t.shape.chunk + uint64(i), true, nil
		}
	}
	ctx := context.Background()
	from, to := uint64(0), t.id*t.shape.chunk
	err = tx.QueryRowContext(ctx, "SELECT place FROM marks WHERE room = ? AND seq <= ? ORDER BY seq DESC LIMIT 1", r.id, seq).Scan(&from)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	err = tx.QueryRowContext(ctx, "SELECT place FROM marks WHERE room = ? AND seq > ? ORDER BY seq LIMIT 1", r.id, seq).Scan(&to)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	to = min(to, t.id*t.shape.chunk)
	for at := from; at < to; {
		id := at / t.shape.chunk
		items, err := x.db.readChunk(ctx, tx, id, int(t.shape.chunk))
		if err != nil {
			return 0, false, err
		}
		first := id * t.shape.chunk
		for i := at - first; i < uint64(len(items)) && first+i < to; i++ {
			if items[i] == want {
				return first + i, true, nil
			}
		}
		at = first + t.shape.chunk
	}
	return 0, false, nil
}

// mark notes where a message is if it is time for that.
func (x *Index) mark(tx *sql.Tx, r *room, seq, order uint64) error {
	r.indexed++
	s := &x.options.shape
	if r.marked != 0 && r.indexed < s.spacing && order+1-r.marked < s.stretch {
		return nil
	}
	r.indexed, r.marked = 0, order+1
	_, err := tx.Exec("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", r.id, seq, order)
	return err
}
