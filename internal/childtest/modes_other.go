//go:build !linux

package childtest

import (
	"os"
	"runtime"
	"testing"
)

// WithModes calls a function for which the modes of files count. It skips the test where they do not.
func WithModes(t testing.TB, call func()) {
	t.Helper()
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("the modes of files do not count")
	}
	call()
}
