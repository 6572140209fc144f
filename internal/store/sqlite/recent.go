package sqlite

import (
	"context"
	"fmt"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

const (
	// mergeEntries and mergeBytes are how many recent entries, or bytes of their
	// contents, are merged into entries with the next append. All of them are in
	// memory, too. More of them share the pages that a merge changes, and make
	// the append that merges slower.
	mergeEntries = 1024
	mergeBytes   = 1 << 20
)

// key is what an author may use once.
type key struct {
	user int64
	id   string
}

// earlier is an entry that has the key of a dispatch.
type earlier struct {
	place, time int64
	content     string
}

// recent are the entries of the table recent, as they are after the last
// COMMIT, beside those of each room (room.recent). Who holds Store.writing uses
// it.
type recent struct {
	keys  map[key]earlier
	bytes int                // of their contents
	rooms map[*room]struct{} // those that have some
}

// full says that it is time to merge.
func (r *recent) full(entries int) bool {
	return len(r.keys) >= entries || r.bytes >= mergeBytes
}

func (r *recent) clear() {
	clear(r.keys)
	clear(r.rooms)
	r.bytes = 0
}

// mergeQueries move what is recent to its place.
var mergeQueries = [...]string{
	`INSERT INTO entries (place, time, kind, user, username, id, content)
		SELECT place, time, kind, user, username, id, content FROM recent ORDER BY place`,
	`UPDATE rooms SET head = r.head
		FROM (SELECT place >> 40 AS room, max(place) & 0xFFFFFFFFFF AS head FROM recent GROUP BY 1) r WHERE rooms.id = r.room`,
	"DELETE FROM recent", // all of it, so SQLite does not look at the rows
}

// merge moves what is recent to its place, in the transaction under way.
func (b *batch) merge() error {
	for _, stmt := range b.stmts.merge {
		if _, err := stmt.ExecContext(b.ctx); err != nil {
			return fmt.Errorf("merge the recent entries: %w", err)
		}
	}
	b.merged = true
	failpoint.Point("append.merged")
	return nil
}

// recentQuery reads what is recent in the order in which it came.
const recentQuery = `SELECT e.place, e.time, e.kind, e.id, coalesce(e.username, u.name), e.content, e.user
	FROM recent e CROSS JOIN users u ON u.id = e.user ORDER BY e.n`

// loadRecent reads what is not merged yet, after the rooms.
func (s *Store) loadRecent(ctx context.Context) error {
	rooms := make(map[int64]*room, len(s.rooms))
	for _, r := range s.rooms {
		rooms[r.id] = r
	}
	rows, err := s.writer.QueryContext(ctx, recentQuery)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e store.Entry
		var place, user int64
		if err := rows.Scan(&place, &e.Time, &e.Kind, &e.ID, &e.Username, &e.Content, &user); err != nil {
			return err
		}
		r := rooms[place>>seqBits]
		e.Seq = uint64(place & maxSeq)
		if r == nil || e.Seq != r.head+1 {
			return fmt.Errorf("entry %d of room %d does not follow what is there; \"kaban check\" tells more", e.Seq, place>>seqBits)
		}
		r.head = e.Seq
		r.recent = append(r.recent, e)
		s.recent.rooms[r] = struct{}{}
		s.recent.keys[key{user, e.ID}] = earlier{place: place, time: e.Time, content: e.Content}
		s.recent.bytes += len(e.Content)
	}
	return closeRows(rows)
}
