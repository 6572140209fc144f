//go:build !unix

package main

// openFilesLimit returns how many files this process may have open: this system
// has no such limit.
func openFilesLimit() (int, bool) { return 0, false }
