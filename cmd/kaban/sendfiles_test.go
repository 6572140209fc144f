package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagsOfFiles(t *testing.T) {
	eleven := strings.Split(strings.Repeat("x ", 10)+"x", " ")
	for want, c := range map[string]struct {
		files sentFiles
		words []string
		token string
	}{
		"":                                      {sentFiles{File: []string{"a", "b"}, Alt: []string{"x"}}, nil, ""},
		"give --file, too":                      {sentFiles{Alt: []string{"x"}}, nil, ""},
		"up to 10 files":                        {sentFiles{File: eleven}, nil, ""},
		"--alt: there are 2, for 1 file":        {sentFiles{File: []string{"a"}, Alt: []string{"x", "y"}}, nil, ""},
		"names one file":                        {sentFiles{File: []string{"a", "b"}, Name: "x"}, nil, ""},
		"one thing only":                        {sentFiles{File: []string{"-"}, Name: "x"}, []string{"-"}, ""},
		"has no name":                           {sentFiles{File: []string{"-"}}, []string{"-", "x"}, ""},
		"--token-file - does not go with":       {sentFiles{File: []string{"a"}}, nil, "-"},
		"standard input, -, can be one thing o": {sentFiles{File: []string{"-", "-"}}, nil, ""},
	} {
		err := c.files.check(c.words, c.token)
		if _, usage := errors.AsType[usageError](err); want == "" && err != nil || want != "" && (!usage || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

func TestSourcesOfFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cat.png")
	if err := os.WriteFile(path, []byte("meow"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := sentFiles{File: []string{path, "-"}, Alt: []string{"a cat"}}
	all, err := c.open(strings.NewReader("x"))
	if err != nil || all[0].draft.Name != "cat.png" || all[0].draft.Size != 4 || all[0].draft.Alt != "a cat" || all[1].draft.Size != -1 || all[1].draft.Alt != "" {
		t.Fatalf("got %+v, %v", all, err)
	}
	if _, ok := all[0].Reader.(io.ReaderAt); !ok {
		t.Error("the upload of a regular file could not go on where it stopped")
	}
	closeSources(all)
	for _, bad := range []string{dir, filepath.Join(dir, "nothing")} {
		c := sentFiles{File: []string{path, bad}}
		if _, err := c.open(nil); err == nil {
			t.Errorf("%s is opened", bad)
		}
	}
}

// What is there is overwritten only if that is forced, and what fails leaves nothing.
func TestSaveFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	write := func(text string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		}
	}
	broken := errors.New("cut off")
	if err := saveFile(path, false, func(io.Writer) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	late := func(w io.Writer) error { // somebody else makes it meanwhile
		return errors.Join(write("new")(w), os.WriteFile(path, []byte("theirs"), 0o600))
	}
	if err := saveFile(path, false, late); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a file that appears meanwhile: %v", err)
	}
	if err := saveFile(path, false, write("new")); err == nil {
		t.Error("a file is overwritten")
	}
	if got, _ := os.ReadFile(path); string(got) != "theirs" {
		t.Errorf("it is %q", got)
	}
	if err := saveFile(path, true, write("new")); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("by force it is %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("there are %v", entries)
	}
}
