// Package storetest is the contract of package store as a test suite. A driver
// proves itself with one call of Run, and one of RunArchive if it has an archive.
package storetest

import (
	"context"
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// Driver is a driver under test.
type Driver struct {
	// Open opens an empty store. The suite closes it.
	Open func(t *testing.T) store.Store
	// OpenLarge opens an empty store for tests that append thousands of entries. It is nil
	// if Open does, too.
	OpenLarge func(t *testing.T) store.Store
	// Share opens another handle on the data of an open store. It is nil if the
	// driver cannot share its data.
	Share func(t *testing.T, s store.Store) store.Store
	// Instant is the expected result of store.IsInstant.
	Instant bool
}

// test is a test of an empty store.
type test struct {
	name string
	run  func(t *testing.T, s store.Store)
}

// Run runs the suite.
func Run(t *testing.T, driver Driver) {
	tests := []test{
		{"an empty store has an epoch and no rooms", testEmpty},
		{"seq counts from 1 without a gap in each room", testNumbering},
		{"an entry is read back as it was appended", testReadBack},
		{"the same id again is a duplicate", testDuplicate},
		{"the same id for something else is a conflict", testConflict},
		{"ids are unique per room", testIDsPerRoom},
		{"ids are unique per author, not between authors", testIDsPerAuthor},
		{"ids are unique per identity, whatever its name", testIdentities},
		{"kinds and targets are kept, and compared for the same id", testKinds},
		{"author and room are recognised by their key", testKeys},
		{"pages", testPages},
		{"messages are counted, for an author and up to any entry", testCounts},
		{"messages are counted within a transaction", testCountsInTransactions},
		{"what is unread is what others have written behind a mark", testUnread},
		{"a page ends early at its limit of bytes", testPageBytes},
		{"concurrent appends keep one gap-free order", testConcurrentAppends},
		{"a closed store says so", testClosed},
		{"whether calls wait never changes", driver.testInstant},
		{"a context that has ended", driver.testEndedContext},
		{"documents are put, read and deleted", testDocuments},
		{"limits of documents", testDocumentLimits},
		{"scans", testScan},
		{"many documents", testManyDocuments},
		{"an Update that fails stores nothing", testFailedUpdate},
		{"functions that do not return", testUnreturnedFunctions},
		{"a View only reads", testViewOnlyReads},
		{"a View sees one state", testViewIsOneState},
		{"a View does not wait for a transaction", testViewDoesNotWait},
		{"transactions come one after the other", func(t *testing.T, s store.Store) { testCounter(t, s) }},
		{"writes are decided in their order, each alone", testDecide},
		{"a write that is refused is not stored, unless it was before", testRefusal},
		{"random transactions", driver.testRandom},
		{"documents: a context that has ended", driver.testEndedContextOfDocuments},
	}
	for _, test := range append(tests, driver.stateTests()...) {
		t.Run(test.name, func(t *testing.T) { test.run(t, driver.open(t)) })
	}
	large := driver
	if driver.OpenLarge != nil {
		large.Open = driver.OpenLarge
	}
	for _, test := range []test{
		{"writes rely on revisions", testRevisions},
		{"a page of history covers a bounded run", testLongRuns},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, large.open(t)) })
	}
	t.Run("each store has its own epoch", func(t *testing.T) {
		if a, b := driver.open(t), driver.open(t); a.Epoch() == b.Epoch() {
			t.Errorf("two stores have the epoch %q", a.Epoch())
		}
	})
	driver.runHandles(t)
}

// open opens an empty store for the length of a test.
func (d *Driver) open(t *testing.T) store.Store {
	t.Helper()
	s := d.Open(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func (d *Driver) testInstant(t *testing.T, s store.Store) {
	check := func(when string) {
		if got := store.IsInstant(s); got != d.Instant {
			t.Errorf("%s: IsInstant = %t, want %t", when, got, d.Instant)
		}
	}
	check("an empty store")
	Append(t, s, Draft(t, "lobby", "alice", "one", "hello"))
	check("after an append")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check("after Close")
}

// An instant store never waits, so it has nothing to give up. Any other store does
// nothing.
func (d *Driver) testEndedContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	draft := Draft(t, "lobby", "alice", "one", "hello")
	err := s.Append(ctx, Writes(draft), make([]store.Result, 1))
	room, roomErr := s.Room(t.Context(), draft.Room)
	if roomErr != nil {
		t.Fatal(roomErr)
	}
	switch {
	case d.Instant && (err != nil || room.Head != 1):
		t.Errorf("Append to an instant store: %v, head %d; want head 1", err, room.Head)
	case !d.Instant && (err != context.Canceled || room.Head != 0):
		t.Errorf("Append: %v, head %d; want %v and head 0", err, room.Head, context.Canceled)
	}
	if _, err := s.Read(ctx, draft.Room, store.Page{Limit: 1}); d.Instant && err != nil {
		t.Errorf("Read from an instant store: %v", err)
	}
}

// Username parses a name or fails the test.
func Username(t testing.TB, s string) kaban.Username {
	t.Helper()
	u, err := kaban.ParseUsername(s)
	if err != nil {
		t.Fatalf("ParseUsername(%q): %v", s, err)
	}
	return u
}

// RoomName parses a room name or fails the test.
func RoomName(t testing.TB, s string) kaban.RoomName {
	t.Helper()
	r, err := kaban.ParseAnyRoom(s)
	if err != nil {
		t.Fatalf("ParseRoomName(%q): %v", s, err)
	}
	return r
}

// Draft makes the draft of a message from its parts or fails the test.
func Draft(t testing.TB, room, author, id, content string) kaban.Draft {
	t.Helper()
	messageID, err := kaban.ParseMessageID(id)
	if err != nil {
		t.Fatalf("ParseMessageID(%q): %v", id, err)
	}
	m, err := kaban.NewMessage(Username(t, author), content, kaban.DefaultMaxContent)
	if err != nil {
		t.Fatalf("NewMessage(%q, %q): %v", author, content, err)
	}
	return m.Draft(kaban.Visitor(m.Username()), RoomName(t, room), messageID)
}

// Writes returns drafts as writes without conditions.
func Writes(drafts ...kaban.Draft) []store.Write {
	batch := make([]store.Write, len(drafts))
	for i := range drafts {
		batch[i].Draft = drafts[i]
	}
	return batch
}

// many returns drafts with ids from first.
func many(t testing.TB, room string, first, n int) []kaban.Draft {
	batch := make([]kaban.Draft, n)
	for i := range batch {
		batch[i] = Draft(t, room, "alice", fmt.Sprintf("%s-%d", room, first+i), fmt.Sprint("message ", first+i))
	}
	return batch
}

// Append stores a batch or fails the test.
func Append(t testing.TB, s store.Store, batch ...kaban.Draft) []store.Result {
	t.Helper()
	results := make([]store.Result, len(batch))
	if err := s.Append(context.Background(), Writes(batch...), results); err != nil {
		t.Fatalf("Append of %d drafts: %v", len(batch), err)
	}
	return results
}
