package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kaban/internal/childtest"
	"kaban/internal/failpoint/disk"
)

func TestMakeDirectory(t *testing.T) {
	above := t.TempDir()
	dir := filepath.Join(above, "a", "b", "data")
	for range 2 {
		if err := disk.MakeDirectory(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, made := range []string{dir, filepath.Dir(dir), filepath.Join(above, "a")} {
		if info, err := os.Stat(made); err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
	file := filepath.Join(above, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.MakeDirectory(filepath.Join(file, "data")); err == nil {
		t.Error("a directory in a file")
	}
}

// A directory that is there may be below one that only lets through. A new one must not be: its name could not be made
// durable.
func TestMakeDirectoryBelowOneThatCannotBeRead(t *testing.T) {
	above := t.TempDir()
	there := filepath.Join(above, "there")
	if err := errors.Join(os.Mkdir(there, 0o700), os.Chmod(above, 0o300)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(above, 0o700)
	childtest.WithModes(t, func() {
		if err := disk.MakeDirectory(there); err != nil {
			t.Error(err)
		}
		if err := disk.MakeDirectory(filepath.Join(above, "new")); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a new one: %v", err)
		}
	})
}
