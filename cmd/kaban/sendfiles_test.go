package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kaban/client"
	"kaban/client/transfer"
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

// At an address of kaban/1 the server says where files go, to a program with a token, too.
func TestFilesWhereTheServerSays(t *testing.T) {
	w := newTown(t)
	f := connectFlags{TokenFile: file(t, w.token("ann"))}
	f.Server = w.addr
	if _, _, err := f.filesAt(t.Context(), streams{err: io.Discard}); err == nil || !strings.Contains(err.Error(), "has not said where its page is") {
		t.Errorf("without a page: %v", err)
	}
	w = newTown(t) // whose address no connection has read yet
	w.web = "http://127.0.0.1:6480"
	f.TokenFile, f.Server = file(t, w.token("ann")), w.addr
	web, options, err := f.filesAt(t.Context(), streams{err: io.Discard})
	if err != nil || web != w.web || options.Token == "" || options.Insecure {
		t.Errorf("got %s, insecure %v, %v", web, options.Insecure, err)
	}
}

// Whoever cannot reach the page that the server names learns where files go, and how to name another address.
func TestFilesThatCannotGoToThePage(t *testing.T) {
	const page = "https://chat.example"
	unknown := fmt.Errorf("ask the server: %w", &net.DNSError{Err: "no such host", Name: "chat.example", IsNotFound: true})
	for _, test := range []struct {
		server   string
		err      error
		want     []string
		isNotFor bool // of another address
	}{
		{"", unknown, []string{page + ", which is the page of the server at 127.0.0.1:6440", "no host named", "--server http://127.0.0.1:6480"}, false},
		{"tls://chat.example", fmt.Errorf("ask the server: %w", syscall.ECONNREFUSED), []string{"nothing listens at " + page, "--server http://127.0.0.1:6480"}, false},
		{page, unknown, []string{"no host named"}, true},
		{"", errors.New("too large"), []string{"too large"}, true},
	} {
		f := connectFlags{}
		f.Server = test.server
		got := f.explainFiles(page, test.err).Error()
		for _, text := range test.want {
			if !strings.Contains(got, text) {
				t.Errorf("%s: %q does not say %q", test.server, got, text)
			}
		}
		if strings.Contains(got, "6480") == test.isNotFor {
			t.Errorf("%s: %q", test.server, got)
		}
	}
}

// A token that goes over TLS goes nowhere without it.
func TestFilesKeepTLS(t *testing.T) {
	newTown(t) // no saved credentials
	f := connectFlags{}
	f.Insecure = true
	for _, test := range []struct {
		server, said string
		insecure     bool
		ok           bool
	}{
		{"tls://chat.example", "http://chat.example", false, true},
		{"https://chat.example", "", false, true},
		{"tcp://chat.example", "http://chat.example", true, true},
		{"tls://chat.example", "http://127.0.0.1:6480", false, false},
	} {
		web, options, err := f.filesOf(test.server, "a token", test.said)
		if (err == nil) != test.ok || err == nil && options.Insecure != test.insecure {
			t.Errorf("%s: %s, insecure %v, %v", test.server, web, options.Insecure, err)
		}
		if test.server != "tls://chat.example" || !test.ok {
			continue
		}
		if _, err := transfer.Open(t.Context(), web, strings.Repeat("a", 26), options); !errors.Is(err, client.ErrInsecure) {
			t.Errorf("%s: %v", test.server, err)
		}
	}
}
