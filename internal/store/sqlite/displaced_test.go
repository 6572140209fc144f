package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/failpoint/disk"
	"kaban/internal/store/journal"
	"kaban/internal/store/storetest"
)

// A segment of the journal that was removed is noticed, also if it is not the newest one.
func TestARemovedSegmentIsNoticed(t *testing.T) {
	s := still(t, t.TempDir(), Options{maxUnmerged: 1 << 20}) // nothing gives segments back
	content := strings.Repeat("x", 4000)
	for i := range 3 * journal.SegmentSize / len(content) / 100 {
		batch := make([]kaban.Draft, 100)
		for k := range batch {
			batch[k] = storetest.Draft(t, "lobby", "ann", fmt.Sprint(i*len(batch)+k), content)
		}
		storetest.Append(t, s, batch...)
	}
	segments, err := filepath.Glob(filepath.Join(s.journalDir, "*.segment"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("the journal has %q, %v", segments, err)
	}
	for _, segment := range segments {
		if err := s.Displaced(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(segment, segment+".elsewhere"); err != nil {
			t.Fatal(err)
		}
		if err := s.Displaced(); err == nil || !strings.Contains(err.Error(), segment+" was removed or moved") {
			t.Errorf("%s is gone: %v", segment, err)
		}
		if err := os.Rename(segment+".elsewhere", segment); err != nil {
			t.Fatal(err)
		}
	}
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

// A start fails if a file of SQLite is gone. One that cannot be looked at is only not watched.
func TestFilesBeside(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	path := filepath.Join(dir, databaseName)
	for name, c := range map[string]struct {
		err   error
		files int
		fails bool
	}{
		"there":           {nil, 2, false},
		"gone":            {fs.ErrNotExist, 0, true},
		"not to be asked": {errors.New("input/output error"), 1, false},
	} {
		found, err := filesBeside(path, func(path string) (*disk.Place, error) {
			if c.err != nil && strings.HasSuffix(path, "-shm") {
				return nil, &fs.PathError{Op: "stat", Path: path, Err: c.err}
			}
			return disk.PlaceOf(path)
		})
		if len(found) != c.files || (err != nil) != c.fails {
			t.Errorf("%s: %d files, %v; want %d, and an error: %t", name, len(found), err, c.files, c.fails)
		}
	}
}
