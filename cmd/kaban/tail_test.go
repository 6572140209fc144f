package main

import (
	"bytes"
	"encoding/json"
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

// Entries of unknown kinds are not printed, changes are quiet lines, and the cursor
// counts both.
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
	s.Entry("poll")
	s.Message("ben", "2")
	head := s.Entry("poll")
	if got, want := withCursor(), "* ann changed the topic: news\nben:> 1\nben:> 2\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	saved(head)
	head = s.Entry("poll") // the only new entry
	if got := withCursor(); got != "" {
		t.Errorf("printed %q, want nothing", got)
	}
	saved(head)
	s.Entry("poll")
	head = s.Message("ben", "3")
	if got, want := withCursor(), "ben:> 3\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	saved(head)
	for range 600 { // more than a page, and no element of one
		s.Entry("react")
	}
	s.Message("ben", "4")
	s.Entry("react")
	for since, want := range map[string]string{"2": "ben:> 2\nben:> 3\nben:> 4\n", "2026-11-24": "* ann changed the topic: news\nben:> 1\nben:> 2\nben:> 3\nben:> 4\n", "": "ben:> 4\n", "2026-11-25": ""} {
		if got := tail(t, &tailCommand{connectFlags: connectFlags{serverFlags: serverFlags{Server: s.Addr()}}, Room: clienttest.Room, Since: since}); got != want {
			t.Errorf("--since %q printed %q, want %q", since, got, want)
		}
	}
}

// --json prints every entry that this version knows, with all that its frame has.
func TestTailPrintsChangesAsJSON(t *testing.T) {
	s := clienttest.NewServer(t)
	for _, kind := range []string{"topic", "member", "room"} {
		s.Entry(kind)
	}
	s.Message("ben", "1")
	for _, cursor := range []string{"", filepath.Join(t.TempDir(), "cursor")} {
		got := tail(t, &tailCommand{connectFlags: connectFlags{serverFlags: serverFlags{Server: s.Addr()}}, Room: clienttest.Room, Since: "0", Cursor: cursor, JSON: true})
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if len(lines) != 4 {
			t.Fatalf("printed %q", got)
		}
		for i, want := range []string{`"topic":"news"`, `"subject":"ben","change":"role","role":"op"`, `"change":"set","flags":["locked"]`, `"content":"1"`} {
			var frame map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &frame); err != nil || frame["room"] != clienttest.Room || frame["seq"] != float64(i+1) || !strings.Contains(lines[i], want) {
				t.Errorf("line %d is %s, %v", i, lines[i], err)
			}
		}
	}
	want := "* ann changed the topic: news\n* ann made ben an op\n* ann made this room locked\nben:> 1\n"
	if got := tail(t, &tailCommand{connectFlags: connectFlags{serverFlags: serverFlags{Server: s.Addr()}}, Room: clienttest.Room, Since: "0"}); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
