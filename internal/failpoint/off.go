//go:build !failpoint

package failpoint

// Point marks a named failpoint.
func Point(string) {}
