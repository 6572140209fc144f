//go:build unix

package index

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"kaban/internal/childtest"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
)

const (
	// killedVariable makes TestKilledChild write to the directory that it names, until it
	// is killed or its standard input ends.
	killedVariable = "KABAN_TEST_INDEX_KILLED"
	// maxKilled is how many changes TestKilledChild makes. Every failpoint comes before.
	maxKilled = 2000
)

// TestKilledChild changes a store and has the index follow, with many small steps.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	w := newWorld(t, openSQLite(t, dir), dir, small)
	w.random = rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	w.ids = os.Getpid() * 1_000_000 // no other child has used them
	orphan := make(chan struct{})
	go func() {
		defer close(orphan)
		io.Copy(io.Discard, os.Stdin) // ends with the parent
	}()
	for i := range maxKilled {
		select {
		case <-orphan:
			t.Fatal("the parent is gone")
		default:
		}
		w.change()
		if i%20 == 0 {
			w.wait()
		}
		if i%100 == 99 {
			if err := w.index.Erase(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestKilled kills a process at each step of the index. After that the index finds what
// matches in the history, and nothing else, and was not made anew for it.
func TestKilled(t *testing.T) {
	t.Parallel()
	binary := childtest.NewFragile(t)
	dir := childtest.DiskDir(t)
	hits, secret := 0, ""
	for _, point := range []string{
		"index.commit:2", "index.committed:1", "index.purge:1", "index.commit:9", "index.committed:5", "index.purge:2",
		"index.commit:1", "index.committed:20", "index.purge:7", "index.purge:1", "index.commit:30",
	} {
		binary.Killed(t, "TestKilledChild", killedVariable+"="+dir, point)
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Fatalf("%s: %v", point, err)
		}
		w := newWorld(t, s, dir, small)
		w.wait()
		hits += w.compare(40)
		if now := w.index.db.secret; secret != "" && now != secret {
			t.Errorf("%s: the index was made anew", point)
		} else {
			secret = now
		}
		rooms, err := s.Rooms(t.Context())
		if err := errors.Join(err, w.index.Close(), s.Close()); err != nil {
			t.Errorf("%s: %v", point, err)
		}
		broken, err := Check(t.Context(), dir, func() ([]store.Room, error) { return rooms, nil })
		if err != nil || len(broken) > 0 {
			t.Errorf("%s: check: %v, %v", point, broken, err)
		}
	}
	if hits < 500 {
		t.Errorf("%d hits: too few to compare", hits)
	}
}
