//go:build unix

package sqlite

import (
	"errors"
	"os"
	"testing"
)

// Root makes no files in a directory of another user, because that user's server could
// not open them.
func TestRootLeavesDirectoriesOfOthersAlone(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 54321, -1); err != nil {
			t.Skip("this system lets root give nothing away:", err)
		}
		if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, ErrForeign) {
			t.Errorf("open: got %v", err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("the directory has %v, %v", files, err)
		}
	}
	if got := foreignOwner(0, dir); got == "" {
		t.Error("root may use the directory of another user")
	}
	if got := foreignOwner(1, dir); got != "" {
		t.Errorf("a user is refused for %q; the modes of the directory decide", got)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 0, -1); err != nil {
			t.Fatal(err)
		}
		if got := foreignOwner(0, dir); got != "" {
			t.Errorf("root is refused for %q in its own directory", got)
		}
	}
}
