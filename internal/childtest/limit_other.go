//go:build !unix

package childtest

import "testing"

// LimitFiles skips the test: this system has no such limit.
func LimitFiles(t testing.TB, _ uint64) (lift func()) {
	t.Helper()
	t.Skip("no limit of files can be set here")
	return func() {}
}
