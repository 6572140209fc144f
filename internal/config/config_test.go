package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var keys = []string{"listen", "max_clients", "heartbeat"}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kaban.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	got, err := Load(write(t, "# a comment\nlisten = [\"tcp://:1\", \"tcp://:2\"]\nmax_clients = 5\nheartbeat = '30s'\n"), keys)
	want := map[string]Value{"listen": {[]string{"tcp://:1", "tcp://:2"}, 2}, "max_clients": {[]string{"5"}, 3}, "heartbeat": {[]string{"30s"}, 4}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// Editors on Windows add a byte order mark.
func TestLoadWithAByteOrderMark(t *testing.T) {
	got, err := Load(write(t, "\xef\xbb\xbfmax_clients = 5\r\nheartbeat = '30s'\r\n"), keys)
	want := map[string]Value{"max_clients": {[]string{"5"}, 1}, "heartbeat": {[]string{"30s"}, 2}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key, with the nearest", "\n\nmax_client = 5", `line 3: unknown key "max_client", did you mean "max_clients"?`},
		{"a flag's spelling", "max-clients = 5", `line 1: unknown key "max-clients", did you mean "max_clients"?`},
		{"unknown key, far from all", "colour = 1", "the keys are listen, max_clients, heartbeat"},
		{"a table", "x = 1\n[listen]\na = 1", `line 1: unknown key "x"`},
		{"a table for a value", "[listen]\na = 1", "line 1: listen must be a string"},
		{"list of numbers", "listen = [1]", "listen must be a string"},
		{"the first of several mistakes", "a = 1\nb = 1\nc = 1\nd = 1", `line 1: unknown key "a"`},
		{"bad syntax", "listen = \n", "line 1"},
		{"twice", "listen = 'a'\nlisten = 'b'", "line 2"},
		{"UTF-16", "\xff\xfel\x00i\x00", "save it as UTF-8"},
		{"UTF-16, the other way round", "\xfe\xff\x00l\x00i", "save it as UTF-8"},
		{"behind a byte order mark", "\xef\xbb\xbf\nmax_client = 5", `line 2: unknown key "max_client"`},
		{"not UTF-8", "listen = '\xff'", "configuration file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			values, err := Load(write(t, test.text), keys)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v; want an error with %q", values, err, test.want)
			}
		})
	}
	for want, path := range map[string]string{
		"no such file": filepath.Join(t.TempDir(), "no.toml"), "is a directory": t.TempDir(), "bytes; the limit is": write(t, strings.Repeat("#", maxFile+1)),
	} {
		if _, err := Load(path, keys); err == nil || !strings.Contains(err.Error(), "configuration file") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"listn", "listen", 1}, {"jion", "join", 1}, {"abcd", "badc", 2}, {"ü", "u", 1}} {
		if got := Distance(test.a, test.b); got != test.want {
			t.Errorf("%q and %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// Suggestions are close to the input; otherwise there are none.
func TestClosest(t *testing.T) {
	commands := []string{"join", "me", "msg", "nick", "part", "quit", "search"}
	variables := []string{"KABAN_SERVER", "KABAN_ROOM", "KABAN_MAX_CLIENTS"}
	keys := []string{"server", "key_send", "key_top", "key_room_1"}
	for _, test := range []struct {
		word  string
		known []string
		want  string
	}{
		{"jion", commands, "join"},
		{"quti", commands, "quit"},
		{"serch", commands, "search"},
		{"SEARCHH", commands, "search"},
		{"jo", commands, "join"},
		{"j", commands, ""},
		{"m", commands, ""},
		{"exit", commands, ""},
		{"who", commands, ""},
		{"ban", commands, ""},
		{"mute", commands, ""},
		{"", commands, ""},
		{"KABAN_SEVER", variables, "KABAN_SERVER"},
		{"KABAN_MAX-CLIENT", variables, "KABAN_MAX_CLIENTS"},
		{"KABAN_FOO", variables, ""},
		{"KABAN_", variables, ""},
		{"key_sned", keys, "key_send"},
		{"key_foo", keys, ""},
		{"colour", keys, ""},
	} {
		got, ok := Closest(test.word, test.known)
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%q: got %q, %v, want %q", test.word, got, ok, test.want)
		}
	}
}
