//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// connect returns a connection of its own to a database.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// A plan that was made while there were a few rooms finds the rooms of an append by their ids, too, when there are many.
func TestPlansOfAppends(t *testing.T) {
	for _, rooms := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}} {
		t.Run(fmt.Sprint(len(rooms), " rooms"), func(t *testing.T) {
			url := postgrestest.Database(t)
			s, c := open(t, url, Options{Careless: true, Patience: waiting}), connect(t, url)
			for _, room := range rooms {
				storetest.Append(t, s, storetest.Draft(t, room, "ann", "made", "hello"))
			}
			call := func(id string) {
				t.Helper()
				var writes []store.Write
				for _, room := range rooms {
					writes = append(writes, storetest.Writes(storetest.Draft(t, room, "ann", id, "hello"))...)
				}
				if answer, err := s.plan(writes).run(t.Context(), c, false, 1); err != nil || answer[0] != answerStored {
					t.Fatalf("append_entries: %v, %v", answer, err)
				}
			}
			if _, err := c.Exec(t.Context(), "ANALYZE rooms"); err != nil { // else the planner takes them for more
				t.Fatal(err)
			}
			for i := range 10 {
				call(fmt.Sprint("few-", i))
			}
			if _, err := c.Exec(t.Context(), "INSERT INTO rooms (key, name) SELECT 'more-' || i, 'more' FROM generate_series(1, 2000) i"); err != nil {
				t.Fatal(err)
			}
			read := func() (rows int) { // by this session, since it last told the server
				const sql = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'rooms'"
				if err := c.QueryRow(t.Context(), sql).Scan(&rows); err != nil {
					t.Fatal(err)
				}
				return rows
			}
			if _, err := c.Exec(t.Context(), "BEGIN"); err != nil { // it tells the server nothing in a transaction
				t.Fatal(err)
			}
			before := read()
			call("many")
			if rows := read() - before; rows < len(rooms) || rows > 4*len(rooms) {
				t.Errorf("an append to %d rooms has read %d of them", len(rooms), rows)
			}
		})
	}
}

// An append that waits for the lock of a room compares the revision that the holder leaves.
func TestRevisionsBehindALock(t *testing.T) {
	url := postgrestest.Database(t)
	s, c := open(t, url, Options{Careless: true, Patience: waiting}), connect(t, url)
	for _, rooms := range [][]string{{"a"}, {"b", "c"}} {
		for _, room := range rooms {
			storetest.Append(t, s, storetest.Draft(t, room, "ann", "made", "hello"))
		}
		if _, err := c.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), "UPDATE rooms SET revision = revision + 1 WHERE key = ANY ($1)", rooms); err != nil {
			t.Fatal(err)
		}
		var writes []store.Write
		for _, room := range rooms {
			w := storetest.Writes(storetest.Draft(t, room, "ann", "late", "hello"))[0]
			w.Checked = true // relies on revision 0
			writes = append(writes, w)
		}
		results, done := make([]store.Result, len(writes)), make(chan error, 1)
		go func() { done <- s.Append(context.Background(), writes, results) }()
		waitFor(t, s, 1)
		if _, err := c.Exec(t.Context(), "COMMIT"); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for i, got := range results {
			if !errors.Is(got.Err, store.ErrStale) {
				t.Errorf("%s: %+v, want ErrStale", rooms[i], got)
			}
		}
	}
}
