package postgres

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// mentionsQuery reads what concerns an account in a run of entries, the last rows of two runs of the
// key: those by its name, and those of many, where a message has up to two.
const mentionsQuery = `SELECT m.seq, m.cause, m.time FROM rooms r CROSS JOIN LATERAL (
		(SELECT m.seq, m.cause, m.time FROM mentions m
			WHERE m.account = $2 AND m.room = r.id AND m.seq > $3 AND m.seq <= $4 AND m.by <> $2 ORDER BY m.seq DESC LIMIT $5)
		UNION ALL
		(SELECT m.seq, m.cause, m.time FROM mentions m
			WHERE m.account = '' AND m.room = r.id AND m.seq > $3 AND m.seq <= $4 AND m.by <> $2 AND (m.cause = 2 OR $2 = ANY (m.online)) ORDER BY m.seq DESC LIMIT 2 * $5 + 1)
	) m WHERE r.key = $1 ORDER BY m.seq, m.cause`

// Mentions implements store.Store.
func (s *Store) Mentions(ctx context.Context, name kaban.RoomName, account string, after, last uint64) (found []store.Mention, err error) {
	err = s.reading(ctx, "read mentions", func(ctx context.Context, c querier) error {
		found = nil
		if after >= last || account == "" {
			return nil
		}
		rows, err := c.Query(ctx, mentionsQuery, name.Key(), account, int64(min(after, math.MaxInt64)), int64(min(last, math.MaxInt64)), int64(store.MaxMentions))
		if err != nil {
			return err
		}
		var m store.Mention
		_, err = pgx.ForEachRow(rows, []any{&m.Seq, &m.Cause, &m.Time}, func() error {
			if n := len(found); n == 0 || found[n-1].Seq != m.Seq { // the most direct cause comes first
				found = append(found, m)
			}
			return nil
		})
		return err
	})
	return store.LastMentions(found), err
}

const mayMentionQuery = `SELECT EXISTS (SELECT FROM rooms r JOIN mentions m ON m.room = r.id
		WHERE r.key = k.key AND m.account = $1 AND m.seq > k.after AND m.seq <= k.last)
	OR EXISTS (SELECT FROM rooms r JOIN mentions m ON m.room = r.id
		WHERE r.key = k.key AND m.account = '' AND m.seq > k.after AND m.seq <= k.last)
	FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS k (key, after, last, n) ORDER BY k.n`

// MayMention implements store.Store.
func (s *Store) MayMention(ctx context.Context, account string, runs []store.Run) (may []bool, err error) {
	var keys []string
	var afters, lasts []int64
	for i := range runs {
		keys = append(keys, runs[i].Room.Key())
		afters, lasts = append(afters, int64(min(runs[i].After, math.MaxInt64))), append(lasts, int64(min(runs[i].Last, math.MaxInt64)))
	}
	err = s.reading(ctx, "look for mentions", func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, mayMentionQuery, account, keys, afters, lasts)
		if err != nil {
			return err
		}
		may, err = pgx.CollectRows(rows, pgx.RowTo[bool])
		return err
	})
	return may, err
}

// forgetQuery passes over what an append is changing, so that neither waits for the other.
const forgetQuery = `DELETE FROM mentions m USING (
		SELECT account, room, seq, cause FROM mentions WHERE time < $1 ORDER BY time LIMIT $2 FOR UPDATE SKIP LOCKED
	) f WHERE (m.account, m.room, m.seq, m.cause) = (f.account, f.room, f.seq, f.cause)`

// ForgetMentions implements store.Store.
func (s *Store) ForgetMentions(ctx context.Context, before int64, limit int) (n int, err error) {
	if err := s.begun(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	err = s.try(ctx, "forget mentions", func(ctx context.Context) error {
		tag, err := s.writers.Exec(ctx, forgetQuery, before, limit)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}
