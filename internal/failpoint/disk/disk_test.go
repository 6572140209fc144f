//go:build unix && !failpoint

package disk

import (
	"os"
	"os/exec"
	"testing"
)

// The faults are only in builds with the tag, and so are their tests.
func TestFaults(t *testing.T) {
	t.Parallel()
	test := exec.CommandContext(t.Context(), "go", "test", "-tags", "failpoint", "-count", "1", ".")
	test.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := test.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
