package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func take(t *testing.T, dir string) *Hold {
	t.Helper()
	h, err := Take(dir)
	if err != nil || h == nil {
		t.Fatalf("Take = %v, %v", h, err)
	}
	t.Cleanup(func() { h.Release() })
	return h
}

// While a reader holds the journal, what its mark needs stays, whatever the server does.
func TestHold(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(3000, 3000)
	o.note()
	h := take(t, o.dir)
	then, want := o.mark, o.frames
	check := func(moment string, added int) {
		t.Helper()
		frames, err := Read(o.dir, then)
		if err != nil || len(frames) != len(want)+added || !equalFrames(frames[:len(want)], want) {
			t.Errorf("%s: %s, %v; want %s and %d more", moment, describe(frames), err, describe(want), added)
		}
	}
	o.add(3000)
	o.merge(0)
	check("after a merge", 1)
	o.reopen()
	check("after a restart", 1)
	o.add(3000)
	o.end()
	if err := Remove(o.dir); err != nil {
		t.Fatal(err)
	}
	check("after a clean stop", 2)
	o.reopen()
	check("after the next start", 2)
	o.add(3000)
	o.merge(0)
	check("after the next merge", 3)
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	o.merge(0)
	if all := o.list(); len(all.segments) != 1 || len(all.spares) != maxSpares {
		t.Errorf("segments %d, spares %d after the release", all.segments, all.spares)
	}
	if n := len(contents(t, o.dir)); n != 1+maxSpares {
		t.Errorf("%d files after the release", n)
	}
}

// A hold whose process has ended holds nothing.
func TestStaleHold(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(3000, 3000)
	for _, name := range []string{"hold-1", "hold-2"} {
		write(t, filepath.Join(o.dir, name), nil)
	}
	o.merge(0)
	if n := len(o.list().segments); n != 1 {
		t.Errorf("%d segments; want 1", n)
	}
	if holds, _ := filepath.Glob(filepath.Join(o.dir, "hold-*")); len(holds) > 0 {
		t.Errorf("%q are still there", holds)
	}
	live := take(t, o.dir)
	write(t, filepath.Join(o.dir, "hold-0"), nil)
	o.add(3000, 3000)
	o.merge(0)
	if n := len(o.list().segments); n != 3 {
		t.Errorf("%d segments; want 3", n)
	}
	if err := live.Release(); err != nil {
		t.Fatal(err)
	}
	o.end()
	if err := Remove(o.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat after Remove: %v; want no directory", err)
	}
}

// Holds are never lost to a server that looks for stale ones at the same time.
func TestTakeWhileServerLooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				isHeld(dir)
			}
		}
	})
	for range 300 {
		h := take(t, dir)
		if !isHeld(dir) {
			t.Error("a hold holds nothing")
		}
		if err := h.Release(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	looking.Wait()
	if isHeld(dir) {
		t.Error("still held after the last release")
	}
	if n := len(contents(t, dir)); n > 0 {
		t.Errorf("%d files are left", n)
	}
	var none *Hold
	if err := none.Release(); err != nil {
		t.Error(err)
	}
}
