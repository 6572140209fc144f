package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A download takes a free name, and one that fails leaves nothing.
func TestSaveNew(t *testing.T) {
	dir := t.TempDir()
	write := func(w io.Writer) error { _, err := io.WriteString(w, "x"); return err }
	var got []string
	for range 3 {
		path, err := saveNew(dir, "cat.png", write)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, filepath.Base(path))
	}
	if want := []string{"cat.png", "cat (2).png", "cat (3).png"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	broken := errors.New("cut off")
	if _, err := saveNew(dir, "dog.png", func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 3 {
		t.Errorf("there are %v", all)
	}
}

// Only what no program runs is opened, by its ending and by its bytes.
func TestMayOpen(t *testing.T) {
	const png = "\x89PNG\r\n\x1a\n"
	for name, test := range map[string]struct {
		content string
		may     bool
	}{
		"cat.png": {png, true}, "CAT.PNG": {png, true}, "notes.txt": {"hello", true}, "empty.txt": {"", true},
		"plan.pdf": {"%PDF-1.7\n", true}, "song.flac": {"fLaC\x00\x00\x00\x22\x01\x02", true},
		"cat": {png, false}, "cat.png.exe": {png, false}, "run.sh": {"echo x", false}, "x.desktop": {"[Desktop Entry]", false},
		"page.html": {"<html>", false}, "pic.svg": {"<svg/>", false}, "a.jar": {"PK\x03\x04", false}, "cat.png.lnk": {png, false},
		"page.txt": {"<html><script>", false}, "prog.png": {"\x7fELF\x02\x01\x01\x00", false}, "prog.flac": {"\x7fELF\x02\x01\x01\x00", false},
		"prog.mp3": {"MZ\x90\x00\x03", false}, "page.mkv": {"<html><script>", false},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mayOpen(path); (err == nil) != test.may {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The path is one argument of a program; without a screen there is none.
func TestOpener(t *testing.T) {
	const path = "/d/a b; rm -rf $HOME.png"
	for _, test := range []struct {
		goos, variable, program string
	}{
		{"linux", "DISPLAY", "xdg-open"},
		{"freebsd", "WAYLAND_DISPLAY", "xdg-open"},
		{"linux", "", ""},
		{"darwin", "", "open"},
		{"darwin", "SSH_CONNECTION", ""},
		{"windows", "", "rundll32"},
	} {
		got := opener(test.goos, func(name string) string {
			if name == test.variable {
				return "x"
			}
			return ""
		}, path)
		if test.program == "" && got == nil {
			continue
		}
		if len(got) == 0 || got[0] != test.program || got[len(got)-1] != path {
			t.Errorf("%s with %q: %q", test.goos, test.variable, got)
		}
	}
}

func TestDownloadsDirectory(t *testing.T) {
	home, other := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home) // Windows
	t.Setenv("XDG_DOWNLOAD_DIR", "")
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got := downloadsDirectory(); got != working {
		t.Errorf("without any: %s", got)
	}
	downloads := filepath.Join(home, "Downloads")
	if err := os.Mkdir(downloads, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := downloadsDirectory(); got != downloads {
		t.Errorf("at home: %s", got)
	}
	t.Setenv("XDG_DOWNLOAD_DIR", other)
	if got := downloadsDirectory(); got != other {
		t.Errorf("with XDG_DOWNLOAD_DIR: %s", got)
	}
	if got, want := atHome("~/x"), filepath.Join(home, "x"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
