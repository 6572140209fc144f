//go:build unix

package logs

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestIsJournal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at := info.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]bool{fmt.Sprintf("%d:%d", at.Dev, at.Ino): true, fmt.Sprintf("%d:%d", at.Dev, at.Ino+1): false, "": false, "x": false} {
		if got := IsJournal(file, stream); got != want {
			t.Errorf("%q: got %t", stream, got)
		}
	}
}
