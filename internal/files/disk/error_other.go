//go:build !unix

package disk

// isDeviceError reports whether an error comes from what is below the files: this system
// has no errors for it.
func isDeviceError(error) bool { return false }
