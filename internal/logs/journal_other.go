//go:build !unix

package logs

import "os"

// IsJournal returns false: there is no journal on this system.
func IsJournal(*os.File, string) bool { return false }
