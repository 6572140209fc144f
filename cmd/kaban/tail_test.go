package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"kaban/client/clienttest"
)

// tail runs the command and returns what it prints.
func tail(t *testing.T, c *tailCommand) string {
	t.Helper()
	var out, notices bytes.Buffer
	if err := c.Run(streams{in: strings.NewReader(""), out: &out, err: &notices}); err != nil {
		t.Fatal(err)
	}
	if notices.Len() > 0 {
		t.Errorf("it complains: %s", notices.String())
	}
	return out.String()
}

// Entries of unknown kinds are not printed, and the cursor counts them.
func TestTailPassesUnknownKinds(t *testing.T) {
	s := clienttest.NewServer(t)
	file := filepath.Join(t.TempDir(), "cursor")
	withCursor := func() string {
		return tail(t, &tailCommand{connectFlags: connectFlags{serverFlags: serverFlags{Server: s.Addr()}}, Room: clienttest.Room, Since: "0", Cursor: file})
	}
	saved := func(want uint64) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(text)); got != "lobby "+strconv.FormatUint(want, 10)+"@e" {
			t.Errorf("the file has %q, want %d", got, want)
		}
	}
	s.Entry("topic")
	s.Message("ben", "1")
	s.Entry("react")
	s.Message("ben", "2")
	head := s.Entry("react")
	if got, want := withCursor(), "ben:> 1\nben:> 2\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	saved(head)
	head = s.Entry("edit") // the only new entry
	if got := withCursor(); got != "" {
		t.Errorf("printed %q, want nothing", got)
	}
	saved(head)
	s.Entry("edit")
	head = s.Message("ben", "3")
	if got, want := withCursor(), "ben:> 3\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	saved(head)
	for range 600 { // more than a page
		s.Entry("react")
	}
	s.Message("ben", "4")
	s.Entry("react")
	for since, want := range map[string]string{"2": "ben:> 2\nben:> 3\nben:> 4\n", "2026-11-24": "ben:> 1\nben:> 2\nben:> 3\nben:> 4\n", "": "ben:> 4\n", "2026-11-25": ""} {
		if got := tail(t, &tailCommand{connectFlags: connectFlags{serverFlags: serverFlags{Server: s.Addr()}}, Room: clienttest.Room, Since: since}); got != want {
			t.Errorf("--since %q printed %q, want %q", since, got, want)
		}
	}
}
