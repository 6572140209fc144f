package childtest

import (
	"errors"
	"testing"
	"time"
)

// Pin keeps a process and its children on one processor, and all that they start from then on. It is for
// measurements of what is on different machines otherwise, and would share the processors of one here.
// Processors count from 0. Nothing but another call undoes it. Linux alone can do it; elsewhere the test
// is skipped.
func Pin(t testing.TB, pid, processor int) {
	t.Helper()
	pinned(t, pin(pid, processor))
}

// PinSelf is Pin for the process of the test, until the test ends, and for what it starts until then. The children that it
// has already stay where they are.
func PinSelf(t testing.TB, processor int) {
	t.Helper()
	undo, err := pinSelf(processor)
	pinned(t, err)
	t.Cleanup(func() { pinned(t, undo()) })
}

func pinned(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("processes cannot be kept on a processor: ", err)
	}
	if err != nil {
		t.Errorf("keep a process on a processor: %v", err)
	}
}

// CPU returns what a process and its children have used of processors, those that have ended included. Linux
// alone tells it.
func CPU(pid int) (time.Duration, error) { return cpu(pid) }
