package disk

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSpaceOf(t *testing.T) {
	s, err := SpaceOf(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if s.Free <= 0 || s.Total < s.Free || s.Total < 1<<20 {
		t.Errorf("got %+v", s)
	}
	if _, err := SpaceOf(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a directory that does not exist has room")
	}
}

func TestUsed(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, size := range map[string]int{filepath.Join(dir, "a"): 1000, filepath.Join(below, "b"): 234} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(below, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := Used(dir)
	if err != nil || got != 1234 {
		t.Errorf("got %d, %v, want 1234", got, err)
	}
	if got, err := Used(filepath.Join(dir, "nowhere")); got != 0 || err != nil {
		t.Errorf("no directory: got %d, %v", got, err)
	}
}
