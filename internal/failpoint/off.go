//go:build !failpoint

package failpoint

// Point passes a named place.
func Point(string) {}
