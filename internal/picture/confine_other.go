//go:build !linux

package picture

import (
	"os"
	"time"
)

// confineProcess does nothing: the collector's limit is all there is here, beside the
// limits of pictures and the patience of a Worker.
func confineProcess(time.Duration) (slow <-chan os.Signal, err error) { return nil, nil }

// hasMemory reports false: no limit of this package ends a process here, so one that ran out of
// memory says something about the machine, not about the picture.
func hasMemory() bool { return false }
