package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kaban/internal/store"
)

// put stores documents, given as keys and values in turn, or fails the test.
func put(t *testing.T, s store.Store, pairs ...string) {
	t.Helper()
	err := s.Update(context.Background(), func(tx store.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// documents returns the documents in a range as "key=value", or fails the test.
func documents(t *testing.T, s store.Store, from, to string, limit int) (found []string) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		list, err := tx.Scan(from, to, limit)
		for _, d := range list {
			found = append(found, fmt.Sprintf("%s=%s", d.Key, d.Value))
		}
		return err
	})
	if err != nil {
		t.Fatalf("Scan from %q to %q: %v", from, to, err)
	}
	return found
}

// everything are the bounds of all keys.
const (
	first = ""
	last  = "\U0010ffff"
)

func wantDocuments(t *testing.T, s store.Store, want ...string) {
	t.Helper()
	if got := documents(t, s, first, last, 1000); !slices.Equal(got, want) {
		t.Errorf("the documents are %q, want %q", got, want)
	}
}

func testDocuments(t *testing.T, s store.Store) {
	value := []byte("one")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if got, err := tx.Get("a"); got != nil || err != nil {
			t.Errorf("Get of no document = %q, %v", got, err)
		}
		err := errors.Join(tx.Put("a", value), tx.Put("empty", []byte{}), tx.Put("b", []byte("two")), tx.Put("b", []byte("three")), tx.Put("c", value), tx.Delete("c"), tx.Delete("none"))
		value[0] = 'X' // it is the caller's again
		got, failed := tx.Get("a")
		if string(got) != "one" || failed != nil {
			t.Errorf("Get of an own write = %q, %v", got, failed)
		}
		if list, failed := tx.Scan("a", "c", 10); len(list) != 2 || failed != nil {
			t.Errorf("Scan of own writes = %v, %v", list, failed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantDocuments(t, s, "a=one", "b=three", "empty=")
	err = s.View(t.Context(), func(tx store.Tx) error {
		a, err := tx.Get("a")
		list, scanned := tx.Scan("a", "b", 1)
		if string(a) != "one" || err != nil || len(list) != 1 || scanned != nil {
			t.Fatalf("Get = %q, %v; Scan = %v, %v", a, err, list, scanned)
		}
		a[0], list[0].Value[0] = 'X', 'Y' // they are the caller's
		if again, err := tx.Get("a"); string(again) != "one" || err != nil {
			t.Errorf("Get again = %q, %v", again, err)
		}
		empty, err := tx.Get("empty")
		if empty == nil || len(empty) != 0 || err != nil {
			t.Errorf("Get of an empty document = %v, %v; want no bytes and not nil", empty, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "another")
	wantDocuments(t, s, "a=another", "b=three", "empty=")
}

func testDocumentLimits(t *testing.T, s store.Store) {
	longest, largest := strings.Repeat("k", store.MaxKey), bytes.Repeat([]byte{0, 0xff}, store.MaxValue/2)
	// The transaction goes on after ErrTooBig.
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Put(longest+"k", nil); !errors.Is(err, store.ErrTooBig) {
			t.Errorf("Put with too long a key: %v, want ErrTooBig", err)
		}
		if err := tx.Put("a", append(largest, 0)); !errors.Is(err, store.ErrTooBig) {
			t.Errorf("Put of too long a value: %v, want ErrTooBig", err)
		}
		for _, key := range []string{"", "a\x00", "\xff", longest + "k"} {
			if got, err := tx.Get(key); got != nil || err != nil {
				t.Errorf("Get of the invalid key %.9q = %q, %v", key, got, err)
			}
			if err := tx.Delete(key); err != nil {
				t.Errorf("Delete of the invalid key %.9q: %v", key, err)
			}
		}
		return tx.Put(longest, largest)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx store.Tx) error {
		if got, err := tx.Get(longest); !bytes.Equal(got, largest) || err != nil {
			t.Errorf("Get of the largest document: %d bytes, %v", len(got), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// It does not after other errors, even if the function returns nil.
	for name, do := range map[string]func(tx store.Tx) error{
		"no key":           func(tx store.Tx) error { return tx.Put("", []byte("x")) },
		"NUL in the key":   func(tx store.Tx) error { return tx.Put("a\x00b", []byte("x")) },
		"a key not UTF-8":  func(tx store.Tx) error { return tx.Put("a\xff", []byte("x")) },
		"no value":         func(tx store.Tx) error { return tx.Put("a", nil) },
		"a limit of 0":     func(tx store.Tx) error { _, err := tx.Scan(first, last, 0); return err },
		"a negative limit": func(tx store.Tx) error { _, err := tx.Scan(first, last, -1); return err },
		"no limit back":    func(tx store.Tx) error { _, err := tx.ScanBack(first, last, 0); return err },
	} {
		var failed error
		err := s.Update(t.Context(), func(tx store.Tx) error {
			if err := tx.Put("b", []byte("x")); err != nil {
				return err
			}
			failed = do(tx)
			return nil
		})
		if failed == nil || !errors.Is(err, failed) || errors.Is(err, store.ErrBroken) {
			t.Errorf("%s: %v, and Update returned %v", name, failed, err)
		}
	}
	if got := documents(t, s, "b", "c", 1); got != nil {
		t.Errorf("failed updates left %q", got)
	}
}

func testScan(t *testing.T, s store.Store) {
	odd := store.Key("member", "a/b%\x00")
	keys := []string{"a", "b", "b.c", "b/", "b/1", "b/10", "b/2", "b/é", "b/𐍈", "b0", "b\U0010ffff", "é", odd, store.Key("member", "a/b%\x00", "x")}
	for _, key := range keys {
		put(t, s, key, "")
	}
	slices.Sort(keys)
	scan := func(from, to string, limit int) []string {
		found := documents(t, s, from, to, limit)
		for i := range found {
			found[i] = strings.TrimSuffix(found[i], "=")
		}
		return found
	}
	for _, from := range append(keys, first, "b/1\x00", "\xff") {
		for _, to := range append(keys, first, last, "b/\xff") {
			for _, limit := range []int{1, 2, len(keys), 1 << 40} {
				var want []string
				for _, key := range keys {
					if from <= key && key < to && len(want) < limit {
						want = append(want, key)
					}
				}
				if got := scan(from, to, limit); !slices.Equal(got, want) {
					t.Errorf("Scan from %q to %q of %d = %q, want %q", from, to, limit, got, want)
				}
			}
		}
	}
	from, to := store.KeysUnder("b")
	if got := scan(from, to, 100); !slices.Equal(got, []string{"b/", "b/1", "b/10", "b/2", "b/é", "b/𐍈"}) {
		t.Errorf("the keys under b are %q", got)
	}
	from, to = store.KeysUnder(odd)
	if got := scan(from, to, 100); len(got) != 1 || !slices.Equal(store.KeyParts(got[0]), []string{"member", "a/b%\x00", "x"}) {
		t.Errorf("the keys under %q are %q", odd, got)
	}
}

// A page of a large part of the keys costs no more than one of a small part, else this
// test takes minutes.
func testManyDocuments(t *testing.T, s store.Store) {
	const n, batch, page = 20_000, 2_000, 100
	key := func(i int) string { return fmt.Sprintf("many/%06d", i) }
	put(t, s, "many", "before", "many0", "behind")
	for i := 0; i < n; i += batch {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			for j := i; j < i+batch; j++ {
				if err := tx.Put(key(j), []byte(key(j))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	from, to := store.KeysUnder("many")
	found := 0
	for {
		var list []store.Document
		err := s.View(t.Context(), func(tx store.Tx) (err error) {
			list, err = tx.Scan(from, to, page)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if d.Key != key(found) || string(d.Value) != d.Key {
				t.Fatalf("document %d is %q with %q", found, d.Key, d.Value)
			}
			found++
		}
		if len(list) < page {
			break
		}
		from = list[len(list)-1].Key + "\x00"
	}
	if found != n {
		t.Errorf("%d documents, want %d", found, n)
	}
}

func testFailedUpdate(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "b", "2")
	lobby, attic := RoomName(t, "lobby"), RoomName(t, "attic")
	bump(t, s, lobby.String())
	failure := errors.New("no")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := errors.Join(tx.Put("a", []byte("x")), tx.Delete("b"), tx.Put("c", []byte("3")), tx.Bump(lobby), tx.Bump(attic), tx.Bump(attic)); err != nil {
			t.Error(err)
		}
		return failure
	})
	if err != failure {
		t.Errorf("Update = %v, want the error of its function", err)
	}
	wantDocuments(t, s, "a=1", "b=2")
	wantRevision(t, s, "lobby", 1)
	wantRevision(t, s, "attic", 0)
	rooms, err := s.Rooms(t.Context())
	if err != nil || len(rooms) != 1 {
		t.Errorf("Rooms = %v, %v; want the lobby only", rooms, err)
	}
	// The room is made anew, and the store is as it was.
	bump(t, s, "attic")
	wantRevision(t, s, "attic", 1)
	if got := Append(t, s, Draft(t, "attic", "alice", "one", "hello"))[0]; got.Seq != 1 || got.Err != nil {
		t.Errorf("Append = %+v, want seq 1", got)
	}
}

// A function that never returns, because it panics or ends its goroutine, leaves no
// transaction open.
func testUnreturnedFunctions(t *testing.T, s store.Store) {
	var group sync.WaitGroup
	for range 10 { // more than there may be readers
		group.Go(func() {
			_ = s.Update(context.Background(), func(tx store.Tx) error {
				if err := errors.Join(tx.Put("a", []byte("x")), tx.Bump(RoomName(t, "attic"))); err != nil {
					t.Error(err)
				}
				runtime.Goexit()
				return nil
			})
		})
		group.Go(func() {
			_ = s.View(context.Background(), func(store.Tx) error {
				runtime.Goexit()
				return nil
			})
		})
	}
	group.Wait()
	wantDocuments(t, s)
	wantRevision(t, s, "attic", 0)
	put(t, s, "b", "1")
	wantDocuments(t, s, "b=1")
}

func testViewOnlyReads(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	lobby := RoomName(t, "lobby")
	failure := errors.New("no")
	err := s.View(t.Context(), func(tx store.Tx) error {
		for name, err := range map[string]error{"Put": tx.Put("a", []byte("2")), "Put of nothing": tx.Put("", nil), "Delete": tx.Delete("a"), "Bump": tx.Bump(lobby)} {
			if !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%s in a View: %v, want ErrReadOnly", name, err)
			}
		}
		if got, err := tx.Get("a"); string(got) != "1" || err != nil { // it goes on
			t.Errorf("Get = %q, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("View = %v", err)
	}
	if err := s.View(t.Context(), func(store.Tx) error { return failure }); err != failure {
		t.Errorf("View = %v, want the error of its function", err)
	}
	wantDocuments(t, s, "a=1")
	wantRevision(t, s, "lobby", 0)
}

func testViewIsOneState(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "b", "1", "c", "1")
	bump(t, s, "lobby")
	err := s.View(t.Context(), func(tx store.Tx) error {
		if got, err := tx.Get("a"); string(got) != "1" || err != nil {
			t.Errorf("Get = %q, %v", got, err)
		}
		var changing sync.WaitGroup
		changing.Go(func() {
			put(t, s, "a", "2", "b", "2", "d", "2")
			bump(t, s, "lobby")
			bump(t, s, "attic")
		})
		changing.Wait()
		list, err := tx.Scan(first, last, 10)
		if len(list) != 3 || string(list[1].Value) != "1" || err != nil {
			t.Errorf("Scan after an Update = %q, %v; want the state of before", list, err)
		}
		for room, want := range map[string]uint64{"lobby": 1, "attic": 0} {
			if got, err := tx.Revision(RoomName(t, room)); got != want || err != nil {
				t.Errorf("Revision of %s after a Bump = %d, %v; want %d", room, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantDocuments(t, s, "a=2", "b=2", "c=1", "d=2")
	wantRevision(t, s, "lobby", 2)
}

func testViewDoesNotWait(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	view := func() {
		var viewing sync.WaitGroup
		viewing.Go(func() { wantDocuments(t, s, "a=1") })
		viewing.Wait()
	}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Put("a", []byte("2")); err != nil {
			return err
		}
		view()
		return errors.New("it is given up")
	})
	if err == nil {
		t.Error("Update = nil")
	}
	batch := Writes(Draft(t, "lobby", "alice", "one", "hello"))
	batch[0].Decide = func(tx store.Tx) error {
		defer view()
		return tx.Put("a", []byte("2"))
	}
	if err := s.Append(t.Context(), batch, make([]store.Result, 1)); err != nil {
		t.Fatal(err)
	}
	wantDocuments(t, s, "a=2")
}

// Transactions come one after the other: none overwrites what another one has read.
func testCounter(t *testing.T, handles ...store.Store) {
	const seats, people = 37, 100
	put(t, handles[0], "seats", strings.Repeat("x", seats))
	full := errors.New("no seat is left")
	var taken, refused atomic.Int64
	var group sync.WaitGroup
	for i := range people {
		s := handles[i%len(handles)]
		take := func(tx store.Tx) error {
			left, err := tx.Get("seats")
			switch {
			case err != nil:
				return err
			case len(left) == 0:
				return full
			}
			return tx.Put("seats", left[1:])
		}
		batch := Writes(Draft(t, "lobby", "alice", fmt.Sprint("id-", i), "I have a seat"))
		batch[0].Decide = take
		group.Go(func() {
			err := error(nil)
			if i%3 == 0 {
				results := make([]store.Result, 1)
				if err = s.Append(context.Background(), batch, results); err == nil {
					err = results[0].Err
				}
			} else {
				err = s.Update(context.Background(), take)
			}
			switch {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, full):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if taken.Load() != seats || refused.Load() != people-seats {
		t.Errorf("%d took a seat and %d were refused, want %d and %d", taken.Load(), refused.Load(), seats, people-seats)
	}
	for _, s := range handles {
		wantDocuments(t, s, "seats=")
	}
}

func (d *Driver) testEndedContextOfDocuments(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, do := range map[string]func(context.Context, func(store.Tx) error) error{"Update": s.Update, "View": s.View} {
		ran := false
		err := do(ctx, func(store.Tx) error { ran = true; return nil })
		switch {
		case d.Instant && (err != nil || !ran):
			t.Errorf("%s of an instant store: %v, and the function ran: %t", name, err, ran)
		case !d.Instant && (!errors.Is(err, context.Canceled) || ran):
			t.Errorf("%s: %v, and the function ran: %t", name, err, ran)
		}
	}
}
