package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// A server that goes on after its data directory was removed acknowledges messages that
// nobody sees again.
func TestDataDirectoryIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(dir string) error
		want string // nothing: the server goes on
	}{
		"removed": {os.RemoveAll, "removed or moved"},
		"moved":   {func(dir string) error { return os.Rename(dir, dir+".old") }, "removed or moved"},
		"replaced": {func(dir string) error {
			if err := os.Rename(dir, dir+".old"); err != nil {
				return err
			}
			return os.CopyFS(dir, os.DirFS(dir+".old"))
		}, "another directory"},
		"without the database": {func(dir string) error { return os.Remove(filepath.Join(dir, "kaban.db")) }, "its database was removed"},
		"with another database": {func(dir string) error {
			path := filepath.Join(dir, "kaban.db")
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path+".new", text, 0o600)
			}
			return errors.Join(err, os.Rename(path+".new", path))
		}, "another database"},
		"without the WAL":           {removeIn("kaban.db-wal"), "kaban.db-wal was removed"},
		"without the index of it":   {removeIn("kaban.db-shm"), "kaban.db-shm was removed"},
		"with another WAL":          {exchangeIn("kaban.db-wal"), "another file is in the place"},
		"without the journal":       {removeIn("journal"), "segment was removed"},
		"with another journal file": {exchangeIn("journal/*.segment"), "another file is in the place"},
		"in use":                    {func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			kept, err := openStore(home{data: dir}, ledgerIn(dir), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if got := storetest.Append(t, kept, storetest.Draft(t, "lobby", "ann", "1", "hello"))[0]; got.Err != nil {
				t.Fatal(got.Err)
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				defer end()
				failed := make(chan error, 1)
				go watchData(ctx, dir, kept, abandon(kept, failed))
				time.Sleep(time.Hour + time.Second) // between two looks
				if len(failed) > 0 {
					t.Fatalf("at first: %v", <-failed)
				}
				if err := test.do(dir); err != nil {
					t.Fatal(err)
				}
				time.Sleep(goneInterval + time.Second)
				select {
				case err := <-failed:
					if test.want == "" || !strings.Contains(err.Error(), test.want) {
						t.Errorf("got %v, want %q", err, test.want)
					}
				default:
					if test.want != "" {
						t.Error("the server goes on")
					}
				}
			})
			got := kept.Append(t.Context(), []store.Write{{Draft: storetest.Draft(t, "lobby", "ann", "2", "more")}}, make([]store.Result, 1))
			if isGone := test.want != ""; errors.Is(got, store.ErrBroken) != isGone {
				t.Errorf("another message: %v", got)
			}
			kept.Close() // of a broken store it says why
			if name == "replaced" {
				readsAs(t, dir, "hello")
			}
		})
	}
}

// The store of a server may notice first that its files are not where they were. To start it again would be the wrong
// advice then, and to restore a backup is wrong where a restart loses nothing.
func TestABrokenStoreWhoseFilesAreGone(t *testing.T) {
	notThere := &fs.PathError{Op: "open", Path: "journal/2.spare", Err: fs.ErrNotExist}
	other := errors.New("input/output error")
	for name, test := range map[string]struct {
		change func(dir string) error
		err    error
		want   string
	}{
		"no directory":        {os.RemoveAll, other, "is gone (it was removed or moved)"},
		"no database":         {removeIn("kaban.db"), other, "is gone (its database was removed or moved)"},
		"no journal":          {removeIn("journal"), notThere, "is gone (its journal was removed or moved)"},
		"no journal yet":      {removeIn("journal"), other, "the store failed"},
		"another directory":   {func(dir string) error { return errors.Join(os.Rename(dir, dir+"2"), os.Mkdir(dir, 0o700)) }, other, "is gone (another directory is in its place)"},
		"a spare of no value": {func(string) error { return nil }, notThere, "the store failed"},
		"the disk":            {func(string) error { return nil }, other, "the store failed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, "journal"), 0o700), os.WriteFile(filepath.Join(dir, "kaban.db"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			first, err := look(dir)
			if err = errors.Join(err, test.change(dir)); err != nil {
				t.Fatal(err)
			}
			got := first.broken(dir, fmt.Errorf("make a segment: %w: %w", store.ErrBroken, test.err)).Error()
			if isGone := strings.Contains(got, "put it back"); !strings.Contains(got, test.want) || isGone != strings.Contains(test.want, "gone") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if got := new(place).broken(inMemory, other).Error(); !strings.Contains(got, "the store failed") {
		t.Errorf("in memory: %s", got)
	}
}

func removeIn(name string) func(dir string) error {
	return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
}

// exchangeIn returns a function that puts copies of the files with a name in their places.
func exchangeIn(name string) func(dir string) error {
	return func(dir string) error {
		paths, err := filepath.Glob(filepath.Join(dir, name))
		if err == nil && len(paths) == 0 {
			err = errors.New("no " + name)
		}
		for _, path := range paths {
			text, failed := os.ReadFile(path)
			err = errors.Join(err, failed, os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path))
		}
		return err
	}
}

// readsAs reports an error unless the database in a directory has one message in the lobby.
func readsAs(t *testing.T, dir, content string) {
	t.Helper()
	s, err := openStore(home{data: dir}, ledgerIn(dir), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("what is in the place of the directory was changed: %v", err)
	}
	defer s.Close()
	got, err := s.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 10})
	if err != nil || len(got) != 1 || got[0].Content != content {
		t.Errorf("what is in the place of the directory has %+v, %v", got, err)
	}
}

func TestDataInMemoryIsNotGone(t *testing.T) {
	watchData(t.Context(), inMemory, nil, func(err error) { t.Error(err) })
}
