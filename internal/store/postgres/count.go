package postgres

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// talliesQuery reads counts that were added, and counts what is behind them. The author is compared as
// an expression, which no index has: the planner would rather read all that the author has written.
const talliesQuery = `SELECT k.n, r.head, r.oldest, r.messages, r.front, coalesce(c.messages, 0) + (
		SELECT count(*) FROM entries e WHERE e.room = r.id AND e.seq > d.seq AND e.seq <= r.head AND e.kind = 1 AND e.author || '' = $1
	), coalesce(c.front, 0)
	FROM unnest($2::text[]) WITH ORDINALITY AS k (key, n) JOIN rooms r ON r.key = k.key
	JOIN counted d ON d.room = r.id LEFT JOIN counts c ON c.room = r.id AND c.author = $1`

// talliesOf returns the tallies of rooms, by their keys, for an author.
func talliesOf(ctx context.Context, c querier, author string, keys []string) ([]store.Tally, error) {
	tallies := make([]store.Tally, len(keys))
	for i := range tallies {
		tallies[i].Oldest = 1
	}
	rows, err := c.Query(ctx, talliesQuery, author, keys)
	if err != nil {
		return nil, err
	}
	var n int
	var t store.Tally
	_, err = pgx.ForEachRow(rows, []any{&n, &t.Head, &t.Oldest, &t.Messages, &t.Front.Messages, &t.Own, &t.Front.Own}, func() error {
		tallies[n-1] = t
		return nil
	})
	return tallies, err
}

// Tallies implements store.Store.
func (s *Store) Tallies(ctx context.Context, author string, rooms []kaban.RoomName) (tallies []store.Tally, err error) {
	keys := make([]string, len(rooms))
	for i, name := range rooms {
		keys[i] = name.Key()
	}
	err = s.reading(ctx, "count messages", func(ctx context.Context, c querier) (err error) {
		tallies, err = talliesOf(ctx, c, author, keys)
		return err
	})
	return tallies, err
}

const countQuery = `SELECT count(*), count(*) FILTER (WHERE e.author = $2) FROM entries e JOIN rooms r ON r.id = e.room
	WHERE r.key = $1 AND e.seq > $3 AND e.seq <= $4 AND e.kind = 1`

// CountTo implements store.Store.
func (s *Store) CountTo(ctx context.Context, name kaban.RoomName, author string, seq uint64, known store.Mark) (mark store.Mark, err error) {
	if err := s.begun(ctx); err != nil {
		return store.Mark{}, err
	}
	defer s.leave()
	err = s.try(ctx, "count messages", func(ctx context.Context) error {
		mark, err = s.countTo(ctx, name, author, seq, known)
		return err
	})
	return mark, err
}

// countTo is CountTo, once.
func (s *Store) countTo(ctx context.Context, name kaban.RoomName, author string, seq uint64, known store.Mark) (store.Mark, error) {
	c, tx, err := s.snapshot(ctx) // the front must not be cut in between
	if err != nil {
		return store.Mark{}, err
	}
	defer drop(c, tx)
	tallies, err := talliesOf(ctx, tx, author, []string{name.Key()})
	if err != nil {
		return store.Mark{}, kept(c.Conn(), err)
	}
	t := &tallies[0]
	seq = max(min(seq, t.Head), t.Oldest-1)
	from := t.Nearest(seq, known)
	var run store.Counts
	err = tx.QueryRow(ctx, countQuery, name.Key(), author, min(seq, from.Seq), min(max(seq, from.Seq), math.MaxInt64)).Scan(&run.Messages, &run.Own)
	if err != nil {
		return store.Mark{}, kept(c.Conn(), err)
	}
	return from.To(seq, run), nil
}

// countEvery is how many entries of a room are counted together.
const countEvery = 256

// countRest is between two rounds of counting. A busy room grows by more than countEvery meanwhile, so there is a change
// of a row for each of its authors in a second, not in 256 entries: with 40 authors in turn, that was a third of what its
// appends cost.
const countRest = time.Second

// counter counts, in a goroutine of its own, what authors have written in rooms that have grown. What
// it has not counted yet, those count that ask.
type counter struct {
	mu    sync.Mutex
	rooms map[int64]struct{} // that are to be counted
	wake  chan struct{}
	done  sync.WaitGroup
}

func (c *counter) start(s *Store) {
	c.rooms, c.wake = make(map[int64]struct{}), make(chan struct{}, 1)
	c.done.Go(func() {
		for {
			select {
			case <-c.wake:
				c.run(s)
			case <-s.closing.Done():
				return
			}
			select {
			case <-time.After(countRest):
			case <-s.closing.Done():
				return
			}
		}
	})
}

// grown notes a new head of a room.
func (c *counter) grown(id, before, head int64) {
	if before/countEvery == head/countEvery {
		return
	}
	c.mu.Lock()
	c.rooms[id] = struct{}{}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it is awake
	}
}

// run counts all rooms that have grown. One that cannot be counted is counted when it has grown
// again.
func (c *counter) run(s *Store) {
	c.mu.Lock()
	rooms := c.rooms
	c.rooms = make(map[int64]struct{})
	c.mu.Unlock()
	for id := range rooms {
		limited, end := context.WithTimeout(s.closing, s.patience)
		_, err := s.writers.Exec(limited, countEntries, id)
		end()
		if err != nil && s.closing.Err() == nil {
			s.log.Warn("cannot count the messages of a room", "error", err)
		}
	}
}

const countEntries = "SELECT count_entries($1)"
