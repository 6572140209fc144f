package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/store"
)

// message returns the nth message.
func message(n int) store.Erased {
	return store.Erased{Epoch: "EPOCH", Room: "räume-und mehr", Seq: uint64(n), Time: 1_700_000_000_000 + int64(n), Fingerprint: uint64(n) * 0x9e3779b97f4a7c15}
}

func messages(from, to int) (some []store.Erased) {
	for n := from; n < to; n++ {
		some = append(some, message(n))
	}
	return some
}

func record(t *testing.T, b *Book, some []store.Erased) {
	t.Helper()
	if err := b.Record(some); err != nil {
		t.Fatal(err)
	}
}

// read returns what ledgers have, and how many lines are damaged.
func read(t *testing.T, dirs ...string) (some []store.Erased, bad int) {
	t.Helper()
	var b Bad
	for e, err := range Messages(dirs, &b) {
		if err != nil {
			t.Fatal(err)
		}
		some = append(some, e)
	}
	return some, b.Lines
}

// has checks that a ledger has exactly some messages.
func has(t *testing.T, dir string, want []store.Erased) {
	t.Helper()
	got, bad := read(t, dir)
	slices.SortFunc(got, func(a, b store.Erased) int { return int(a.Seq) - int(b.Seq) })
	if !slices.Equal(got, want) || bad > 0 {
		t.Errorf("%s has %d messages, want %d; %d lines are damaged", dir, len(got), len(want), bad)
	}
}

// only returns the one file of a ledger.
func only(t *testing.T, dir string) string {
	t.Helper()
	names, err := files(dir)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	return filepath.Join(dir, names[0])
}

func change(t *testing.T, path string, change func(string) string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(change(string(content))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func isWhole(t *testing.T, b *Book) bool {
	t.Helper()
	whole, err := b.IsWhole()
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// Each place has everything, also what another one has from before, or from another server.
func TestPlacesHaveTheSame(t *testing.T) {
	t.Parallel()
	one, two := filepath.Join(t.TempDir(), DirName), filepath.Join(t.TempDir(), "made", DirName)
	b := New(Config{Dirs: []string{one}})
	if isWhole(t, b) {
		t.Error("a ledger that does not exist is whole")
	}
	record(t, b, messages(0, 10))
	record(t, New(Config{Dirs: []string{filepath.Join(t.TempDir(), DirName), two}}), messages(10, 20))
	b = New(Config{Dirs: []string{one, two}})
	if !isWhole(t, b) {
		t.Error("it is not whole")
	}
	record(t, b, nil)
	has(t, one, messages(0, 20))
	has(t, two, messages(0, 20))
	record(t, b, messages(20, 30))
	has(t, one, messages(0, 30))
	has(t, two, messages(0, 30))
	three := filepath.Join(t.TempDir(), DirName)
	if err := Copy(three, []string{one, two}); err != nil {
		t.Fatal(err)
	}
	has(t, three, messages(0, 30))
	if err := Copy(filepath.Join(t.TempDir(), "none"), []string{filepath.Join(t.TempDir(), "nothing")}); err != nil {
		t.Error(err)
	}
}

// A place that cannot be written is made up for later; the others are not behind it.
func TestAPlaceThatFails(t *testing.T) {
	t.Parallel()
	one, two := filepath.Join(t.TempDir(), DirName), filepath.Join(t.TempDir(), DirName)
	b := New(Config{Dirs: []string{one, two}})
	record(t, b, messages(0, 5))
	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(two, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Record(messages(5, 10)); err == nil {
		t.Error("it is recorded in a place that is a file")
	}
	has(t, one, messages(0, 10))
	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	record(t, b, nil)
	has(t, two, messages(0, 10))
}

// Wherever a write ends, the lines before it are there, and those after it are added behind
// them.
func TestInterruptedWrites(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), DirName)
	record(t, New(Config{Dirs: []string{dir}}), messages(0, 3))
	path := only(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		change(t, path, func(string) string { return string(whole[:n]) })
		lines := strings.Count(string(whole[:n]), "\n")
		has(t, dir, messages(0, lines))
		b := New(Config{Dirs: []string{dir}})
		if !isWhole(t, b) {
			t.Errorf("cut at %d it is not whole", n)
		}
		if n%2 == 0 {
			record(t, b, messages(lines, 4))
		} else if err := add(dir, filepath.Base(path), appendLine(nil, &store.Erased{Seq: 9})); err != nil { // as a copy is made
			t.Fatal(err)
		} else {
			got, bad := read(t, dir)
			if len(got) != lines+1 || bad > 0 {
				t.Errorf("cut at %d: %d lines, %d bad", n, len(got), bad)
			}
			continue
		}
		has(t, dir, messages(0, 4))
	}
}

// Any changed byte is found, unless it makes the last line one that has no end. A book says
// that it is not whole, mends the file, and keeps it.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), DirName)
	record(t, New(Config{Dirs: []string{dir}}), messages(0, 3))
	path := only(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - 1 {
		for bit := range 8 {
			bad := slices.Clone(whole)
			bad[n] ^= 1 << bit
			change(t, path, func(string) string { return string(bad) })
			if _, err := Check([]string{dir}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("bit %d of byte %d: %v", bit, n, err)
			}
		}
	}
	change(t, path, func(string) string { return strings.Replace(string(whole), "message", "massage", 1) })
	other := filepath.Join(t.TempDir(), DirName)
	record(t, New(Config{Dirs: []string{other}}), messages(0, 2))
	b := New(Config{Dirs: []string{dir, other}})
	if isWhole(t, b) {
		t.Error("it is whole")
	}
	record(t, b, messages(3, 4))
	has(t, dir, messages(0, 4))
	if found, err := filepath.Glob(path + ".damaged-*"); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	} else if content, err := os.ReadFile(found[0]); err != nil || !strings.Contains(string(content), "massage") {
		t.Errorf("%s, %v", content, err)
	}
	change(t, path, func(old string) string { return strings.Repeat("x", 100_000) + "\n" + old })
	if _, err := Check([]string{dir}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "(damaged lines: 1)") {
		t.Errorf("a line that is too long: %v", err)
	}
}

// Files of months that are over for long enough are removed, in all places.
func TestOldFilesGo(t *testing.T) {
	t.Parallel()
	one, two := filepath.Join(t.TempDir(), DirName), filepath.Join(t.TempDir(), DirName)
	now := time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)
	b := New(Config{Dirs: []string{one, two}, Keep: 100 * 24 * time.Hour, Now: func() time.Time { return now }})
	for n := range 12 {
		record(t, b, messages(n, n+1))
		now = time.Date(2026, time.Month(n+2), 1, 1, 0, 0, 0, time.UTC)
	}
	// The last one was recorded on the 1st of December. A hundred days before was in August.
	has(t, one, messages(7, 12))
	has(t, two, messages(7, 12))
	b = New(Config{Dirs: []string{one, two}, Now: func() time.Time { return now.AddDate(100, 0, 0) }})
	record(t, b, messages(12, 13))
	has(t, one, messages(7, 13))
}

// Books in two processes that write to the same place lose nothing.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), DirName)
	var group sync.WaitGroup
	for i := range 4 {
		b := New(Config{Dirs: []string{dir}})
		group.Go(func() {
			for n := range 20 {
				if err := b.Record(messages(100*i+n, 100*i+n+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got, bad := read(t, dir)
	if len(got) != 80 || bad > 0 {
		t.Errorf("%d lines, %d bad", len(got), bad)
	}
}

func FuzzParseLine(f *testing.F) {
	e := message(7)
	line := strings.TrimSuffix(string(appendLine(nil, &e)), "\n")
	f.Add(line)
	f.Add(strings.TrimSuffix(string(appendAccount(nil, &store.ErasedAccount{ID: "a b", Time: 5})), "\n"))
	f.Add(line[:len(line)-9] + " 00000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parseLine(line)
		if err != nil {
			return
		}
		again := appendLine(nil, &e.message)
		if e.account.ID != "" {
			again = appendAccount(nil, &e.account)
		}
		if got, err := parseLine(strings.TrimSuffix(string(again), "\n")); err != nil || got != e {
			t.Errorf("%q is %+v, and again %q is %+v, %v", line, e, again, got, err)
		}
	})
}

func TestLine(t *testing.T) {
	t.Parallel()
	e := store.Erased{Epoch: "X", Room: "lobby", Seq: 12, Time: 1_764_251_416_123, Fingerprint: 0xabc}
	line := string(appendLine(nil, &e))
	if want := "message 2025-11-27T13:50:16.123Z X lobby 12 0000000000000abc "; !strings.HasPrefix(line, want) {
		t.Errorf("%q, want %q", line, want)
	}
	for _, e := range append(messages(0, 3), e) {
		if got, err := parseLine(strings.TrimSuffix(string(appendLine(nil, &e)), "\n")); err != nil || got != (named{message: e}) {
			t.Errorf("%+v, %v; want %+v", got, err, e)
		}
	}
	a := store.ErasedAccount{ID: "3a3l dh3c", Time: 1_764_251_416_123}
	line = string(appendAccount(nil, &a))
	if want := "account 2025-11-27T13:50:16.123Z 3a3l%20dh3c "; !strings.HasPrefix(line, want) {
		t.Errorf("%q, want %q", line, want)
	}
	if got, err := parseLine(strings.TrimSuffix(line, "\n")); err != nil || got != (named{account: a}) {
		t.Errorf("%+v, %v; want %+v", got, err, a)
	}
	for _, text := range []string{"account 2025-11-27T13:50:16.123Z  ", "account 2025-11-27T13:50:16.123Z X Y ", "account yesterday X "} {
		if _, err := parseLine(text + fmt.Sprintf("%08x", sumOf(text))); !errors.Is(err, errField) {
			t.Errorf("%q: %v", text, err)
		}
	}
	newer := "reaction 2025-11-27T13:50:16.123Z X "
	sum := fmt.Sprintf("%08x", sumOf(newer))
	if _, err := parseLine(newer + sum); !errors.Is(err, errKind) {
		t.Errorf("a newer line: %v", err)
	}
}

// Accounts are named beside messages, each once, in all places. The store comes first: it has to
// know whether the ledger was whole.
func TestAccounts(t *testing.T) {
	t.Parallel()
	one, other := filepath.Join(t.TempDir(), DirName), filepath.Join(t.TempDir(), DirName)
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	config := Config{Dirs: []string{one, other}, Keep: 24 * time.Hour, Now: func() time.Time { return now }}
	b := New(config)
	early, cancel := context.WithCancel(t.Context())
	cancel()
	some := []store.ErasedAccount{{ID: "ann", Time: now.UnixMilli()}, {ID: "ci", Time: now.UnixMilli()}}
	if err := b.RecordAccounts(early, some); !errors.Is(err, context.Canceled) {
		t.Errorf("before the store: %v", err)
	}
	if there, err := Exists(one); there || err != nil {
		t.Fatalf("before the store there is a ledger: %v, %v", there, err)
	}
	waited := make(chan error)
	go func() { waited <- b.RecordAccounts(t.Context(), some) }()
	record(t, b, messages(0, 2))
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	old := store.ErasedAccount{ID: "old", Time: now.Add(-25 * time.Hour).UnixMilli()}
	bob := store.ErasedAccount{ID: "bob", Time: now.UnixMilli()}
	if err := b.RecordAccounts(t.Context(), append(slices.Clone(some), old, bob, bob)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{one, other} {
		if got, err := Accounts([]string{dir}); err != nil || !slices.Equal(got, append(slices.Clone(some), bob)) {
			t.Errorf("%s: %+v, %v", dir, got, err)
		}
		has(t, dir, messages(0, 2))
		if n, err := Check([]string{dir}); n != 5 || err != nil {
			t.Errorf("%s has %d lines, %v", dir, n, err)
		}
	}
	// One whose line was too old, and went, is named anew if it is erased again.
	now = now.AddDate(0, 2, 0)
	record(t, b, messages(2, 3))
	for _, want := range []int{0, 1, 1} {
		if got, err := Accounts([]string{other}); err != nil || len(got) != want {
			t.Errorf("%+v, %v; want %d", got, err, want)
		}
		if err := b.RecordAccounts(t.Context(), []store.ErasedAccount{{ID: "ann", Time: now.UnixMilli()}}); err != nil {
			t.Fatal(err)
		}
	}
	// A place that is lost has them again.
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	b = New(config)
	record(t, b, nil)
	if got, err := Accounts([]string{one, other}); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Accounts([]string{one}); err != nil || len(got) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Once the ledger is open, nothing says that it is not: a context may have ended while the process was
// stopped.
func TestAccountsOfAnOpenLedger(t *testing.T) {
	t.Parallel()
	b := New(Config{Dirs: []string{filepath.Join(t.TempDir(), DirName)}})
	record(t, b, messages(0, 1))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 64 { // of two channels that are ready a select takes any
		if err := b.RecordAccounts(ended, []store.ErasedAccount{{ID: "ann"}}); err != nil {
			t.Fatal(err)
		}
	}
}

// A ledger that the store does not open is an error after a while.
func TestAccountsWithoutALedger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Dirs: []string{filepath.Join(t.TempDir(), DirName)}})
		if err := b.RecordAccounts(t.Context(), []store.ErasedAccount{{ID: "ann"}}); !errors.Is(err, errNotOpen) {
			t.Errorf("%v, want %v", err, errNotOpen)
		}
	})
}

// BenchmarkRecordAccounts erases accounts one after the other, beside 200,000 messages that were
// deleted.
func BenchmarkRecordAccounts(b *testing.B) {
	book := New(Config{Dirs: []string{filepath.Join(b.TempDir(), DirName)}})
	if err := book.Record(messages(0, 200_000)); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		if err := book.RecordAccounts(b.Context(), []store.ErasedAccount{{ID: fmt.Sprint("a", n), Time: time.Now().UnixMilli()}}); err != nil {
			b.Fatal(err)
		}
	}
}

// A data directory that was moved away is not made again: what is put back would be inside it.
func TestNoDataDirectoryIsMade(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	b := New(Config{Dirs: []string{filepath.Join(data, DirName), filepath.Join(data, "backups", DirName)}})
	if err := os.Rename(data, data+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := b.Record(messages(0, 1)); err == nil {
		t.Error("what nobody keeps is recorded")
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a data directory again: %v", err)
	}
}
