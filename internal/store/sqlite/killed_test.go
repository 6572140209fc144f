//go:build unix

package sqlite

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// killedVariable makes TestKilledChild write to the directory that it names, until it is
// killed or its standard input ends.
const killedVariable = "KABAN_TEST_KILLED"

// maxKilled is how many times TestKilledChild writes. Every failpoint comes before: a
// merge does after 25.
const maxKilled = 1000

// Each transaction of the child writes an entry and documents that must agree.
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
	head := len(all(t, s, "lobby"))
	orphan := make(chan struct{})
	go func() {
		defer close(orphan)
		io.Copy(io.Discard, os.Stdin) // ends with the parent
	}()
	for i := head; i < head+maxKilled; i++ {
		select {
		case <-orphan:
			t.Fatal("the parent is gone")
		default:
		}
		batch := storetest.Writes(numbered(t, "lobby", "ann", 2*i, 2)...)
		batch[0].Decide = count
		batch[1].Decide = func(tx store.Tx) error {
			_ = tx.Put("n", []byte("wrong"))
			return errors.New("it is given up")
		}
		if err := s.Append(t.Context(), batch, make([]store.Result, 2)); err != nil {
			t.Fatal(err)
		}
		err := s.Update(t.Context(), func(tx store.Tx) error {
			value, err := tx.Get("updates")
			return errors.Join(err, tx.Put("updates", append(value, 'x')), tx.Put("updates-copy", append(value, 'x')))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A process that is killed in the middle of transactions leaves each of them whole or
// not at all.
func TestKilledInTransactions(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "killed.test")
	if output, err := exec.Command("go", "test", "-c", "-tags", "failpoint", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	dir := t.TempDir()
	previous := 0
	for _, point := range []string{"append.before-commit:3", "append.before-commit:4", "append.after-commit:7", "append.after-commit:8", "append.decided:9", "append.merged:2", "append.decided:1"} {
		child := exec.Command(binary, "-test.run", "^TestKilledChild$")
		child.Env = append(os.Environ(), killedVariable+"="+dir, "KABAN_FAILPOINT="+point)
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := child.CombinedOutput()
		stdin.Close()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: %v\n%s", point, err, output)
		}
		s := open(t, dir, Options{})
		entries := len(all(t, s, "lobby"))
		values := make(map[string]int)
		for _, key := range []string{"n", "copy", "updates", "updates-copy"} {
			value, err := get(t, s, key)
			if err != nil || value != strings.Repeat("x", len(value)) {
				t.Errorf("%s: %s = %q, %v", point, key, value, err)
			}
			values[key] = len(value)
		}
		if values["n"] != entries || values["copy"] != entries || revision(t, s, "lobby") != uint64(entries) {
			t.Errorf("%s: %d entries, revision %d and %v", point, entries, revision(t, s, "lobby"), values)
		}
		if updates := values["updates"]; updates != values["updates-copy"] || updates > entries || updates < previous {
			t.Errorf("%s: %d entries and %v", point, entries, values)
		}
		previous = values["updates"]
		closeStore(t, s)
		if report, err := archive(t, dir).Check(t.Context()); err != nil || report.Err() != nil || report.Documents != 4 {
			t.Errorf("%s: check: %+v, %v", point, report, err)
		}
	}
	if previous == 0 {
		t.Error("no update was stored")
	}
}
