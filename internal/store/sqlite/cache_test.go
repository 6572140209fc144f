package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// seen is what a transaction sees of the documents that TestTheCacheIsExact changes.
func seen(t *testing.T, tx store.Tx) string {
	t.Helper()
	one, err := tx.Get("d/1")
	if err != nil {
		t.Error(err)
	}
	both, err := tx.GetAll([]string{"d/1", "d/2"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := tx.Scan("d/", "d0", 1)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := tx.Revision(storetest.RoomName(t, "hall"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range first {
		names = append(names, d.Key+"="+string(d.Value))
	}
	return fmt.Sprintf("%s %s %s %d", one, both, names, revision)
}

// A transaction sees one state, whatever others have read and changed since it began, and
// leaves nothing in the cache that is not so any more.
func TestTheCacheIsExact(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	hall := storetest.RoomName(t, "hall")
	set := func(tx store.Tx, value string) error {
		return errors.Join(tx.Put("d/1", []byte(value)), tx.Put("d/2", []byte(value)), tx.Bump(hall))
	}
	update := func(run func(store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	view := func(want string, before func()) {
		t.Helper()
		err := s.View(t.Context(), func(tx store.Tx) error {
			before()
			for range 2 {
				if got := seen(t, tx); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {}
	const none, old, newer = " [ ] [] 0", "old [old old] [d/1=old] 1", "new [new new] [d/1=new] 2"
	view(none, nothing)
	view(none, func() {
		update(func(tx store.Tx) error { return set(tx, "old") })
		view(old, nothing)
	})
	view(old, nothing)
	// The one that began first reads last, and what it reads was changed.
	view(old, func() {
		update(func(tx store.Tx) error { return set(tx, "new") })
	})
	view(newer, nothing)
	// A change that is not stored leaves nothing behind, and its transaction sees it.
	failed := errors.New("not stored")
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := set(tx, "lost"); err != nil {
			return err
		}
		if got, err := tx.Get("d/1"); err != nil || string(got) != "lost" {
			t.Errorf("got %q (error: %v), want what the transaction has put", got, err)
		}
		if got, err := tx.Scan("d/", "d0", 1); err != nil || string(got[0].Value) != "lost" {
			t.Errorf("got %q (error: %v), want what the transaction has put", got, err)
		}
		return failed
	}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	view(newer, nothing)
	update(func(tx store.Tx) error { return tx.Delete("d/1") })
	view(" [ new] [d/2=new] 2", nothing)
	if _, err := s.ImportDocuments(t.Context(), []store.Document{{Key: "d/1", Value: []byte("imported")}}); err != nil {
		t.Fatal(err)
	}
	view("imported [imported new] [d/1=imported] 2", nothing)
}

// A change is seen also if what was known of its key is in the old generation, or in both.
func TestTheOldGenerationIsExact(t *testing.T) {
	put := func(s *Store, d store.Document) error {
		return s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(d.Key, d.Value) })
	}
	load := func(s *Store, d store.Document) error { // drops everything that is known
		_, err := s.ImportDocuments(t.Context(), []store.Document{d})
		return err
	}
	for name, c := range map[string]struct {
		change func(*Store, store.Document) error
		young  bool
	}{
		"old, put":      {put, false},
		"both, put":     {put, true},
		"old, imported": {load, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			defer s.Close()
			get := func(key string) (value []byte) {
				t.Helper()
				if err := s.View(t.Context(), func(tx store.Tx) (err error) { value, err = tx.Get(key); return err }); err != nil {
					t.Fatal(err)
				}
				return value
			}
			get("k")
			for n := 0; !isKnown(s, "k", false); n++ {
				if n > 2*cacheBytes/cacheOverhead {
					t.Fatalf("it is not in the old generation after %d others", n)
				}
				get(fmt.Sprint("none", n))
			}
			if c.young {
				get("k")
			}
			if !isKnown(s, "k", false) || isKnown(s, "k", true) != c.young {
				t.Fatal("it is not where it should be")
			}
			if err := c.change(s, store.Document{Key: "k", Value: []byte("new")}); err != nil {
				t.Fatal(err)
			}
			if got := get("k"); string(got) != "new" {
				t.Errorf("got %q, want what was written", got)
			}
		})
	}
}

// isKnown reports whether a generation of the cache has a key.
func isKnown(s *Store, key string, young bool) bool {
	c := &s.database.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	generation := c.old
	if young {
		generation = c.young
	}
	_, known := generation[key]
	return known
}

// What a caller does with a value changes nothing for the next one.
func TestCachedValuesAreCopies(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("k", []byte("value")) }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.View(t.Context(), func(tx store.Tx) error {
			one, err := tx.Get("k")
			if err != nil {
				return err
			}
			found, err := tx.Scan("k", "l", 1)
			if err != nil {
				return err
			}
			if string(one) != "value" || string(found[0].Value) != "value" {
				t.Errorf("got %q and %q", one, found[0].Value)
			}
			clear(one)
			clear(found[0].Value)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// The cache is bounded, and keeps what is asked for.
func TestTheCacheIsBounded(t *testing.T) {
	var c cache
	value := []byte(strings.Repeat("x", 1000))
	c.put("asked for", value, 1)
	const keys = 4 * cacheBytes / 1000
	for i := range keys {
		c.put(fmt.Sprint(i), value, 1)
		if _, known := c.get("asked for", 1); !known {
			t.Fatalf("what was asked for is gone after %d others", i)
		}
		c.putScan("a", fmt.Sprint("b", i), 1, nil, 1)
	}
	if n := len(c.young) + len(c.old); n > 2*cacheBytes/1000+2 {
		t.Errorf("%d entries of %d are kept", n, keys)
	}
	if _, known := c.get("0", 1); known {
		t.Error("the first is still there")
	}
	if len(c.ranges) != cacheRanges {
		t.Errorf("%d ranges are kept, want %d", len(c.ranges), cacheRanges)
	}
	c.put("long", make([]byte, cacheLongest+1), 1)
	if _, known := c.get("long", 1); known {
		t.Error("a long value is kept")
	}
}
