package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// Columns and joins of the queries that read entries, as e.
const (
	entryColumns    = "e.seq, e.time, e.kind, e.id, e.author, e.username, e.target, e.content, e.files"
	stateColumns    = "s.edited, s.edited_time, s.deleted, s.deleted_time, s.pinned, s.pinned_time, s.replies"
	statesJoin      = " LEFT JOIN states s ON s.room = e.room AND s.seq = e.seq"
	reactionColumns = "x.emoji, x.authors, x.usernames, x.since, x.times"
	reactionsJoin   = ` LEFT JOIN LATERAL (
		SELECT array_agg(x.emoji ORDER BY x.since) AS emoji, array_agg(x.author ORDER BY x.since) AS authors, array_agg(x.username ORDER BY x.since) AS usernames,
			array_agg(x.since ORDER BY x.since) AS since, array_agg(x.time ORDER BY x.since) AS times
		FROM reactions x WHERE x.room = e.room AND x.seq = e.seq
	) x ON true`
	// noReactions stands for reactions that are left out.
	noReactions = "NULL::text[] AS emoji, NULL::text[] AS authors, NULL::text[] AS usernames, NULL::bigint[] AS since, NULL::bigint[] AS times"
	// textJoin finds the text of an edit, which the message has if no later one has replaced it.
	textJoin = ` LEFT JOIN LATERAL (
		SELECT m.content FROM states t JOIN entries m ON m.room = t.room AND m.seq = t.seq
		WHERE e.kind = 2 AND t.room = e.room AND t.seq = e.target AND t.edited = e.seq AND t.deleted = 0
	) l ON true`
)

// entryRow is a row of such a query.
type entryRow struct {
	store.Entry
	edited, editedTime, deleted, deletedTime, pinned, pinnedTime, replies *int64
	emoji, authors, usernames                                             []string
	since, times                                                          []int64
}

func (f *entryRow) entry() []any {
	return []any{&f.Seq, &f.Time, &f.Kind, &f.ID, &f.Author, &f.Username, &f.Target, &f.Content, &f.Files}
}

func (f *entryRow) states() []any {
	return []any{&f.edited, &f.editedTime, &f.deleted, &f.deletedTime, &f.pinned, &f.pinnedTime, &f.replies}
}

func (f *entryRow) reactions() []any {
	return []any{&f.emoji, &f.authors, &f.usernames, &f.since, &f.times}
}

// get returns the entry.
func (f *entryRow) get() store.Entry {
	e := f.Entry
	var s store.State
	if f.edited != nil {
		s.Edited = store.Change{Seq: uint64(*f.edited), Time: *f.editedTime}
		s.Deleted = store.Change{Seq: uint64(*f.deleted), Time: *f.deletedTime}
		s.Pinned = store.Change{Seq: uint64(*f.pinned), Time: *f.pinnedTime}
		s.Replies = uint64(*f.replies)
	}
	for i, emoji := range f.emoji {
		at := slices.IndexFunc(s.Reactions, func(r store.Reaction) bool { return r.Emoji == emoji })
		if at < 0 {
			at = len(s.Reactions)
			s.Reactions = append(s.Reactions, store.Reaction{Emoji: emoji})
		}
		by := store.Reactor{Change: store.Change{Seq: uint64(f.since[i]), Time: f.times[i]}, Author: f.authors[i], Username: f.usernames[i]}
		s.Reactions[at].People = append(s.Reactions[at].People, by)
	}
	if s.Edited != (store.Change{}) || s.Deleted != (store.Change{}) || s.Pinned != (store.Change{}) || s.Replies != 0 || s.Reactions != nil {
		e.State = &s
	}
	return e
}

// pageQuery reads a page of a room, whose key is the first argument, and the state of the room even
// if the page has no entries. The arguments behind are the bounds of the page, its limits, and the
// message that replies are about. An entry that exceeds the limit of bytes is read as well, and
// nothing behind it. Everything is of one moment, because it is one statement.
func pageQuery(page *store.Page, history bool) string {
	order, shown, reactions, join := "", "true", noReactions, ""
	if page.Last {
		order = " DESC"
	}
	by := "e.seq" + order
	first, last := "greatest($2::bigint + 1, r.oldest)", "least($3::bigint - 1, r.head)"
	switch {
	case history && page.RepliesTo != 0:
		// In this order the planner has no other index.
		by = "e.target" + order + ", e.seq" + order
		shown = "e.kind = 1 AND e.target > 0 AND (e.target, e.seq) >= ($6, " + first + ") AND (e.target, e.seq) <= ($6, " + last + ")"
		reactions, join = reactionColumns, reactionsJoin
	case history:
		shown, reactions, join = "e.kind NOT BETWEEN 2 AND 5", reactionColumns, reactionsJoin
		if page.Last {
			first = fmt.Sprintf("greatest(%s, %s - %d)", first, last, store.MaxRun-1)
		} else {
			last = fmt.Sprintf("least(%s, %s + %d)", last, first, store.MaxRun-1)
		}
	}
	run := "SELECT e.* FROM entries e WHERE e.room = r.id AND e.seq BETWEEN " + first + " AND " + last + " AND " + shown +
		" AND $5::bigint = $5 AND $6::bigint = $6 ORDER BY " + by + " LIMIT $4"
	if page.Bytes > 0 {
		counts := "true"
		if page.NoReactions && !history {
			counts = "e.kind <> 4"
		}
		run = "SELECT * FROM (SELECT e.*, sum(octet_length(e.content) + octet_length(e.files)) FILTER (WHERE " + counts + ") OVER (ORDER BY e.seq" + order +
			" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes, row_number() OVER (ORDER BY e.seq" + order + ") AS n FROM (" + run + ") e) e" +
			" WHERE e.n <= 2 OR e.bytes IS NULL OR e.bytes <= $5"
	}
	return "SELECT r.head, r.oldest, e.* FROM rooms r LEFT JOIN LATERAL (SELECT " + entryColumns + ", " + stateColumns + ", " + reactions + ", l.content AS text FROM (" + run + ") e" +
		statesJoin + textJoin + join + ") e ON true WHERE r.key = $1 ORDER BY e.seq" + order
}

// read reads a page. It returns the entries in the direction of reading.
func read(ctx context.Context, c querier, name kaban.RoomName, page *store.Page, limit int, history bool) (entries []store.Entry, head, oldest uint64, err error) {
	before := int64(math.MaxInt64)
	if page.Before != 0 {
		before = int64(min(page.Before, math.MaxInt64))
	}
	rows, err := c.Query(ctx, pageQuery(page, history), name.Key(), int64(min(page.After, math.MaxInt64-1)), before, int64(limit), int64(page.Bytes), int64(min(page.RepliesTo, math.MaxInt64)))
	if err != nil {
		return nil, 0, 0, err
	}
	defer rows.Close()
	oldest = 1
	for rows.Next() {
		var f optionalRow
		if err := rows.Scan(append([]any{&head, &oldest}, f.all()...)...); err != nil {
			return nil, 0, 0, err
		}
		if e, ok := f.get(); ok {
			entries = append(entries, e)
		}
	}
	return entries, head, oldest, rows.Err()
}

// optionalRow is an entryRow of an outer join, whose columns are all NULL if the page is empty.
type optionalRow struct {
	entryRow
	seq, time, target                            *int64
	kind                                         *int16
	id, author, username, content, files, ofEdit *string
}

func (f *optionalRow) all() []any {
	entry := []any{&f.seq, &f.time, &f.kind, &f.id, &f.author, &f.username, &f.target, &f.content, &f.files}
	return append(append(append(entry, f.states()...), f.reactions()...), &f.ofEdit)
}

func (f *optionalRow) get() (store.Entry, bool) {
	if f.seq == nil {
		return store.Entry{}, false
	}
	f.Entry = store.Entry{
		Seq: uint64(*f.seq), Time: *f.time, Kind: kaban.Kind(*f.kind), ID: *f.id, Author: *f.author, Username: *f.username,
		Target: uint64(*f.target), Content: *f.content, Files: *f.files,
	}
	if f.ofEdit != nil {
		if f.Content = *f.ofEdit; f.Content == "" {
			f.Content = kaban.NoText
		}
	}
	return f.entryRow.get(), true
}

// Read implements store.Store.
func (s *Store) Read(ctx context.Context, name kaban.RoomName, page store.Page) (entries []store.Entry, err error) {
	if page.Limit <= 0 {
		return nil, nil
	}
	page.RepliesTo = 0
	err = s.reading(ctx, "read entries", func(ctx context.Context, c querier) error {
		found, head, oldest, err := read(ctx, c, name, &page, page.Limit, false)
		if err != nil {
			return err
		}
		entries, err = contiguous(name, found, &page, oldest, head)
		return err
	})
	if err != nil {
		return nil, err
	}
	entries = clip(entries, &page)
	if page.Last {
		slices.Reverse(entries)
	}
	return entries, nil
}

// errMissing is the cause of a gap in a log.
var errMissing = errors.New("the row is missing")

// contiguous ends a page, which is in the direction of reading, before an entry that is missing.
func contiguous(name kaban.RoomName, entries []store.Entry, page *store.Page, oldest, head uint64) ([]store.Entry, error) {
	first, last := max(page.After+1, oldest), head
	if page.Before != 0 {
		last = min(last, page.Before-1)
	}
	if first > last {
		return entries, nil
	}
	next, step := first, uint64(1)
	if page.Last {
		next, step = last, ^uint64(0)
	}
	for i := range entries {
		if entries[i].Seq != next+uint64(i)*step {
			entries = entries[:i]
			break
		}
	}
	if len(entries) == 0 {
		return nil, &store.DamagedError{Room: name, Seq: next, Err: errMissing}
	}
	return entries, nil
}

// clip cuts a page, which is in the direction of reading, down to its limit of bytes.
func clip(entries []store.Entry, page *store.Page) []store.Entry {
	kept, bytes := entries[:0], 0
	for i := range entries {
		e := &entries[i]
		if page.Skips(e) {
			continue
		}
		if bytes += e.Size(); page.Bytes > 0 && bytes > page.Bytes && len(kept) > 0 {
			break
		}
		kept = append(kept, *e)
	}
	return kept
}

// History implements store.Store.
func (s *Store) History(ctx context.Context, name kaban.RoomName, page store.Page) (h store.History, err error) {
	var found []store.Entry
	var oldest uint64
	err = s.reading(ctx, "read the history", func(ctx context.Context, c querier) (err error) {
		found, h.AsOf, oldest, err = read(ctx, c, name, &page, max(page.Limit, 0)+1, true)
		return err
	})
	if err != nil {
		return store.History{}, err
	}
	first, last := page.Run(oldest, h.AsOf)
	if first > last || page.Limit <= 0 {
		return h, nil
	}
	h.First, h.Last = first, last
	bytes := 0
	for i := range found {
		e := &found[i]
		bytes += e.Size()
		if len(h.Entries) == page.Limit || page.Bytes > 0 && bytes > page.Bytes && len(h.Entries) > 0 {
			h.Stop(e.Seq, page.Last)
			break
		}
		h.Entries = append(h.Entries, *e)
	}
	if page.Last {
		slices.Reverse(h.Entries)
	}
	return h, nil
}
