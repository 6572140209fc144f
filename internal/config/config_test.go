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

// A mistake with tables, quotes or a second line has an answer of its own.
func TestLoadAdvises(t *testing.T) {
	keys := []string{"listen", "log_level", "backup.every", "backup.dir", "tls.cert", "tls.acme.hosts", "tls.acme.dir"}
	for text, want := range map[string]string{
		"[bakcup]\nevery = '1h'":             `line 1: unknown key "bakcup", did you mean "backup"?`,
		"\n[tls]\nevery = '1h'":              `line 3: unknown key "tls.every": "every" is in the table backup; write it below a line [backup]`,
		"every = '1h'":                       `line 1: unknown key "every": "every" is in the table backup; write it below a line [backup]`,
		"hosts = []":                         `line 1: unknown key "hosts": "hosts" is in the table tls.acme; write it below a line [tls.acme]`,
		"[tls]\nlisten = 'x'":                `line 2: unknown key "tls.listen": "listen" is outside of the tables; write it above the first line with [`,
		"dir = 'x'":                          `line 1: unknown key "dir"; the keys are `, // of two tables
		"[every]\nx = 1":                     `line 1: unknown key "every"; the keys are `,
		"backup = 5":                         `line 1: unknown key "backup": this is a table; write a line [backup], and its keys below: every, dir`,
		"backup = []":                        `line 1: unknown key "backup": this is a table`,
		"[tls]\nacme = 'x'":                  `line 2: unknown key "tls.acme": this is a table; write a line [tls.acme], and its keys below: hosts`,
		"\n[[backup]]\nevery = '1h'":         `line 2: unknown key "backup": this table is there once, so write [backup] instead of [[backup]]`,
		"[log_level]\na = 1":                 `line 1: log_level must be a string, a number, a boolean or a list of strings, not a table; write log_level = and the value in one line`,
		"log_level = {a = 1}":                `not a table; write log_level =`,
		"[backup.every]\na = 1":              `line 1: backup.every must be a string, a number, a boolean or a list of strings, not a table`,
		"listen = [1, 2]":                    `not a list of something else; put each element into quotes`,
		"log_level = 2020-01-01":             `not a date; put it into quotes`,
		"log_level = 1\n\nlog_level = 2":     `line 3, column 1: key log_level is already defined; it may be there once, so delete one of the two`,
		"[backup]\n[tls]\n[backup]":          `line 3, column 2: table backup already exists; write all keys of a table in one place`,
		"tls = {cert = 'x'}\n[tls]":          `line 2, column 2: key tls should be a table, not a value; write all keys of a table in one place`,
		"\r\nlog_level = info\r\n":           `write a text in quotes: log_level = "info"`,
		"listen = tcp://127.0.0.1:1 # there": `write a text in quotes: listen = "tcp://127.0.0.1:1"`,
		"listen = ['a'\nlog_level = 10\n":    `line 2, column 1: expected ',' or ']' after array value; the list is not closed: write a comma between its elements, and ] after the last one`,
		"listen = ['a',\nlog_level = 10\n":   `line 2, column 1: unexpected character U+006C 'l' at start of value; the list is not closed`,
		"listen = ['a' 'b']":                 `; the list is not closed: write a comma between its elements`,
		"listen = ['a'":                      `line 1, column 13: array is incomplete; the list is not closed`,
		"log_level = \n":                     `line 1, column 13: there is no value; write one after the =, or delete the key`,
		"log_level = \r\n":                   `line 1, column 13: there is no value; write one after the =`,
		"log_level =":                        `there is no value; write one after the =`,
		"[backup]\n  every =1h":              `write a text in quotes: every = "1h"`,
	} {
		if _, err := Load(write(t, text), keys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, err := Load(write(t, "listen = 99999999999999999999"), keys); err == nil || strings.Contains(err.Error(), "quotes") {
		t.Errorf("a number that is too large: got %v", err)
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
