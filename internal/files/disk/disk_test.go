package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"kaban/internal/childtest"
	"kaban/internal/files"
	"kaban/internal/files/filestest"
)

func opened(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// damaged gives a blob other bytes. The staged file, which may share them, keeps its own.
func damaged(t *testing.T, s files.Store, key files.Key, data []byte) {
	t.Helper()
	path := s.(*Store).path(key)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	for name, link := range map[string]func(string, string) error{
		"links": os.Link,
		"copies": func(from, to string) error {
			return &os.LinkError{Op: "link", Old: from, New: to, Err: errors.ErrUnsupported}
		},
	} {
		t.Run(name, func(t *testing.T) {
			filestest.Run(t, func(t *testing.T) files.Store {
				s := opened(t)
				s.link = link
				return s
			}, damaged)
		})
	}
}

// The directory above may let a server through to its data and show it nothing else.
func TestADirectoryAboveThatCannotBeRead(t *testing.T) {
	above := t.TempDir()
	root := filepath.Join(above, "data")
	if err := errors.Join(os.Mkdir(root, 0o700), os.Chmod(above, 0o100)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(above, 0o700)
	childtest.WithModes(t, func() {
		if _, err := Open(root); err != nil {
			t.Error(err)
		}
	})
}

// Nobody else can read what is there, whatever the modes of the staged file.
func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("has no modes")
	}
	s := opened(t)
	key, staged := filestest.Stage(t, []byte("open to all"))
	if err := os.Chmod(staged.Path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), key, staged); err != nil {
		t.Fatal(err)
	}
	seen := 0
	if err := filepath.WalkDir(filepath.Join(s.root, "files"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if seen++; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return err
	}); err != nil || seen != 3 {
		t.Errorf("%d seen, %v", seen, err)
	}
}

// What an Add leaves when its process is killed goes with Tidy, and nothing else does. It is
// no blob.
func TestTidy(t *testing.T) {
	s := opened(t)
	key := filestest.Add(t, s, []byte("kept"))
	dir := filepath.Dir(s.path(key))
	others := []string{filepath.Join(dir, "notes.txt"), filepath.Join(dir, "00"), filepath.Join(s.root, "files", "lost+found")}
	draft, used := filepath.Join(dir, draftPrefix+"A"), filepath.Join(dir, draftPrefix+"B")
	for _, path := range append([]string{draft, used}, others...) {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.hold(used, true)
	if got := filestest.Sizes(t, s, files.Content); len(got) != 1 || got[key] != 4 {
		t.Errorf("All: %v", got)
	}
	if n, err := s.Tidy(t.Context()); n != 1 || err != nil {
		t.Errorf("Tidy: %d, %v", n, err)
	}
	if _, err := os.Stat(draft); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the draft: %v", err)
	}
	for _, path := range append([]string{used, s.path(key)}, others...) {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// A store whose volume is gone does not report that files are missing.
func TestTheVolumeIsGone(t *testing.T) {
	s := opened(t)
	key := filestest.Add(t, s, []byte("x"))
	if err := os.Rename(s.root, s.root+"-elsewhere"); err != nil {
		t.Fatal(err)
	}
	_, _, opening := s.Open(t.Context(), key)
	_, tidying := s.Tidy(t.Context())
	_, checking := files.Check(t.Context(), s, key, -1)
	_, staged := filestest.Stage(t, []byte("x"))
	var listing error
	for _, listing = range s.All(t.Context(), files.Content) {
	}
	for name, err := range map[string]error{
		"Open": opening, "Tidy": tidying, "Check": checking, "All": listing,
		"Remove": s.Remove(t.Context(), key), "Add": s.Add(t.Context(), key, staged),
	} {
		if e, ok := errors.AsType[*files.UnreachableError](err); !ok || errors.Is(err, files.ErrNotFound) || e.Store != s.root || e.Advice == "" {
			t.Errorf("%s: %v, want an UnreachableError", name, err)
		}
	}
}

// Errors of the system say what to do.
func TestExplain(t *testing.T) {
	s := opened(t)
	for _, err := range []error{syscall.EACCES, syscall.EIO, syscall.EROFS} {
		if _, ok := errors.AsType[*files.UnreachableError](s.explain("add", &fs.PathError{Op: "open", Path: "x", Err: err})); !ok && runtime.GOOS != "windows" {
			t.Errorf("%v: no UnreachableError", err)
		}
	}
	if err := s.explain("add", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}); !errors.Is(err, files.ErrNoSpace) && runtime.GOOS != "windows" {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
}

// A directory that is not one is refused.
func TestOpenRefuses(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.WriteFile(root, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(root); err == nil {
		t.Errorf("got %v", s)
	}
}

// A file that changes after it was added under a link would change the blob: it is the
// staged file's owner that must not.
func TestALinkSharesBytes(t *testing.T) {
	s := opened(t)
	key, staged := filestest.Stage(t, []byte("shared"))
	if err := s.Add(t.Context(), key, staged); err != nil {
		t.Fatal(err)
	}
	a, err := os.Stat(staged.Path)
	b, err2 := os.Stat(s.path(key))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" && !os.SameFile(a, b) {
		t.Error("it was copied")
	}
	if got, _ := filestest.Read(t, s, key); !bytes.Equal(got, []byte("shared")) {
		t.Errorf("got %q", got)
	}
}

// In a directory that several processes use, a draft that is young may be of another one.
func TestTidyLeavesOthersTheirDrafts(t *testing.T) {
	s, err := OpenShared(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(s.path(filestest.Add(t, s, []byte("kept"))))
	young, old := filepath.Join(dir, draftPrefix+"A"), filepath.Join(dir, draftPrefix+"B")
	for _, path := range []string{young, old} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-youngDraft - time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Tidy(t.Context()); n != 1 || err != nil {
		t.Errorf("Tidy: %d, %v", n, err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young draft: %v", err)
	}
}
