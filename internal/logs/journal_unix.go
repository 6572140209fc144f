//go:build unix

package logs

import (
	"fmt"
	"os"
	"syscall"
)

// IsJournal reports whether a file is a connection to the journal of systemd, by what
// JOURNAL_STREAM says: see "$JOURNAL_STREAM" in systemd.exec(5).
func IsJournal(file *os.File, stream string) bool {
	info, err := file.Stat()
	if err != nil || stream == "" {
		return false
	}
	at, ok := info.Sys().(*syscall.Stat_t)
	return ok && fmt.Sprintf("%d:%d", at.Dev, at.Ino) == stream
}
