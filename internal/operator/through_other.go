//go:build !linux

package operator

// throughDirectory fails: this system has no paths by way of an open directory.
func throughDirectory(_, _ string, _ func(string) error) error { return errTooLong }
