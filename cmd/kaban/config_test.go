package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kaban/internal/config"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kaban.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// printed returns what "kaban config print" prints.
func printed(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := new(configPrint).Run(streams{out: &out}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The printed file has every key of a server, and a server with it is one without a file.
func TestPrintedFileIsTheDefaults(t *testing.T) {
	text := printed(t)
	path := writeFile(t, text)
	got, err := loadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := got.validate(); err != nil {
		t.Fatal(err)
	}
	want, err := loadFile(writeFile(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	got.Config, got.fromFile, want.Config, want.fromFile = "", nil, "", nil
	for _, c := range []*serveCommand{got, want} { // an empty list is none
		v := reflect.ValueOf(c).Elem()
		for _, field := range reflect.VisibleFields(v.Type()) {
			if f := v.FieldByIndex(field.Index); f.Kind() == reflect.Slice && f.Len() == 0 && f.CanSet() {
				f.SetZero()
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the printed file gives\n%+v, want\n%+v", got, want)
	}
	_, serve, err := serveParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range namesOf(fileKeys(serve)) {
		key := name[strings.LastIndexByte(name, '.')+1:]
		if !strings.Contains(text, "\n"+key+" = ") {
			t.Errorf("%s is not in the file", name)
		}
	}
}

// Every flag has a key, every key has a help and a default, and no name is taken twice.
func TestEveryFlagHasAKey(t *testing.T) {
	_, serve, err := serveParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := fileKeys(serve)
	values, err := config.Load(writeFile(t, printed(t)), namesOf(keys))
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range serve.Flags {
		if flag.Name == "help" || flag.Name == "config" {
			continue
		}
		i := slices.IndexFunc(keys, func(k fileKey) bool { return k.flag == flag })
		if i < 0 || values[keys[i].Name].Line == 0 {
			t.Errorf("--%s has no key in the printed file", flag.Name)
		}
	}
	seen := make(map[string]bool)
	for _, k := range keys {
		if k.Help == "" || !strings.HasSuffix(strings.TrimSpace(k.Help), ".") || strings.Contains(k.Help, "${") || seen[k.Name] || k.flag == nil && k.set == nil {
			t.Errorf("the key %+v has no sentence as help, a name that is taken, or no effect", k.Key)
		}
		seen[k.Name] = true
	}
	if len(keys) < 20 {
		t.Errorf("there are only %d keys", len(keys))
	}
}

// Everything that is wrong in a file is reported at once, with the line and the nearest
// key, and the exit code is 2.
func TestCheckFindsEverything(t *testing.T) {
	path := writeFile(t, strings.TrimLeft(`
max_clinets = 5
heartbeat = 30
listen = ["nowhere", "tcp://0.0.0.0:1"]
max_content = 0
proxy = "here"
data = []
[limits]
account_connections = -1
[limitz]
rate = 3
`, "\n"))
	var out, stderr bytes.Buffer
	if code := run([]string{"config", "check", path}, streams{out: &out, err: &stderr}); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	for _, want := range []string{
		`line 1: unknown key "max_clinets", did you mean "max_clients"?`,
		`line 2: heartbeat: 30 has no unit; write "30s" for seconds`,
		`line 3: listen "nowhere" is no URL`,
		`line 4: max_content must be 1 to 16000, not 0`,
		`line 5: proxy: `,
		`line 6: data: it must be one value`,
		`line 8: limits.account_connections must be a whole number`,
		`line 9: unknown key "limitz", did you mean "limits"?`,
	} {
		if n := strings.Count(stderr.String(), "kaban: configuration file "+path+", "+want); n != 1 {
			t.Errorf("%d times: %s", n, want)
		}
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
}

func TestCheckOfAFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       int
		want       string
	}{
		{"nothing", "", exitDone, " is right\n"},
		{"a printed file", printed(t), exitDone, " is right\n"},
		{"open to the network", "max_clients = 5\nlisten = ['tcp://0.0.0.0:1']\n", exitUsage, "line 2: listen: "},
		{"no TOML", "max_clients = \n", exitUsage, "line 1, column"},
		{"a word for a number", "\nmax_clients = 'many'\n", exitUsage, `line 2: max_clients: it must be a whole number such as 10000, not "many"`},
		{"a fraction", "[backup]\nkeep = 1.5\n", exitUsage, `line 2: backup.keep: it must be a whole number such as 7, not "1.5"`},
		{"a number for a switch", "pprof = 5\n", exitUsage, `line 1: pprof: it must be true or false, not "5"`},
		{"a time without a unit", "heartbeat = 5\n", exitUsage, `line 1: heartbeat: 5 has no unit; write "5s" for seconds`},
		{"a key in another table", "[limits]\nevery = '1h'\n", exitUsage, `line 2: unknown key "limits.every": "every" is in the table backup; write it below a line [backup]`},
		{"a value for a table", "backup = 5\n", exitUsage, `line 1: unknown key "backup": this is a table`},
		{"a table for a value", "[log_level]\na = 1\n", exitUsage, `line 1: log_level must be a string`},
		{"twice", "pprof = true\npprof = true\n", exitUsage, "line 2, column 1: key pprof is already defined; it may be there once"},
		{"a list of one", "listen = 'tcp://127.0.0.1:1'\n", exitDone, " is right\n"},
		{"files that are not looked at", "listen = 'tls://127.0.0.1:0'\ntls.cert = '/nope/c'\ntls.key = '/nope/k'\n", exitDone, " is right; the certificate and the key were not looked at\n"},
		{"no address", "listen = []\n", exitUsage, "line 1: listen: name at least one address"},
		{"a host without a port", "listen = 'https://[::1]'\n", exitUsage, "line 1: listen https://[::1]: the port is missing; write it after the host, as in https://[::1]:443"},
		{"another scheme", "listen = 'ftp://127.0.0.1:1'\n", exitUsage, "a server does not listen at ftp://; the schemes are tcp://, tls://,"},
		{"the same address twice", "listen = ['tcp://localhost:81', 'http://127.0.0.1:081']\n", exitUsage, "line 1: listen: tcp://localhost:81 and http://127.0.0.1:081 are at the same address; leave one out"},
		{"free ports", "listen = ['tcp://127.0.0.1:0', 'tcp://127.0.0.1:0', 'http://[::1]:1', 'http://127.0.0.1:1']\n", exitDone, " is right\n"},
		{"an origin without a scheme", "\norigin = 'chat.example.org'\n", exitUsage, "line 2: origin: \"chat.example.org\" is no origin such as"},
		{"an origin with a path", "\norigin = 'https://chat.example.org/x'\n", exitUsage, "an origin has no path; leave out /x"},
		{"an unknown host of ACME", "listen = 'tls://127.0.0.1:0'\n[tls]\nacme = { hosts = ['localhost'] }\n", exitUsage, `line 3: tls.acme.hosts: "localhost" is no public host name`},
		{"ACME without hosts", "listen = 'tls://127.0.0.1:0'\n[tls.acme]\nemail = 'a@example.org'\n", exitUsage, `line 3: tls.acme.email: name the hosts`},
	} {
		path := writeFile(t, c.text)
		var out bytes.Buffer
		code := run([]string{"config", "check", path}, streams{out: &out, err: &out})
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: got %d %q, want %d %q", c.name, code, out.String(), c.code, c.want)
		}
		if c.code == exitDone {
			continue
		}
		checked := out.String()
		out.Reset()
		if code := run([]string{"serve", "--config", path, "--data", t.TempDir()}, streams{out: &out, err: &out}); code != exitUsage || out.String() != checked {
			t.Errorf("%s: serve reports %d %q, but the check %q", c.name, code, out.String(), checked)
		}
	}
	var out bytes.Buffer
	if code := run([]string{"config", "check", filepath.Join(t.TempDir(), "no.toml")}, streams{out: &out, err: &out}); code != exitUsage || !strings.Contains(out.String(), "no such file") {
		t.Errorf("no file: got %d %q", code, out.String())
	}
	out.Reset()
	if code := run([]string{"config", "check"}, streams{out: &out, err: &out}); code != exitUsage || !strings.Contains(out.String(), "kaban config check FILE") {
		t.Errorf("no name: got %d %q", code, out.String())
	}
}

// The data directory of a file is checked before anything is made, and the file beside it.
func TestCheckOfData(t *testing.T) {
	for text, want := range map[string]string{
		"data = ''\n":          "line 1: data: name a directory, a database as postgres://ROLE@HOST/NAME, or :memory:",
		"\ndata = ':memmory:'": "line 2: data :memmory:: the only name that may begin with a colon",
	} {
		path := writeFile(t, text)
		for _, args := range [][]string{{"config", "check", path}, {"serve", "--listen", "tcp://127.0.0.1:0", "--config", path}} {
			var out bytes.Buffer
			if code := run(args, streams{out: &out, err: &out}); code != exitUsage || !strings.Contains(out.String(), want) {
				t.Errorf("%q: got %d %q, want %q", args, code, out.String(), want)
			}
		}
	}
}

// A file is checked by itself, whatever the environment of the shell says.
func TestCheckIgnoresTheEnvironment(t *testing.T) {
	path := writeFile(t, "max_clients = 7\n")
	t.Setenv("KABAN_MAX_CLIENTS", "0")
	t.Setenv("KABAN_HEARTBEAT", "soon")
	got, err := loadFile(path)
	if err != nil || got.MaxClients != 7 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, _, err := got.validate(); err != nil {
		t.Error(err)
	}
}

// A flag that is no number is called so, in words of people.
func TestNumbersOfFlags(t *testing.T) {
	for _, c := range []struct{ flag, value, want string }{
		{"--max-clients", "many", `--max-clients: "many" is not a whole number; write it with digits only, such as 100`},
		{"--max-clients", "1.5", `--max-clients: "1.5" is not a whole number`},
		{"--max-clients", "99999999999999999999", "--max-clients: 99999999999999999999 is too large or too small"},
		{"--max-clients", "0", "--max-clients must be 1 to"},
		{"--max-clients=-5", "", "--max-clients must be 1 to"},
	} {
		args := []string{"serve", c.flag, c.value}
		if c.value == "" {
			args = args[:2]
		}
		var out bytes.Buffer
		if code := run(args, streams{out: &out, err: &out}); code != exitUsage || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s %s: got %d %q, want %q", c.flag, c.value, code, out.String(), c.want)
		}
	}
}

// An error is called by its place: in the file, or the flag that overrides it.
func TestErrorsAreWhereTheValueIs(t *testing.T) {
	path := writeFile(t, "max_clients = 0\nmax_content = 0\nheartbeat = '1ms'\n")
	t.Setenv("KABAN_MAX_CONTENT", "17000")
	var out bytes.Buffer
	code := run([]string{"serve", "--config", path, "--max-clients", "0"}, streams{out: &out, err: &out})
	for _, want := range []string{"kaban: --max-clients must be 1 to", "kaban: --max-content must be 1 to 16000, not 17000", ", line 3: heartbeat must be 1s to 1h, not 1ms"} {
		if code != exitUsage || !strings.Contains(out.String(), want) {
			t.Errorf("got %d %q, want %q", code, out.String(), want)
		}
	}
}

// Joined errors are lines of their own, whatever only gives them a kind.
func TestPartsOfErrors(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for _, test := range []struct {
		err  error
		want []string
	}{
		{a, []string{"a"}},
		{errors.Join(a, b), []string{"a", "b"}},
		{usageError{errors.Join(a, usageError{errors.Join(b, c)})}, []string{"a", "b", "c"}},
		{fmt.Errorf("x: %w", errors.Join(a, b)), []string{"x: a\nb"}},
		{fmt.Errorf("%w and %w", a, b), []string{"a and b"}},
	} {
		if got := parts(test.err); !slices.Equal(got, test.want) {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}
