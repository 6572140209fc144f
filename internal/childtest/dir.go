package childtest

import (
	"os"
	"testing"
)

// diskVariable names the directory of temporary files on a disk, where make test puts the
// others in memory: see scripts/in-memory.
const diskVariable = "TESTS_ON_DISK"

// DiskDir is t.TempDir for tests of what a process that is killed leaves on a disk: the
// directory is never in memory.
func DiskDir(t testing.TB) string {
	t.Helper()
	disk := os.Getenv(diskVariable)
	if disk == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(disk, "kaban-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
