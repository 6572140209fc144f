package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
		"in use":               {func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			kept, err := openStore(dir, ledgerIn(dir), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			kept.Close()
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				defer end()
				failed := make(chan error, 1)
				go watchData(ctx, dir, failed)
				time.Sleep(time.Hour)
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
		})
	}
}

func TestDataInMemoryIsNotGone(t *testing.T) {
	failed := make(chan error, 1)
	watchData(t.Context(), inMemory, failed)
	if len(failed) > 0 {
		t.Error(<-failed)
	}
}
