//go:build !failpoint

package postgres

// apart is nothing without failpoints; see faults.go.
type apart struct{}

func (apart) takes(string, []byte) bool { return false }

func (apart) commit(*transaction) error { return nil }
