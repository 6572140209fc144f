package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kaban/internal/disk"
	"kaban/internal/store"
)

// coded is an error of SQLite.
type coded int

func (c coded) Error() string { return fmt.Sprintf("SQLite (%d)", int(c)) }
func (c coded) Code() int     { return int(c) }

// Only what is wrong with a backup asks for an older one.
func TestIsOfBackup(t *testing.T) {
	const file = "/backups/kaban.db"
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", nil, false},
		{"damage", fmt.Errorf("check: %w", store.ErrDamaged), true},
		{"another database", errors.New("it is no database of kaban"), true},
		{"damage that SQLite finds", coded(11), true},
		{"a backup that may not be read", &fs.PathError{Op: "open", Path: file, Err: fs.ErrPermission}, true},
		{"a full disk", fmt.Errorf("copy the backup: %w", &fs.PathError{Op: "write", Path: "/data/kaban.db.restored", Err: errFullDisk}), false},
		{"a full disk in SQLite", fmt.Errorf("cannot be restored: %w", coded(13)), false},
		{"a full disk in SQLite, extended", coded(13 | 1<<8), false},
		{"a full store", store.ErrFull, false},
		{"no room", errNoRoom, false},
		{"an I/O error in SQLite", coded(10 | 3<<8), false},
		{"a read-only file system", coded(8), false},
		{"a directory without permission", &fs.PathError{Op: "mkdir", Path: "/data", Err: errNoPermission}, false},
	} {
		if got := isOfBackup(test.err, file); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

// A restore for which there is no room begins nothing, and says how much is missing and
// what to remove.
func TestRestoreWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.db")
	if err := os.WriteFile(file, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	r := restoring{data, file, func(at string) (disk.Space, error) {
		if at != dir && at != data {
			t.Errorf("asked for the room in %s", at)
		}
		return disk.Space{Free: 1 << 20}, nil
	}}
	says := func(err error, texts ...string) {
		t.Helper()
		if err == nil || !errors.Is(err, errNoRoom) {
			t.Fatalf("got %v, want errNoRoom", err)
		}
		for _, text := range append(texts, file+" is not restored, and "+data+" is as it was", "or name a --data directory on another disk") {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q is not in %v", text, err)
			}
		}
	}
	says(r.check(), "it has 1.0 MiB free, and the restore takes 7.0 MiB, so 6.0 MiB are missing", "make room there")
	full := &fs.PathError{Op: "write", Path: "x", Err: errFullDisk}
	says(r.explain(full), "1.0 MiB free again", full.Error())
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory is there: %v", err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kaban.db", "kaban.db.before-20261126T153000.000", "kaban.db.before-20261126T153000.000-wal", "journal.before-20261126T153000.000"} {
		if err := os.WriteFile(filepath.Join(data, name), make([]byte, 2048), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	says(r.check(), "if nobody needs it: "+filepath.Join(data, "journal.before-20261126T153000.000")+" (2.0 KiB), "+filepath.Join(data, "kaban.db.before-20261126T153000.000")+" (2.0 KiB), or")

	r.space = func(string) (disk.Space, error) { return disk.Space{Free: 7 << 20}, nil }
	if err := r.check(); err != nil {
		t.Errorf("with just enough room: %v", err)
	}
	r.space = func(string) (disk.Space, error) { return disk.Space{}, errors.ErrUnsupported }
	if err := r.check(); err != nil {
		t.Errorf("where the system does not say: %v", err)
	}
	if other := errors.New("damaged"); r.explain(other) != other || r.explain(nil) != nil {
		t.Error("another error has changed")
	}
}
