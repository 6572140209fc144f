package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// agedRows is how many entries are read at a time to see how old they are.
const agedRows = 4096

// aged is what the age of an entry is told by.
type aged struct {
	seq, time int64
	kind      int16
}

// age reads entries of a room, from one on.
func age(ctx context.Context, c querier, room string, from int64) ([]aged, error) {
	rows, err := c.Query(ctx, `SELECT e.seq, e.time, e.kind FROM rooms r JOIN entries e ON e.room = r.id
		WHERE r.key = $1 AND e.seq >= greatest($2, r.oldest) ORDER BY e.seq LIMIT $3`, room, from, int64(agedRows))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a aged, err error) {
		err = row.Scan(&a.seq, &a.time, &a.kind)
		return a, err
	})
}

// pass passes on the entries of a room, which a function reads from one on, until there are no more or
// add returns false.
func pass(read func(from int64) ([]aged, error), add func(aged) bool) error {
	for from := int64(1); ; {
		found, err := read(from)
		if err != nil {
			return err
		}
		for _, a := range found {
			if from = a.seq + 1; !add(a) {
				return nil
			}
		}
		if len(found) < agedRows {
			return nil
		}
	}
}

// Old implements store.Store. It is not of one moment: a log may be long.
func (s *Store) Old(ctx context.Context, name kaban.RoomName, by store.Age) (entries, messages uint64, err error) {
	var search store.Search
	var seen uint64 // messages
	err = pass(func(from int64) (found []aged, err error) {
		err = s.reading(ctx, "look for old entries", func(ctx context.Context, c querier) (err error) {
			found, err = age(ctx, c, name.Key(), from)
			return err
		})
		return found, err
	}, func(a aged) bool {
		if !search.Add(by.Of(a.time)) {
			return false
		}
		if kaban.Kind(a.kind) == kaban.KindMessage {
			seen++
		}
		if old := uint64(search.Old()); old > entries {
			entries, messages = old, seen
		}
		return true
	})
	return entries, messages, err
}

// Cut implements store.Store.
func (s *Store) Cut(ctx context.Context, name kaban.RoomName, by store.Age, limit int) (n int, err error) {
	if err := s.begun(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	if limit <= 0 {
		return 0, nil
	}
	needs := &needs{documents: true}
	needs.lock(name)
	err = s.transact(ctx, "cut a log", needs, transaction{}, nil, func(t *transaction) error {
		n = 0
		r, err := t.room(name)
		if err != nil || r == nil {
			return err
		}
		search := by.Search(limit)
		read := func(from int64) ([]aged, error) { return age(t.ctx, t.tx, r.key, from) }
		if err := pass(read, func(a aged) bool { return search.Add(by.Of(a.time)) }); err != nil {
			return t.breaks(err)
		}
		if n = search.Old(); n == 0 {
			return nil
		}
		return t.cut(r, int64(r.oldest)+int64(n)-1)
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// cut takes the front of a log, up to an entry.
func (t *transaction) cut(r *lockedRoom, last int64) error {
	if _, err := t.tx.Exec(t.ctx, countEntries, r.id); err != nil { // all of them are counted then
		return t.breaks(err)
	}
	rows, err := t.tx.Query(t.ctx, "SELECT seq, files <> '' FROM entries WHERE room = $1 AND seq BETWEEN $2 AND $3 AND kind = 1", r.id, int64(r.oldest), last)
	if err != nil {
		return t.breaks(err)
	}
	var seq int64
	var files bool
	_, err = pgx.ForEachRow(rows, []any{&seq, &files}, func() error {
		if r.front++; files {
			t.release(r, uint64(seq))
		}
		return nil
	})
	if err != nil {
		return t.breaks(err)
	}
	for _, sql := range []string{
		`UPDATE counts c SET front = c.front + w.messages, username = coalesce(c.username, w.username) FROM (
			SELECT author, count(*) AS messages, min(username) AS username FROM entries WHERE room = $1 AND seq BETWEEN 1 AND $2 AND kind = 1 GROUP BY author
		) w WHERE c.room = $1 AND c.author = w.author`,
		// Anybody may make up names of visitors, so nothing is left of those of whom nothing is kept.
		"DELETE FROM counts WHERE room = $1 AND front >= messages AND author LIKE 'visitor:%' AND $2::bigint > 0",
		"DELETE FROM mentions WHERE room = $1 AND seq <= $2",
		"DELETE FROM reactions WHERE room = $1 AND seq <= $2",
		"DELETE FROM states WHERE room = $1 AND seq <= $2",
		"DELETE FROM entries WHERE room = $1 AND seq < 0 AND target <= $2",
		"DELETE FROM entries WHERE room = $1 AND seq BETWEEN 1 AND $2",
	} {
		t.extra = append(t.extra, statement{sql, []any{r.id, last}})
	}
	r.oldest, r.changed = uint64(last)+1, true
	return nil
}

// Redact implements store.Store.
func (s *Store) Redact(ctx context.Context, name kaban.RoomName, redactions []store.Redaction) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	needs := new(needs)
	needs.lock(name)
	return s.transact(ctx, "redact entries", needs, transaction{}, nil, func(t *transaction) error {
		r, err := t.room(name)
		if err != nil || r == nil {
			return err
		}
		last := make(map[uint64]string) // of several for one entry, the last counts
		for _, redaction := range redactions {
			last[min(redaction.Seq, maxSeq)] = redaction.Content
		}
		var seqs []int64
		var contents []string
		for seq, content := range last {
			seqs, contents = append(seqs, int64(seq)), append(contents, content)
		}
		t.extra = append(t.extra, statement{`UPDATE entries e SET content = u.content FROM unnest($2::bigint[], $3::text[]) AS u (seq, content)
			WHERE e.room = $1 AND e.seq = u.seq AND e.seq > 0 AND (e.kind = 3 OR e.kind NOT BETWEEN 1 AND 5)`, []any{r.id, seqs, contents}})
		return nil
	})
}
