//go:build unix

package secretfile

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// A FIFO has nothing to read until somebody writes; it must not hold up whoever signs in.
func TestOnlyFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, dir, "/dev/zero"} {
		if _, _, err := Read(name, 10); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
