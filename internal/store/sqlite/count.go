package sqlite

import (
	"context"

	"kaban"
)

// countQuery counts the messages in a run of places that are not by an author: it takes
// what is no message, and the author's messages, from all. The two are in indexes, and a
// run has no gaps, so a long one is not read. The unary plus keeps SQLite from reading
// the run for the author's.
const countQuery = "WITH author AS (SELECT id FROM users WHERE key = ?3) SELECT ?2 - ?1 + 1" +
	" - (SELECT count(*) FROM entries INDEXED BY no_messages WHERE place BETWEEN ?1 AND ?2 AND kind <> 1 AND user IS NOT (SELECT id FROM author))" +
	" - (SELECT count(*) FROM entries INDEXED BY ids WHERE place >> 40 = ?1 >> 40 AND user = (SELECT id FROM author) AND +place BETWEEN ?1 AND ?2)"

// shortCountQuery is countQuery for a short run, whatever the author has written.
const shortCountQuery = "SELECT count(*) FROM entries WHERE place BETWEEN ?1 AND ?2 AND kind = 1 AND user IS NOT (SELECT id FROM users WHERE key = ?3)"

// shortCount is the length of a run up to which reading it costs less.
const shortCount = 256

// CountOthers implements store.Store.
func (s *Store) CountOthers(ctx context.Context, name kaban.RoomName, author string, after, last uint64) (n uint64, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.mu.RLock()
	r := s.rooms[name.Key()]
	var unmerged []unmergedEntry
	if r == nil {
		last = 0
	} else {
		last, unmerged = min(last, r.head), r.unmerged
	}
	s.mu.RUnlock()
	if after >= last {
		return 0, nil
	}
	merged, unmerged := split(unmerged, after+1, last)
	if after < merged {
		c, err := s.reader(ctx)
		if err != nil {
			return 0, err
		}
		defer func() { s.readers <- c }()
		count := c.count
		if merged-after <= shortCount {
			count = c.shortCount
		}
		if err := count.QueryRowContext(context.Background(), r.place(after+1), r.place(merged), author).Scan(&n); err != nil {
			return 0, s.failed("count in "+r.name.String(), err)
		}
	}
	for i := range unmerged {
		if e := &unmerged[i]; e.Kind == kaban.KindMessage && e.Author != author {
			n++
		}
	}
	return n, nil
}
