package conn_test

import (
	"testing"
	"testing/synctest"

	"kaban/internal/conn"
)

// Calls that wait hold up neither more calls of the same kind than there are workers
// for, nor any of another kind.
func TestSlowCallsHoldUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := conn.NewTestWorkers()
		release := make(chan struct{})
		wait := func() { <-release }
		for range conn.MaxReaders {
			w.Read(wait)
		}
		for range conn.MaxCheckers {
			w.Check(wait)
		}
		for range conn.MaxSeekers {
			w.Seek(wait)
		}
		for range conn.MaxAnswerers - 1 {
			w.Answer(wait)
		}
		if conn.MaxAnswerers < 4 || conn.MaxCheckers < 4 {
			t.Errorf("there are %d and %d workers, want 4 at least", conn.MaxAnswerers, conn.MaxCheckers)
		}
		answered := 0
		for range 10 {
			w.Answer(func() { answered++ })
		}
		if synctest.Wait(); answered != 10 {
			t.Errorf("%d of 10 calls were made beside slow ones", answered)
		}
		w.Answer(wait)
		w.Answer(func() { answered++ })
		if synctest.Wait(); answered != 10 {
			t.Error("more calls run at a time than there are workers")
		}
		close(release)
		w.Wait()
		if answered != 11 || w.Running() != 0 {
			t.Errorf("%d calls were made, and %d workers are left", answered, w.Running())
		}
	})
}
