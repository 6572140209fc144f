package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// abandoned is the directory of a store that was not closed, with a message.
func abandoned(t *testing.T, checkpoint bool) (dir string) {
	t.Helper()
	from := t.TempDir()
	s := open(t, from, Options{})
	if got := storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "1", "hello"))[0]; got.Err != nil {
		t.Fatal(got.Err)
	}
	if checkpoint {
		s.writing.Lock()
		_, err := s.checkpoint(t.Context(), "TRUNCATE")
		s.writing.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A database that comes up without its newest messages looks as if they had never been there.
func TestLostWAL(t *testing.T) {
	for name, checkpoint := range map[string]bool{"before the first checkpoint": false, "after a checkpoint": true} {
		t.Run(name, func(t *testing.T) {
			dir := abandoned(t, checkpoint)
			wal := filepath.Join(dir, databaseName+"-wal")
			if err := os.Rename(wal, wal+".away"); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a refusal changes nothing
				_, err := Open(t.Context(), dir, Options{})
				if !errors.Is(err, store.ErrDamaged) {
					t.Fatalf("without its WAL: %v", err)
				}
				wantError(t, err, "kaban.db-wal is missing", "kaban restore")
			}
			if err := os.Rename(wal+".away", wal); err != nil {
				t.Fatal(err)
			}
			back, err := Open(t.Context(), dir, Options{})
			if err != nil {
				t.Fatalf("with the WAL back: %v", err)
			}
			defer back.Close()
			got, err := back.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 10})
			if err != nil || len(got) != 1 {
				t.Errorf("with the WAL back: %d messages, %v", len(got), err)
			}
		})
	}
}

// Without a WAL, a store that was closed, or that only an archive has looked at since, opens.
func TestNoWALIsNotLost(t *testing.T) {
	dir := abandoned(t, false)
	archive, err := OpenArchive(t.Context(), dir)
	if err == nil {
		_, err = archive.Rooms(t.Context())
		err = errors.Join(err, archive.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"after an archive", "after it was closed", "again"} {
		s, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := s.Displaced(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := s.Displaced(); err != nil {
			t.Errorf("%s, closed: %v", what, err)
		}
	}
}

// A start that fails once the journal is open leaves a WAL, so that the next one is not refused.
func TestFailedStartLeavesAWAL(t *testing.T) {
	dir := abandoned(t, true)
	d := newDatabase(dir, Options{})
	if err := d.open(t.Context(), dir, Options{}); err != nil {
		t.Fatal(err)
	}
	d.stopEraser()
	d.stopMerger()
	if err := d.release(); err != nil { // as Open does after an error
		t.Fatal(err)
	}
	again, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// Checkpoints, new segments and recycled ones displace nothing.
func TestUseDisplacesNothing(t *testing.T) {
	s := open(t, t.TempDir(), Options{walPages: 1})
	content := strings.Repeat("x", 4000)
	batch := make([]kaban.Draft, 100)
	for i := range 3 * journal.SegmentSize / len(content) / len(batch) {
		for k := range batch {
			batch[k] = storetest.Draft(t, "lobby", "ann", fmt.Sprint(i*len(batch)+k), content)
		}
		storetest.Append(t, s, batch...)
		if err := s.Displaced(); err != nil {
			t.Fatalf("after %d batches: %v", i+1, err)
		}
	}
	if err := s.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Displaced(); err != nil {
		t.Fatal(err)
	}
}
