//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// killedVariable makes TestKilledChild write to the directory that it names, until it is
// killed or its standard input ends.
const killedVariable = "KABAN_TEST_KILLED"

// maxKilled is how many times TestKilledChild writes. Every failpoint comes before: a
// segment is full after 23, and recycled when what is in it is merged.
const maxKilled = 1000

// fastSize is the size of a message of a fast batch, in bytes.
const fastSize = 30_000

// Each transaction of the child writes an entry and documents that must agree. Each fast
// batch writes two entries to one room and one to another. It prints what is acknowledged.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	s := open(t, dir, Options{maxUnmerged: 50, mergeStep: 10, walPages: 50})
	lobby := storetest.RoomName(t, "lobby")
	count := func(tx store.Tx) error {
		value, err := tx.Get("n")
		return errors.Join(err, tx.Put("n", append(value, 'x')), tx.Put("copy", append(value, 'x')), tx.Bump(lobby))
	}
	value, err := get(t, s, "n")
	if err != nil {
		t.Fatal(err)
	}
	first := len(value)
	orphan := make(chan struct{})
	go func() {
		defer close(orphan)
		io.Copy(io.Discard, os.Stdin) // ends with the parent
	}()
	for i := first; i < first+maxKilled; i++ {
		select {
		case <-orphan:
			t.Fatal("the parent is gone")
		default:
		}
		batch := storetest.Writes(numbered(t, "lobby", "ann", 2*i, 2)...)
		batch[0].Decide, batch[0].Files = count, killedFiles(t, batch[0].ID.String())
		batch[1].Decide = func(tx store.Tx) error {
			_ = tx.Put("n", []byte("wrong"))
			return errors.New("it is given up")
		}
		if err := s.Append(t.Context(), batch, make([]store.Result, 2)); err != nil {
			t.Fatal(err)
		}
		fmt.Println("acknowledged: slow", i+1)
		err := s.Update(t.Context(), func(tx store.Tx) error {
			value, err := tx.Get("updates")
			return errors.Join(err, tx.Put("updates", append(value, 'x')), tx.Put("updates-copy", append(value, 'x')))
		})
		if err != nil {
			t.Fatal(err)
		}
		drafts := []kaban.Draft{
			storetest.Draft(t, "lobby", "ann", fmt.Sprint("fast-a-", i), "x"), storetest.Draft(t, "lobby", "ann", fmt.Sprint("fast-b-", i), "x"),
			storetest.Draft(t, "kitchen", "ann", fmt.Sprint("fast-", i), "x"),
		}
		for i := range drafts {
			drafts[i].Body = strings.Repeat("x", fastSize)
			drafts[i].Files = killedFiles(t, drafts[i].ID.String())
		}
		storetest.Append(t, s, drafts...)
		fmt.Println("acknowledged: fast", len(all(t, s, "kitchen")))
	}
}

// killedFiles returns the files of the message with an id, every other of which has any.
func killedFiles(t testing.TB, id string) kaban.Files {
	if (id[len(id)-1]-'0')/2%2 == 1 {
		return kaban.Files{}
	}
	return storetest.Files(t, id+".png", "other.pdf")
}

// acknowledged returns the last number that a child has printed behind a word.
func acknowledged(output, word string) (n int) {
	at := strings.LastIndex(output, "acknowledged: "+word+" ")
	if at < 0 {
		return 0
	}
	fmt.Sscan(output[at+len("acknowledged: "+word+" "):], &n)
	return n
}

// A process that is killed at any moment leaves each of its transactions and batches whole
// or not at all, and all that it has acknowledged.
func TestKilledInTransactions(t *testing.T) {
	t.Parallel()
	binary := childtest.NewFragile(t)
	dir := childtest.DiskDir(t)
	previous, slow, fast := 0, 0, 0
	for _, point := range []string{
		"append.before-commit:3", "append.before-commit:4", "append.after-commit:7", "append.after-commit:8", "append.decided:9", "append.merged:2", "append.decided:1",
		"update.before-commit:2", "update.after-commit:3", "journal.segment:1", "journal.segment:1", "journal.written:5", "journal.synced:5", "merge.before-commit:1", "merge.after-commit:1",
		"journal.segment:2", "merge.before-commit:3", "merge.after-commit:4", "journal.recycled:1", "journal.recycled:2", "journal.segment:3", "checkpoint.write:3", "checkpoint.write:40", "journal.written:1",
	} {
		output := binary.Killed(t, "TestKilledChild", killedVariable+"="+dir, point)
		slow, fast = max(slow, acknowledged(output, "slow")), max(fast, acknowledged(output, "fast"))
		if err := check(t.Context(), dir); err != nil {
			t.Errorf("%s: check of what is left: %v", point, err)
		}
		s := open(t, dir, Options{})
		entries, pairs := 0, 0
		for _, e := range append(all(t, s, "lobby"), all(t, s, "kitchen")...) {
			if want := killedFiles(t, e.ID).String(); e.Files != want {
				t.Errorf("%s: %s has the files %q, want %q", point, e.ID, e.Files, want)
			}
		}
		for _, e := range all(t, s, "lobby") {
			if strings.HasPrefix(e.ID, "fast-") {
				pairs++
			} else {
				entries++
			}
		}
		singles := len(all(t, s, "kitchen"))
		if pairs != 2*singles || singles < fast || singles > fast+1 {
			t.Errorf("%s: %d and %d entries of fast batches, %d were acknowledged", point, pairs, singles, fast)
		}
		values := make(map[string]int)
		for _, key := range []string{"n", "copy", "updates", "updates-copy"} {
			value, err := get(t, s, key)
			if err != nil || value != strings.Repeat("x", len(value)) {
				t.Errorf("%s: %s = %q, %v", point, key, value, err)
			}
			values[key] = len(value)
		}
		if values["n"] != entries || values["copy"] != entries || revision(t, s, "lobby") != uint64(entries) || entries < slow || entries > slow+1 {
			t.Errorf("%s: %d entries, revision %d and %v; %d were acknowledged", point, entries, revision(t, s, "lobby"), values, slow)
		}
		if updates := values["updates"]; updates != values["updates-copy"] || updates > entries || updates < previous {
			t.Errorf("%s: %d entries and %v", point, entries, values)
		}
		previous, slow, fast = values["updates"], entries, singles
		closeStore(t, s)
		if report, err := archive(t, dir).Check(t.Context()); err != nil || report.Err() != nil || report.Documents != 4 {
			t.Errorf("%s: check: %+v, %v", point, report, err)
		}
	}
	if previous == 0 || fast == 0 {
		t.Error("no update or no fast batch was stored")
	}
}
