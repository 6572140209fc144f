//go:build unix && !failpoint

package disk

import (
	"testing"

	"kaban/internal/childtest"
)

// The faults are only in builds with the tag, and so are their tests.
func TestFaults(t *testing.T) {
	t.Parallel()
	if output, err := childtest.Go("test", "-tags", "failpoint", "-count", "1", ".").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
