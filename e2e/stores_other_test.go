//go:build !unix

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// There is neither PostgreSQL nor a cluster in tests on other systems.

var nodeCount = func() *int { one := 1; return &one }()

func keepIn(*testscript.Env) error { return nil }

func holds(condition string) (bool, error) {
	if condition == "postgres" || condition == "nodes" {
		return false, nil
	}
	return false, fmt.Errorf("there is no condition %s", condition)
}

func kept(*testscript.TestScript) []string { return nil }

func apart(*testscript.TestScript, int) []string { return nil }

func newData(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }

func stateOf([]string) []string { return nil }

func stopStores() {}
