//go:build unix

package chat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/ledger"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/journal/journaltest"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

const (
	// killedVariable makes TestKilledChild write to the directory that it names, until it
	// is killed or its standard input ends.
	killedVariable = "KABAN_TEST_CHAT_KILLED"
	// maxKilled is how many messages TestKilledChild appends. Every failpoint comes before.
	maxKilled = 3000
)

// killed is a store with a ledger that a child changes until it is killed.
type killed struct {
	*town
	dir  string
	book *ledger.Book
	ann  kaban.Identity
}

func newKilled(t *testing.T, dir string) *killed {
	t.Helper()
	book := ledger.New(ledger.Config{Dirs: []string{filepath.Join(dir, ledger.DirName)}})
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "data"), sqlite.Options{Ledger: book})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &killed{newTownWith(t, s, Options{RecordErased: book.RecordAccounts}), dir, book, kaban.Account("id-ann", storetest.Username(t, "ann"))}
}

// restart is that of a server with a ledger.
func (k *killed) restart() { k.restartWith(Options{RecordErased: k.book.RecordAccounts}) }

// named returns the accounts that the ledger names.
func (k *killed) named() map[string]bool {
	k.t.Helper()
	accounts, err := ledger.Accounts([]string{filepath.Join(k.dir, ledger.DirName)})
	if err != nil {
		k.t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, a := range accounts {
		named[a.ID] = true
	}
	return named
}

// write appends an entry by ann that mentions accounts.
func (k *killed) write(id string, kind kaban.Kind, target uint64, body string, mentioned ...string) store.Result {
	k.t.Helper()
	d := storetest.Draft(k.t, "lobby", "x", id, "x")
	d.Author, d.Kind, d.Target, d.Body = k.ann, kind, target, body
	w := store.Write{Draft: d}
	if kind != kaban.KindDelete {
		w.Mentions = &store.Mentions{Accounts: mentioned}
	}
	results := make([]store.Result, 1)
	if err := k.store.Append(context.Background(), []store.Write{w}, results); err != nil || results[0].Err != nil {
		k.t.Fatal(err, results[0].Err)
	}
	return results[0]
}

// erase has everything erased that ann has written.
func (k *killed) erase() {
	k.restart() // the dispatcher knows the heads
	k.giveErasure(k.ann.ID())
	k.erasure(true)
}

// The text of a message says its id, and whether it is edited.
func textOf(id string, edited bool) string { return fmt.Sprintf("secret-%s-%t.", id, edited) }

// TestKilledChild says, edits and deletes messages that mention somebody, and erases all of
// them now and then.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killedVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	k := newKilled(t, dir)
	orphan := make(chan struct{})
	go func() {
		defer close(orphan)
		io.Copy(io.Discard, os.Stdin) // ends with the parent
	}()
	seqs := make(map[int]uint64)
	for i := range maxKilled {
		select {
		case <-orphan:
			t.Fatal("the parent is gone")
		default:
		}
		name := func(i int) string { return fmt.Sprint(os.Getpid(), "-", i) }
		seqs[i] = k.write(name(i), kaban.KindMessage, 0, textOf(name(i), false), "id-first").Seq
		if i%3 == 2 {
			k.write(name(i)+"-e", kaban.KindEdit, seqs[i-1], textOf(name(i-1), true), "id-second")
		}
		if i%4 == 3 {
			k.write(name(i)+"-d", kaban.KindDelete, seqs[i-2], "")
		}
		switch i % 100 {
		case 33, 66:
			if err := k.store.(store.Eraser).Erase(t.Context()); err != nil {
				t.Fatal(err)
			}
		case 99:
			k.erase()
			clear(seqs)
		}
	}
}

// TestKilled kills a process at each step of erasing, and while mentions are stored. After that
// each entry happened with its mentions or not at all, what was begun to be erased is erased,
// nothing of it is in any file, and the ledger names it.
func TestKilled(t *testing.T) {
	t.Parallel()
	binary := childtest.NewFragile(t)
	dir := childtest.DiskDir(t)
	pending := 0
	for _, point := range []string{
		"ledger.write:1", "ledger.written:2", "ledger.before-commit:2", "journal.overwritten:1", "append.merged:2", "merge.after-commit:2", "journal.written:90",
		"update.before-commit:2", "update.after-commit:3", "append.before-commit:1", "checkpoint.write:5", "ledger.synced:5", "ledger.write:3",
	} {
		binary.Killed(t, "TestKilledChild", killedVariable+"="+dir, point)
		if checkKilled(t, point, dir) {
			pending++
		}
	}
	if pending == 0 {
		t.Error("an account was never being erased")
	}
}

// checkKilled checks what a child has left, and reports whether it was erasing an account.
func checkKilled(t *testing.T, point, dir string) (pending bool) {
	files := journaltest.NewSearcher(dir)
	files.Look(t)
	k := newKilled(t, dir)
	s := k.store.(*sqlite.Store)
	err := s.View(t.Context(), func(tx store.Tx) error {
		_, err := people.Erasures.Next(tx, "")
		return err
	})
	if err != nil && !errors.Is(err, people.ErrNotFound) {
		t.Fatal(err)
	}
	if pending = err == nil; pending {
		k.restart() // goes on by itself
		k.erasure(true)
	}
	if err := s.Erase(t.Context()); err != nil {
		t.Fatal(err)
	}
	lobby := storetest.RoomName(t, "lobby")
	mentions := make(map[string]map[uint64]bool)
	for _, account := range []string{"id-first", "id-second"} {
		found, err := s.Mentions(t.Context(), lobby, account, 0, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		mentions[account] = make(map[uint64]bool)
		for _, m := range found {
			mentions[account][m.Seq] = true
		}
	}
	var gone []string
	deleted, kept := make(map[uint64]bool), 0
	for after := uint64(0); ; {
		entries, err := s.Read(t.Context(), lobby, store.Page{After: after, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		after = entries[len(entries)-1].Seq
		for _, e := range entries {
			if e.Kind != kaban.KindMessage || e.Author != k.ann.ID() {
				continue
			}
			first, second := mentions["id-first"][e.Seq], mentions["id-second"][e.Seq]
			edited := e.State != nil && e.State.Edited.Seq != 0
			if e.IsDeleted() {
				deleted[e.Seq] = true
				gone = append(gone, textOf(e.ID, false), textOf(e.ID, true))
				if first || second || e.Content != "" {
					t.Errorf("%s: message %d is deleted, and mentions somebody, or has a text", point, e.Seq)
				}
				continue
			}
			if kept++; e.Content != textOf(e.ID, edited) || first == edited || second != edited {
				t.Errorf("%s: message %d (edited: %t) says %q, and mentions the first: %t, the second: %t", point, e.Seq, edited, e.Content, first, second)
			}
			if gone = append(gone, textOf(e.ID, !edited)); pending {
				t.Errorf("%s: message %d was to be erased", point, e.Seq)
			}
		}
	}
	if found := files.Find(t, gone...); len(found) > 0 {
		t.Errorf("%s: %v have some of %d texts that are erased", point, found, len(gone))
	}
	var bad ledger.Bad
	named := make(map[uint64]bool)
	for line, err := range ledger.Messages([]string{filepath.Join(dir, ledger.DirName)}, &bad) {
		if err != nil {
			t.Fatal(err)
		}
		if named[line.Seq] = true; !deleted[line.Seq] {
			t.Errorf("%s: the ledger names message %d, which is not deleted", point, line.Seq)
		}
	}
	if len(named) != len(deleted) || bad.Lines > 0 {
		t.Errorf("%s: the ledger names %d of %d messages, %d lines are bad", point, len(named), len(deleted), bad.Lines)
	}
	if k.chat != nil {
		k.chat.Close()
	}
	if err := s.Close(); err != nil {
		t.Errorf("%s: %v", point, err)
	}
	a, err := sqlite.OpenArchive(t.Context(), filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if report, err := a.Check(t.Context()); err != nil || report.Err() != nil {
		t.Errorf("%s: %v, %v", point, err, report.Err())
	}
	return pending
}

// killedAccountVariable is killedVariable for TestKilledAccountChild.
const killedAccountVariable = "KABAN_TEST_CHAT_KILLED_ACCOUNT"

// TestKilledAccountChild erases an account with a bot.
func TestKilledAccountChild(t *testing.T) {
	dir := os.Getenv(killedAccountVariable)
	if dir == "" {
		t.Skip("not a child")
	}
	k := newKilled(t, dir)
	bot := people.Account{ID: "id-ci", Username: "ci", Role: kaban.RoleMember, Status: people.StatusRemoved, Bot: true, Owner: "id-ann"}
	if err := k.store.Update(t.Context(), func(tx store.Tx) error { return people.Accounts.Put(tx, &bot) }); err != nil {
		t.Fatal(err)
	}
	k.write("1", kaban.KindMessage, 0, "secret")
	k.erase()
}

// leftErased returns whether a child has reported that ann is erased, and the accounts that the
// ledger names.
func leftErased(t *testing.T, dir string) (done bool, named map[string]bool) {
	t.Helper()
	a, err := sqlite.OpenArchive(t.Context(), filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	err = a.Export(t.Context(), nil, store.Receiver{
		Document: func(d *store.Document) error {
			done = done || d.Key == "erasure/id-ann" && strings.Contains(string(d.Value), `"done":`)
			return nil
		},
		Record:  func(*store.Record) error { return nil },
		Damaged: func(err error) error { return err },
	})
	if err != nil {
		t.Fatal(err)
	}
	return done, (&killed{town: &town{t: t}, dir: dir}).named()
}

// TestKilledRecordingAccounts kills a process while it erases an account. An account that is
// erased is in the ledger, with its bots, and one that is not yet is after the next start. So is
// one after the loss of the ledger.
func TestKilledRecordingAccounts(t *testing.T) {
	t.Parallel()
	binary := childtest.NewFragile(t)
	between := 0
	for _, point := range []string{
		"ledger.write:1", "ledger.write:2", "ledger.written:2", "ledger.synced:2", "update.before-commit:6", "update.after-commit:6",
	} {
		dir := childtest.DiskDir(t)
		binary.Killed(t, "TestKilledAccountChild", killedAccountVariable+"="+dir, point)
		done, named := leftErased(t, dir)
		if done && !(named["id-ann"] && named["id-ci"]) {
			t.Errorf("%s: it is erased, and the ledger names %v", point, named)
		}
		if !done && named["id-ann"] {
			between++
		}
		k := newKilled(t, dir)
		k.erasure(true)
		if named := k.named(); !named["id-ann"] || !named["id-ci"] || len(named) != 2 {
			t.Errorf("%s: after the next start the ledger names %v", point, named)
		}
		k.chat.Close()
		if err := k.store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, ledger.DirName)); err != nil {
			t.Fatal(err)
		}
		k = newKilled(t, dir)
		for lines := 0; lines < 3; time.Sleep(time.Millisecond) { // the accounts and the message
			var err error
			if lines, err = ledger.Check([]string{filepath.Join(dir, ledger.DirName)}); err != nil || lines > 3 {
				t.Fatalf("%s: after a loss the ledger has %d lines, %v", point, lines, err)
			}
		}
		if named := k.named(); len(named) != 2 {
			t.Errorf("%s: after a loss the ledger names %v", point, named)
		}
	}
	if between == 0 {
		t.Error("no process was killed between the ledger and the report")
	}
}
