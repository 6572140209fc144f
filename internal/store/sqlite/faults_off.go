//go:build !failpoint

package sqlite

// apart is nothing without failpoints; see faults.go.
type apart struct{}

func (*apart) takes(string, []byte) bool { return false }

func (*apart) commit(*batch) error { return nil }
