//go:build failpoint

package sqlite

import (
	"os"
	"time"
)

// Faults that tests of a whole server inject; see package failpoint.
func init() {
	if os.Getenv("KABAN_FAULT_SYNCHRONOUS") == "off" {
		for _, pragmas := range [][]pragma{common, writerPragmas, readerPragmas} {
			for i := range pragmas {
				if pragmas[i].name == "synchronous" {
					pragmas[i].value = "0"
				}
			}
		}
	}
	if moved, err := time.ParseDuration(os.Getenv("KABAN_FAULT_CLOCK")); err == nil {
		clock = func() time.Time { return time.Now().Add(moved) }
	}
}
