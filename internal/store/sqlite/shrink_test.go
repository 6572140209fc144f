package sqlite

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	sqlite3 "modernc.org/sqlite"

	"kaban/internal/store"
)

// cached returns the bytes of the pages that a connection keeps.
func (c *conn) cached(t *testing.T) (bytes int) {
	t.Helper()
	err := c.Raw(func(one any) (err error) {
		bytes, _, err = one.(sqlite3.DBStatus).Status(sqlite3.DBStatusCacheUsed, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// readAll has a connection read many pages.
func (c *conn) readAll(t *testing.T) {
	t.Helper()
	var size int
	if err := c.QueryRowContext(t.Context(), "SELECT sum(length(value)) FROM documents").Scan(&size); err != nil || size < 1<<20 {
		t.Fatalf("%d bytes, %v", size, err)
	}
}

// A store that is told so keeps no pages in memory, and has everything afterwards.
func TestShrink(t *testing.T) {
	s := still(t, t.TempDir(), Options{}) // nothing else uses the connections
	err := s.Update(t.Context(), func(tx store.Tx) error {
		value := []byte(strings.Repeat("x", 2000))
		for i := range 1000 {
			if err := tx.Put(fmt.Sprint("many/", i), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := []*conn{s.writer, s.finder.conn}
	for _, r := range s.all {
		all = append(all, r.conn)
	}
	const little = 64 << 10
	for range 2 {
		s.writing.Lock()
		for i, c := range all {
			if c.readAll(t); c.cached(t) < 5*little {
				t.Errorf("connection %d keeps %d bytes: this test shows nothing", i, c.cached(t))
			}
		}
		s.writing.Unlock()
		s.Shrink()
		s.writing.Lock()
		for i, c := range all {
			if got := c.cached(t); got > little {
				t.Errorf("connection %d keeps %d bytes, want at most %d", i, got, little)
			}
		}
		s.writing.Unlock()
	}
}

// Shrink disturbs no reads, no changes and no end.
func TestShrinkBesideWork(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	var work, shrinking sync.WaitGroup
	shrink := func() {
		for range 20 {
			s.Shrink()
		}
	}
	shrinking.Go(shrink)
	for i := range 2 {
		work.Go(func() {
			key := fmt.Sprint("work/", i)
			for k := range 20 {
				want := fmt.Sprint(k)
				if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, []byte(want)) }); err != nil {
					t.Errorf("change %d: %v", k, err)
				}
				err := s.View(t.Context(), func(tx store.Tx) error {
					got, err := tx.Get(key)
					if string(got) != want {
						t.Errorf("got %q, want %q", got, want)
					}
					return err
				})
				if err != nil {
					t.Errorf("read %d: %v", k, err)
				}
			}
		})
	}
	work.Wait()
	shrinking.Go(shrink)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	shrinking.Wait()
	s.Shrink()
}
