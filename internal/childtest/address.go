package childtest

import "testing"

// Address returns an address of a TCP port on the loopback interface, for a process that a
// test starts, ends and starts again at the same address. Nothing else gets the port
// before the end of the test unless it asks for it by number. Linux alone can do it;
// elsewhere the port was free a moment ago.
func Address(t testing.TB) string {
	t.Helper()
	address, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return address
}
