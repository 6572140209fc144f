package childtest

import (
	"os"
	"path/filepath"
	"testing"
)

// A directory is on the disk that make test names, and gone after its test.
func TestDiskDir(t *testing.T) {
	disk := t.TempDir()
	t.Setenv(diskVariable, disk)
	var dir string
	t.Run("its test", func(t *testing.T) {
		dir = DiskDir(t)
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
			t.Error(err)
		}
		if filepath.Dir(dir) != disk || dir == DiskDir(t) {
			t.Errorf("it is %s, want one of its own in %s", dir, disk)
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after the test: %v, want that it does not exist", err)
	}
	t.Setenv(diskVariable, "")
	if dir, other := DiskDir(t), t.TempDir(); filepath.Dir(dir) != filepath.Dir(other) {
		t.Errorf("without a disk it is %s, want one beside %s", dir, other)
	}
}
